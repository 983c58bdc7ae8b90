"""Django's PostgreSQL, where a thread has a connection only while it reads or writes.

Django keeps a connection for each thread until the request ends. Here requests wait for code, sockets
and streams stay open for hours, and threads of the host live as long as it does: a hundred of them
would take all that a PostgreSQL has, and find theirs broken after it was restarted. So a connection
is borrowed for a statement or a transaction, and given back with its end.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

import psycopg
from django.db.backends.base.base import NO_DB_ALIAS
from django.db.backends.postgresql import base
from django.db.backends.utils import CursorDebugWrapper, CursorWrapper

from workbench.postgresql.pool import Pool

# What the server is told for each connection. A machine that loses its power or its cable says no
# more: its transaction would keep its locks, and others wait for these, for a quarter of an hour or
# more. Here nobody who is well is silent in a transaction for longer than some milliseconds.
FOR_THE_SERVER = {
    "idle_in_transaction_session_timeout": "5s",
    # As the settings have it for the other end: gone after half a minute, in a transaction or not.
    "tcp_keepalives_idle": "15",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "30s",
}


class DatabaseWrapper(base.DatabaseWrapper):
    """One thread's way to the database. ``OPTIONS["pool"]["most"]``: connections of the process."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Cursors whose rows may still be wanted. Some are forgotten rather than closed.
        self._cursors: WeakSet[CursorWrapper] = WeakSet()
        self._is_connecting = False

    @property
    def pool(self) -> Pool | None:
        """What the connections of all threads come from; None for those to no database of ours."""
        if self.alias == NO_DB_ALIAS:
            return None
        pools: dict[str, Pool] = self._connection_pools  # type: ignore[attr-defined]  # stubs lack it
        if self.alias not in pools:
            pools.setdefault(
                self.alias, Pool(self._connect, **self.settings_dict["OPTIONS"]["pool"])
            )
        return pools[self.alias]

    def connect(self) -> None:
        """Borrow a connection. Raises OperationalError if there is none."""
        self._is_connecting = True
        try:
            super().connect()
        finally:
            self._is_connecting = False

    def set_autocommit(self, autocommit: bool, *args: Any, **kwargs: Any) -> None:  # noqa: FBT001  # Django's
        """As Django's, which ends each transaction with it."""
        super().set_autocommit(autocommit, *args, **kwargs)
        self._give_back()

    def make_cursor(self, cursor: Any) -> CursorWrapper:
        """Around a cursor of the driver's."""
        noted = _Cursor(cursor, self)
        self._cursors.add(noted)
        return noted

    def make_debug_cursor(self, cursor: Any) -> CursorDebugWrapper:
        """The same, where statements are logged."""
        noted = _DebugCursor(cursor, self)
        self._cursors.add(noted)
        return noted

    def cursor_closed(self, cursor: CursorWrapper) -> None:
        """Called by a cursor when nothing more is wanted of it."""
        self._cursors.discard(cursor)
        self._give_back()

    def _give_back(self) -> None:
        is_needed = self._is_connecting or self.in_atomic_block or not self.autocommit
        if self.connection is not None and not is_needed and not self._cursors:
            self.close()

    def _connect(self) -> psycopg.Connection[Any]:
        connection = psycopg.connect(**self.get_connection_params(), autocommit=True)
        self._configure_connection(connection)
        return connection

    def _configure_connection(self, connection: psycopg.Connection[Any]) -> bool:
        """As Django's. Not as an option of the connection's: PgBouncer refuses those."""
        set_all = ", ".join(["set_config(%s, %s, false)"] * len(FOR_THE_SERVER))
        values = [text for pair in FOR_THE_SERVER.items() for text in pair]
        connection.execute(f"SELECT {set_all}", values)
        super()._configure_connection(connection)  # type: ignore[misc]  # stubs lack it
        return True  # what is set in a transaction is to be committed


class _Closing:
    """Mixin: the database hears of it when a cursor is closed."""

    def close(self: Any) -> None:
        try:
            self.cursor.close()
        finally:
            self.db.cursor_closed(self)


class _Cursor(_Closing, CursorWrapper):
    pass


class _DebugCursor(_Closing, CursorDebugWrapper):
    pass
