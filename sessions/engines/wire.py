"""What web processes and a host say to each other: msgpack frames on a Unix stream.

A stream rather than ZeroMQ sockets: each end learns at once that the other has gone, which a
request must, and one connection carries calls, answers and notices in order.

To the host:    {"id": int, "verb": str, "arguments": {…}}   a call; "request" is the
                  id of the request it is for, "asker" a trace.Asker: for log and audit
                {"subscribe": topic} | {"unsubscribe": topic}
From the host:  {"id": int, "result": …} | {"id": int, "error": WorkbenchError.to_wire()}
                {"notices": {topic: newest number}}
Each frame is its length in bytes (4, big endian), then that many bytes of msgpack.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Callable
from typing import Any

import msgpack

logger = logging.getLogger(__name__)

MAX_FRAME_BYTES = 512 * 1024 * 1024
MAX_UNREAD_BYTES = MAX_FRAME_BYTES  # that wait for the other end when there is more to say

_LENGTH = struct.Struct(">I")


def pack(message: dict[str, Any]) -> bytes:
    """One message as a frame. Raises ValueError for what cannot be said in one."""
    try:
        body: bytes = msgpack.packb(message)
    except OverflowError as error:  # an integer of more than 64 bits
        raise ValueError(str(error)) from error
    if len(body) > MAX_FRAME_BYTES:
        raise ValueError(f"a message of {len(body)} bytes")
    return _LENGTH.pack(len(body)) + body


class Peer(asyncio.Protocol):
    """One end of a connection: messages come in, messages go out, until one end hangs up.

    ``receive`` is called with each message; a ValueError of its, as of anything that is none, ends
    the connection. ``lost`` is called once, when it has ended.
    """

    def __init__(
        self, receive: Callable[[dict[str, Any]], None], lost: Callable[[], None], *, other: str
    ) -> None:
        self._receive = receive
        self._lost = lost
        self._other = other  # who the other end is, for the log
        # Set when there is a connection.
        self._transport: asyncio.Transport | None = None
        # What has arrived of messages that are not whole yet.
        self._arrived = bytearray()
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def is_open(self) -> bool:
        """What is sent now may arrive."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, message: dict[str, Any]) -> None:
        """Send a message, if the other end is still there.

        Raises ValueError for what cannot be said. Who leaves MAX_UNREAD_BYTES unread has hung, and
        is hung up on.
        """
        frame = pack(message)
        if self._transport is None or self._transport.is_closing():
            return
        if self._transport.get_write_buffer_size() > MAX_UNREAD_BYTES:
            logger.error("hung up on %s, which does not read", self._other)
            self._transport.abort()
            return
        self._transport.write(frame)

    def hang_up(self) -> None:
        """Send what was said before, and nothing more."""
        if self._transport is not None:
            self._transport.close()

    async def ended(self, timeout_seconds: float) -> None:
        """Return when the connection has ended; it ends after that time at the latest."""
        await asyncio.wait({self._ended}, timeout=timeout_seconds)
        if self._transport is not None:
            self._transport.abort()

    # --- asyncio.Protocol -----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called once, before everything else."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Called with each piece of the stream."""
        self._arrived += data
        try:
            while self.is_open and (message := self._next_message()) is not None:
                self._receive(message)
        except ValueError as error:
            logger.warning("hung up on %s: %s", self._other, error)
            self.hang_up()

    def connection_lost(self, error: Exception | None) -> None:
        """Called once, after everything else."""
        self._arrived.clear()
        if not self._ended.done():
            self._ended.set_result(None)
        self._lost()

    def _next_message(self) -> dict[str, Any] | None:
        if len(self._arrived) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._arrived)
        if length > MAX_FRAME_BYTES:
            raise ValueError(f"a frame of {length} bytes")
        end = _LENGTH.size + length
        if len(self._arrived) < end:
            return None
        with memoryview(self._arrived)[_LENGTH.size : end] as frame:
            message = msgpack.unpackb(frame)
        del self._arrived[:end]
        if not isinstance(message, dict):
            raise ValueError("not a message")
        return message
