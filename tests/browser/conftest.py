"""Real browsers on the whole server: supervisor, kernel host, daphne and kernels."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    async_playwright,
    expect,
)

from tests.browser.notebook import Notebook
from tests.running import RunningServer, http, made_person

HERE = Path(__file__).parent
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""

# On a machine that is busy, five seconds are not enough for a frame to load its libraries.
WAIT_MILLISECONDS = 30_000
expect.set_options(timeout=WAIT_MILLISECONDS)

PERSON, PASSWORD = "eve", "correct horse"

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One server for all tests of the browser; each test has sessions of its own."""
    with RunningServer(tmp_path_factory.mktemp("browser")) as running:
        yield running


@pytest.fixture(scope="session")
def closed_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One server that lets in only whom it knows: PERSON, with PASSWORD."""
    settings = {"WORKBENCH_ACCESS": "closed", "WORKBENCH_WARM_KERNELS": "0"}
    running = RunningServer(tmp_path_factory.mktemp("closed"), **settings)
    made_person(running, PERSON, PASSWORD)
    with running:
        yield running


@pytest.fixture
def url(server: RunningServer) -> str:
    """Where the server is."""
    return server.url


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests of a module share a browser, and so an event loop."""
    for item in items:
        if item.path.is_relative_to(HERE) and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="module"), append=False)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """One of each module's own, since it takes a second to start; nothing of it outlives a page."""
    if not CHROMIUM:
        pytest.fail("Chromium is not installed; make test installs it")
    async with async_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu"]
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield browser
        await browser.close()


class Problems:
    """What pages complain of. Complaints come when they come: judged once, after the test."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._expected: tuple[str, ...] = ()

    def expect(self, *parts: str) -> None:
        """Complaints that contain one of these are part of the test, whenever they come."""
        self._expected += parts

    @property
    def unexpected(self) -> list[str]:
        """What nobody expected."""
        return [each for each in self.seen if not any(part in each for part in self._expected)]


def told(line: ConsoleMessage) -> str:
    """What a page complains of, and where."""
    return f"{line.text} ({line.location['url']})"


@pytest.fixture
def problems() -> Problems:
    """What pages complain of; a test that provokes complaints expects them."""
    return Problems()


@pytest_asyncio.fixture(loop_scope="module")
async def new_page(browser: Browser, problems: Problems) -> AsyncIterator[object]:
    """Opens pages of persons of their own; script errors and breaches of policy fail the test."""

    contexts: list[BrowserContext] = []

    async def open_page(**options: Any) -> Page:
        context = await browser.new_context(**options)
        contexts.append(context)
        page = await context.new_page()
        page.set_default_timeout(WAIT_MILLISECONDS)
        page.on("pageerror", lambda error: problems.seen.append(error.stack or str(error)))
        page.on("console", lambda line: line.type == "error" and problems.seen.append(told(line)))
        return page

    yield open_page
    # Before anything is awaited: what pages say of sessions that went with the test is not part of it.
    unexpected = problems.unexpected
    for context in contexts:
        await context.close()
    assert unexpected == []


@pytest_asyncio.fixture(loop_scope="module")
async def page(new_page) -> Page:
    return await new_page(viewport={"width": 1280, "height": 860})


@pytest_asyncio.fixture(loop_scope="module")
async def person(closed_server: RunningServer, page: Page) -> Page:
    """The page of somebody who has logged in to the closed server."""
    await log_in(page, closed_server)
    return page


async def log_in(page: Page, server: RunningServer) -> None:
    """From the login to the list of sessions."""
    await page.goto(f"{server.url}/workbench/")
    await page.get_by_label("Name").fill(PERSON)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"{server.url}/workbench/")


@pytest.fixture
def identifier() -> str:
    """A name no other test uses."""
    return f"notebook-{next(_numbers)}"


@pytest_asyncio.fixture(loop_scope="module")
async def notebook(server: RunningServer, page: Page, identifier: str) -> AsyncIterator[Notebook]:
    """The empty notebook of a new session, open and live; closed with the test, whatever runs."""
    answer = http.post(f"{server.url}/api/v1/sessions", json={"identifier": identifier})
    assert answer.status_code == 201
    notebook = Notebook(page, server.url, answer.json()["id"], identifier)
    await notebook.open()
    yield notebook
    stop = f"{server.url}/.management/stopSession"
    http.post(stop, params={"identifier": notebook.id}, timeout=60)
