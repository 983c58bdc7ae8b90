"""The notebook page in a real browser: its size, how soon it can be used, how it keeps up.

Every page has a browser context of its own, so that nothing is in its cache.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import statistics
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
from playwright.async_api import Browser, Page, async_playwright

from tests.bench.raw import RawKernel
from tests.browser.notebook import Notebook
from tests.running import RunningServer

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
VIEW: Any = {"width": 1280, "height": 860}
LOADS = 7
PRESSES = 40
CELLS = 50  # of 20 events each
LINES = 100_000
EXECUTIONS = "/executions?api-version=2025-10-02-preview&identifier="

Report = Callable[..., None]

# Runs before the page's own scripts; all times are milliseconds since the navigation.
WATCH = """
globalThis.watched = { frame: 0, drawn: 0, whole: 0, longest: 0, gap: 0 };
const Native = WebSocket;
globalThis.WebSocket = class extends Native {
  constructor(...address) {
    super(...address);
    this.addEventListener("message", () => watched.drawn || (watched.frame = performance.now()));
  }
};
new PerformanceObserver((list) => {
  for (const { duration } of list.getEntries()) watched.longest = Math.max(watched.longest, duration);
}).observe({ type: "longtask", buffered: true });
const isDrawn = (cell) => cell.querySelector("[data-outputs]").childElementCount > 0;
let last = 0;
const look = (now) => {
  watched.gap = Math.max(watched.gap, last && now - last);
  last = now;
  if (!watched.whole) {
    const cells = [...document.querySelectorAll("[data-cells] > .cell")];
    const painted = (name) => setTimeout(() => (watched[name] ||= performance.now()));
    // The window holds three of them; asking where each is would be work that is not the page's.
    if (cells.length && cells.slice(0, 4).every(isDrawn)) painted("drawn");
    if (cells.length && cells.every(isDrawn)) painted("whole");
  }
  requestAnimationFrame(look);
};
requestAnimationFrame(look);
"""
# Waits until the cell is there and everything is live, then begins to write in it as a press of
# the mouse does.
USABLE = """() => new Promise((resolve) => {
  const look = () => {
    const source = document.querySelector("[data-cells] > .cell [data-source] > *")?.parentElement;
    const isLive = document.querySelector("[data-connection]")?.dataset.state === "live";
    if (!source || !isLive) return void requestAnimationFrame(look);
    source.dispatchEvent(new MouseEvent("mousedown", { bubbles: true, cancelable: true }));
    if (document.activeElement.closest(".cm-content")) resolve(performance.now());
    else requestAnimationFrame(look);
  };
  look();
})"""
# Bytes of the page and all it has loaded, as they were sent.
CONTENT = """() => [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
  .reduce((sum, { encodedBodySize }) => sum + encodedBodySize, 0)"""
# Waits until every cell is drawn.
WHOLE = """() => new Promise((resolve) => {
  const look = () => watched.drawn && watched.whole ? resolve(watched) : setTimeout(look, 20);
  look();
})"""
# From the key to the frame that shows the output.
SEEN = """(text) => {
  const outputs = document.querySelector("[data-cells] > .cell [data-outputs]");
  globalThis.seen = new Promise((resolve) => {
    let began = 0;
    addEventListener("keydown", (event) => event.key === "Enter" && (began = performance.now()), true);
    new MutationObserver((_, observer) => {
      if (!outputs.textContent.includes(text)) return;
      observer.disconnect();
      setTimeout(() => resolve(performance.now() - began)); // after the frame it was drawn in
    }).observe(outputs, { childList: true, subtree: true, characterData: true });
  });
}"""


async def measure(server: RunningServer, report: Report) -> None:
    """All of it, one after the other."""
    if not CHROMIUM:
        print("Chromium is not installed: the browser is not measured")
        return
    async with async_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu"]
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        for part in (_first_load, _first_output, _redraw, _flood):
            await part(server, browser, report)
        await browser.close()


async def _first_load(server: RunningServer, browser: Browser, report: Report) -> None:
    """What comes over the wire, and when a cell can be written."""
    name = _session(server, "bench-load")
    async with _page(browser) as page:
        notebook = await _open(server, page, name)
        await notebook.add("# usable")
        await notebook.is_saved()
    cold: list[float] = []
    warm: list[float] = []
    content = 0
    for _ in range(LOADS):
        async with _page(browser) as page:
            transfers = await _transfers(page)
            cold.append(await _usable(server, page, name))
            sent, content = sum(transfers), await page.evaluate(CONTENT)
            warm.append(await _usable(server, page, name))
            again = sum(transfers) - sent
    report(
        "notebook page, first load: compressed content", content / 1e3, "kB", "goal: at most 350"
    )
    report("notebook page, first load: all bytes, headers too", sent / 1e3, "kB")
    report("notebook page, from a warm cache: all bytes", again / 1e3, "kB")
    report(
        "navigation to a cell that can be written, cold", _median(cold), "ms", "goal: at most 1000"
    )
    report("navigation to a cell that can be written, warm", _median(warm), "ms")


async def _first_output(server: RunningServer, browser: Browser, report: Report) -> None:
    """Ctrl-Enter to the output on the screen, in turn with the raw kernel's round trip."""
    name = _session(server, "bench-key")
    raw = await RawKernel.start()
    ours: list[float] = []
    theirs: list[float] = []
    async with _page(browser) as page:
        await (await _open(server, page, name)).add("print(1)")
        for number in range(PRESSES):
            text = f"number {number}"
            await page.keyboard.press("Control+A")
            await page.keyboard.insert_text(f"print({text!r})")
            await page.evaluate(SEEN, text)
            await page.keyboard.press("Control+Enter")
            ours.append(await page.evaluate("globalThis.seen"))
            began = time.perf_counter()
            await raw.run(f"print({text!r})")
            theirs.append((time.perf_counter() - began) * 1e3)
    await raw.stop()
    report("raw kernel round trip meanwhile, median", _median(theirs), "ms")
    report("Ctrl-Enter to the output on the screen, median", _median(ours), "ms")
    report("Ctrl-Enter to output / raw round trip", _median(ours) / _median(theirs), "x")


async def _redraw(server: RunningServer, browser: Browser, report: Report) -> None:
    """A session of many events, opened again."""
    name = _session(server, "bench-redraw")
    code = "from IPython.display import display\nfor i in range(8): print(i); display(i)"
    async with httpx.AsyncClient(base_url=server.url, timeout=60, trust_env=False) as client:
        for _ in range(CELLS):
            (await client.post(EXECUTIONS + name, json={"code": code})).raise_for_status()
    seen: list[dict[str, float]] = []
    for _ in range(LOADS):
        async with _page(browser) as page:
            await page.goto(f"{server.url}/workbench/{name}/", wait_until="commit")
            seen.append(await page.evaluate(WHOLE))
            detail = await page.locator("[data-status-detail]").inner_text()
    events = re.findall(r"event ([\d,]+)", detail)[0]
    drawn = [each["drawn"] - each["frame"] for each in seen]
    whole = [each["whole"] - each["frame"] for each in seen]
    report(f"{events} events: last frame to painted", _median(drawn), "ms", "goal: at most 300")
    report(f"{events} events: last frame to all cells drawn", _median(whole), "ms")
    report("longest task of such a load", _median([each["longest"] for each in seen]), "ms")


async def _flood(server: RunningServer, browser: Browser, report: Report) -> None:
    """Many printed lines, while somebody scrolls."""
    name = _session(server, "bench-flood")
    async with _page(browser) as page:
        notebook = await _open(server, page, name)
        await notebook.add(f"for i in range({LINES}): print('line', i)\nprint('the end')")
        await page.evaluate("Object.assign(watched, {longest: 0, gap: 0})")
        began = time.perf_counter()
        await page.keyboard.press("Control+Enter")
        scrolling = asyncio.create_task(_scroll(page))
        end = notebook.outputs(-1).get_by_text("the end", exact=True)
        await end.wait_for(state="attached", timeout=60_000)
        taken = time.perf_counter() - began
        scrolling.cancel()
        seen = await page.evaluate("watched")
    report(f"{LINES:,} printed lines: from the key to the last of them", taken, "s")
    report("longest block of the main thread meanwhile", seen["longest"], "ms", "goal: at most 200")
    report("longest time between two frames meanwhile", seen["gap"], "ms")


async def _scroll(page: Page) -> None:
    await page.mouse.move(VIEW["width"] / 2, VIEW["height"] / 2)
    while True:
        for step in (120, 120, -120, -120):
            await page.mouse.wheel(0, step)


@asynccontextmanager
async def _page(browser: Browser) -> AsyncIterator[Page]:
    context = await browser.new_context(viewport=VIEW)
    page = await context.new_page()
    await page.add_init_script(WATCH)
    yield page
    await context.close()


def _session(server: RunningServer, name: str) -> str:
    body = {"identifier": name}
    answer = httpx.post(f"{server.url}/api/v1/sessions", json=body, trust_env=False)
    answer.raise_for_status()
    return name


async def _open(server: RunningServer, page: Page, name: str) -> Notebook:
    notebook = Notebook(page, server.url, "", name)
    await notebook.open()
    return notebook


async def _transfers(page: Page) -> list[int]:
    """Bytes of each response from now on, headers included, as they come over the wire."""
    transfers: list[int] = []
    session = await page.context.new_cdp_session(page)
    session.on("Network.loadingFinished", lambda end: transfers.append(end["encodedDataLength"]))
    await session.send("Network.enable")
    return transfers


async def _usable(server: RunningServer, page: Page, name: str) -> float:
    """Milliseconds from navigation until somebody writes in a cell."""
    await page.goto(f"{server.url}/workbench/{name}/", wait_until="commit")
    usable: float = await page.evaluate(USABLE)
    await page.wait_for_load_state("networkidle")
    return usable


def _median(values: list[float]) -> float:
    return statistics.median(values)
