"""The verbs on the files of one session. Every face calls these and nothing below them.

The caller has found the session through ``sessions.operations`` (and so may use it); the verbs
take its id. A path is text from outside: relative to the workspace, or absolute under
``/mnt/data`` or ``/home/work``; anything else raises PathInvalid. A session that has ended has no
workspace: every verb but ``refresh`` raises FileNotFound.

What the verbs answer is read from the directory itself, so it is true also while code runs. The
``SessionFile`` rows follow: at once for what a verb changes, and with ``refresh`` for what code
changed. Listing and reading never write rows.
"""

from __future__ import annotations

import asyncio
import mimetypes
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol
from uuid import UUID

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import transaction

from files.models import SessionFile, digest
from sessions import audit
from sessions import operations as sessions
from sessions.exceptions import (
    Conflict,
    FileNotFound,
    HostUnavailable,
    PathInvalid,
    SessionNotFound,
    WrongFileType,
)
from sessions.kernels.workspace import Entry, Upload, Workspace, workspace_path
from sessions.states import AuditAction

# Bytes read or written between two turns of the event loop.
PIECE_BYTES = 256 * 1024
# Rows kept of one session: code that makes a million files must not fill the database with them.
MAX_ROWS_PER_SESSION = 10_000
# Rows written in one transaction; the recorder of executions gets its turn in between.
ROWS_PER_TRANSACTION = 500


@dataclass(frozen=True, kw_only=True)
class FileInfo:
    """A file or directory of a workspace, as every face may show it."""

    # Relative to the workspace, with "/" between the parts: "data/a.csv". "." is the workspace.
    path: str
    # The last part of the path: "a.csv".
    name: str
    # The path of the directory it is in: "data"; "." at the top.
    directory: str
    # What a download has; of a directory, what the file system says (it means little).
    size_bytes: int
    # In UTC, to the microsecond.
    modified_at: datetime
    is_directory: bool
    # By the name alone; text has "; charset=utf-8". Unknown ones and directories are
    # "application/octet-stream".
    content_type: str
    # Its type and permissions, as the system has them.
    mode: int = field(default=0, compare=False)


class Readable(Protocol):
    """What is read like an open binary file: Django's uploaded files are."""

    def read(self, size: int, /) -> bytes: ...


class Download:
    """An open file on its way out: what it is, and its bytes.

    It stays the same file when the name is deleted or replaced meanwhile. Iterate ``chunks`` to
    its end or call ``close``; either closes the file.
    """

    def __init__(self, info: FileInfo, file: BinaryIO) -> None:
        self.info = info
        self._file = file

    async def chunks(self, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from ``start`` up to, not including, ``end``, in pieces of 256 KiB.

        ``end`` None: up to ``info.size_bytes``; a file that grows meanwhile is not read further.
        Use it once: the file is closed at the end, also when the iteration is given up. Raises
        Conflict if the file became shorter, so that a cut answer never looks whole.
        """
        end = self.info.size_bytes if end is None else min(end, self.info.size_bytes)
        position = start
        try:
            while position < end:
                size = min(PIECE_BYTES, end - position)
                piece = await asyncio.to_thread(_read_at, self._file, position, size)
                if not piece:
                    raise Conflict("The file became shorter while it was read.")
                position += len(piece)
                yield piece
        finally:
            self.close()

    def close(self) -> None:
        """Close the file; does nothing the second time."""
        self._file.close()


def workspace_of(session_id: UUID) -> Workspace:
    """The workspace of a session, whether it exists or not."""
    path = workspace_path(Path(settings.WORKBENCH_DATA_DIR), session_id)
    return Workspace(path, max_bytes=settings.WORKBENCH_SESSION_LIMITS.workspace_bytes)


async def _workspace_with_room(session_id: UUID) -> Workspace:
    """The workspace for who writes: what it may hold is up to the session and to its owner.

    Several uploads at once may together be too much; then the next is refused, as is code.
    """
    workspace = workspace_of(session_id)
    # Without a host nothing runs, and without a session there is nothing to write into.
    with suppress(HostUnavailable, SessionNotFound):
        room = await sessions.room(session_id)
        workspace.max_bytes, workspace.full = room["most_bytes"], room["full"]
    return workspace


async def list_files(
    session_id: UUID, directory: str = "", *, recursive: bool = False
) -> list[FileInfo]:
    """What is in a directory, sorted by path; with ``recursive`` also all that is below.

    Only regular files and directories, hidden ones too; links and devices are left out. At most
    100,000. Raises PathInvalid, FileNotFound, WrongFileType if it is no directory.
    """
    workspace = workspace_of(session_id)
    entries = await asyncio.to_thread(workspace.entries, directory, recursive=recursive)
    return [_info(entry) for entry in entries]


async def stat_file(session_id: UUID, path: str) -> FileInfo:
    """What is at ``path``. Raises PathInvalid, FileNotFound, WrongFileType for a link or device."""
    return _info(await asyncio.to_thread(workspace_of(session_id).stat, path))


async def open_file(session_id: UUID, path: str) -> Download:
    """Open a regular file for reading.

    Raises PathInvalid, FileNotFound, WrongFileType for anything but a regular file.
    """
    opening = asyncio.ensure_future(asyncio.to_thread(workspace_of(session_id).open, path))
    try:
        file, entry = await asyncio.shield(opening)
    except asyncio.CancelledError:
        # The thread cannot be stopped: close what it opens for nobody.
        opening.add_done_callback(_close_opened)
        raise
    return Download(_info(entry), file)


async def save_file(
    session_id: UUID,
    path: str,
    source: Readable | AsyncIterable[bytes],
    *,
    origin: str,
    overwrite: bool = True,
) -> FileInfo:
    """Write a file from a stream: whole, or not at all. Directories on the way are made.

    ``source`` is an open binary file, read from where it stands and left open, or asynchronous
    pieces of bytes; never more than a piece is in memory. ``origin`` is the face it comes
    through. Readers of a file that is replaced see the old one or the new one, nothing between.
    Raises PathInvalid, FileExists without ``overwrite``, FileTooLarge beyond
    ``settings.WORKBENCH_MAX_UPLOAD_BYTES``, WorkspaceFull, WrongFileType if a directory has the
    name or a part of the path is no directory; FileNotFound only if the session has ended.
    """
    upload = (await _workspace_with_room(session_id)).upload(
        path, overwrite=overwrite, max_bytes=settings.WORKBENCH_MAX_UPLOAD_BYTES
    )
    entry = await _receive(upload, source)
    done = Done(AuditAction.FILE_WRITTEN, entry.path, door=origin)
    await _record(session_id, _with_parents(entry.path), {entry.path: origin}, done)
    return _info(entry)


async def save_files(
    session_id: UUID,
    sources: Sequence[tuple[str, Readable]],
    *,
    origin: str,
    max_bytes: int | None = None,
) -> list[FileInfo]:
    """Write several files, (path, open binary file) each: all, or none if one is refused.

    ``max_bytes`` is what each may have; None: ``settings.WORKBENCH_MAX_UPLOAD_BYTES``. Of two with
    the same path the later one counts. Raises as ``save_file`` does, and WrongFileType if one
    would have to be a directory of another.
    """
    limit = settings.WORKBENCH_MAX_UPLOAD_BYTES if max_bytes is None else max_bytes
    workspace = await _workspace_with_room(session_id)
    targets = {workspace.relative(path).as_posix(): source for path, source in sources}
    for parent in (parent for path in targets for parent in _with_parents(path)[1:]):
        if parent in targets:
            raise WrongFileType(f"{parent} is both a file and a directory in this upload.")
    uploads = [(workspace.upload(path, max_bytes=limit), targets[path]) for path in targets]
    entries = await asyncio.shield(asyncio.to_thread(_write_all, uploads))
    touched = [name for entry in entries for name in _with_parents(entry.path)]
    done = Done(AuditAction.FILE_WRITTEN, *(entry.path for entry in entries), door=origin)
    await _record(session_id, touched, {entry.path: origin for entry in entries}, done)
    return [_info(entry) for entry in entries]


async def delete_file(session_id: UUID, path: str, *, recursive: bool = False) -> None:
    """Delete a file, a link (not what it points to) or a directory.

    Raises PathInvalid (also for the workspace itself), FileNotFound, WrongFileType for a
    directory that is not empty, unless ``recursive``.
    """
    workspace = workspace_of(session_id)
    await asyncio.to_thread(workspace.delete, path, recursive=recursive)
    name = workspace.relative(path).as_posix()
    touched = [*_with_parents(name), *await _rows_below(session_id, name)]
    await _record(session_id, touched, done=Done(AuditAction.FILE_DELETED, name))


async def make_directory(session_id: UUID, path: str) -> FileInfo:
    """Make a directory, and those on the way; one that exists is fine.

    Raises PathInvalid, WorkspaceFull, WrongFileType if a part of the path is something else,
    FileNotFound only if the session has ended.
    """
    workspace = await _workspace_with_room(session_id)
    entry = await asyncio.to_thread(workspace.make_directory, path)
    done = Done(AuditAction.FILE_WRITTEN, f"{entry.path}/")
    await _record(session_id, _with_parents(entry.path), done=done)
    return _info(entry)


async def rename_file(session_id: UUID, source: str, target: str) -> FileInfo:
    """Give a file or directory another path; directories on the way are made.

    Raises PathInvalid, FileNotFound, FileExists if something has the path ``target`` already,
    WrongFileType for a link, or a directory that would move into itself.
    """
    workspace = workspace_of(session_id)
    old = workspace.relative(source).as_posix()
    origins = await _origins(session_id, [old, *await _rows_below(session_id, old)])
    entry = await asyncio.to_thread(workspace.rename, source, target)
    moved = {entry.path + path.removeprefix(old): origin for path, origin in origins.items()}
    touched = [*_with_parents(old), *_with_parents(entry.path), *origins, *moved]
    await _record(session_id, touched, moved, Done(AuditAction.FILE_RENAMED, old, entry.path))
    return _info(entry)


async def refresh(session_id: UUID) -> None:
    """Make the rows of a session true to its workspace; to be called after code ran.

    One scan and one query; it writes only what differs. A file that code changed loses its
    origin. A session without a workspace keeps no rows.
    """
    entries = await asyncio.to_thread(_scan, workspace_of(session_id))
    await _record(session_id, await _differences(session_id, entries))


# --- Streams ----------------------------------------------------------------------------------


async def _receive(upload: Upload, source: Readable | AsyncIterable[bytes]) -> Entry:
    """Write the source to the upload, in threads. The upload itself knows what to undo."""
    try:
        await asyncio.to_thread(upload.start)
        async with aclosing(_pieces(source)) as pieces:
            async for piece in pieces:
                await asyncio.to_thread(upload.write, piece)
        return await asyncio.to_thread(upload.finish)
    finally:
        # Waits for a thread that a cancellation left behind; after finish there is nothing to do.
        await asyncio.shield(asyncio.to_thread(upload.discard))


async def _pieces(source: Readable | AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
    if isinstance(source, AsyncIterable):
        async for piece in source:
            yield piece
        return
    while piece := await asyncio.to_thread(source.read, PIECE_BYTES):
        yield piece


def _write_all(uploads: list[tuple[Upload, Readable]]) -> list[Entry]:
    """Write every upload under a temporary name, and only then give each its own."""
    try:
        for upload, source in uploads:
            upload.start()
            while piece := source.read(PIECE_BYTES):
                upload.write(piece)
        return [upload.finish() for upload, _ in uploads]
    finally:
        for upload, _ in uploads:
            upload.discard()


def _read_at(file: BinaryIO, position: int, size: int) -> bytes:
    file.seek(position)
    return file.read(size)


def _close_opened(opening: asyncio.Future[tuple[BinaryIO, Entry]]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result()[0].close()


# --- What a file is, to the outside -----------------------------------------------------------

# Not the machine's own table: the same name has the same type everywhere.
_TYPES = mimetypes.MimeTypes().types_map[True] | {
    ".bz2": "application/x-bzip2",
    ".gz": "application/gzip",
    ".ipynb": "application/x-ipynb+json",
    ".js": "text/javascript",
    ".jsonl": "application/jsonl",
    ".log": "text/plain",
    ".markdown": "text/markdown",
    ".md": "text/markdown",
    ".mjs": "text/javascript",
    ".parquet": "application/vnd.apache.parquet",
    ".tgz": "application/gzip",
    ".toml": "application/toml",
    ".webp": "image/webp",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".xz": "application/x-xz",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}


def content_type_of(name: str) -> str:
    """The content type of a file, by its name."""
    kind = _TYPES.get(PurePosixPath(name).suffix.lower(), "application/octet-stream")
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind


def _info(entry: Entry) -> FileInfo:
    path = PurePosixPath(entry.path)
    return FileInfo(
        path=entry.path,
        name=path.name or ".",
        directory=str(path.parent),
        size_bytes=entry.size_bytes,
        modified_at=entry.modified_at,
        is_directory=entry.is_directory,
        content_type=(
            "application/octet-stream" if entry.is_directory else content_type_of(path.name)
        ),
        mode=entry.mode,
    )


# --- Rows -------------------------------------------------------------------------------------


def _scan(workspace: Workspace) -> list[Entry]:
    try:
        return workspace.entries(recursive=True)
    except FileNotFound:
        return []


def _with_parents(path: str) -> list[str]:
    """A path and the directories it is in; the workspace itself has no row."""
    above = PurePosixPath(path).parents
    return [path, *(str(parent) for parent in above if parent.parts)]


@sync_to_async
def _rows_below(session_id: UUID, path: str) -> list[str]:
    """The paths of the rows below a directory."""
    prefix = f"{path}/"
    rows = SessionFile.objects.filter(session_id=session_id, path__startswith=prefix)
    # SQLite's LIKE takes "A/" for "a/".
    return [path for path in rows.values_list("path", flat=True) if path.startswith(prefix)]


@sync_to_async
def _origins(session_id: UUID, paths: list[str]) -> dict[str, str]:
    rows = SessionFile.objects.filter(session_id=session_id).values_list("path", "origin")
    wanted = frozenset(paths)
    return {path: origin for path, origin in rows if path in wanted}


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


class Done:
    """What somebody did to some paths, for the audit; without ``door`` it is the asker's."""

    def __init__(self, action: AuditAction, *paths: str, door: str = "") -> None:
        self._action = action
        self._about = {"what": "\n".join(paths), **({"door": door} if door else {})}

    def note(self, session_id: UUID) -> None:
        """Write it down."""
        audit.note(self._action, session_id, **self._about)


async def _record(
    session_id: UUID,
    paths: Iterable[str],
    origins: Mapping[str, str] | None = None,
    done: Done | None = None,
) -> None:
    """Make the rows of these paths true. ``origins`` says where new contents came from.

    ``done`` is who wanted that, if it was somebody; it is written with the first of the rows.
    """
    ordered = list(dict.fromkeys(paths))
    for first in range(0, len(ordered), ROWS_PER_TRANSACTION):
        batch = ordered[first : first + ROWS_PER_TRANSACTION]
        await _record_batch(session_id, batch, origins or {}, None if first else done)


@sync_to_async
@transaction.atomic
def _record_batch(
    session_id: UUID, paths: list[str], origins: Mapping[str, str], done: Done | None
) -> None:
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
