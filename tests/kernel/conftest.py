"""What the tests of the kernel side share."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sessions.kernels.host import Host
from tests.hosts import descendants, started_host


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    """A host that must not leave processes behind."""
    before = descendants(os.getpid())
    host = await started_host(tmp_path)
    yield host
    await host.stop()
    assert descendants(os.getpid()) <= before, "a process outlived its host"
