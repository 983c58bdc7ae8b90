"""The verbs on the files of one session. Every face calls these and nothing below them.

The caller has found the session through ``sessions.operations`` (and so may use it); the verbs
take its id. A path is text from outside: relative to the workspace, or absolute under
``/mnt/data`` or ``/home/work``; anything else raises PathInvalid. A session that has ended has no
workspace: every verb raises FileNotFound.

The verbs run where the workspaces are: on this machine's disk (files/disk.py), or, with
``settings.WORKBENCH_FILES_THROUGH_HOST``, on that of the host that has the session
(files/through_host.py); then they may also raise HostUnavailable.

What they answer is read from the directory itself, so it is true also while code runs. The
``SessionFile`` rows follow: at once for what a verb changes, and with ``rows.refresh`` for what
code changed. Listing and reading never write rows.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Sequence
from contextlib import aclosing
from typing import Protocol
from uuid import UUID

from django.conf import settings

from files.disk import Disk
from files.info import FileInfo
from files.previews import Preview
from files.streams import Download, Incoming, Readable, pieces
from files.through_host import ThroughHost
from sessions import operations as sessions
from sessions.exceptions import WrongFileType
from sessions.kernels.workspace import relative_path


class Place(Protocol):
    """Where workspaces are, seen from here."""

    async def list_files(
        self, session_id: UUID, directory: str, *, recursive: bool
    ) -> list[FileInfo]: ...

    async def stat_file(self, session_id: UUID, path: str) -> FileInfo: ...

    async def preview_file(self, session_id: UUID, path: str) -> Preview: ...

    async def open_file(self, session_id: UUID, path: str) -> Download: ...

    async def open_tar(self, session_id: UUID, path: str, *, name: str) -> Download: ...

    async def open_zip(self, session_id: UUID, path: str, *, name: str) -> Download: ...

    def incoming(
        self,
        session_id: UUID,
        paths: Sequence[str],
        *,
        origin: str,
        overwrite: bool,
        max_bytes: int,
    ) -> Incoming: ...

    async def delete_file(self, session_id: UUID, path: str, *, recursive: bool) -> None: ...

    async def make_directory(self, session_id: UUID, path: str) -> FileInfo: ...

    async def rename_file(self, session_id: UUID, source: str, target: str) -> FileInfo: ...


_here: Place = Disk(sessions.room, sessions.tell_of_files)
_at_the_host: Place = ThroughHost()


def _place() -> Place:
    return _at_the_host if settings.WORKBENCH_FILES_THROUGH_HOST else _here


# --- Looking ----------------------------------------------------------------------------------


async def list_files(
    session_id: UUID, directory: str = "", *, recursive: bool = False
) -> list[FileInfo]:
    """What is in a directory, sorted by path; with ``recursive`` also all that is below.

    Only regular files and directories, hidden ones too; links and devices are left out. At most
    100,000. Raises PathInvalid, FileNotFound, WrongFileType if it is no directory.
    """
    return await _place().list_files(session_id, directory, recursive=recursive)


async def stat_file(session_id: UUID, path: str) -> FileInfo:
    """What is at ``path``. Raises PathInvalid, FileNotFound, WrongFileType for a link or device."""
    return await _place().stat_file(session_id, path)


async def preview_file(session_id: UUID, path: str) -> Preview:
    """A first look at a file.

    Raises PathInvalid, FileNotFound, WrongFileType for anything but a regular file.
    """
    return await _place().preview_file(session_id, path)


# --- Reading ----------------------------------------------------------------------------------


async def open_file(session_id: UUID, path: str) -> Download:
    """Open a regular file for reading.

    Raises PathInvalid, FileNotFound, WrongFileType for anything but a regular file.
    """
    return await _place().open_file(session_id, path)


async def open_tar(session_id: UUID, path: str, *, name: str) -> Download:
    """What is at ``path`` as an uncompressed tar, ready to be sent as ``name`` with ".tar" behind.

    Raises as archives.packed_tar.
    """
    return await _place().open_tar(session_id, path, name=name)


async def open_zip(session_id: UUID, path: str, *, name: str) -> Download:
    """What is at ``path`` as a zip, ready to be sent as ``name`` with ".zip" behind it.

    Raises as archives.packed_zip.
    """
    return await _place().open_zip(session_id, path, name=name)


# --- Writing ----------------------------------------------------------------------------------


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
    pieces of bytes; never more than a few pieces are in memory. ``origin`` is the face it comes
    through. Readers of a file that is replaced see the old one or the new one, nothing between.
    Raises PathInvalid, FileExists without ``overwrite``, FileTooLarge beyond
    ``settings.WORKBENCH_MAX_UPLOAD_BYTES``, WorkspaceFull, WrongFileType if a directory has the
    name or a part of the path is no directory; FileNotFound only if the session has ended.
    """
    incoming = _place().incoming(
        session_id,
        [path],
        origin=origin,
        overwrite=overwrite,
        max_bytes=settings.WORKBENCH_MAX_UPLOAD_BYTES,
    )
    (info,) = await _receive(incoming, [source])
    return info


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
    targets = {relative_path(path): (path, source) for path, source in sources}
    for parent in (parent for target in targets for parent in target.parents if parent.parts):
        if parent in targets:
            raise WrongFileType(f"{parent} is both a file and a directory in this upload.")
    incoming = _place().incoming(
        session_id,
        [path for path, _ in targets.values()],
        origin=origin,
        overwrite=True,
        max_bytes=limit,
    )
    return await _receive(incoming, [source for _, source in targets.values()])


async def _receive(
    incoming: Incoming, sources: Sequence[Readable | AsyncIterable[bytes]]
) -> list[FileInfo]:
    try:
        await incoming.begin()
        for number, source in enumerate(sources):
            async with aclosing(pieces(source, incoming.piece_bytes)) as found:
                async for piece in found:
                    await incoming.write(number, piece)
        return await incoming.finish()
    finally:
        await asyncio.shield(incoming.discard())


# --- Changing ---------------------------------------------------------------------------------


async def delete_file(session_id: UUID, path: str, *, recursive: bool = False) -> None:
    """Delete a file, a link (not what it points to) or a directory.

    Raises PathInvalid (also for the workspace itself), FileNotFound, WrongFileType for a
    directory that is not empty, unless ``recursive``.
    """
    await _place().delete_file(session_id, path, recursive=recursive)


async def make_directory(session_id: UUID, path: str) -> FileInfo:
    """Make a directory, and those on the way; one that exists is fine.

    Raises PathInvalid, WorkspaceFull, WrongFileType if a part of the path is something else,
    FileNotFound only if the session has ended.
    """
    return await _place().make_directory(session_id, path)


async def rename_file(session_id: UUID, source: str, target: str) -> FileInfo:
    """Give a file or directory another path; directories on the way are made.

    Raises PathInvalid, FileNotFound, FileExists if something has the path ``target`` already,
    WrongFileType for a link, or a directory that would move into itself.
    """
    return await _place().rename_file(session_id, source, target)
