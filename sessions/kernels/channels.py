"""The sockets of one kernel: what it is told, and what it says, a few messages at a time.

They are read from the event loop directly: zmq's own asyncio sockets make several futures and
turns of it for each message.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import zmq

from sessions.exceptions import KernelBusy
from sessions.kernels.flow import Flow
from sessions.kernels.messages import BadMessage, Message, MessageCodec

logger = logging.getLogger(__name__)

TYPES = {"iopub": zmq.SUB, "shell": zmq.DEALER, "stdin": zmq.DEALER, "control": zmq.DEALER}
MAX_MESSAGE_BYTES = 128 * 1024 * 1024
MESSAGES_IN_A_ROW = 16  # of one flooding socket, before anybody else has a turn
# Messages that are none, and bytes of them, before it is a flood; of the first few the log tells.
MAX_BAD_MESSAGES, MAX_BAD_BYTES, BAD_MESSAGES_LOGGED = 1_000, 64 * 1024 * 1024, 3
# Messages that wait in this process, of a kernel that waits itself beyond that. Few, as each may be large.
MOST_WAITING = 16
# For zmq: connect again in 12 days or more, when we have long hung up. Not -1, which means never:
# zmq 4.3.5 then drops what has arrived as soon as a connection ends, and ends our whole process if
# it had read only a part of a message (“Assertion failed: !_more”).
NEVER_MS = 2**30

_NOBLOCK, _EVENTS, _READABLE = int(zmq.NOBLOCK), int(zmq.EVENTS), int(zmq.POLLIN)


class Channels:
    """A kernel's sockets, each from ``open`` on, all until ``close``.

    ``on_message`` is called with a channel's name and each message on it; ``on_flood`` when what
    arrived was none too often; ``on_lost`` with the name of a channel whose connection was cut,
    by the kernel or because it sent more than MAX_MESSAGE_BYTES at once.
    """

    def __init__(
        self,
        name: str,
        context: zmq.Context[zmq.Socket[bytes]],
        codec: MessageCodec,
        *,
        identity: bytes,
        flow: Flow,
        on_message: Callable[[str, Message], None],
        on_flood: Callable[[], None],
        on_lost: Callable[[str], None],
    ) -> None:
        self._name = name
        self._context = context
        self._codec = codec
        self._identity = identity
        self._flow = flow
        self._on_message = on_message
        self._on_flood = on_flood
        self._on_lost = on_lost
        self._sockets: dict[str, _Socket] = {}
        # What arrived and was no message.
        self._bad_messages = self._bad_bytes = 0

    def open(self, channel: str, url: str, *, waits: bool = False) -> None:
        """Connect to a socket that the kernel has bound, or soon binds if it is no ``ipc`` one.

        ``waits``: the kernel waits if we do not take what it publishes. Others would drop it, so
        all of it is taken, however much that is.
        """
        socket = self._context.socket(TYPES[channel])
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
        if url.startswith("ipc://"):
            # By then code may have put something else, a link even, where its sockets were.
            socket.setsockopt(zmq.RECONNECT_IVL, NEVER_MS)
        if channel == "iopub":
            socket.setsockopt(zmq.RCVHWM, MOST_WAITING if waits else 0)
            socket.setsockopt(zmq.SUBSCRIBE, b"")
        else:
            # Input requests come to the stdin socket with the shell socket's identity.
            socket.setsockopt(zmq.IDENTITY, self._identity)
        self._sockets[channel] = _Socket(
            socket,
            url,
            on_frames=lambda frames: self._read(channel, frames),
            on_lost=lambda: self._on_lost(channel),
            flow=self._flow if waits else None,
        )

    def send(
        self,
        channel: str,
        msg_type: str,
        content: dict[str, Any],
        *,
        metadata: dict[str, Any] | None = None,
        buffers: list[bytes] | None = None,
        header: dict[str, Any] | None = None,
    ) -> str:
        """Send a message, and return its id. Raises KernelBusy if the kernel takes none."""
        msg_id, frames = self._codec.write(
            msg_type, content, metadata=metadata, buffers=buffers, header=header
        )
        socket = self._sockets.get(channel)
        if socket is None or not socket.send(frames):
            raise KernelBusy("The kernel does not take messages.")
        return msg_id

    def close(self) -> None:
        """Hang up. Idempotent."""
        for socket in self._sockets.values():
            socket.close()
        self._sockets.clear()

    def _read(self, channel: str, frames: list[bytes]) -> None:
        try:
            message = self._codec.read(frames)
        except BadMessage as error:
            self._count_bad(frames, error)
            return
        try:
            self._on_message(channel, message)
        except Exception:
            logger.exception("a message of kernel %s could not be handled", self._name)

    def _count_bad(self, frames: list[bytes], error: BadMessage) -> None:
        self._bad_messages += 1
        self._bad_bytes += sum(map(len, frames))
        if self._bad_messages <= BAD_MESSAGES_LOGGED:
            logger.warning("dropped a bad message of kernel %s: %s", self._name, error)
        if self._bad_messages > MAX_BAD_MESSAGES or self._bad_bytes > MAX_BAD_BYTES:
            self._on_flood()


class _Socket:
    """A connected zmq socket that is read whenever something is there.

    Its descriptor tells of changes only, and whatever is done with the socket may swallow that
    news: so it is asked after each time.
    """

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        url: str,
        *,
        on_frames: Callable[[list[bytes]], None],
        on_lost: Callable[[], None],
        flow: Flow | None,
    ) -> None:
        self._socket = socket
        # None: whatever comes is taken.
        self._flow = flow
        if flow is not None:
            flow.listen(self._read_soon)
        self._on_frames = on_frames
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        # What goes on reading after others had their turn; None if nothing is left.
        self._next: asyncio.Handle | None = None
        # Tells that the connection has ended, which the socket itself does not.
        self._monitor = socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self._loop.add_reader(self._monitor, self._read_monitor)
        self._loop.add_reader(socket, self._read)
        socket.connect(url)
        # Nobody is told of what comes before the first look.
        self._read_monitor()
        self._read_soon()

    def send(self, frames: list[bytes]) -> bool:
        """Whether zmq takes the message; it does not wait."""
        try:
            self._socket.send_multipart(frames, _NOBLOCK)
        except zmq.Again:
            return False
        finally:
            self._read_soon()
        return True

    def close(self) -> None:
        for socket in (self._socket, self._monitor):
            self._loop.remove_reader(socket)
        if self._next is not None:
            self._next.cancel()
        if self._flow is not None:
            self._flow.unlisten(self._read_soon)
        # Before its other end goes: zmq's only thread would wait for ever to tell it more.
        self._socket.disable_monitor()
        self._monitor.close(linger=0)
        self._socket.close(linger=0)

    def _read(self) -> None:
        for _ in range(MESSAGES_IN_A_ROW):
            if not self._has_more():
                return
            self._on_frames(self._socket.recv_multipart(_NOBLOCK))
        self._read_soon()

    def _read_soon(self) -> None:
        if self._next is None and self._has_more():
            self._next = self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        self._next = None
        self._read()

    def _has_more(self) -> bool:
        """Whether something is there, and may be taken; the socket is asked in any case."""
        is_readable = bool(int(self._socket.getsockopt(_EVENTS)) & _READABLE)
        return is_readable and (self._flow is None or self._flow.is_open)

    def _read_monitor(self) -> None:
        if int(self._monitor.getsockopt(_EVENTS)) & _READABLE:
            self._monitor.recv_multipart(_NOBLOCK)
            self._on_lost()
