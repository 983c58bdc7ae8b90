"""The connections that a process has to a PostgreSQL, lent to one thread at a time.

psycopg's own pool connects in the background, and waits longer after each failure: it takes its
whole timeout to say that a database is away, does not say why, and is still failing seconds after the
database is back. Here who borrows finds out, at once.
"""

from __future__ import annotations

import select
import time
from collections import deque
from collections.abc import Callable
from threading import BoundedSemaphore, Lock
from typing import Any, NamedTuple

import psycopg
from psycopg.pq import TransactionStatus

Connection = psycopg.Connection[Any]

# How long to wait for a connection while all are lent.
WAIT_SECONDS = 5.0
# Connections that nobody has needed for so long are closed, when another is given back.
IDLE_SECONDS = 60.0
# A connection is replaced after so long: its process on the server grows, and the name of the server
# may lead elsewhere by then.
LIFE_SECONDS = 1800.0


class _Idle(NamedTuple):
    connection: Connection
    since: float


class Pool:
    """At most ``most`` connections, made by ``connect`` when there is none to lend.

    Has what Django calls on a pool of psycopg's.
    """

    def __init__(self, connect: Callable[[], Connection], *, most: int) -> None:
        self._connect, self._most = connect, most
        self._room = BoundedSemaphore(most)
        self._lock = Lock()
        # The last one given back is lent first, so that those that are not needed come to age.
        self._idle: deque[_Idle] = deque()
        self._made: dict[Connection, float] = {}
        self._is_closed = False

    def open(self) -> None:
        """Nothing: connections are made when somebody needs them."""

    def getconn(self) -> Connection:
        """Borrow a connection that works. Raises psycopg.OperationalError if there is none."""
        if not self._room.acquire(timeout=WAIT_SECONDS):
            raise psycopg.OperationalError(f"all {self._most} connections are in use")
        try:
            connection = self._take() or self._new()
        except BaseException:
            self._room.release()
            raise
        # Where Django looks for whom to give it back to.
        connection._pool = self  # type: ignore[assignment]  # declared as psycopg's own
        return connection

    def putconn(self, connection: Connection) -> None:
        """Give back what was borrowed, in whatever state it is."""
        connection._pool = None
        try:
            if unneeded := self._keep(connection):
                self._forget(unneeded)
        finally:
            self._room.release()

    def close(self) -> None:
        """Close what is not lent; what is lent is closed when it comes back."""
        with self._lock:
            self._is_closed = True
            idle = [each.connection for each in self._idle]
            self._idle.clear()
        for connection in idle:
            self._forget(connection)

    def _keep(self, connection: Connection) -> Connection | None:
        """Keep a connection for the next one; what is to be closed instead, if anything."""
        is_free = connection.pgconn.transaction_status == TransactionStatus.IDLE
        now = time.monotonic()
        with self._lock:
            is_young = now - self._made[connection] < LIFE_SECONDS
            if self._is_closed or not (is_free and is_young):
                return connection
            self._idle.append(_Idle(connection, now))
            is_needed = now - self._idle[0].since < IDLE_SECONDS
            return None if is_needed else self._idle.popleft().connection

    def _take(self) -> Connection | None:
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection = self._idle.pop().connection
            if _works(connection):
                return connection
            self._forget(connection)

    def _new(self) -> Connection:
        connection = self._connect()
        with self._lock:
            self._made[connection] = time.monotonic()
        return connection

    def _forget(self, connection: Connection) -> None:
        with self._lock:
            self._made.pop(connection, None)
        connection.close()


def _works(connection: Connection) -> bool:
    """Whether the server has not ended a connection meanwhile. Asks it only if it has said something."""
    try:
        looking = select.poll()
        looking.register(connection.fileno(), select.POLLIN)
        if looking.poll(0):
            connection.execute("")
    except psycopg.Error:
        return False
    return True
