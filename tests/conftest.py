"""What all tests share."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from django.test import AsyncClient

from sessions.engines import close_engine

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As when a shell runs the tests in the background. The server's programs would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, settings) -> Path:
    """A data directory of the test's own."""
    settings.WORKBENCH_DATA_DIR = tmp_path / "data"
    return settings.WORKBENCH_DATA_DIR


@pytest.fixture
async def host(settings, transactional_db) -> AsyncIterator[None]:
    """A kernel host in this process, ended with the test, its sessions and kernels too."""
    settings.WORKBENCH_ENGINE = "inline"
    # A process that imports everything once is worth it from the second session on.
    settings.WORKBENCH_FORK_KERNELS = False
    yield
    await close_engine()


@pytest.fixture
def api(host) -> Iterator[AsyncClient]:
    """A client of the REST doors, with real kernels behind them."""
    return AsyncClient()
