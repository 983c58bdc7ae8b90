"""A notebook as a person handles it: the words of the tests."""

from __future__ import annotations

import re
from typing import Any

from playwright.async_api import Locator, Page, expect

from tests.running import http


class Notebook:
    """The page of one session, in one browser."""

    def __init__(self, page: Page, server: str, session_id: str, identifier: str) -> None:
        self.page = page
        self.server = server
        self.id = session_id
        self.identifier = identifier

    async def open(self) -> None:
        """Go there (or reload), and wait until it has everything."""
        await self.page.goto(f"{self.server}/workbench/{self.identifier}/")
        await self.is_ready()

    async def is_ready(self) -> None:
        await expect(self.page.locator("[data-add-end]")).to_be_visible()
        await expect(self.page.locator("[data-connection]")).to_have_attribute("data-state", "live")

    async def in_another_browser(self, page: Page) -> Notebook:
        """The same notebook, in a browser that knows nothing of it."""
        other = Notebook(page, self.server, self.id, self.identifier)
        await other.open()
        return other

    @property
    def cells(self) -> Locator:
        return self.page.locator("[data-cells] > .cell")

    def cell(self, place: int) -> Locator:
        """The cell at a place, from 0; negative ones count from the end."""
        return self.cells.nth(place)

    def outputs(self, place: int) -> Locator:
        return self.cell(place).locator("[data-outputs]")

    async def add(self, source: str, kind: str = "code") -> Locator:
        """Add a cell at the end and write into it; it stays in edit mode."""
        count = await self.cells.count()
        name = "append-text" if kind == "markdown" else "append-code"
        await self.page.locator(f"[data-command={name}]").click()
        await expect(self.cells).to_have_count(count + 1)
        await self.page.keyboard.insert_text(source)
        return self.cells.nth(count)

    async def run(self, source: str) -> Locator:
        """Add a code cell and run it; returns without waiting for its end."""
        cell = await self.add(source)
        await self.page.keyboard.press("Control+Enter")
        return cell

    async def run_to_end(self, source: str, state: str = "succeeded") -> Locator:
        cell = await self.run(source)
        await expect(cell).to_have_attribute("data-state", state, timeout=30_000)
        return cell

    async def command(self, *keys: str) -> None:
        """Press keys in command mode."""
        await self.page.keyboard.press("Escape")
        for key in keys:
            await self.page.keyboard.press(key)

    async def source(self, place: int) -> str:
        """The text of a cell as it is shown."""
        lines = self.cell(place).locator(".cm-line")
        if await lines.count():
            return "\n".join(await lines.all_inner_texts()).replace("\n\n", "\n")
        return await self.cell(place).locator("[data-source]").inner_text()

    async def sources(self) -> list[str]:
        count = await self.cells.count()
        return [(await self.source(place)).strip() for place in range(count)]

    async def has_sources(self, *expected: str) -> None:
        """The cells are these, in this order; waits until they are."""
        await expect(self.cells).to_have_count(len(expected))
        for place, source in enumerate(expected):
            shown = self.cell(place).locator("[data-source]")
            await expect(shown).to_have_text(source, use_inner_text=True)

    async def is_saved(self) -> None:
        await expect(self.page.locator("[data-saved]")).to_have_attribute("data-state", "saved")

    async def menu(self, name: str, item: str) -> None:
        """Choose from a menu of the bar."""
        await self.page.locator(f"[data-menu={name}]").click()
        await self.page.get_by_role(
            "menuitem", name=re.compile(rf"^{re.escape(item)}($|[A-Z⌘])")
        ).click()

    # Through other doors

    def execute(self, code: str) -> dict[str, Any]:
        """Run code as a program does, through Azure's contract."""
        answer = http.post(
            f"{self.server}/executions",
            params={"api-version": "2025-10-02-preview", "identifier": self.identifier},
            json={"code": code},
            timeout=30,
        )
        answer.raise_for_status()
        body: dict[str, Any] = answer.json()
        return body
