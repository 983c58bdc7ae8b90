"""Doing something once on a database that several machines share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg
from django.db import connection


@contextmanager
def alone(what: str) -> Iterator[None]:
    """While this is open, others who want the same wait. Raises OperationalError.

    Databases that are not shared have no need of it.
    """
    if connection.vendor != "postgresql":
        yield
        return
    with connection.wrap_database_errors:
        # One of its own: a thread's connection is given back after each statement, with its locks.
        own = psycopg.connect(**connection.get_connection_params(), autocommit=True)
    with closing(own):
        with connection.wrap_database_errors:
            own.execute("SELECT pg_advisory_lock(hashtext(%s))", [what])
        yield
