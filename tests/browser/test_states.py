"""What the page says of runs and of the kernel is true: now, after a reload, and elsewhere."""

from __future__ import annotations

import os
import re
import signal

import pytest
from playwright.async_api import expect

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]

ENDLESS = "import time\nprint('on', flush=True)\nwhile True: time.sleep(0.05)"


async def test_running_and_queued_are_different_things(notebook):
    running = await notebook.run(ENDLESS)
    await expect(running.locator("[data-outputs]")).to_contain_text("on")
    first = await notebook.run("1")
    second = await notebook.run("2")

    await expect(running).to_have_attribute("data-state", "running")
    await expect(running.locator("[data-state]").last).to_have_text(re.compile(r"running \d:\d\d"))
    await expect(first.locator(".cell-state")).to_have_text("queued, 1st")
    await expect(second.locator(".cell-state")).to_have_text("queued, 2nd")
    await expect(notebook.page).to_have_title(re.compile("^● running"))

    await second.locator("[data-do=cancel]").click()
    await expect(second).to_have_attribute("data-state", "cancelled")
    await notebook.command("i", "i")
    await expect(running).to_have_attribute("data-state", "interrupted")
    await expect(first).to_have_attribute("data-state", "succeeded")


async def test_the_state_is_the_same_after_a_reload_and_elsewhere(notebook, new_page):
    await notebook.run(ENDLESS)
    await expect(notebook.outputs(0)).to_contain_text("on")
    await notebook.run("'waits'")
    await notebook.is_saved()

    await notebook.open()
    other = await notebook.in_another_browser(await new_page())

    for each in (notebook, other):
        await expect(each.cell(0)).to_have_attribute("data-state", "running")
        await expect(each.cell(1).locator(".cell-state")).to_have_text("queued, 1st")
    await other.page.locator(".notebook-actions [data-command=interrupt]").click()
    await expect(notebook.outputs(1)).to_contain_text("'waits'")


async def test_a_prompt_survives_a_reload_and_anybody_may_answer_it(notebook, new_page):
    await notebook.run("name = input('Who? ')\nname.upper()")
    await expect(notebook.cell(0).locator("[data-answer]")).to_be_visible()
    await notebook.is_saved()
    await notebook.open()
    await expect(notebook.cell(0).locator("[data-prompt]")).to_have_text("Who? ")

    other = await notebook.in_another_browser(await new_page())
    field = other.cell(0).locator("[data-answer] input")
    await field.fill("ada")
    await field.press("Enter")

    await expect(notebook.outputs(0)).to_contain_text("'ADA'")
    await expect(notebook.cell(0).locator("[data-answer]")).to_be_hidden()


async def test_a_password_is_not_shown(notebook):
    await notebook.run("from getpass import getpass\nlen(getpass('Secret: '))")
    field = notebook.cell(0).locator("[data-answer] input")
    await expect(field).to_have_attribute("type", "password")
    await field.fill("hunter2")
    await field.press("Enter")

    await expect(notebook.outputs(0)).to_contain_text("7")
    await expect(notebook.outputs(0)).not_to_contain_text("hunter2")


async def test_a_dead_kernel_says_why_and_the_next_run_has_a_new_one(notebook):
    cell = await notebook.run("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")

    await expect(cell).to_have_attribute("data-state", "failed")
    await expect(cell.locator("[data-reason]")).to_contain_text("signal 9")
    await expect(notebook.page.locator("[data-pill-text]")).to_contain_text("died")
    await notebook.run_to_end("'alive again'")


async def test_the_last_duration_is_there_to_compare_with(notebook):
    await notebook.run_to_end("import time; time.sleep(1.2)")

    await notebook.page.keyboard.press("Control+Enter")

    await expect(notebook.cell(0).locator(".cell-state")).to_contain_text("last 1.")


async def test_a_lost_connection_is_shown_and_comes_back(notebook, server, problems):
    problems.expect("WebSocket", "ERR_")
    await notebook.run(
        "for i in range(100):\n    print(i, flush=True)\n    __import__('time').sleep(0.04)"
    )
    await expect(notebook.outputs(0)).to_contain_text("3")

    os.kill(server.child("web"), signal.SIGKILL)

    await expect(notebook.page.locator("[data-connection]")).to_have_attribute(
        "data-state", "waiting"
    )
    await expect(notebook.page.locator("[data-connection]")).to_have_attribute(
        "data-state", "live", timeout=30_000
    )
    await expect(notebook.cell(0)).to_have_attribute("data-state", "succeeded", timeout=30_000)
    lines = (await notebook.outputs(0).locator("pre").inner_text()).split()
    assert lines == [str(i) for i in range(100)]


async def test_a_session_closed_elsewhere_can_be_opened_again(notebook, new_page):
    await notebook.run_to_end("'from before'")
    await notebook.is_saved()
    other = await notebook.in_another_browser(await new_page())
    await other.menu("more", "Close the session")
    await other.page.get_by_role("dialog").get_by_role("button", name="Close session").click()

    banner = notebook.page.locator("[data-ended]")
    await expect(banner).to_contain_text("closed")
    await expect(notebook.page.locator("[data-command=run-cell]")).to_be_disabled()
    await banner.get_by_role("button", name="Open it again").click()

    await expect(notebook.page.locator("[data-pill-text]")).to_have_text("idle")
    await expect(notebook.outputs(0)).to_contain_text("'from before'")
    await notebook.run_to_end("'and now'")


async def test_a_long_run_that_ends_behind_is_told_if_asked_for(notebook):
    await notebook.page.context.grant_permissions(["notifications"])
    told = await notebook.page.evaluate_handle(
        "() => { const told = []; window.Notification = class { static permission = 'granted';"
        " static async requestPermission() { return 'granted'; }"
        " constructor(title) { told.push(title); } }; return told; }"
    )
    await notebook.menu("more", "Tell me when a long cell ends")
    await notebook.page.evaluate(
        "() => Object.defineProperty(document, 'hidden', {configurable: true, get: () => true})"
    )

    await notebook.run("import time; time.sleep(10.2)")

    await expect(notebook.cell(0)).to_have_attribute("data-state", "succeeded", timeout=30_000)
    (title,) = await told.json_value()
    assert re.search(r"succeeded after 10\.\d s", title)
