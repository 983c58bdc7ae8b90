"""The tutorial, done as it says: beside a browser, in a shell and in Python, on one session."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import expect

from tests.browser.notebook import Notebook
from tests.documents import ROOT, Reader, blocks, steps

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]

TUTORIAL = ROOT / "docs/tutorial.md"


async def test_the_tutorial_can_be_followed_as_printed(server, page, problems, tmp_path):
    problems.expect("files?path=")  # asked for at the moment at which the last step closes it
    notebook = None

    with Reader(tmp_path, server, ROOT / ".venv/bin") as reader:
        for block, result in steps(TUTORIAL):
            if block.mark == "cell":
                notebook = notebook or await opened(page, server.url)
                await notebook.run_to_end(block.text.rstrip())
                shown = result.text.strip() if result else "Oslo"
                await expect(notebook.outputs(-1)).to_contain_text(shown)
            else:
                await asyncio.to_thread(reader.does, block, result)
                if "time.sleep" in block.text:
                    await expect(notebook.outputs(-1)).to_contain_text("step 4")
                    await expect(notebook.cell(-1).locator("[data-origin]")).to_have_text("API")

    await expect(page.locator("body")).to_contain_text("Open it again")
    await expect(notebook.cells).to_have_count(5)


async def opened(page, url: str) -> Notebook:
    """The notebook of a new session, opened in the list."""
    await page.goto(f"{url}/workbench/")
    await page.get_by_role("button", name="New session").click()
    await page.get_by_label("Name").fill("tutorial")
    await page.get_by_role("button", name="Open session").click()
    await page.wait_for_url("**/workbench/tutorial/")
    notebook = Notebook(page, url, "tutorial", "tutorial")
    await notebook.is_ready()
    return notebook


def test_nothing_in_the_tutorial_goes_untested():
    assert [str(block) for block in blocks(TUTORIAL) if not block.mark] == []
