"""What the pages are to whoever asks for them: policy, errors, and the list's last resort."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.running import http

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]


async def test_the_list_is_searched_and_closes_a_session_after_asking(url, page, identifier):
    http.post(f"{url}/api/v1/sessions", json={"identifier": identifier}).raise_for_status()
    await page.goto(f"{url}/workbench/")
    await page.locator("[data-search]").fill(f"{identifier} python3")
    row = page.locator(".session-row:visible")
    await expect(row).to_have_count(1)

    await row.hover()
    await row.locator("[data-do=close]").click()
    await page.locator("#confirm [value=yes]").click()

    await page.locator("[data-search]").fill(f"{identifier} closed")
    await expect(row).to_contain_text("closed")


def test_an_unknown_session_leads_back_to_the_list(url):
    answer = http.get(f"{url}/workbench/<nobody>/")

    assert answer.status_code == 404
    assert "&lt;nobody&gt;" in answer.text
    assert 'href="/workbench/"' in answer.text


@pytest.mark.parametrize("path", ["/workbench/", "/workbench/nobody/"])
def test_the_pages_carry_a_strict_policy(url, path):
    policy = http.get(f"{url}{path}").headers["content-security-policy"]

    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
