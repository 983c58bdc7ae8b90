"""A file or a directory of a workspace as a tar archive, for the faces that send such."""

from __future__ import annotations

import asyncio
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import PurePosixPath
from typing import BinaryIO, cast
from uuid import UUID

from files.operations import workspace_of
from sessions.exceptions import Conflict, FileNotFound, FileTooLarge, WrongFileType
from sessions.kernels.workspace import Entry, Workspace

# Bytes of one archive: a sparse file may claim to be larger than any disk.
MAX_ARCHIVE_BYTES = 1024 * 1024 * 1024
_BLOCK_BYTES = 512


async def archive(session_id: UUID, path: str) -> BinaryIO:
    """An uncompressed tar of what is at ``path``, in a temporary file, at its beginning.

    Its members are named from the last part of the path on: ``src/main.c`` for the directory
    ``a/src``; the workspace itself is ``.``. Only regular files and directories are in it; no
    link is followed. The caller closes it. Raises PathInvalid, FileNotFound, WrongFileType,
    FileTooLarge beyond MAX_ARCHIVE_BYTES, Conflict if a file became shorter meanwhile.
    """
    packing = asyncio.ensure_future(asyncio.to_thread(_pack, workspace_of(session_id), path))
    try:
        return await asyncio.shield(packing)
    except asyncio.CancelledError:
        packing.add_done_callback(_close_packed)  # the thread cannot be stopped
        raise


def _pack(workspace: Workspace, path: str) -> BinaryIO:
    top = workspace.stat(path)
    members = list(_members(workspace, top))
    size = sum(_BLOCK_BYTES * 3 + entry.size_bytes for _, entry in members)
    if size > MAX_ARCHIVE_BYTES:
        raise FileTooLarge(f"An archive may have {MAX_ARCHIVE_BYTES} bytes at most.")
    file = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115  # the caller closes it
    try:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for name, entry in members:
                _add(tar, workspace, name, entry, is_top=entry is top)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def _members(workspace: Workspace, top: Entry) -> Iterator[tuple[str, Entry]]:
    """The name in the archive, and the file or directory, of all that is at and below ``top``."""
    base = PurePosixPath(top.path)
    name = base.name or "."
    yield name, top
    if top.is_directory:
        for entry in workspace.entries(top.path, recursive=True):
            yield f"{name}/{PurePosixPath(entry.path).relative_to(base)}", entry


def _add(
    tar: tarfile.TarFile, workspace: Workspace, name: str, entry: Entry, *, is_top: bool
) -> None:
    info = tarfile.TarInfo(name)
    info.mtime = int(entry.modified_at.timestamp())
    info.mode = entry.mode & 0o777
    if entry.is_directory:
        info.type = tarfile.DIRTYPE
        tar.addfile(info)
        return
    try:
        file, now = workspace.open(entry.path)
    except (FileNotFound, WrongFileType):
        if is_top:
            raise
        return  # deleted or replaced while we were on the way
    with file:
        info.size = min(now.size_bytes, MAX_ARCHIVE_BYTES)
        try:
            tar.addfile(info, file)
        except OSError as error:
            if error.errno is not None:  # the system's; tarfile's own has no number
                raise
            raise Conflict("A file became shorter while it was read.") from error


def _close_packed(packing: asyncio.Future[BinaryIO]) -> None:
    with suppress(BaseException):
        packing.result().close()
