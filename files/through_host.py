"""The verbs on files through the host that has the session; files/at_the_host.py is its side.

files/operations.py says what each does and raises. Streams are read and written a piece ahead, so
that both ends work at once, and no further: who is slow holds back the other, and there are never
more than a few pieces in memory.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from files.info import FileInfo
from files.previews import Preview, preview_from_wire
from sessions.engines import PATIENCE_SECONDS, engine
from sessions.exceptions import FileNotFound, HostUnavailable, SessionNotFound, WorkbenchError
from sessions.kernels.workspace import relative_path

# Bytes of one call.
PIECE_BYTES = 1024 * 1024
# For what may take long: to pack an archive, or to delete a large tree.
LONG_PATIENCE_SECONDS = 600.0
# For a host that is to hear that something is over; if it does not, it will notice.
LAST_PATIENCE_SECONDS = 5.0
# Between two signs of life for a stream whose reader is slow; see at_the_host.IDLE_SECONDS.
KEEP_SECONDS = 60.0

# Goodbyes on their way.
_goodbyes: set[asyncio.Task[None]] = set()


class ThroughHost:
    """The files of sessions on the disk of whichever host has them."""

    async def list_files(
        self, session_id: UUID, directory: str, *, recursive: bool
    ) -> list[FileInfo]:
        """See operations.list_files."""
        found = await _ask(session_id, "list_files", path=_path(directory), recursive=recursive)
        return [FileInfo.from_wire(each) for each in found]

    async def stat_file(self, session_id: UUID, path: str) -> FileInfo:
        """See operations.stat_file."""
        return FileInfo.from_wire(await _ask(session_id, "stat_file", path=_path(path)))

    async def preview_file(self, session_id: UUID, path: str) -> Preview:
        """See operations.preview_file."""
        return preview_from_wire(await _ask(session_id, "preview_file", path=_path(path)))

    async def open_file(self, session_id: UUID, path: str) -> FarFile:
        """See operations.open_file."""
        return await _open(session_id, "open_file", path=_path(path))

    async def open_tar(self, session_id: UUID, path: str, *, name: str) -> FarFile:
        """See operations.open_tar."""
        return await _open(
            session_id, "open_tar", LONG_PATIENCE_SECONDS, path=_path(path), name=name
        )

    async def open_zip(self, session_id: UUID, path: str, *, name: str) -> FarFile:
        """See operations.open_zip."""
        return await _open(
            session_id, "open_zip", LONG_PATIENCE_SECONDS, path=_path(path), name=name
        )

    def incoming(
        self,
        session_id: UUID,
        paths: Sequence[str],
        *,
        origin: str,
        overwrite: bool,
        max_bytes: int,
    ) -> Departing:
        """Files that will be written, each of at most ``max_bytes``; nothing happens yet."""
        return Departing(
            _Stream(session_id),
            paths=[_path(path) for path in paths],
            origin=origin,
            overwrite=overwrite,
            max_bytes=max_bytes,
        )

    async def delete_file(self, session_id: UUID, path: str, *, recursive: bool) -> None:
        """See operations.delete_file."""
        what = {"path": _path(path), "recursive": recursive}
        await _ask(session_id, "delete_file", LONG_PATIENCE_SECONDS, **what)

    async def make_directory(self, session_id: UUID, path: str) -> FileInfo:
        """See operations.make_directory."""
        return FileInfo.from_wire(await _ask(session_id, "make_directory", path=_path(path)))

    async def rename_file(self, session_id: UUID, source: str, target: str) -> FileInfo:
        """See operations.rename_file."""
        what = {"path": _path(source), "target": _path(target)}
        return FileInfo.from_wire(await _ask(session_id, "rename_file", PATIENCE_SECONDS, **what))


async def _ask(
    session_id: UUID, do: str, patience_seconds: float = PATIENCE_SECONDS, **arguments: Any
) -> Any:
    """Have the host of a session do something. Raises what it raises, and HostUnavailable."""
    try:
        async with asyncio.timeout(patience_seconds):
            where = {"session_id": str(session_id)}
            return await engine().call("files", **where, do=do, arguments=arguments)
    except SessionNotFound:  # no host has it
        raise FileNotFound from None
    except TimeoutError:
        raise HostUnavailable("The kernel host does not answer. Try again in a moment.") from None


def _path(path: str) -> str:
    """The path as it is. Raises PathInvalid, also for what cannot be passed on."""
    relative_path(path)
    return path


# --- Streams ----------------------------------------------------------------------------------


class FarFile:
    """A download from a host's disk; see streams.Download."""

    def __init__(self, stream: _Stream, info: FileInfo) -> None:
        self.info = info
        self._stream = stream
        self._loop = asyncio.get_running_loop()
        self._is_closed = False

    async def chunks(self, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """See Download. The next piece is asked for while this one is used."""
        end = self.info.size_bytes if end is None else min(end, self.info.size_bytes)
        position = start
        # None when there is no more.
        ahead = self._piece(position, end)
        try:
            while ahead:
                piece = await ahead
                position += len(piece)
                ahead = self._piece(position, end)
                yield piece
        finally:
            if ahead:
                ahead.cancel()
            self.close()

    def close(self) -> None:
        """See Download."""
        if not self._is_closed:
            self._is_closed = True
            with suppress(RuntimeError):  # the loop has ended, with all that was on it
                self._loop.call_soon_threadsafe(self._stream.leave, "close")

    def _piece(self, position: int, end: int) -> asyncio.Task[bytes] | None:
        if position >= end:
            return None
        size = min(PIECE_BYTES, end - position)
        return _ahead(self._stream.call("read", position=position, size=size))


class Departing:
    """Files on their way to a host's disk; see streams.Incoming."""

    piece_bytes = PIECE_BYTES

    def __init__(self, stream: _Stream, **arguments: Any) -> None:
        self._stream = stream
        self._arguments = arguments
        self._turn = 0
        # The piece that is on its way; None if there is none.
        self._ahead: asyncio.Task[None] | None = None
        self._is_whole = False

    async def begin(self) -> None:
        """See Incoming."""
        await self._stream.begin("begin", **self._arguments)

    async def write(self, number: int, piece: bytes) -> None:
        """See Incoming. Returns when the piece before has arrived."""
        await self._arrived()
        call = self._stream.call("write", turn=self._turn, number=number, piece=piece)
        self._ahead = _ahead(call)
        self._turn += 1

    async def finish(self) -> list[FileInfo]:
        """See Incoming."""
        await self._arrived()
        found = await self._stream.call("finish")
        self._is_whole = True
        return [FileInfo.from_wire(each) for each in found]

    async def discard(self) -> None:
        """See Incoming."""
        if self._ahead:
            self._ahead.cancel()
        await self._stream.end("" if self._is_whole else "discard")

    async def _arrived(self) -> None:
        ahead, self._ahead = self._ahead, None
        if ahead:
            await ahead


class _Stream:
    """A file on its way, at its host; see at_the_host.py."""

    def __init__(self, session_id: UUID) -> None:
        self._session_id = session_id
        self._id = secrets.token_urlsafe(16)
        # Says now and then that we are still here; None before the beginning.
        self._keeping: asyncio.Task[None] | None = None

    async def begin(
        self, do: str, patience_seconds: float = PATIENCE_SECONDS, **arguments: Any
    ) -> Any:
        """The first call of all."""
        answer = await self.call(do, patience_seconds, **arguments)
        self._keeping = asyncio.create_task(self._keep(), name="keep a stream open")
        return answer

    async def call(
        self, do: str, patience_seconds: float = PATIENCE_SECONDS, **arguments: Any
    ) -> Any:
        """Have the host do something with it."""
        arguments["stream"] = self._id
        return await _ask(self._session_id, do, patience_seconds, **arguments)

    async def end(self, do: str = "") -> None:
        """It is over; unless the host knows, it is told so with ``do``. Raises nothing."""
        if self._keeping:
            self._keeping.cancel()
        if do:
            with suppress(WorkbenchError):  # the host will notice
                await self.call(do, LAST_PATIENCE_SECONDS)

    def leave(self, do: str) -> None:
        """``end`` it, and do not wait for that."""
        goodbye = asyncio.create_task(self.end(do), name="end a stream")
        _goodbyes.add(goodbye)
        goodbye.add_done_callback(_goodbyes.discard)

    async def _keep(self) -> None:
        """Ends with the stream, or with an error: who uses it next will have that, too."""
        with suppress(WorkbenchError):
            while True:
                await asyncio.sleep(KEEP_SECONDS)
                await self.call("keep")


async def _open(
    session_id: UUID, do: str, patience_seconds: float = PATIENCE_SECONDS, **arguments: Any
) -> FarFile:
    stream = _Stream(session_id)
    try:
        wire = await stream.begin(do, patience_seconds, **arguments)
    except (asyncio.CancelledError, HostUnavailable):
        stream.leave("close")  # it may be opened all the same
        raise
    return FarFile(stream, FileInfo.from_wire(wire))


def _ahead(call: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """Begin a call that somebody will wait for, or not."""
    task = asyncio.create_task(call, name="a piece of a file")
    task.add_done_callback(_heard)
    return task


def _heard(task: asyncio.Task[Any]) -> None:
    """Whoever does not wait does not want to know what went wrong."""
    if not task.cancelled():
        task.exception()
