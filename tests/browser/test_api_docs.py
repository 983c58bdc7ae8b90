"""The page of the native API's schema."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.running import http

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]


async def test_every_operation_is_shown_and_can_be_tried(url, page):
    schema = http.get(f"{url}/api/v1/schema/").json()

    await page.goto(f"{url}/api/v1/docs/")

    operations = sum(map(len, schema["paths"].values()))
    await expect(page.locator(".opblock")).to_have_count(operations)
    kernels = page.locator(".opblock", has_text="list_kernelspecs")
    await kernels.locator(".opblock-summary-control").click()
    await kernels.get_by_role("button", name="Try it out").click()
    await kernels.get_by_role("button", name="Execute").click()
    await expect(kernels.locator(".live-responses-table")).to_contain_text('"python3"')
