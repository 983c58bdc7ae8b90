"""A plugin of pytest's: the tests, and the servers that they start, have a PostgreSQL of their own.

``python -m pytest -p tests.on_postgres tests/api/test_recorder.py``
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from uuid import uuid4

import pytest

from tests.running import RunningServer
from tests.services.postgres import PostgresServer

_SERVER = pytest.StashKey[PostgresServer]()


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Start it before Django reads its settings."""
    early_config.stash[_SERVER] = server = PostgresServer()
    early_config.add_cleanup(server.remove)
    os.environ["WORKBENCH_DATABASE_URL"] = server.start().url()

    @cache
    def database_of(data_dir: Path) -> dict[str, str]:
        return {"WORKBENCH_DATABASE_URL": server.database(uuid4().hex)}

    RunningServer.more_settings = database_of


def pytest_sessionfinish(session: pytest.Session) -> None:
    """End it before somebody looks for what the tests have left behind."""
    session.config.stash[_SERVER].remove()
