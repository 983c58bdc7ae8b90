"""Sharing a session, seen by two people: whose it is, and who has only a link."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.browser.notebook import Notebook
from tests.running import ROOT, RunningServer, made_key

PASSWORD = "correct horse"


@pytest.fixture(scope="module")
def closed_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that asks who is there; "ada" has an account."""
    running = RunningServer(
        tmp_path_factory.mktemp("closed"), WORKBENCH_ACCESS="closed", WORKBENCH_WARM_KERNELS="1"
    )
    made_key(running, "ada")
    code = (
        "from django.contrib.auth import get_user_model as model; "
        f"ada = model().objects.get(); ada.set_password({PASSWORD!r}); ada.save()"
    )
    subprocess.run(
        [sys.executable, "manage.py", "shell", "-c", code],
        cwd=ROOT,
        env=running.environment,
        check=True,
    )
    with running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def owners(closed_server: RunningServer, page: Page, identifier: str) -> Notebook:
    """The notebook of a new session, as its owner has it open."""
    await page.goto(f"{closed_server.url}/workbench/")  # leads to the login
    await page.locator("[name=username]").fill("ada")
    await page.locator("[name=password]").fill(PASSWORD)
    await page.locator(".login [type=submit]").click()
    await expect(page.locator("[data-connection]")).to_have_attribute("data-state", "live")
    await page.locator("[data-new]:visible").first.click()
    await page.locator("[name=identifier]").fill(identifier)
    await page.locator("[data-new-session] [type=submit]").click()
    await page.wait_for_url(re.compile(r"/workbench/[^/]+/$"))
    notebook = Notebook(page, closed_server.url, "", identifier)
    await notebook.is_ready()
    return notebook


async def make_link(page: Page, scope: str) -> str:
    """Make a link in the dialog, which stays open."""
    dialog = page.locator("[data-share]")
    rows = await dialog.locator(".share-row").count()
    if not await dialog.is_visible():
        await page.locator(".share-button").click()
    await dialog.locator("[name=scope]").select_option(scope)
    await dialog.locator("[type=submit]").click()
    await expect(dialog.locator(".share-row")).to_have_count(rows + 1)
    return await dialog.locator("[data-url]").input_value()


async def come_in(page: Page, link: str) -> Notebook:
    await page.goto(link)
    await expect(page.locator("[data-connection]")).to_have_attribute("data-state", "live")
    found = re.fullmatch(r"(http://[^/]+)/workbench/([^/]+)/", page.url)
    assert found is not None
    server, identifier = found.groups()
    return Notebook(page, server, identifier, identifier)


async def test_a_guest_looks_until_the_link_is_revoked(owners: Notebook, new_page, problems):
    problems.expect("status of 401", "status of 404", "WebSocket")
    await owners.run("print('seen by', 'both')")
    await expect(owners.outputs(0)).to_contain_text("seen by both")
    link = await make_link(owners.page, "read")

    other = await new_page(viewport={"width": 1280, "height": 860})
    guests = await come_in(other, link)

    await expect(guests.outputs(0)).to_contain_text("seen by both")
    await expect(other.locator(".badge", has_text="Read only")).to_be_visible()
    # Nothing to press that would be refused, and no key that does it.
    for there in ("run-cell", "restart", "add-code", "share"):
        await expect(other.locator(f"[data-command={there}]")).to_have_count(0)
    for hidden in ("[data-add-end]", ".cell-tools", "[data-do=upload]"):
        await expect(other.locator(hidden).first).to_be_hidden()
    await guests.cell(0).click()
    for keys in ("Control+Enter", "b", "d", "d", "Enter", "x"):
        await other.keyboard.press(keys)
    await expect(other.locator(".cm-editor")).to_have_count(0)
    await other.locator("[data-menu=more]").click()
    items = other.locator("[data-menu-place] [role=menuitem]")
    await expect(items.first).to_contain_text("Find")
    await expect(items).to_have_count(7)
    await other.keyboard.press("Escape")
    # What the owner does next arrives.
    await owners.page.keyboard.press("Escape")
    await owners.run("print('and', 'live')")
    await expect(guests.cells).to_have_count(2)
    await expect(guests.outputs(1)).to_contain_text("and live")

    await owners.page.locator(".share-button").click()
    await owners.page.locator("[data-revoke]").click()
    await expect(owners.page.locator(".share-row")).to_have_count(0)

    await expect(other.locator("[data-notebook] [data-problem]")).to_contain_text("has ended")
    await expect(other.locator("[data-connection]")).to_have_attribute("data-state", "refused")
    await other.goto(link)
    await expect(other.locator("h1")).to_have_text("This link leads nowhere")


async def test_a_guest_runs_and_writes_by_a_link_to_run(owners: Notebook, new_page):
    link = await make_link(owners.page, "run")
    await owners.page.keyboard.press("Escape")

    other = await new_page(viewport={"width": 1280, "height": 860})
    guests = await come_in(other, link)
    await guests.is_ready()
    await guests.run("print('from a', 'guest')")

    await expect(owners.outputs(0)).to_contain_text("from a guest")
    await expect(other.locator("[data-saved]")).to_have_text("Saved")
    await expect(other.locator(".share-button")).to_have_count(0)
    await other.locator("[data-menu=more]").click()
    await expect(other.locator("[data-menu-place]")).not_to_contain_text("Close the session")


async def test_the_dialog_is_used_by_keyboard_and_keeps_no_secret(owners: Notebook):
    page = owners.page
    await page.locator(".share-button").focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("[data-share] [name=scope]")).to_be_focused()
    for _ in range(2):
        await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.locator("[data-copy]")).to_be_focused()
    link = await page.locator("[data-url]").input_value()
    async with httpx.AsyncClient() as client:
        assert (await client.get(link)).status_code == 302

    await page.keyboard.press("Escape")

    await expect(page.locator(".share-button")).to_be_focused()
    await expect(page.locator("[data-url]")).to_have_value("")
    await page.keyboard.press("Enter")
    await expect(page.locator(".share-row")).to_contain_text("used")
    await expect(page.locator(".share-row")).not_to_contain_text("not used yet")
    await expect(page.locator("[data-made]")).to_be_hidden()
