"""The bytes of files on their way in and out, piece by piece: what faces hold of both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from typing import BinaryIO, Protocol

from files.info import FileInfo
from files.workspaces import in_thread
from sessions.exceptions import Conflict

# Bytes read or written between two turns of the event loop.
PIECE_BYTES = 256 * 1024


class Readable(Protocol):
    """What is read like an open binary file: Django's uploaded files are."""

    def read(self, size: int, /) -> bytes: ...


class Download(Protocol):
    """An open file on its way out: what it is, and its bytes.

    It stays the same file when the name is deleted or replaced meanwhile. Iterate ``chunks`` to
    its end or call ``close``; either closes the file.
    """

    @property
    def info(self) -> FileInfo:
        """What it was when it was opened."""

    def chunks(self, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from ``start`` up to, not including, ``end``, in pieces.

        ``end`` None: up to ``info.size_bytes``; a file that grows meanwhile is not read further.
        Use it once: the file is closed at the end, also when the iteration is given up. Raises
        Conflict if the file became shorter, so that a cut answer never looks whole.
        """

    def close(self) -> None:
        """Close the file, from whatever thread; does nothing the second time."""


class Incoming(Protocol):
    """Files on their way in: ``begin``, ``write`` …, ``finish``; ``discard`` in every case."""

    # What ``write`` is best called with.
    piece_bytes: int

    async def begin(self) -> None:
        """Look whether they may be written. Raises as ``save_file``."""

    async def write(self, number: int, piece: bytes) -> None:
        """Add bytes to one of them; those before it are whole. Raises as ``save_file``."""

    async def finish(self) -> list[FileInfo]:
        """Give all of them their names. Raises as ``save_file``."""

    async def discard(self) -> None:
        """Without ``finish`` nothing remains of them; after it nothing happens."""


class OpenFile:
    """A download from this machine's disk."""

    def __init__(self, info: FileInfo, file: BinaryIO) -> None:
        self.info = info
        self._file = file

    async def read(self, position: int, size: int) -> bytes:
        """Up to ``size`` bytes from ``position`` on; one call at a time. Raises Conflict."""
        piece = await in_thread(_read_at, self._file, position, size)
        if not piece:
            raise Conflict("The file became shorter while it was read.")
        return piece

    async def chunks(self, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """See Download."""
        end = self.info.size_bytes if end is None else min(end, self.info.size_bytes)
        position = start
        try:
            while position < end:
                piece = await self.read(position, min(PIECE_BYTES, end - position))
                position += len(piece)
                yield piece
        finally:
            self.close()

    def close(self) -> None:
        """See Download."""
        self._file.close()


async def opened(open_file: Callable[[], tuple[BinaryIO, FileInfo]]) -> OpenFile:
    """What a thread opens; closed again if nobody waits for it any more."""
    opening = asyncio.ensure_future(in_thread(open_file))
    try:
        file, info = await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_close)  # the thread cannot be stopped
        raise
    return OpenFile(info, file)


async def pieces(source: Readable | AsyncIterable[bytes], size: int) -> AsyncGenerator[bytes, None]:
    """What a source has, piece by piece; ``size`` is theirs unless the source makes them."""
    if isinstance(source, AsyncIterable):
        async for piece in source:
            yield piece
        return
    while piece := await in_thread(source.read, size):
        yield piece


def _read_at(file: BinaryIO, position: int, size: int) -> bytes:
    file.seek(position)
    return file.read(size)


def _close(opening: asyncio.Future[tuple[BinaryIO, FileInfo]]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result()[0].close()
