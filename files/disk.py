"""The verbs on files where the workspaces are: on this machine's disk.

files/operations.py says what each does and raises.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from functools import partial
from typing import BinaryIO
from uuid import UUID

from files import archives, previews, rows
from files.info import FileInfo
from files.previews import Preview
from files.rows import Done, with_parents
from files.streams import PIECE_BYTES, OpenFile, opened
from files.workspaces import in_thread, workspace_of, workspace_with_room
from sessions.kernels.files import Room, Tell
from sessions.kernels.workspace import Entry, Upload
from sessions.states import AuditAction


class Disk:
    """The files of sessions on this machine's disk."""

    def __init__(self, room: Room, tell: Tell) -> None:
        self._room = room
        self._tell = tell

    async def refresh(self, session_id: UUID) -> None:
        """See rows.refresh."""
        await self._recorded(session_id, rows.refresh(session_id))

    async def list_files(
        self, session_id: UUID, directory: str, *, recursive: bool
    ) -> list[FileInfo]:
        """See operations.list_files."""
        workspace = workspace_of(session_id)
        entries = await in_thread(workspace.entries, directory, recursive=recursive)
        return [FileInfo.of(entry) for entry in entries]

    async def stat_file(self, session_id: UUID, path: str) -> FileInfo:
        """See operations.stat_file."""
        return FileInfo.of(await in_thread(workspace_of(session_id).stat, path))

    async def preview_file(self, session_id: UUID, path: str) -> Preview:
        """See operations.preview_file."""
        return await in_thread(previews.look_at, workspace_of(session_id), path)

    async def open_file(self, session_id: UUID, path: str) -> OpenFile:
        """See operations.open_file."""
        workspace = workspace_of(session_id)

        def open_() -> tuple[BinaryIO, FileInfo]:
            file, entry = workspace.open(path)
            return file, FileInfo.of(entry)

        return await opened(open_)

    async def open_tar(self, session_id: UUID, path: str, *, name: str) -> OpenFile:
        """See operations.open_tar."""
        return await opened(partial(archives.packed_tar, workspace_of(session_id), path, name))

    async def open_zip(self, session_id: UUID, path: str, *, name: str) -> OpenFile:
        """See operations.open_zip."""
        return await opened(partial(archives.packed_zip, workspace_of(session_id), path, name))

    def incoming(
        self,
        session_id: UUID,
        paths: Sequence[str],
        *,
        origin: str,
        overwrite: bool,
        max_bytes: int,
    ) -> Arriving:
        """Files that will be written, each of at most ``max_bytes``; nothing happens yet."""
        return Arriving(
            session_id,
            paths,
            room=self._room,
            tell=self._tell,
            origin=origin,
            overwrite=overwrite,
            max_bytes=max_bytes,
        )

    async def delete_file(self, session_id: UUID, path: str, *, recursive: bool) -> None:
        """See operations.delete_file."""
        workspace = workspace_of(session_id)
        await in_thread(workspace.delete, path, recursive=recursive)
        name = workspace.relative(path).as_posix()
        touched = [*with_parents(name), *await rows.rows_below(session_id, name)]
        done = Done(AuditAction.FILE_DELETED, name)
        await self._recorded(session_id, rows.record(session_id, touched, done=done))

    async def make_directory(self, session_id: UUID, path: str) -> FileInfo:
        """See operations.make_directory."""
        workspace = await workspace_with_room(session_id, self._room)
        entry = await in_thread(workspace.make_directory, path)
        done = Done(AuditAction.FILE_WRITTEN, f"{entry.path}/")
        touched = with_parents(entry.path)
        await self._recorded(session_id, rows.record(session_id, touched, done=done))
        return FileInfo.of(entry)

    async def rename_file(self, session_id: UUID, source: str, target: str) -> FileInfo:
        """See operations.rename_file."""
        workspace = workspace_of(session_id)
        old = workspace.relative(source).as_posix()
        origins = await rows.origins_of(session_id, [old, *await rows.rows_below(session_id, old)])
        entry = await in_thread(workspace.rename, source, target)
        moved = {entry.path + path.removeprefix(old): origin for path, origin in origins.items()}
        touched = [*with_parents(old), *with_parents(entry.path), *origins, *moved]
        done = Done(AuditAction.FILE_RENAMED, old, entry.path)
        await self._recorded(session_id, rows.record(session_id, touched, moved, done))
        return FileInfo.of(entry)

    async def _recorded(self, session_id: UUID, recording: Awaitable[int | None]) -> None:
        await _recorded(session_id, recording, self._tell)


class Arriving:
    """Files on their way to this machine's disk; see streams.Incoming.

    Each is written whole under a temporary name before any gets its own.
    """

    piece_bytes = PIECE_BYTES

    def __init__(
        self,
        session_id: UUID,
        paths: Sequence[str],
        *,
        room: Room,
        tell: Tell,
        origin: str,
        overwrite: bool,
        max_bytes: int,
    ) -> None:
        self._session_id = session_id
        self._paths = paths
        self._room = room
        self._tell = tell
        self._origin = origin
        self._overwrite = overwrite
        self._max_bytes = max_bytes
        # Empty until ``begin``.
        self._uploads: list[Upload] = []
        # How many of them are started.
        self._started = 0
        # None before ``finish``.
        self._finishing: asyncio.Task[list[FileInfo]] | None = None

    async def begin(self) -> None:
        """See Incoming."""
        workspace = await workspace_with_room(self._session_id, self._room)
        self._uploads = [
            workspace.upload(path, overwrite=self._overwrite, max_bytes=self._max_bytes)
            for path in self._paths
        ]
        await self._start(1)

    async def write(self, number: int, piece: bytes) -> None:
        """See Incoming."""
        await self._start(number + 1)
        await in_thread(self._uploads[number].write, piece)

    async def finish(self) -> list[FileInfo]:
        """See Incoming. Whoever goes away now has written them."""
        await self._start(len(self._uploads))
        self._finishing = asyncio.create_task(self._finish(), name="finish an upload")
        return await asyncio.shield(self._finishing)

    async def discard(self) -> None:
        """See Incoming. Waits for what a cancelled call has left behind."""
        if self._finishing:
            await asyncio.wait({self._finishing})
        await in_thread(self._discard)

    async def _start(self, count: int) -> None:
        for upload in self._uploads[self._started : count]:
            await in_thread(upload.start)
            self._started += 1

    async def _finish(self) -> list[FileInfo]:
        entries = await in_thread(self._name)
        touched = [name for entry in entries for name in with_parents(entry.path)]
        origins = {entry.path: self._origin for entry in entries}
        done = Done(AuditAction.FILE_WRITTEN, *(entry.path for entry in entries), door=self._origin)
        recording = rows.record(self._session_id, touched, origins, done)
        await _recorded(self._session_id, recording, self._tell)
        return [FileInfo.of(entry) for entry in entries]

    def _name(self) -> list[Entry]:
        return [upload.finish() for upload in self._uploads]

    def _discard(self) -> None:
        for upload in self._uploads:
            upload.discard()


async def _recorded(session_id: UUID, recording: Awaitable[int | None], tell: Tell) -> None:
    """Have the rows made true, and tell of it if there was anything to change."""
    version = await recording
    if version is not None:
        await tell(session_id, version)
