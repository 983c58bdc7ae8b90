"""Unix sockets towards code in a session, which has put them where they are."""

from __future__ import annotations

import errno
import os
import socket
from functools import cache

_SO_PASSRIGHTS = 83  # since Linux 6.16; Python has no name for it


def unconnected() -> socket.socket:
    """A socket that does not block, and takes no descriptors where the machine can do that.

    Unwanted ones are closed by who reads the message they come with, or closes the socket. That
    takes as long as the sender likes: the last close of a TCP connection may linger (SO_LINGER).
    """
    connection = socket.socket(socket.AF_UNIX)
    connection.setblocking(False)  # noqa: FBT003 - takes no name
    _refuse_descriptors(connection)
    return connection


def connect(connection: socket.socket, path: str) -> int:
    """Connect to the socket at ``path``, if it is one and no link: 0, or the number of the error."""
    try:
        file = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        return error.errno or errno.EIO
    try:
        return connection.connect_ex(f"/proc/self/fd/{file}")
    finally:
        os.close(file)


@cache
def can_refuse_descriptors() -> bool:
    """Whether this machine can; if not, sessions/kernels/syscalls.py lets nobody linger."""
    with socket.socket(socket.AF_UNIX) as connection:
        return _refuse_descriptors(connection)


def _refuse_descriptors(connection: socket.socket) -> bool:
    try:
        connection.setsockopt(socket.SOL_SOCKET, _SO_PASSRIGHTS, 0)
    except OSError:
        return False
    return True
