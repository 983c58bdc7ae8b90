"""What web processes and a host say to each other: msgpack frames on a Unix stream.

A stream rather than ZeroMQ sockets: each end learns at once that the other has gone, which a
request must, and one connection carries calls, answers and notices in order.

To the host:    {"id": int, "verb": str, "arguments": {…}}   a call
                {"subscribe": topic} | {"unsubscribe": topic}
From the host:  {"id": int, "result": …} | {"id": int, "error": WorkbenchError.to_wire()}
                {"notices": {topic: newest number}}
Each frame is its length in bytes (4, big endian), then that many bytes of msgpack.
"""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import msgpack

MAX_FRAME_BYTES = 512 * 1024 * 1024

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


async def read(reader: asyncio.StreamReader) -> dict[str, Any] | None:
    """The next message; None when the other end has gone. Raises ValueError for no message."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        if length > MAX_FRAME_BYTES:
            raise ValueError(f"a frame of {length} bytes")
        message = msgpack.unpackb(await reader.readexactly(length))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    if not isinstance(message, dict):
        raise ValueError("not a message")
    return message
