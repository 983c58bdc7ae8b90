"""A thread that reads a socket whose other end drops what is not taken at once."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections import deque
from collections.abc import Callable

READ_BYTES = 64 * 1024  # at once
# That wait here to be handled, before the other end has to wait, or drops what it says.
MAX_WAITING_BYTES = 256 * 1024 * 1024


class ReadAhead:
    """What comes on a connected, non-blocking socket, read also while the event loop is busy.

    ``on_more`` is called in the thread when there is something to ``take`` and was nothing.
    """

    def __init__(self, connection: socket.socket, on_more: Callable[[], None]) -> None:
        self._connection = connection
        self._on_more = on_more
        # The last piece grows to READ_BYTES: many small ones would take more than their bytes.
        self._pieces: deque[bytearray] = deque()
        self._waiting = 0  # bytes
        self._is_over = False  # there comes no more
        self._is_closed = False
        self._changed = threading.Condition()
        # A socket of its own: the number of one that was closed soon is another file's.
        arguments = (connection.dup(),)
        threading.Thread(target=self._run, args=arguments, name="read ahead", daemon=True).start()

    def take(self) -> bytes | None:
        """Some of what has come: empty at the end, None if that is nothing yet."""
        with self._changed:
            if not self._pieces:
                return b"" if self._is_over else None
            taken = bytes(self._pieces.popleft())
            self._waiting -= len(taken)
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
                try:
                    data = connection.recv(READ_BYTES)
                except BlockingIOError:
                    poll.poll()
                    continue
                except OSError:
                    data = b""
                self._put(data)

    def _has_room(self) -> bool:
        """Wait until there is; whether to read on then."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._waiting < MAX_WAITING_BYTES)
            return not self._is_closed and not self._is_over

    def _put(self, data: bytes) -> None:
        with self._changed:
            was_empty = not self._pieces
            if not data:
                self._is_over = True
            elif was_empty or len(self._pieces[-1]) + len(data) > READ_BYTES:
                self._pieces.append(bytearray(data))
            else:
                self._pieces[-1] += data
            self._waiting += len(data)
        if was_empty and not self._is_closed:
            self._on_more()
