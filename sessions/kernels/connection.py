"""A connection to one socket of a kernel, read and written by the event loop itself."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections import deque
from collections.abc import Callable

from sessions.kernels import zmtp
from sessions.kernels.flow import Flow

logger = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 128 * 1024 * 1024
MESSAGES_IN_A_ROW = 16  # of one flooding socket, before anybody else has a turn
READ_BYTES = 64 * 1024  # at once: of frames that are empty, that is work enough
# That a kernel has not taken yet, before it is told nothing more.
MAX_UNSENT_BYTES = 16 * 1024 * 1024
RETRY_SECONDS = 0.1  # between two attempts to reach a socket


class Connection:
    """A peer of type ``socket_type`` (SUB or DEALER), from now until ``close``.

    ``on_frames`` is called with the frames of each message, ``on_lost`` once the connection was
    cut, by the other end or for what it sent; not after ``close``. With a ``flow`` what one read
    has brought is handled before the next, and nothing while it is closed: who says more waits.
    Without one (None) all is read at once, however much waits here to be handled.
    """

    def __init__(
        self,
        url: str,
        socket_type: str,
        *,
        identity: bytes,
        on_frames: Callable[[list[bytes]], None],
        on_lost: Callable[[], None],
        flow: Flow | None,
    ) -> None:
        self._scheme, _, address = url.partition("://")
        self._address = address if self._scheme == "ipc" else _host_and_port(address)
        self._on_frames = on_frames
        self._on_lost = on_lost
        self._flow = flow
        self._loop = asyncio.get_running_loop()
        self._reader = zmtp.Reader(MAX_MESSAGE_BYTES)
        self._unsent = bytearray(zmtp.opening(socket_type, identity))
        # What is sent once the other end is ready.
        self._held = bytearray(zmtp.SUBSCRIBE_TO_ALL if socket_type == "SUB" else b"")
        # What was read and not handled yet, and whether there comes no more.
        self._chunks: deque[bytes] = deque()
        self._is_over = False
        # None until there is a connection, and after its end.
        self._socket: socket.socket | None = None
        # Goes on with what has come after others had their turn; None if that is nothing.
        self._next: asyncio.Handle | None = None
        # None if the first attempt has succeeded.
        self._connecting: asyncio.Task[None] | None = None
        if flow is not None:
            flow.listen(self._handle)
        if self._scheme != "ipc" or self._connect_at_once():
            self._connecting = self._loop.create_task(self._connect(), name=f"connect to {url}")

    def send(self, frames: list[bytes]) -> bool:
        """Whether the message is on its way; it does not wait."""
        if len(self._unsent) + len(self._held) > MAX_UNSENT_BYTES:
            return False
        self._held += zmtp.message(frames)
        self._let_go()
        return True

    def close(self) -> None:
        """Hang up; what is not sent yet is not sent any more. Idempotent."""
        for waiting in (self._connecting, self._next):
            if waiting is not None:
                waiting.cancel()
        self._connecting = self._next = None
        if self._flow is not None:
            self._flow.unlisten(self._handle)
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket.close()
            self._socket = None

    # --- Internal -------------------------------------------------------------------------

    def _connect_at_once(self) -> int:
        """Connect to a file's socket: 0, or the number of the error."""
        connection = self._unconnected()
        error = connection.connect_ex(self._address)
        if error:
            connection.close()
        else:
            self._use(connection)
        return error

    async def _connect(self) -> None:
        """Those behind ports are tried until they answer: they bind when they like.

        A file was there when we were told of it, but may have too many who wait.
        """
        while self._scheme == "ipc":
            error = self._connect_at_once()
            if error != errno.EAGAIN:
                if error:
                    self._lose()
                return
            await asyncio.sleep(RETRY_SECONDS)
        while True:
            connection = self._unconnected()
            try:
                await self._loop.sock_connect(connection, self._address)
            except OSError:
                connection.close()
                await asyncio.sleep(RETRY_SECONDS)
            except BaseException:
                connection.close()
                raise
            else:
                self._use(connection)
                return

    def _unconnected(self) -> socket.socket:
        family = socket.AF_UNIX if self._scheme == "ipc" else socket.AF_INET
        connection = socket.socket(family, socket.SOCK_STREAM)
        connection.settimeout(0)
        if family == socket.AF_INET:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _use(self, connection: socket.socket) -> None:
        self._socket = connection
        self._loop.add_reader(connection, self._read)
        self._write()

    def _write(self) -> None:
        """Send what can be sent, the rest when there is room. A lost connection is read of."""
        if self._socket is None:
            return
        try:
            while self._unsent:
                sent = self._socket.send(self._unsent[:READ_BYTES])
                del self._unsent[:sent]
        except BlockingIOError:
            self._loop.add_writer(self._socket, self._write)
            return
        except OSError:
            self._unsent.clear()
        self._loop.remove_writer(self._socket)

    def _read(self) -> None:
        assert self._socket is not None
        try:
            data = self._socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._chunks.append(data)
        else:
            self._is_over = True
            self._loop.remove_reader(self._socket)
        if self._next is None:
            self._handle()

    def _handle(self) -> None:
        """Handle a few messages of what has come, and read on after the last of them."""
        if self._next is not None:
            self._next.cancel()
            self._next = None
        for _ in range(MESSAGES_IN_A_ROW):
            if self._socket is None:  # not yet, or not any more
                return
            if self._reader.is_ready and self._flow is not None and not self._flow.is_open:
                self._loop.remove_reader(self._socket)  # it calls us when it opens
                return
            try:
                frames = self._reader.next()
            except zmtp.WireError as error:
                logger.warning("hung up on a kernel: %s", error)
                self._lose()
                return
            if frames is not None:
                self._on_frames(frames)
            elif self._chunks:
                self._reader.feed(self._chunks.popleft())
            else:
                self._all_handled()
                return
        if self._socket is not None:
            if self._flow is not None:
                self._loop.remove_reader(self._socket)
            self._next = self._loop.call_soon(self._handle)

    def _all_handled(self) -> None:
        if self._is_over:
            self._lose()
            return
        self._answer()
        self._let_go()
        if self._socket is not None:
            self._loop.add_reader(self._socket, self._read)

    def _let_go(self) -> None:
        if self._reader.is_ready and self._held:
            self._unsent += self._held
            self._held.clear()
            self._write()

    def _answer(self) -> None:
        """Who asks for signs of life, and does not read them, gets no more of them."""
        answers = self._reader.answers
        if answers and len(self._unsent) <= MAX_UNSENT_BYTES:
            self._unsent += answers
            self._write()
        answers.clear()

    def _lose(self) -> None:
        self.close()
        self._on_lost()


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)
