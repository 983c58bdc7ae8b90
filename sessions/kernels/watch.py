"""Which files code wrote: the workspace before it ran, compared with the workspace after."""

from __future__ import annotations

import asyncio
from datetime import datetime

from sessions.exceptions import WorkbenchError
from sessions.kernels.workspace import Entry, Workspace

MAX_WRITTEN = 1_000  # files one execution is said to have written; the rest stay unsaid


class FileWatch:
    """Remembers the regular files of a workspace; those in directories with a dot do not count.

    Such directories are caches and settings: what a library puts there, nobody asked for.
    """

    def __init__(self, workspace: Workspace, before: dict[str, Entry]) -> None:
        self._workspace = workspace
        self._before = before

    @classmethod
    async def start(cls, workspace: Workspace) -> FileWatch:
        """Look at the workspace now."""
        return cls(workspace, await asyncio.to_thread(_files, workspace))

    async def written(self) -> list[Entry]:
        """The files that are new or changed since ``start``, by path; at most MAX_WRITTEN."""
        after = await asyncio.to_thread(_files, self._workspace)
        changed = [
            entry
            for path, entry in after.items()
            if _stamp(entry) != _stamp(self._before.get(path))
        ]
        return changed[:MAX_WRITTEN]


def _files(workspace: Workspace) -> dict[str, Entry]:
    try:
        entries = workspace.entries(recursive=True)
    except WorkbenchError:  # the code may have made it unreadable: nothing can be said of it
        return {}
    return {entry.path: entry for entry in entries if _counts(entry)}


def _counts(entry: Entry) -> bool:
    directories = entry.path.split("/")[:-1]
    return not entry.is_directory and not any(name.startswith(".") for name in directories)


def _stamp(entry: Entry | None) -> tuple[datetime, int] | None:
    return (entry.modified_at, entry.size_bytes) if entry else None
