"""A host's side of files: the verbs for web processes that do not see its disk.

A web process asks with the host's verb ``files``: the session's id, what to ``do`` (``DO``), and
arguments, as plain data (FileInfo.to_wire, preview_to_wire). What is too much for one answer is a
stream: a file on its way in or out, which the web process gives an unguessable id of its own, so
that it can end also one whose beginning it has not heard of.

    out:  open_file | open_tar | open_zip {stream, path …} → FileInfo
          read {stream, position, size} → bytes …                     close {stream}
    in:   begin {stream, paths, origin, overwrite, max_bytes}
          write {stream, turn, number, piece} …                       finish {stream} → [FileInfo]
          (turns count from 0; a later one waits)                     or discard {stream}

``keep`` says that somebody still has a stream. One that nobody has used for IDLE_SECONDS is
closed: its web process is gone.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from files.disk import Arriving, Disk
from files.previews import preview_to_wire
from files.streams import OpenFile
from sessions.exceptions import (
    FileNotFound,
    HostUnavailable,
    InvalidValue,
    LimitReached,
    WorkbenchError,
)
from sessions.kernels.files import Room, Tell

logger = logging.getLogger(__name__)

IDLE_SECONDS = 300.0
MAX_STREAMS = 64  # of one session
# Of one answer; a web process asks for less.
MAX_READ_BYTES = 16 * 1024 * 1024
NOT_OPEN = "This file is not open any more."
TOO_MANY = "Too many files of this session are on their way at once. Try again in a moment."

T = TypeVar("T")
S = TypeVar("S", bound="_Stream")


class HostFiles:
    """The files of a host's sessions; see sessions/kernels/files.py for who calls what."""

    def __init__(
        self, room: Room, tell: Tell, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._disk = Disk(room, tell)
        self._clock = clock
        # By the session, and the stream's id.
        self._streams: dict[UUID, dict[str, _Stream]] = {}
        self._is_stopping = False

    async def refresh(self, session_id: UUID) -> None:
        """Make the rows of a session true to its workspace."""
        await self._disk.refresh(session_id)

    async def do(self, session_id: UUID, do: str, arguments: dict[str, Any]) -> Any:
        """What a web process asks for. Raises what the verbs raise, and LimitReached."""
        if do not in DO:
            raise WorkbenchError(f"The host does not know how to {do!r} files.")
        return await getattr(self, do)(session_id, **arguments)

    async def let_go(self, session_id: UUID) -> None:
        """Close what is open of a session."""
        await _end(self._streams.pop(session_id, {}).values())

    async def sweep(self) -> None:
        """Close what nobody has used for long."""
        longest = self._clock() - IDLE_SECONDS
        idle = [
            (session_id, name)
            for session_id, streams in self._streams.items()
            for name, stream in streams.items()
            if stream.used_at < longest
        ]
        await _end([self._taken(*each) for each in idle])

    async def stop(self) -> None:
        """Close all that is open; nothing is opened from now on."""
        self._is_stopping = True
        streams, self._streams = self._streams, {}
        await _end(each for some in streams.values() for each in some.values())

    # --- Answers at once ------------------------------------------------------------------

    async def list_files(self, session_id: UUID, *, path: str, recursive: bool) -> list[Any]:
        """See operations.list_files."""
        found = await self._disk.list_files(session_id, path, recursive=recursive)
        return [info.to_wire() for info in found]

    async def stat_file(self, session_id: UUID, *, path: str) -> list[Any]:
        """See operations.stat_file."""
        return (await self._disk.stat_file(session_id, path)).to_wire()

    async def preview_file(self, session_id: UUID, *, path: str) -> dict[str, Any]:
        """See operations.preview_file."""
        return preview_to_wire(await self._disk.preview_file(session_id, path))

    async def delete_file(self, session_id: UUID, *, path: str, recursive: bool) -> None:
        """See operations.delete_file."""
        await self._disk.delete_file(session_id, path, recursive=recursive)

    async def make_directory(self, session_id: UUID, *, path: str) -> list[Any]:
        """See operations.make_directory."""
        return (await self._disk.make_directory(session_id, path)).to_wire()

    async def rename_file(self, session_id: UUID, *, path: str, target: str) -> list[Any]:
        """See operations.rename_file."""
        return (await self._disk.rename_file(session_id, path, target)).to_wire()

    # --- On the way out -------------------------------------------------------------------

    async def open_file(self, session_id: UUID, *, stream: str, path: str) -> list[Any]:
        """See operations.open_file."""
        return await self._open(session_id, stream, partial(self._disk.open_file, session_id, path))

    async def open_tar(self, session_id: UUID, *, stream: str, path: str, name: str) -> list[Any]:
        """See operations.open_tar."""
        pack = partial(self._disk.open_tar, session_id, path, name=name)
        return await self._open(session_id, stream, pack)

    async def open_zip(self, session_id: UUID, *, stream: str, path: str, name: str) -> list[Any]:
        """See operations.open_zip."""
        pack = partial(self._disk.open_zip, session_id, path, name=name)
        return await self._open(session_id, stream, pack)

    async def read(self, session_id: UUID, *, stream: str, position: int, size: int) -> bytes:
        """Some bytes of an open file, at least one. Raises FileNotFound, Conflict."""
        out = self._stream(session_id, stream, _Out)
        return await out.read(position, min(size, MAX_READ_BYTES))

    async def close(self, session_id: UUID, *, stream: str) -> None:
        """Close an open file; one that is closed stays so."""
        await _end([self._taken(session_id, stream)])

    # --- On the way in --------------------------------------------------------------------

    async def begin(
        self,
        session_id: UUID,
        *,
        stream: str,
        paths: list[str],
        origin: str,
        overwrite: bool,
        max_bytes: int,
    ) -> None:
        """See streams.Incoming."""
        arriving = self._disk.incoming(
            session_id, paths, origin=origin, overwrite=overwrite, max_bytes=max_bytes
        )
        into = _In(arriving)
        self._add(session_id, stream, into)
        await self._unless_broken(session_id, stream, into.begin())

    async def write(
        self, session_id: UUID, *, stream: str, turn: int, number: int, piece: bytes
    ) -> None:
        """See streams.Incoming. Raises FileNotFound if it was closed."""
        into = self._stream(session_id, stream, _In)
        await self._unless_broken(session_id, stream, into.write(turn, number, piece))

    async def finish(self, session_id: UUID, *, stream: str) -> list[list[Any]]:
        """See streams.Incoming. Raises FileNotFound if it was closed."""
        into = self._stream(session_id, stream, _In)
        try:
            return await into.finish()
        finally:
            await _end([self._taken(session_id, stream)])

    async def discard(self, session_id: UUID, *, stream: str) -> None:
        """See streams.Incoming."""
        await _end([self._taken(session_id, stream)])

    async def keep(self, session_id: UUID, *, stream: str) -> None:
        """Somebody still has the stream. Raises FileNotFound if it was closed."""
        self._stream(session_id, stream, _Stream)

    # --- Internal -------------------------------------------------------------------------

    async def _open(
        self, session_id: UUID, stream: str, open_file: Callable[[], Awaitable[OpenFile]]
    ) -> list[Any]:
        out = _Out()
        self._add(session_id, stream, out)
        return await self._unless_broken(session_id, stream, out.open(open_file))

    def _add(self, session_id: UUID, name: str, stream: _Stream) -> None:
        if self._is_stopping:
            raise HostUnavailable("The server is being stopped.")
        streams = self._streams.get(session_id, {})
        if len(streams) >= MAX_STREAMS:
            raise LimitReached(TOO_MANY)
        if name in streams:
            raise InvalidValue("There is a stream with this id already.")
        stream.used_at = self._clock()
        self._streams.setdefault(session_id, streams)[name] = stream

    def _stream(self, session_id: UUID, name: str, kind: type[S]) -> S:
        """The open stream, used now. Raises FileNotFound."""
        found = self._streams.get(session_id, {}).get(name)
        if not isinstance(found, kind):
            raise FileNotFound(NOT_OPEN)
        found.used_at = self._clock()
        return found

    def _taken(self, session_id: UUID, name: str) -> _Stream | None:
        """The stream, forgotten; None if it is not there any more."""
        streams = self._streams.get(session_id, {})
        found = streams.pop(name, None)
        if not streams:
            self._streams.pop(session_id, None)
        return found

    async def _unless_broken(self, session_id: UUID, name: str, work: Awaitable[T]) -> T:
        """The result of work on a stream, which ends if that raises."""
        try:
            return await work
        except BaseException:
            await _end([self._taken(session_id, name)])
            raise


# What web processes may ask for.
DO = frozenset(
    {
        "begin",
        "close",
        "delete_file",
        "discard",
        "finish",
        "keep",
        "list_files",
        "make_directory",
        "open_file",
        "open_tar",
        "open_zip",
        "preview_file",
        "read",
        "rename_file",
        "stat_file",
        "write",
    }
)


# --- Streams ----------------------------------------------------------------------------------


class _Stream:
    """A file on its way, until ``end``, which may come at any moment."""

    def __init__(self) -> None:
        self.is_over = False
        # When it was used last, by the clock of its owner.
        self.used_at = 0.0

    async def end(self) -> None:
        """Close it, and remove what it leaves. Idempotent."""
        raise NotImplementedError


class _Out(_Stream):
    def __init__(self) -> None:
        super().__init__()
        # None until it is open, and after the end.
        self._file: OpenFile | None = None
        self._reading = asyncio.Lock()

    async def open(self, open_file: Callable[[], Awaitable[OpenFile]]) -> list[Any]:
        file = await open_file()
        if self.is_over:  # meanwhile: an archive takes a while
            file.close()
            raise FileNotFound(NOT_OPEN)
        self._file = file
        return file.info.to_wire()

    async def read(self, position: int, size: int) -> bytes:
        async with self._reading:
            if self._file is None:
                raise FileNotFound(NOT_OPEN)
            return await self._file.read(position, size)

    async def end(self) -> None:
        self.is_over = True
        async with self._reading:
            if self._file:
                self._file.close()
                self._file = None


class _In(_Stream):
    def __init__(self, arriving: Arriving) -> None:
        super().__init__()
        self._arriving = arriving
        self._turn = 0
        self._turns = asyncio.Condition()

    async def begin(self) -> None:
        try:
            await self._arriving.begin()
        finally:
            if self.is_over:
                await self._arriving.discard()
                raise FileNotFound(NOT_OPEN)

    async def write(self, turn: int, number: int, piece: bytes) -> None:
        async with self._turns:
            await self._turns.wait_for(lambda: self.is_over or self._turn == turn)
            self._check()
            await self._arriving.write(number, piece)
            self._turn += 1
            self._turns.notify_all()

    async def finish(self) -> list[list[Any]]:
        async with self._turns:
            self._check()
            return [info.to_wire() for info in await self._arriving.finish()]

    async def end(self) -> None:
        self.is_over = True
        async with self._turns:
            self._turns.notify_all()
            await self._arriving.discard()

    def _check(self) -> None:
        if self.is_over:
            raise FileNotFound(NOT_OPEN)


async def _end(streams: Iterable[_Stream | None]) -> None:
    """End some streams, whatever becomes of the caller; what is wrong with one is logged."""
    for stream in list(streams):
        if stream is None:
            continue
        try:
            await asyncio.shield(stream.end())
        except Exception:
            logger.exception("a file on its way could not be closed")
