"""A thread that reads a socket whose other end drops what is not taken at once."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable

READ_BYTES = 64 * 1024  # at once
# That wait here to be handled, before the other end has to wait, or drops what it says.
MAX_WAITING_BYTES = 256 * 1024 * 1024


class ReadAhead:
    """What comes on a connected, non-blocking socket, read whatever the event loop is doing.

    ``on_more`` is called in the thread when there is something to ``take`` and was nothing.
    """

    def __init__(self, connection: socket.socket, on_more: Callable[[], None]) -> None:
        self._connection = connection
        self._on_more = on_more
        self._waiting = bytearray()
        self._is_over = False  # there comes no more
        self._is_closed = False
        self._changed = threading.Condition()
        # A socket of its own: the number of one that was closed soon is another file's.
        arguments = (connection.dup(),)
        threading.Thread(target=self._run, args=arguments, name="read ahead", daemon=True).start()

    def take(self) -> bytes | None:
        """Some of what has come: empty at the end, None if that is nothing yet."""
        with self._changed:
            if not self._waiting:
                return b"" if self._is_over else None
            taken = bytes(self._waiting[:READ_BYTES])
            del self._waiting[:READ_BYTES]
            self._changed.notify()
            return taken

    def close(self) -> None:
        """Hang up, and let the thread end. Idempotent; to be called before the socket's own."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        with contextlib.suppress(OSError):  # the other end was first
            self._connection.shutdown(socket.SHUT_RDWR)

    # --- Internal: in the thread ------------------------------------------------------------

    def _run(self, connection: socket.socket) -> None:
        with connection:
            poll = select.poll()
            poll.register(connection, select.POLLIN)
            while self._has_room():
                poll.poll()
                try:
                    data = connection.recv(READ_BYTES)
                except OSError:
                    data = b""
                self._put(data)

    def _has_room(self) -> bool:
        """Wait until there is; whether to read on then."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._is_closed or len(self._waiting) < MAX_WAITING_BYTES
            )
            return not self._is_closed and not self._is_over

    def _put(self, data: bytes) -> None:
        with self._changed:
            was_empty = not self._waiting
            self._waiting += data
            self._is_over = not data
        if was_empty and not self._is_closed:
            self._on_more()
