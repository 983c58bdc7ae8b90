"""The pages in a real browser, over the whole application served by daphne."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Page, async_playwright, expect

pytestmark = pytest.mark.acceptance

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The application with its host in the same process; ended with the module."""
    data_dir = tmp_path_factory.mktemp("data")
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "workbench.settings",
        "WORKBENCH_DATA_DIR": str(data_dir),
        "WORKBENCH_ENGINE": "inline",
    }
    migrate = [sys.executable, "manage.py", "migrate", "-v0"]
    subprocess.run(migrate, cwd=ROOT, env=environment, check=True)
    port = free_port()
    daphne = [sys.executable, "-m", "daphne", "-b", "127.0.0.1", "-p", str(port)]
    command = [*daphne, "workbench.asgi:application"]
    with (data_dir / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_it_answers(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=20)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until_it_answers(url: str, process: subprocess.Popen[bytes]) -> None:
    """Poll until the server listens; fails if it has ended, or after 30 seconds."""
    deadline = time.monotonic() + 30
    while True:
        try:
            httpx.get(f"{url}/workbench/", timeout=10)
            return
        except httpx.ConnectError:
            assert process.poll() is None, "the server has ended"
            assert time.monotonic() < deadline, "the server does not listen"
            time.sleep(0.05)


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    """A page of a fresh browser; a script error or a breach of its policy fails the test."""
    if not CHROMIUM:
        pytest.skip("Chromium is not installed")
    problems: list[str] = []
    async with async_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu"]
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        page = await browser.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda line: line.type == "error" and problems.append(line.text))
        yield page
        await browser.close()
    assert problems == []


async def run(page: Page, code: str) -> None:
    await page.locator("#code").fill(code)
    await page.locator("#code").press("Shift+Enter")


async def open_session(page: Page, server: str) -> None:
    """Open a new session from the list, and wait until code can be written."""
    await page.goto(f"{server}/workbench/")
    await page.locator("[data-new]:visible").click()
    await expect(page.locator("#code")).to_be_visible()


async def test_a_session_is_opened_and_its_output_seen(server, page):
    await open_session(page, server)

    await run(page, "print('6 x 7 =', 6 * 7)\n'done'")

    run_shown = page.locator(".execution").last
    await expect(run_shown).to_have_attribute("data-state", "succeeded")
    await expect(run_shown.locator(".outputs")).to_have_text(
        re.compile(r"6 x 7 = 42.*'done'", re.S)
    )


async def test_output_is_never_markup(server, page):
    await open_session(page, server)

    await run(page, "print('<img src=x onerror=alert(1)>')\n'<b>bold</b>'")

    outputs = page.locator(".execution").last.locator(".outputs")
    await expect(outputs).to_contain_text("<img src=x onerror=alert(1)>")
    assert await outputs.locator("img, b").count() == 0


async def test_a_question_is_answered_in_the_page(server, page):
    await open_session(page, server)
    await run(page, "name = input('Who? ')\nname.upper()")

    field = page.locator(".answer input:visible")
    await field.fill("ada")
    await field.press("Enter")

    await expect(page.locator(".outputs")).to_contain_text("'ADA'")


async def test_a_running_execution_is_interrupted_and_a_queued_one_shows_its_place(server, page):
    await open_session(page, server)
    await run(page, "print('on', flush=True)\nwhile True: pass")
    await expect(page.locator(".outputs").first).to_contain_text("on")
    await run(page, "1")
    await expect(page.locator(".execution").nth(1)).to_contain_text("queued, 1st")
    await expect(page).to_have_title(re.compile("^● running"))

    await page.locator(".session-actions [data-do=interrupt]").click()

    await expect(page.locator(".execution").first).to_have_attribute(
        "data-state", re.compile("interrupted|failed")
    )
    await expect(page).not_to_have_title(re.compile("running"))


async def test_a_reload_shows_everything_once(server, page):
    await open_session(page, server)
    await run(page, "for i in range(5000): print('line', i)")
    await expect(page.locator(".execution")).to_have_attribute("data-state", "succeeded")

    await page.reload()

    await expect(page.locator(".execution")).to_have_count(1)
    await expect(page.locator(".text pre > div").last).to_have_text("line 4999")
    await expect(page.locator(".text pre > div")).to_have_count(2000)
    await expect(page.locator(".more-lines")).to_have_text(re.compile("3.000 earlier lines"))


async def test_the_list_is_searched_and_closes_a_session_after_asking(server, page):
    await open_session(page, server)
    name = await page.locator(".session-name").inner_text()
    await page.goto(f"{server}/workbench/")
    await page.locator("[data-search]").fill(f"{name} python3")
    row = page.locator(".session-row:visible").filter(has_text=name).first

    await row.hover()
    await row.locator("[data-do=close]").click()
    await page.locator("#confirm [value=yes]").click()

    await page.locator("[data-search]").fill(f"{name} closed")
    await expect(page.locator(".session-row:visible").first).to_contain_text("closed")


def test_an_unknown_session_leads_back_to_the_list(server):
    answer = httpx.get(f"{server}/workbench/<nobody>/")

    assert answer.status_code == 404
    assert "&lt;nobody&gt;" in answer.text
    assert 'href="/workbench/"' in answer.text


def test_the_pages_carry_a_strict_policy(server):
    policy = httpx.get(f"{server}/workbench/").headers["content-security-policy"]

    assert "script-src 'self'" in policy
    assert "style-src 'self'" in policy
    assert "unsafe" not in policy
