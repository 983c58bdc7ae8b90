"""What stands beside the notebook, and the list of sessions, in a real browser."""

from __future__ import annotations

import re
from typing import Any
from uuid import uuid4

import pytest
from playwright.async_api import Page, expect

from tests.running import http

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]

TABLE = """
import pandas as pd
prices = pd.DataFrame({"shop": ["Oslo", "Kyoto"] * 125, "price": range(250)})
answer = 42
"""


def run(url: str, name: str, code: str) -> dict[str, Any]:
    """Run code in the session of that name as a program would; its answer."""
    address = f"{url}/executions?api-version=2025-10-02-preview&identifier={name}"
    answer = http.post(address, json={"code": code}, timeout=60)
    answer.raise_for_status()
    answered: dict[str, Any] = answer.json()
    return answered


async def show(page: Page, url: str, name: str, panel: str) -> None:
    """Open the page of a session, with one of the panels on the right."""
    await page.goto(f"{url}/workbench/{name}/")
    await page.locator(".bar [data-side-switch=right]").click()
    await page.locator(f"#tab-{panel}").click()


@pytest.fixture
def name() -> str:
    """A name for a session that no other test has."""
    return f"panel-{uuid4().hex[:8]}"


async def test_variables_follow_what_runs(url, page, name):
    run(url, name, TABLE)
    await show(page, url, name, "variables")
    answer = page.locator(".variable").filter(has_text="answer")
    await expect(answer).to_contain_text("42")

    run(url, name, "answer = 43")

    await expect(answer).to_contain_text("43")
    await page.locator("[data-filter]").fill("dataframe")
    await expect(page.locator(".variable")).to_have_count(1)


async def test_a_table_is_paged_sorted_and_searched_by_its_session(url, page, name):
    run(url, name, TABLE)
    await show(page, url, name, "variables")
    await page.locator(".variable-name").filter(has_text="prices").click()
    dialog = page.locator(".table-dialog")
    rows = dialog.locator("tbody tr")
    await expect(rows).to_have_count(100)

    await dialog.get_by_role("button", name="price").click()
    await expect(dialog.locator("th[aria-sort=ascending]")).to_have_count(1)
    await dialog.get_by_role("button", name="price").click()
    await expect(rows.first).to_contain_text("249")

    await dialog.locator("[data-search]").fill("oslo")
    await expect(dialog.locator("[data-facts]")).to_contain_text("125 rows found")
    await dialog.get_by_role("button", name="Next").click()
    await expect(rows).to_have_count(25)
    await page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()


async def test_the_queue_shows_places_and_cancels(url, page, name):
    run(url, name, "import time")
    await show(page, url, name, "queue")
    await expect(page.locator("#panel-queue")).to_contain_text("Nothing runs and nothing waits.")
    socket_code = """async (codes) => {
      const { id } = JSON.parse(document.querySelector("#session").textContent);
      const socket = new WebSocket(`ws://${location.host}/ws/sessions/${id}/?since=0`);
      await new Promise((resolve) => (socket.onopen = resolve));
      for (const code of codes) socket.send(JSON.stringify({ type: "execute", code }));
    }"""
    await page.evaluate(socket_code, ["while True: time.sleep(0.1)", "1", "2", "3"])
    lines = page.locator("#panel-queue .run-line")
    await expect(lines).to_have_count(4)
    await expect(lines.first).to_contain_text("running")
    await expect(lines.nth(3)).to_contain_text("3rd")

    await lines.nth(1).get_by_role("button", name="Cancel").click()
    await expect(lines).to_have_count(3)
    await page.get_by_role("button", name="Cancel all").click()
    await expect(lines).to_have_count(1)
    await lines.first.get_by_role("button", name="Stop").click()

    await expect(lines).to_have_count(0)


async def test_a_run_is_found_in_the_history_and_taken_up_again(url, page, name):
    run(url, name, "print('needle')")
    run(url, name, "1 / 0")
    await show(page, url, name, "history")
    panel = page.locator("#panel-history")
    await expect(panel.locator(".run-line")).to_have_count(2)

    await panel.locator("[data-group]").select_option("failed")
    await expect(panel.locator(".run-line")).to_contain_text("1 / 0")
    await panel.locator("[data-group]").select_option("")
    await panel.locator("[data-search]").fill("NEEDLE")
    await expect(panel.locator("[data-count]")).to_have_text("1 of 2 runs")
    await panel.locator(".run-open").click()
    await expect(panel.locator("[data-output]")).to_have_text("needle")
    await panel.get_by_role("button", name="Insert as new cell").click()

    await expect(page.locator("[data-cell]")).to_have_count(3)
    await expect(page.locator("[data-cell]").last).to_contain_text("print('needle')")


async def test_resources_are_measured_while_somebody_looks(url, page, name):
    run(url, name, "1")

    await show(page, url, name, "resources")

    memory = page.get_by_role("img", name=re.compile("Memory over the last 5 minutes, now .* MB"))
    await expect(memory).to_be_visible(timeout=15_000)
    await expect(page.locator("[data-processes]")).to_have_text(re.compile("[1-9]"))


async def test_a_new_session_says_what_is_wrong_beside_the_field(url, page, name):
    run(url, name, "1")
    await page.goto(f"{url}/workbench/")
    await expect(page.locator(".session-row").filter(has_text=name)).to_be_visible()
    await page.locator("[data-new]:visible").click()
    dialog = page.locator("[data-new-session]")
    field = dialog.locator("[name=identifier]")

    await field.fill(name)
    await field.press("Enter")
    await expect(dialog.locator("[data-problem-of=identifier]")).to_contain_text("has this name")
    await expect(dialog.locator("[name=kernel]")).to_contain_text("Python 3")
    await field.fill(f"{name}-2")
    await field.press("Enter")

    await expect(page).to_have_url(re.compile(f"/workbench/{name}-2/$"))


async def test_the_list_is_walked_through_with_the_keyboard(url, page, name):
    for letter in "ab":
        run(url, f"{name}-{letter}", "1")
    await page.goto(f"{url}/workbench/")
    await page.keyboard.press("/")
    await page.keyboard.type(f"{name} azure idle")
    await expect(page.locator(".session-row:visible")).to_have_count(2)

    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("ArrowUp")
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")

    await expect(page).to_have_url(re.compile(f"/workbench/{name}-[ab]/$"))
