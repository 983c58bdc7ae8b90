"""A database that takes nothing, because somebody else writes and takes long."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import connection


@contextmanager
def locked_database() -> Iterator[None]:
    """Hold the one lock that SQLite has for writers."""
    # PostgreSQL has no lock that keeps all writers waiting.
    if connection.vendor != "sqlite":
        pytest.skip("only SQLite has one writer")
    other = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)
    try:
        other.execute("begin immediate")
        yield
    finally:
        other.close()
