"""The page of one's own account, on a closed server."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.browser.conftest import PERSON, log_in
from tests.browser.test_reach import PHONE, violations, width_beyond
from tests.running import RunningServer, http

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]


def status_with(server: RunningServer, key: str, path: str = "/api/v1/keys") -> int:
    headers = {"Authorization": f"Bearer {key}"}
    return http.get(server.url + path, headers=headers).status_code


@pytest_asyncio.fixture(loop_scope="module")
async def account(person: Page, problems: Any) -> Page:
    """The page, reached from the header; a server that counts nothing has no usage to tell."""
    await person.get_by_role("link", name=PERSON).click()
    await person.wait_for_url("**/account/")
    return person


async def make(page: Page, label: str, **chosen: str) -> str:
    """The new key's text."""
    await page.get_by_label("What it is for").fill(label)
    for name, value in chosen.items():
        await page.locator(f"[name={name}]").select_option(value)
    await page.get_by_role("button", name="Make a key").click()
    secret = page.locator("[data-secret=key]")
    await expect(secret).to_be_visible()
    return await secret.inner_text()


async def test_a_key_is_made_copied_once_and_revoked(closed_server: RunningServer, account: Page):
    await account.context.grant_permissions(["clipboard-read", "clipboard-write"])
    key = await make(account, "laptop", scope="read", days="30")
    assert status_with(closed_server, key) == 200

    await account.get_by_role("button", name="Copy").first.click()
    assert await account.evaluate("navigator.clipboard.readText()") == key
    await account.get_by_role("button", name="I have it").click()
    await expect(account.get_by_label("What it is for")).to_be_focused()
    assert key not in await account.content()

    await account.reload()
    row = account.get_by_role("list", name="Valid keys").get_by_role("listitem")
    row = row.filter(has_text="laptop")
    await expect(row).to_contain_text("only reads")
    await expect(row).to_contain_text("expires in 30 d")
    assert key not in await account.content()
    await row.get_by_role("button", name="Revoke laptop").click()
    await account.get_by_role("button", name="Revoke key").click()
    await expect(row).to_have_count(0)
    await account.locator("[data-old] summary").click()
    await expect(account.locator("[data-old-keys]")).to_contain_text("revoked")


async def test_what_cannot_be_done_is_said(account: Page, problems: Any):
    problems.expect("400")
    await account.get_by_label("What it is for").evaluate("(input) => (input.maxLength = 200)")
    await account.get_by_label("What it is for").fill("x" * 101)
    await account.get_by_role("button", name="Make a key").click()

    await expect(account.get_by_role("alert")).to_contain_text("at most 100 characters")
    await expect(account.locator("[data-made]")).to_be_hidden()


async def test_usage_is_shown_where_it_is_counted(account: Page):
    async with account.expect_response("**/api/v1/usage") as answer:
        await account.reload()
    is_counted = (await answer.value).ok

    await expect(account.locator("[data-usage]")).to_be_visible(visible=is_counted)


async def test_who_logs_out_is_out(account: Page, closed_server: RunningServer):
    await account.get_by_role("button", name="Log out").click()
    await account.wait_for_url("**/login/**")

    await account.goto(f"{closed_server.url}/account/")

    await account.wait_for_url("**/login/?next=/account/")


async def test_an_open_server_says_what_there_is_instead(url: str, page: Page):
    await page.goto(f"{url}/account/")

    await expect(page.get_by_role("heading", name="No accounts here")).to_be_visible()
    await expect(page.locator("main")).to_contain_text("WORKBENCH_ACCESS=closed")


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_the_account_is_accessible_also_on_a_phone(
    closed_server: RunningServer, new_page: Any, problems: Any, theme: Any
):
    page = await new_page(**PHONE, color_scheme=theme)
    await log_in(page, closed_server)
    await page.goto(f"{closed_server.url}/account/")
    await make(page, f"phone {theme}")
    await page.locator("[data-made] summary").tap()

    assert await violations(page) == []
    assert await width_beyond(page) == 0
