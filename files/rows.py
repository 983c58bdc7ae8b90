"""The ``SessionFile`` rows, made true to workspaces: the only writer of them.

It looks at the workspaces themselves, so it runs where they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db import transaction
from django.db.models import F

from files.models import SessionFile, digest
from files.workspaces import in_thread, workspace_of
from sessions import audit
from sessions.database import database_needed
from sessions.exceptions import FileNotFound, PathInvalid, WrongFileType
from sessions.kernels.workspace import Entry, Workspace
from sessions.models import Session
from sessions.states import AuditAction

# Rows kept of one session: code that makes a million files must not fill the database with them.
MAX_ROWS_PER_SESSION = 10_000
# Rows written in one transaction; the recorder of executions gets its turn in between.
ROWS_PER_TRANSACTION = 500


class Done:
    """What somebody did to some paths, for the audit; without ``door`` it is the asker's."""

    def __init__(self, action: AuditAction, *paths: str, door: str = "") -> None:
        self._action = action
        self._about = {"what": "\n".join(paths), **({"door": door} if door else {})}

    def note(self, session_id: UUID) -> None:
        """Write it down."""
        audit.note(self._action, session_id, **self._about)


async def record(
    session_id: UUID,
    paths: Iterable[str],
    origins: Mapping[str, str] | None = None,
    done: Done | None = None,
) -> int | None:
    """Make the rows of these paths true. ``origins`` says where new contents came from.

    ``done`` is who wanted that, if it was somebody; it is written with the first of the rows.
    Returns the version that the session's files have now; None if nothing has changed.
    """
    version = None
    ordered = list(dict.fromkeys(paths))
    for first in range(0, len(ordered), ROWS_PER_TRANSACTION):
        batch = ordered[first : first + ROWS_PER_TRANSACTION]
        newer = await _record_batch(session_id, batch, origins or {}, None if first else done)
        version = newer or version
    return version


async def refresh(session_id: UUID) -> int | None:
    """Make the rows of a session true to its workspace; to be called after code ran.

    One scan and one query; it writes only what differs. A file that code changed loses its
    origin. A session without a workspace keeps no rows. Returns as ``record`` does. Raises
    Unavailable.
    """
    entries = await in_thread(_scan, workspace_of(session_id))
    with database_needed():
        return await record(session_id, await _differences(session_id, entries))


def with_parents(path: str) -> list[str]:
    """A path and the directories it is in; the workspace itself has no row."""
    above = PurePosixPath(path).parents
    return [path, *(str(parent) for parent in above if parent.parts)]


@sync_to_async
def rows_below(session_id: UUID, path: str) -> list[str]:
    """The paths of the rows below a directory."""
    prefix = f"{path}/"
    rows = SessionFile.objects.filter(session_id=session_id, path__startswith=prefix)
    # SQLite's LIKE takes "A/" for "a/".
    return [path for path in rows.values_list("path", flat=True) if path.startswith(prefix)]


@sync_to_async
def origins_of(session_id: UUID, paths: list[str]) -> dict[str, str]:
    """Where the files at these paths came from, of those that have rows."""
    rows = SessionFile.objects.filter(session_id=session_id).values_list("path", "origin")
    wanted = frozenset(paths)
    return {path: origin for path, origin in rows if path in wanted}


# --- Internal ---------------------------------------------------------------------------------


def _scan(workspace: Workspace) -> list[Entry]:
    try:
        return workspace.entries(recursive=True)
    except FileNotFound:
        return []


@sync_to_async
def _differences(session_id: UUID, entries: list[Entry]) -> list[str]:
    """The paths whose rows are not what the scan saw; not those beyond the limit of rows."""
    rows = {row.path: row for row in SessionFile.objects.filter(session_id=session_id)}
    gone = rows.keys() - {entry.path for entry in entries}
    new = [entry.path for entry in entries if entry.path not in rows]
    changed = [entry.path for entry in entries if _differs(rows.get(entry.path), entry)]
    room = MAX_ROWS_PER_SESSION - len(rows) + len(gone)
    return [*gone, *changed, *new[: max(0, room)]]


def _differs(row: SessionFile | None, entry: Entry) -> bool:
    return row is not None and not row.shows(entry)


@sync_to_async
@transaction.atomic
def _record_batch(
    session_id: UUID, paths: list[str], origins: Mapping[str, str], done: Done | None
) -> int | None:
    if done:
        done.note(session_id)
    # Looked at once more within the transaction: of two that record the same path at once, the
    # later one sees the newer file.
    workspace = workspace_of(session_id)
    entries = {path: entry for path in paths if (entry := _entry_or_none(workspace, path))}
    rows = SessionFile.objects.filter(session_id=session_id)
    known = {row.path: row for row in rows.filter(path_digest__in=map(digest, paths))}
    if gone := [row.pk for path, row in known.items() if path not in entries]:
        rows.filter(pk__in=gone).delete()
    written = [
        SessionFile.of(session_id, entry, _origin(known.get(path), entry, origins.get(path)))
        for path, entry in entries.items()
        if path in origins or path not in known or not known[path].shows(entry)
    ]
    SessionFile.objects.bulk_create(
        written,
        update_conflicts=True,
        unique_fields=["session", "path_digest"],
        update_fields=["size_bytes", "modified_at", "is_directory", "origin"],
    )
    # What somebody did may have been about a file that has no row.
    return _next_version(session_id) if gone or written or done else None


def _next_version(session_id: UUID) -> int | None:
    session = Session.objects.filter(pk=session_id)
    session.update(files_version=F("files_version") + 1)
    return session.values_list("files_version", flat=True).first()


def _entry_or_none(workspace: Workspace, path: str) -> Entry | None:
    try:
        return workspace.stat(path)
    except (FileNotFound, PathInvalid, WrongFileType):
        return None


def _origin(row: SessionFile | None, entry: Entry, origin: str | None) -> str:
    """Where the present contents came from; empty: from code."""
    if origin is not None:
        return origin
    unchanged = row is not None and row.shows(entry)
    return row.origin if row is not None and (unchanged or entry.is_directory) else ""
