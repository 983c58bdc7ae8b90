"""Cells: written, run, moved, split, merged, deleted and brought back; saved, and in step."""

from __future__ import annotations

import re

import nbformat
import pytest
from playwright.async_api import expect

from tests.running import http

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]


async def test_a_cell_is_written_and_run(notebook):
    cell = await notebook.run_to_end("print('6 x 7 =', 6 * 7)\n'done'")

    await expect(cell.locator("[data-outputs]")).to_contain_text("6 x 7 = 42")
    await expect(cell.locator("[data-outputs]")).to_contain_text("'done'")
    await expect(cell.locator("[data-number]")).to_have_text("1")
    await expect(cell.locator("[data-state]").last).to_have_text(re.compile(r"\d+ ms|\d\.\d s"))


async def test_shift_enter_goes_on_to_a_new_cell(notebook):
    await notebook.add("x = 1")

    await notebook.page.keyboard.press("Shift+Enter")
    await notebook.page.keyboard.insert_text("x + 1")
    await notebook.page.keyboard.press("Shift+Enter")

    await expect(notebook.outputs(1)).to_contain_text("2")
    await expect(notebook.cells).to_have_count(3)


async def test_alt_enter_inserts_below(notebook):
    await notebook.add("'first'")
    await notebook.add("'last'")
    await notebook.command("ArrowUp", "Enter", "Alt+Enter")
    await notebook.page.keyboard.insert_text("'between'")

    await notebook.has_sources("'first'", "'between'", "'last'")


async def test_jupyters_keys_add_move_and_delete_cells(notebook):
    await notebook.add("1")
    await notebook.command("b")
    await notebook.page.keyboard.insert_text("3")
    await notebook.command("a", "Enter")
    await notebook.page.keyboard.insert_text("2")
    await notebook.has_sources("1", "2", "3")

    await notebook.command("Alt+ArrowUp")
    await notebook.has_sources("2", "1", "3")

    await notebook.command("d", "d")
    await notebook.has_sources("1", "3")
    await notebook.command("z")
    await notebook.has_sources("2", "1", "3")


async def test_a_deleted_cell_comes_back_with_its_output(notebook):
    await notebook.run_to_end("'precious'")
    await notebook.command("d", "d")
    await expect(notebook.cells).to_have_count(0)

    await notebook.page.get_by_role("button", name="Undo").click()

    await expect(notebook.outputs(0)).to_contain_text("'precious'")


async def test_cells_are_cut_copied_and_pasted(notebook):
    await notebook.add("1")
    await notebook.add("2")
    await notebook.command("x", "v")
    await notebook.has_sources("1", "2")

    await notebook.command("Shift+ArrowUp", "c", "ArrowDown", "v")
    await notebook.has_sources("1", "2", "1", "2")


async def test_a_cell_is_split_and_merged_again(notebook):
    await notebook.add("a = 1\nb = 2")
    await notebook.page.keyboard.press("Home")
    await notebook.page.keyboard.press("Control+Shift+Minus")
    await expect(notebook.cells).to_have_count(2)
    await notebook.has_sources("a = 1", "b = 2")

    await notebook.command("Shift+ArrowUp", "Shift+M")

    await expect(notebook.cells).to_have_count(1)
    assert await notebook.source(0) == "a = 1\nb = 2"


async def test_code_becomes_text_and_back(notebook):
    await notebook.add("# Title")
    await notebook.command("m")
    await expect(notebook.cell(0).locator("h1")).to_have_text("Title")

    await notebook.command("y")

    await expect(notebook.cell(0)).to_have_attribute("data-kind", "code")


async def test_text_is_shown_with_its_formulas(notebook):
    await notebook.add("Euler: $e^{i\\pi} + 1 = 0$", "markdown")
    await notebook.page.keyboard.press("Control+Enter")

    rendered = notebook.cell(0).locator("[data-rendered]")
    await expect(rendered.locator(".katex").first).to_be_visible()
    await rendered.dblclick()
    await expect(notebook.cell(0).locator(".cm-content")).to_be_focused()


async def test_all_above_and_below_are_run(notebook):
    for source in ("x = 1", "x += 1", "x += 10", "x"):
        await notebook.add(source)

    await notebook.menu("run", "Run all cells")
    await expect(notebook.outputs(3)).to_contain_text("12")

    await notebook.command("ArrowUp")
    await notebook.menu("run", "Run all cells above")
    await expect(notebook.cell(1)).to_have_attribute("data-state", "succeeded")
    await notebook.menu("run", "Run this cell and all below")
    await expect(notebook.cell(3).locator("[data-number]")).to_have_text("8")
    await expect(notebook.outputs(3)).to_contain_text("12")


async def test_restart_and_run_all_begins_anew(notebook):
    await notebook.run_to_end("counter = globals().get('counter', 0) + 1\ncounter")
    await notebook.menu("run", "Restart the kernel and run all cells")
    await notebook.page.get_by_role("button", name="Restart kernel").click()

    await expect(notebook.cell(0).locator("[data-number]")).to_have_text("1")
    await expect(notebook.cell(0)).to_have_attribute("data-state", "succeeded", timeout=20_000)
    await expect(notebook.outputs(0)).to_contain_text("1")


async def test_the_palette_lists_what_can_be_done_with_its_keys(notebook):
    await notebook.add("1")
    await notebook.page.keyboard.press("Control+Shift+P")
    palette = notebook.page.locator("[data-palette]")
    await expect(palette.get_by_role("option", name="Delete the selected cells")).to_contain_text(
        "D D"
    )

    await notebook.page.keyboard.type("line numbers")
    await notebook.page.keyboard.press("Enter")

    await expect(notebook.cell(0).locator(".cm-lineNumbers")).to_be_visible()


async def test_a_reload_shows_the_same(notebook):
    await notebook.run_to_end("for i in range(3): print(i)")
    await notebook.add("## A heading", "markdown")
    await notebook.page.keyboard.press("Shift+Enter")
    await notebook.is_saved()
    before = await notebook.sources()

    await notebook.open()

    assert await notebook.sources() == before
    await expect(notebook.outputs(0)).to_contain_text("0\n1\n2", use_inner_text=True)
    await expect(notebook.cell(1).locator("h2")).to_have_text("A heading")


async def test_two_browsers_stay_in_step(notebook, new_page):
    other = await notebook.in_another_browser(await new_page())

    await notebook.run_to_end("'seen'")
    await expect(other.outputs(0)).to_contain_text("'seen'")
    await other.cell(0).locator("[data-source]").click()
    await other.page.keyboard.press("Control+A")
    await other.page.keyboard.insert_text("'changed'")
    await other.is_saved()

    await expect(notebook.cell(0).locator("[data-source]")).to_contain_text("'changed'")
    await other.command("d", "d")
    await expect(notebook.cells).to_have_count(0)


async def test_what_two_wrote_at_once_is_not_lost(notebook, new_page):
    await notebook.add("original")
    await notebook.is_saved()
    other = await notebook.in_another_browser(await new_page())
    frames = await held_back(other.page)
    await other.open()
    await other.cell(0).locator("[data-source]").click()
    await other.page.keyboard.insert_text("mine ")
    await expect(other.page.locator("[data-saved]")).not_to_have_attribute("data-state", "saved")

    await notebook.page.keyboard.insert_text(" theirs")
    await notebook.is_saved()
    frames.release()

    conflict = other.cell(0).locator("[data-conflict]")
    await expect(conflict).to_be_visible()
    await conflict.get_by_role("button", name="Keep mine").click()
    await other.is_saved()
    await expect(notebook.cell(0).locator("[data-source]")).to_contain_text("mine")


async def test_what_was_typed_without_a_connection_survives_a_reload(notebook):
    await notebook.add("kept = 0")
    await notebook.is_saved()
    frames = await held_back(notebook.page)
    await notebook.open()
    await notebook.cell(0).locator("[data-source]").click()
    await notebook.page.keyboard.press("Control+A")
    await notebook.page.keyboard.insert_text("kept = 'in this browser'")
    await expect(notebook.page.locator("[data-saved]")).not_to_have_attribute("data-state", "saved")

    frames.stop()
    await notebook.open()

    assert await notebook.source(0) == "kept = 'in this browser'"
    await notebook.is_saved()


async def test_a_notebook_file_goes_out_and_comes_in(notebook, tmp_path):
    await notebook.add("# Report", "markdown")
    await notebook.run_to_end("print('out')\n1 / 0", state="failed")
    await notebook.is_saved()

    async with notebook.page.expect_download() as download:
        await notebook.menu("more", "Export as .ipynb")
    path = tmp_path / "exported.ipynb"
    await (await download.value).save_as(path)
    exported = nbformat.read(path, as_version=4)
    nbformat.validate(exported)
    assert [cell.cell_type for cell in exported.cells] == ["markdown", "code"]
    assert [output.output_type for output in exported.cells[1].outputs] == ["stream", "error"]

    await notebook.page.locator("[data-import-field]").set_input_files(path)
    await expect(notebook.cells).to_have_count(4)
    await expect(notebook.outputs(3)).to_contain_text("ZeroDivisionError")


async def test_a_broken_notebook_file_is_refused_with_a_sentence(notebook, tmp_path, problems):
    problems.expect("status of 400")
    path = tmp_path / "broken.ipynb"
    path.write_text('{"cells": "none"}')

    await notebook.page.locator("[data-import-field]").set_input_files(path)

    problem = notebook.page.locator("[data-notebook] > [data-problem]")
    await expect(problem).to_be_visible()
    await expect(problem).to_contain_text("notebook")
    await expect(notebook.cells).to_have_count(0)


@pytest.mark.parametrize(("ending", "sign"), [("py", "# %%"), ("html", "<html")])
async def test_other_exports_hold_the_code(notebook, ending, sign):
    await notebook.add("answer = 42")
    await notebook.is_saved()

    answer = http.get(f"{notebook.server}/api/v1/sessions/{notebook.id}/notebook.{ending}")

    assert answer.status_code == 200
    assert "attachment" in answer.headers["Content-Disposition"]
    assert sign in answer.text
    assert "answer" in answer.text


class HeldBack:
    """What a page says on its notebook's socket, kept from the server."""

    def __init__(self) -> None:
        self.is_holding = True
        self.kept: list[tuple[object, object]] = []

    def release(self) -> None:
        """Let everything through, now and from now on."""
        self.is_holding = False
        for server, message in self.kept:
            server.send(message)
        self.kept.clear()

    def stop(self) -> None:
        """Lose what was held back, and hold nothing back any more."""
        self.is_holding = False
        self.kept.clear()


async def held_back(page) -> HeldBack:
    frames = HeldBack()

    def connected(socket) -> None:
        server = socket.connect_to_server()

        def said(message) -> None:
            if frames.is_holding:
                frames.kept.append((server, message))
            else:
                server.send(message)

        socket.on_message(said)
        # What others write meanwhile does not come in either.
        server.on_message(lambda message: socket.send(message))

    await page.route_web_socket(re.compile(r"/ws/notebooks/"), connected)
    return frames


async def test_keys_that_come_faster_than_frames_find_the_cells_where_they_are(notebook):
    await notebook.add("'first'")
    await notebook.command("b")
    await notebook.command()
    await notebook.cell(1).evaluate(
        """(cell) => {
            const press = (key, more) => document.activeElement.dispatchEvent(
                new KeyboardEvent("keydown", { key, code: key, bubbles: true, cancelable: true, ...more }));
            press("ArrowUp", { altKey: true });
            press("ArrowDown");
            press("ArrowUp");
        }"""
    )

    await expect(notebook.cell(1)).to_contain_text("'first'")
    await expect(notebook.cell(0)).to_be_focused()
