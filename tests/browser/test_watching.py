"""What programs run arrives before one's eyes, and a person can go on from there."""

from __future__ import annotations

import re
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Locator, expect

from tests.browser.notebook import Notebook
from tests.running import RunningServer, http

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]

ENDLESS = "while True: __import__('time').sleep(0.05)"
AZURE = {"api-version": "2025-10-02-preview"}


class Programs:
    """Clients of the four contracts, all in one session."""

    def __init__(self, server: str, identifier: str) -> None:
        self.server = server
        self.identifier = identifier

    def azure(self, code: str, **fields: str) -> dict[str, Any]:
        query = {**AZURE, "identifier": self.identifier}
        return self._post("/executions", query, code=code, **fields)

    def rce(self, code: str) -> dict[str, Any]:
        return self._post("/sessions/execute", session_id=self.identifier, code=code)

    def sandbox(self, code: str) -> dict[str, Any]:
        return self._post(f"/sandbox/{self.identifier}/execute", code=code)

    def query(self, code: str) -> None:
        self._backendai(mode="query", code=code)

    def batch(self, command: str) -> None:
        self._backendai(mode="batch", code="", options={"exec": command})

    def _backendai(self, **body: Any) -> None:
        result: dict[str, Any] = {"runId": None, "status": "begin"}
        while result["status"] != "finished":
            run = {**body, "runId": result["runId"]}
            result = self._post(f"/session/{self.identifier}", **run)["result"]
            body = {"mode": "continue", "code": ""}

    def _post(self, path: str, query: dict[str, str] | None = None, **body: Any) -> dict[str, Any]:
        answer = http.post(f"{self.server}{path}", params=query, json=body, timeout=30)
        answer.raise_for_status()
        answered: dict[str, Any] = answer.json()
        return answered


@pytest.fixture
def programs(notebook: Notebook) -> Programs:
    return Programs(notebook.server, notebook.identifier)


# In the notebook


async def test_runs_through_every_contract_arrive_in_order_and_marked(notebook, programs):
    programs.azure("print('by azure')")
    programs.rce("print('by rce')")
    programs.sandbox("print('by sandbox')")
    programs.query("print('by a query')")
    programs.batch("echo by a command")

    await expect(notebook.cells).to_have_count(5)
    for place, (origin, text) in enumerate(
        [
            ("Azure", "by azure"),
            ("RCE", "by rce"),
            ("Sandbox", "by sandbox"),
            ("Backend.AI", "by a query"),
            ("Backend.AI", "by a command"),
        ]
    ):
        await expect(notebook.cell(place).locator("[data-origin]")).to_have_text(origin)
        await expect(notebook.outputs(place)).to_contain_text(text)
        await expect(notebook.cell(place)).to_have_attribute("data-state", "succeeded")
    assert await notebook.source(0) == "print('by azure')"
    assert "echo by a command" in await notebook.source(4)


async def test_output_is_seen_while_a_program_still_waits_for_its_answer(notebook, programs):
    programs.azure(f"print('so far', flush=True)\n{ENDLESS}", executionType="Asynchronous")

    await expect(notebook.outputs(0)).to_contain_text("so far")
    await expect(notebook.cell(0)).to_have_attribute("data-state", "running")
    await notebook.page.locator(".notebook-actions [data-command=interrupt]").click()
    await expect(notebook.cell(0)).to_have_attribute("data-state", "interrupted")


async def test_runs_stay_where_they_are_when_cells_come_between(notebook, programs):
    for number in range(3):
        programs.azure(f"'run {number}'")
    await expect(notebook.cells).to_have_count(3)
    await notebook.cell(0).locator("[data-number]").click()
    await notebook.command("b")
    await notebook.page.keyboard.insert_text("'mine'")
    await notebook.cell(3).locator("[data-outputs]").click()
    await notebook.command("a", "Enter")
    await notebook.page.keyboard.insert_text("'mine too'")
    programs.rce("'run 3'")

    expected = ["'run 0'", "'mine'", "'run 1'", "'mine too'", "'run 2'", "'run 3'"]
    await expect(notebook.cells).to_have_count(6)
    assert await notebook.sources() == expected
    await notebook.is_saved()
    await notebook.open()
    assert await notebook.sources() == expected
    await expect(notebook.outputs(4)).to_contain_text("'run 2'")


async def test_a_programs_cell_is_changed_and_run_by_a_person(notebook, programs):
    programs.azure("print('original')")
    await expect(notebook.outputs(0)).to_contain_text("original")

    await notebook.cell(0).locator("[data-source]").click()
    await notebook.page.keyboard.press("Control+A")
    await notebook.page.keyboard.insert_text("print('changed')")
    await expect(notebook.cell(0)).to_have_class(re.compile(r"\bedited\b"))
    await notebook.page.keyboard.press("Control+Enter")

    await expect(notebook.outputs(0)).to_contain_text("changed")
    await expect(notebook.outputs(0)).not_to_contain_text("original")
    await expect(notebook.cell(0).locator("[data-origin]")).to_be_hidden()
    await expect(notebook.cells).to_have_count(1)
    await notebook.is_saved()
    await notebook.open()
    assert await notebook.sources() == ["print('changed')"]
    await expect(notebook.outputs(0)).to_contain_text("changed")


async def test_a_deleted_run_stays_deleted(notebook, programs, new_page):
    programs.azure("'unwanted'")
    programs.azure("'kept'")
    await expect(notebook.cells).to_have_count(2)
    await notebook.cell(0).locator("[data-outputs]").click()
    await notebook.command("d", "d")
    await notebook.is_saved()

    await notebook.open()
    other = await notebook.in_another_browser(await new_page())

    assert await notebook.sources() == ["'kept'"]
    assert await other.sources() == ["'kept'"]
    programs.azure("'new'")
    await expect(notebook.cells).to_have_count(2)


async def test_what_arrives_out_of_sight_is_told_and_nothing_moves(notebook, programs):
    for _ in range(4):
        await notebook.run_to_end("for i in range(30): print(i)")
    await notebook.page.evaluate("scrollTo(0, 0)")
    await expect(notebook.cell(0)).to_be_in_viewport()
    before = await notebook.cell(0).bounding_box()

    programs.azure("'elsewhere'")
    button = notebook.page.get_by_role("button", name="↓ New run")
    await expect(button).to_be_visible()
    assert await notebook.cell(0).bounding_box() == before
    programs.rce("'and again'")
    await expect(notebook.page.get_by_role("button", name="↓ 2 new runs")).to_be_visible()
    assert await notebook.cell(0).bounding_box() == before

    await notebook.page.get_by_role("button", name="↓ 2 new runs").click()

    await expect(notebook.cell(4)).to_be_in_viewport()
    await expect(notebook.page.locator("[data-new-output]")).to_be_hidden()


async def test_what_arrives_in_sight_needs_no_button(notebook, programs):
    programs.azure("'right here'")

    await expect(notebook.outputs(0)).to_contain_text("'right here'")
    await expect(notebook.page.locator("[data-new-output]")).to_be_hidden()


async def test_a_person_who_writes_is_not_disturbed(notebook, programs):
    await notebook.add("before")
    for number in range(5):
        programs.azure(f"'arrival {number}'")
        await notebook.page.keyboard.type(f" {number}")

    await expect(notebook.cells).to_have_count(6)
    await expect(notebook.cell(0).locator(".cm-content")).to_be_focused()
    assert await notebook.source(0) == "before 0 1 2 3 4"


# On the page of sessions


@pytest_asyncio.fixture(loop_scope="module")
async def sessions(server: RunningServer, page):
    """The page of all sessions, open and live."""
    await page.goto(f"{server.url}/workbench/")
    await expect(page.locator("[data-connection]")).to_have_attribute("data-state", "live")
    return page


@pytest.fixture
def program(server: RunningServer, identifier: str) -> Programs:
    """A program that has no session yet."""
    return Programs(server.url, identifier)


def row(page, program: Programs) -> Locator:
    name = page.get_by_role("link", name=program.identifier, exact=True)
    return page.locator(".session-row", has=name)


async def test_a_programs_session_appears_by_itself(sessions, program):
    program.azure("print('first')\nprint('the last line')")

    line = row(sessions, program)
    await expect(line.locator("[data-state]")).to_have_text("idle")
    await expect(line.locator("[data-origin]")).to_have_text("Azure")
    await expect(line.locator("[data-line]")).to_have_text("the last line")
    await expect(line.locator("[data-runs]")).to_have_text("1 run")
    program.rce("print('another')\n1 / 0")
    await expect(line.locator("[data-runs]")).to_have_text("2 runs, 1 failed")
    await expect(line.locator("[data-line]")).to_contain_text("ZeroDivisionError")

    await line.get_by_role("link").click()
    await expect(sessions.locator("[data-cells] > .cell")).to_have_count(2)


async def test_a_run_is_interrupted_from_the_list(sessions, program):
    program.azure(f"print('on', flush=True)\n{ENDLESS}", executionType="Asynchronous")
    line = row(sessions, program)
    await expect(line.locator("[data-state]")).to_have_text(re.compile(r"running \d"))
    await expect(line.locator("[data-line]")).to_have_text("on")

    await line.hover()
    await line.get_by_role("button", name="Interrupt").click()

    await expect(line.locator("[data-state]")).to_have_text("idle")
    await expect(line.get_by_role("button", name="Interrupt")).to_be_hidden()


async def test_a_kernel_is_restarted_from_the_list(sessions, program):
    program.azure("x = 1")
    program.azure(ENDLESS, executionType="Asynchronous")
    line = row(sessions, program)
    await expect(line.locator("[data-state]")).to_have_text(re.compile(r"running \d"))
    await line.hover()
    await line.get_by_role("button", name="Restart").click()
    question = sessions.get_by_role("dialog")
    await expect(question).to_contain_text(program.identifier)
    await question.get_by_role("button", name="Restart kernel").click()

    await expect(line.locator("[data-state]")).to_have_text("idle")
    assert "NameError" in program.azure("x")["result"]["stderr"]


async def test_a_session_is_closed_from_the_list(sessions, program):
    program.azure("1")
    line = row(sessions, program)
    await line.hover()
    await line.get_by_role("button", name="Close").click()
    question = sessions.get_by_role("dialog")
    await question.get_by_role("button", name="Keep it").click()
    await expect(line.locator("[data-state]")).to_have_text("idle")

    await line.hover()
    await line.get_by_role("button", name="Close").click()
    await question.get_by_role("button", name="Close session").click()

    await expect(line.locator("[data-state]")).to_have_text("closed")
    await expect(line).to_have_class(re.compile("is-ended"))
