"""More output than anybody can read: the page shows some of it, stays small, and can stop it."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Page, expect

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

MIB = 1024 * 1024
MOST_HEAP = 200 * MIB  # of the page's JavaScript
MOST_ELEMENTS = 20_000

# What puts out without end, and what says that not all of it is on the page.
FLOODS = {
    "lines": ("while True: print('x' * 100)", r"Show all [\d,]+ lines"),
    "a line without an end": ("while True: print('x' * 1_000_000, end='')", r"\(line cut\)"),
    "displays": (
        "from IPython.display import display\n"
        "while True: display({'text/plain': 'x' * 1000}, raw=True)",
        r"Show 200 of [\d,]{5,} earlier outputs",
    ),
}


async def heap_of(page: Page) -> int:
    """Bytes that the page's JavaScript really needs."""
    session = await page.context.new_cdp_session(page)
    await session.send("Performance.enable")
    await session.send("HeapProfiler.collectGarbage")
    metrics = (await session.send("Performance.getMetrics"))["metrics"]
    return int(next(each["value"] for each in metrics if each["name"] == "JSHeapUsedSize"))


@pytest.mark.parametrize("name", FLOODS)
async def test_a_flood_leaves_the_page_small_and_in_charge(notebook, name):
    code, sign = FLOODS[name]
    cell = await notebook.run(code)
    await expect(notebook.outputs(0)).to_contain_text(re.compile(sign), timeout=60_000)

    await notebook.command("i", "i")

    await expect(cell).to_have_attribute("data-state", "interrupted", timeout=30_000)
    assert await heap_of(notebook.page) < MOST_HEAP
    assert await notebook.page.evaluate("document.querySelectorAll('*').length") < MOST_ELEMENTS
    await notebook.run_to_end("'next'")


async def test_of_very_many_outputs_the_newest_are_shown_and_more_on_demand(notebook):
    await notebook.run_to_end("for n in range(501): display(f'output {n}')")
    shown = notebook.outputs(0).locator("[data-way=text]")
    await expect(shown.first).to_have_text("'output 301'")
    await expect(shown).to_have_count(200)

    await notebook.page.get_by_role("button", name="Show 200 of 301 earlier outputs").click()
    await expect(shown.first).to_have_text("'output 101'")
    await notebook.page.get_by_role("button", name="Show 101 of 101 earlier outputs").click()

    await expect(shown.first).to_have_text("'output 0'")
    await expect(shown).to_have_count(501)
    await expect(notebook.page.get_by_role("button", name="earlier outputs")).to_have_count(0)
