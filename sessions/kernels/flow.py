"""Whether more can be taken of what code puts out: closed while too much waits to be written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Flow:
    """A valve. Who reads output asks it before each piece, and is told when it opens again."""

    def __init__(self) -> None:
        self._opened = asyncio.Event()
        self._opened.set()
        self._listeners: set[Callable[[], None]] = set()
        # How often it was closed.
        self.closures = 0

    @property
    def is_open(self) -> bool:
        """More can be taken."""
        return self._opened.is_set()

    def close(self) -> None:
        """Nothing more, please. Idempotent."""
        self.closures += self.is_open
        self._opened.clear()

    def open(self) -> None:
        """Go on; listeners are called. Idempotent."""
        if self.is_open:
            return
        self._opened.set()
        for listener in list(self._listeners):
            listener()

    async def opened(self) -> None:
        """Return when it is open."""
        await self._opened.wait()

    def listen(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` whenever it opens, until ``unlisten``."""
        self._listeners.add(listener)

    def unlisten(self, listener: Callable[[], None]) -> None:
        """Call it no more. Idempotent."""
        self._listeners.discard(listener)
