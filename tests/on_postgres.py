"""A plugin of pytest's, for the tests that it is given: the database is a PostgreSQL of their own.

``python -m pytest -p tests.on_postgres tests/api/test_recorder.py``
"""

from __future__ import annotations

import os

import pytest

from tests.services.postgres import PostgresServer

_SERVER = pytest.StashKey[PostgresServer]()


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Start it before Django reads its settings."""
    early_config.stash[_SERVER] = server = PostgresServer()
    early_config.add_cleanup(server.remove)
    os.environ["WORKBENCH_DATABASE_URL"] = server.start().url()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """End it before somebody looks for what the tests have left behind."""
    session.config.stash[_SERVER].remove()
