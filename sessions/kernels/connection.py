"""A connection to one socket of a kernel, read and written by the event loop itself."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Callable

from sessions.kernels import unix_sockets, zmtp
from sessions.kernels.flow import Flow
from sessions.kernels.read_ahead import ReadAhead

logger = logging.getLogger(__name__)

MESSAGES_IN_A_ROW = 16  # of one flooding socket, commands too, before anybody else has a turn
READ_BYTES = 64 * 1024  # in a turn: of frames that are empty, that is work enough
# That a kernel has not taken yet, before it is told nothing more.
MAX_UNSENT_BYTES = 16 * 1024 * 1024
RETRY_SECONDS = 0.1  # between two attempts to reach a socket


class Connection:
    """A peer of type ``socket_type`` (SUB or DEALER), from now until ``close``.

    ``on_frames`` is called with the frames of each message, ``on_lost`` once the connection was
    cut, by the other end or for what it sent; not after ``close``. What one read has brought is
    handled before the next, and nothing while ``flow`` is closed (None: it never is): who says more
    waits. With ``reads_ahead`` hardly anybody does: a thread reads far ahead. A message of more
    than ``max_bytes`` cuts the connection.
    """

    def __init__(
        self,
        url: str,
        socket_type: str,
        *,
        identity: bytes,
        max_bytes: int,
        on_frames: Callable[[list[bytes]], None],
        on_lost: Callable[[], None],
        flow: Flow | None = None,
        reads_ahead: bool = False,
    ) -> None:
        # Of a socket's file; None for one behind a port.
        self._path = url.removeprefix("ipc://") if url.startswith("ipc://") else None
        self._url = url
        self._on_frames = on_frames
        self._on_lost = on_lost
        self._flow = flow
        self._loop = asyncio.get_running_loop()
        self._reader = zmtp.Reader(max_bytes)
        self._unsent = bytearray(zmtp.opening(socket_type, identity))
        # What is sent once the other end is ready.
        self._held = bytearray(zmtp.SUBSCRIBE_TO_ALL if socket_type == "SUB" else b"")
        self._is_closed = False
        # None until there is a connection, and after its end.
        self._socket: socket.socket | None = None
        # None unless it reads ahead.
        self._ahead: ReadAhead | None = None
        self._reads_ahead = reads_ahead
        # Goes on with what has come after others had their turn; None if that is nothing.
        self._next: asyncio.Handle | None = None
        # None if the first attempt has succeeded.
        self._connecting: asyncio.Task[None] | None = None
        if flow is not None:
            flow.listen(self._handle_soon)
        if self._path is None or self._connect_at_once(self._path):
            self._connecting = self._loop.create_task(self._connect(), name=f"connect to {url}")

    def send(self, frames: list[bytes]) -> bool:
        """Whether the message is on its way; it does not wait."""
        if self._is_closed or len(self._unsent) + len(self._held) > MAX_UNSENT_BYTES:
            return False
        self._held += zmtp.message(frames)
        self._let_go()
        return True

    def close(self) -> None:
        """Hang up; what is not sent yet is not sent any more. Idempotent."""
        self._is_closed = True
        for waiting in (self._connecting, self._next):
            if waiting is not None:
                waiting.cancel()
        self._connecting = self._next = None
        if self._flow is not None:
            self._flow.unlisten(self._handle_soon)
        if self._ahead is not None:
            self._ahead.close()
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket.close()
            self._socket = None

    # --- Internal -------------------------------------------------------------------------

    def _connect_at_once(self, path: str) -> int:
        """Connect to a file's socket: 0, or the number of the error."""
        connection = unix_sockets.unconnected()
        error = unix_sockets.connect(connection, path)
        if error:
            connection.close()
        else:
            self._use(connection)
        return error

    async def _connect(self) -> None:
        """Those behind ports are tried until they answer: they bind when they like.

        A file was there when we were told of it, but may have too many who wait.
        """
        while self._path is not None:
            error = self._connect_at_once(self._path)
            if error != errno.EAGAIN:
                if error:
                    self._lose()
                return
            await asyncio.sleep(RETRY_SECONDS)
        while True:
            connection = socket.socket()
            connection.setblocking(False)  # noqa: FBT003 - takes no name
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                await self._loop.sock_connect(connection, _host_and_port(self._url))
            except OSError:
                connection.close()
                await asyncio.sleep(RETRY_SECONDS)
            except BaseException:
                connection.close()
                raise
            else:
                self._use(connection)
                return

    def _use(self, connection: socket.socket) -> None:
        self._socket = connection
        if self._reads_ahead:
            self._ahead = ReadAhead(connection, self._handle_from_thread)
        else:
            self._loop.add_reader(connection, self._handle)
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

    def _handle_soon(self) -> None:
        if self._next is None and self._socket is not None:
            self._next = self._loop.call_soon(self._handle)

    def _handle_from_thread(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._handle_soon)

    def _handle(self) -> None:
        """Handle what has come, a few messages or one read of it, and go on after others."""
        if self._next is not None:
            self._next.cancel()
            self._next = None
        has_read = False
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
            if frames:
                self._on_frames(frames)
            elif frames is not None:
                self._answer()
                self._let_go()
            elif has_read:
                self._read_later()
                return
            elif not self._feed(self._socket):
                return
            else:
                has_read = True
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._handle_soon()

    def _feed(self, connection: socket.socket) -> bool:
        """Whether the reader got more; if not, we are called when more has come."""
        data = _receive(connection) if self._ahead is None else self._ahead.take()
        if data:
            self._reader.feed(data)
        elif data is not None:
            self._lose()
        elif self._ahead is None:
            self._loop.add_reader(connection, self._handle)
        return bool(data)

    def _read_later(self) -> None:
        """Everything read is handled; there may be more."""
        if self._ahead is not None:
            self._handle_soon()
        elif self._socket is not None:
            self._loop.add_reader(self._socket, self._handle)

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


def _receive(connection: socket.socket) -> bytes | None:
    """What has come: empty at the end, None if that is nothing yet."""
    try:
        return connection.recv(READ_BYTES)
    except BlockingIOError:
        return None
    except OSError:
        return b""


def _host_and_port(url: str) -> tuple[str, int]:
    host, _, port = url.partition("://")[2].rpartition(":")
    return host, int(port)
