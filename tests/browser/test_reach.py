"""The pages for everybody: by keyboard alone, by touch, with a screen reader, without motion."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Locator, Page, expect

from tests.browser.notebook import Notebook
from tests.running import RunningServer, http

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

WORST = ("serious", "critical")
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
    "device_scale_factor": 2,
}
# Beside what is in the page: frames have no origin, and are looked at as pages of their own.
AXE_OPTIONS = {"resultTypes": ["violations"], "iframes": False}

# What code shows: one cell for each way.
OUTPUTS = (
    "import sys\nprint('out')\nprint('err', file=sys.stderr)\n[1, 2, 3]",
    "for i in range(200): print('\\x1b[3%dmline\\x1b[0m' % (i % 8), i)",
    "import pandas as pd\npd.DataFrame({'name': ['a', 'b'], 'count': [1, 2.5]})",
    "import matplotlib.pyplot as plt\n_ = plt.plot([1, 3, 2])",
    "from IPython.display import JSON, Markdown, Math, display\n"
    "display(JSON({'a': [1, {'b': None}]}), Markdown('# One\\n\\n- [ ] *two*'), Math('x^2'))",
)

# Whether a person can see where the keyboard is: on the element itself, or on the cell it is in.
FOCUS = """() => {
  const element = document.activeElement;
  if (!element || element === document.body) return "lost";
  const { top, bottom, width } = element.getBoundingClientRect();
  if (bottom <= 0 || top >= innerHeight || !width) return "out of sight";
  const marks = (node, part) => {
    const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(node, part);
    return (outlineStyle !== "none" && parseFloat(outlineWidth) > 0) || boxShadow !== "none";
  };
  const head = element.closest(".cell")?.querySelector(".cell-head");
  const isText = element.matches("input, textarea, [contenteditable]"); // there is a caret
  if (isText || marks(element) || (head?.offsetHeight && marks(head))) return "";
  const bar = element.matches(".cell.active") && getComputedStyle(element, "::before").backgroundColor;
  return bar && bar !== "rgba(0, 0, 0, 0)" ? "" : `no mark on ${element.outerHTML.slice(0, 120)}`;
}"""
# Where the top of an element is, in every frame from now on; until `stop` is called.
WATCH_TOP = """(element) => {
  const tops = new Set();
  let isOn = true;
  const look = () => {
    tops.add(Math.round(element.getBoundingClientRect().top));
    if (isOn) requestAnimationFrame(look);
  };
  look();
  globalThis.stopWatching = () => ((isOn = false), [...tops]);
}"""
# Every box on the page that a person can see, by its place.
BOXES = """() => [...document.querySelectorAll(".cell, .cell-head, .source, .outputs, .gutter, .add-end, .bar")]
  .map((element) => Object.values(element.getBoundingClientRect().toJSON()).map(Math.round).join())"""


async def violations(page: Page) -> list[str]:
    """What axe-core finds that keeps people out: the rule, and where."""
    answer = await Axe().run(page, options=AXE_OPTIONS)
    return [
        f"{found['id']}: {node['target']} {node['any'][0]['message'] if node['any'] else ''}"
        for found in answer.response["violations"]
        if found["impact"] in WORST
        for node in found["nodes"]
    ]


@pytest.fixture
def barriers() -> Iterator[dict[str, list[str]]]:
    """What keeps people out, by where it is; the test fails with all of it at its end."""
    found: dict[str, list[str]] = {}
    yield found
    lines = [f"{where}: {line}" for where, what in found.items() for line in what]
    assert not lines, "\n".join(lines)


async def sees_focus(page: Page) -> None:
    assert await page.evaluate(FOCUS) == ""


async def width_beyond(page: Page) -> int:
    """CSS pixels that the page is wider than the window."""
    beyond: int = await page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    return beyond


async def fill(notebook: Notebook) -> None:
    """Cells of all kinds, with all kinds of outputs."""
    for code in OUTPUTS:
        await notebook.run_to_end(code)
    await notebook.run_to_end("def f(): 1 / 0\nf()", state="failed")
    await notebook.add(
        "# A heading\n\nSome [text](https://example.org), $x^2$, `code`.", "markdown"
    )
    await notebook.page.keyboard.press("Shift+Enter")
    await notebook.run("name = input('Who? ')")
    await expect(notebook.cells.last.locator("[data-answer]")).to_be_visible()
    await notebook.run("'queued'")
    await expect(notebook.cells.last).to_have_attribute("data-state", "queued")


# With a screen reader


@pytest_asyncio.fixture(loop_scope="module", params=["light", "dark"])
async def themed(request: Any, new_page: Any) -> Page:
    return await new_page(color_scheme=request.param, viewport={"width": 1400, "height": 900})


async def test_the_list_of_sessions_is_accessible(
    server: RunningServer, themed: Page, barriers: Any
):
    for name in ("reach-one", "reach-two"):
        http.post(f"{server.url}/api/v1/sessions", json={"identifier": name})

    await themed.goto(f"{server.url}/workbench/")
    await expect(themed.locator("[data-connection]")).to_have_attribute("data-state", "live")
    barriers["the list"] = await violations(themed)


async def test_a_notebook_is_accessible(notebook: Notebook, themed: Page, barriers: Any):
    await fill(notebook)
    other = await notebook.in_another_browser(themed)
    barriers["cells and outputs"] = await violations(themed)

    await other.cell(0).locator("[data-source]").click()
    barriers["an editor"] = await violations(themed)

    await other.command("h")
    barriers["the shortcuts"] = await violations(themed)
    await themed.keyboard.press("Escape")
    await themed.keyboard.press("p")
    barriers["the palette"] = await violations(themed)
    await themed.keyboard.press("Escape")
    await themed.locator("[data-menu=more]").click()
    barriers["the menu"] = await violations(themed)
    await themed.keyboard.press("Escape")
    await themed.keyboard.press("Control+f")
    await themed.keyboard.type("name")
    barriers["the find bar"] = await violations(themed)


async def test_every_panel_and_dialog_is_accessible(
    notebook: Notebook, themed: Page, barriers: Any
):
    await notebook.run_to_end(OUTPUTS[2].replace("pd.D", "frame = pd.D"))
    await notebook.run_to_end("open('table.csv', 'w').write('a,b\\n1,2\\n')")
    await notebook.run("name = input('Who? ')")
    await notebook.run("'queued'")
    await expect(notebook.cells.last).to_have_attribute("data-state", "queued")
    await notebook.in_another_browser(themed)
    await themed.locator("[data-side-switch=right]").first.click()

    for name in ("Files", "Outline", "Variables", "Queue", "History", "Resources"):
        tab = themed.get_by_role("tab", name=name)
        await tab.click()
        panel = themed.locator(f"#panel-{name.lower()}")
        await expect(panel).to_be_visible()
        await expect(panel.locator("[data-skeleton]:visible")).to_have_count(0)
        barriers[name] = await violations(themed)

    await themed.get_by_role("tab", name="Files").click()
    await themed.get_by_role("treeitem", name="table.csv").press("Enter")
    await expect(themed.locator("dialog[open]")).to_be_visible()
    barriers["a file's preview"] = await violations(themed)
    await themed.keyboard.press("Escape")
    await themed.locator(".notebook-actions [data-command=restart]").click()
    await expect(themed.locator("#confirm")).to_be_visible()
    barriers["a question"] = await violations(themed)


# By touch


@pytest_asyncio.fixture(loop_scope="module")
async def phone(notebook: Notebook, new_page: Any) -> Notebook:
    await fill(notebook)
    return await notebook.in_another_browser(await new_page(**PHONE))


async def test_nothing_is_wider_than_a_phone(phone: Notebook, barriers: Any):
    assert await width_beyond(phone.page) == 0

    await phone.page.goto(f"{phone.server}/workbench/")
    await expect(phone.page.locator("[data-connection]")).to_have_attribute("data-state", "live")
    assert await width_beyond(phone.page) == 0
    await phone.page.locator("[data-row-menu]:visible").first.tap()
    barriers["a row's menu"] = await violations(phone.page)


async def test_a_cell_is_written_and_run_by_thumb(notebook: Notebook, new_page: Any):
    page = await new_page(**PHONE)
    phone = await notebook.in_another_browser(page)
    await page.locator(".thumb-bar [data-command=add-code]").tap()
    await expect(phone.cell(0).locator(".cm-content")).to_be_focused()
    await page.keyboard.insert_text("6 * 7")

    run = page.locator(".thumb-bar [data-command=run-advance]")
    await expect(run).to_be_in_viewport()
    await run.tap()

    await expect(phone.outputs(0)).to_contain_text("42")
    box = await run.bounding_box()
    assert box is not None
    assert min(box["width"], box["height"]) >= 44  # CSS pixels a thumb needs


async def test_panels_are_sheets_on_a_phone(phone: Notebook, barriers: Any):
    page = phone.page
    sheet = page.locator("#side-right")
    await expect(sheet).to_be_hidden()

    await page.locator(".thumb-bar [data-side-switch=right]").tap()

    await expect(sheet).to_be_visible()
    await expect(sheet).to_have_css("position", "fixed")
    await expect(page.locator("#panel-variables")).to_be_visible()
    assert await width_beyond(page) == 0
    barriers["a sheet"] = await violations(page)
    await sheet.get_by_role("button", name="Close").first.tap()
    await expect(sheet).to_be_hidden()


# By keyboard


async def tab_to(page: Page, target: Locator, key: str = "Tab", most: int = 40) -> None:
    """Press a key until the target has the focus; where the focus is can always be seen."""
    for _ in range(most):
        await page.keyboard.press(key)
        await sees_focus(page)
        if await target.evaluate("(element) => element === document.activeElement"):
            return
    raise AssertionError(f"{target} is not reached with {key}")


async def test_a_notebook_is_worked_on_without_a_mouse(notebook: Notebook):
    page = notebook.page
    await tab_to(page, page.locator("[data-add-end] [data-command=append-code]"))
    await page.keyboard.press("Enter")
    await page.keyboard.type("'first'")
    await page.keyboard.press("Control+Enter")
    await expect(notebook.outputs(0)).to_contain_text("'first'")
    await page.keyboard.press("Escape")
    await sees_focus(page)

    for key in ("b", "Escape", "Alt+ArrowUp", "ArrowDown", "ArrowUp"):
        await page.keyboard.press(key)
        await sees_focus(page)
    await expect(notebook.cell(1)).to_contain_text("'first'")
    await expect(notebook.cell(0)).to_be_focused()

    await page.keyboard.press("d")
    await page.keyboard.press("d")
    await expect(notebook.cells).to_have_count(1)
    await sees_focus(page)
    await page.keyboard.press("z")
    await expect(notebook.cells).to_have_count(2)
    await sees_focus(page)


async def test_the_last_cell_that_goes_does_not_take_the_focus_along(notebook: Notebook):
    await notebook.add("1")
    await notebook.command("d", "d")

    await expect(notebook.cells).to_have_count(0)
    await notebook.page.keyboard.press("b")

    await expect(notebook.cells).to_have_count(1)
    await sees_focus(notebook.page)


async def test_a_panel_is_opened_and_left_by_keyboard(notebook: Notebook):
    page = notebook.page
    await notebook.run_to_end("answer = 42")
    await notebook.command()
    await expect(notebook.cell(0)).to_be_focused()

    await page.keyboard.press("Control+Alt+b")
    await expect(page.locator("#tab-variables")).to_be_focused()
    await sees_focus(page)
    variable = page.locator("#panel-variables").get_by_role("button", name="answer").first
    await expect(variable).to_be_visible()
    await tab_to(page, variable)
    await page.keyboard.press("Control+Alt+b")
    await sees_focus(page)
    await expect(page.locator("#side-right")).to_be_hidden()
    await expect(notebook.cell(0)).to_be_focused()


async def test_what_is_opened_gives_the_focus_back(notebook: Notebook):
    page = notebook.page
    await notebook.add("1")
    await notebook.command()
    for opening in ("h", "p", "Control+Shift+P", "0 0"):
        for key in opening.split(" "):
            await page.keyboard.press(key)
        await expect(page.locator("dialog[open]")).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(page.locator("dialog[open]")).to_have_count(0)
        await expect(notebook.cell(0)).to_be_focused()
    await page.keyboard.press("Control+f")
    await page.keyboard.press("Escape")
    await sees_focus(page)


# Without motion


async def test_nothing_moves_for_those_who_ask_for_it(notebook: Notebook, new_page: Any):
    page = await new_page(reduced_motion="reduce")
    still = await notebook.in_another_browser(page)
    await still.run("print('on')\nwhile True: pass")
    await expect(still.outputs(0)).to_contain_text("on")

    await page.locator("[data-side-switch=right]").first.click()
    await page.keyboard.press("Control+Shift+P")

    assert await page.evaluate("document.getAnimations().length") == 0


# Without jumps


STREAM = "import time\nfor i in range(60):\n    print('line', i, flush=True)\n    time.sleep(0.02)"


async def test_what_a_person_reads_stays_while_others_write(notebook: Notebook):
    await notebook.add(STREAM)
    for number in range(12):
        await notebook.add(f"# cell {number}\n" + "pass\n" * 6)
    await notebook.add(STREAM.replace("line", "below"))
    read = notebook.cell(8)
    await read.locator("[data-source]").click()
    await read.evaluate("(cell) => scrollBy(0, cell.getBoundingClientRect().top - 300)")
    await read.evaluate(WATCH_TOP)

    await notebook.page.evaluate(
        "document.querySelector('.cell:first-child [data-do=run]').click();"
        "document.querySelector('.cell:last-child [data-do=run]').click()"
    )

    for place in (0, -1):
        await expect(notebook.cell(place)).to_have_attribute(
            "data-state", "succeeded", timeout=30_000
        )
    tops = await notebook.page.evaluate("stopWatching()")
    assert max(tops) - min(tops) <= 1


async def test_pointing_and_focus_move_nothing(notebook: Notebook):
    await notebook.run_to_end("'first'")
    await notebook.add("text", "markdown")
    await notebook.page.keyboard.press("Shift+Enter")
    await notebook.run_to_end("print('last')")
    await notebook.command()
    before = await notebook.page.evaluate(BOXES)

    for place in range(3):
        box = await notebook.cell(place).bounding_box()
        assert box is not None
        for y in (4, box["height"] / 2, box["height"] - 1):  # between cells there are buttons
            await notebook.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + y)
            assert await notebook.page.evaluate(BOXES) == before
        await notebook.cell(place).evaluate("(cell) => cell.focus()")
        assert await notebook.page.evaluate(BOXES) == before
