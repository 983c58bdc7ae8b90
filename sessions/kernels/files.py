"""What looks after sessions' files for a host: handed in, as the files app stands above this."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol
from uuid import UUID

from sessions.exceptions import NotSupported

# What a session's files may take: Host.room, by the session's id.
Room = Callable[[UUID], Awaitable[dict[str, Any]]]
# Tells who watches a session that its files have a new version.
Tell = Callable[[UUID, int], Awaitable[None]]


class Files(Protocol):
    """The files of a host's sessions, from outside."""

    async def refresh(self, session_id: UUID) -> None:
        """Called after executions, when code may have changed a session's files."""

    async def do(self, session_id: UUID, do: str, arguments: dict[str, Any]) -> Any:
        """Do something for a web process that does not see them; plain data in and out."""

    async def let_go(self, session_id: UUID) -> None:
        """Close what is open of a session, which ends. Raises nothing."""

    async def sweep(self) -> None:
        """Called every few seconds. Raises nothing."""

    async def stop(self) -> None:
        """Close all that is open; the host stops. Raises nothing."""


class NoFiles:
    """For a host that nobody asks for files."""

    def __init__(self, room: Room, tell: Tell) -> None:
        pass

    async def refresh(self, session_id: UUID) -> None:
        """Nobody wants to know."""

    async def do(self, session_id: UUID, do: str, arguments: dict[str, Any]) -> Any:
        """Raise NotSupported."""
        raise NotSupported("This host sends no files.")

    async def let_go(self, session_id: UUID) -> None:
        """Nothing is open."""

    async def sweep(self) -> None:
        """Nothing is open."""

    async def stop(self) -> None:
        """Nothing is open."""
