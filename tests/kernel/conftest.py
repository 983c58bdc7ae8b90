"""What the tests of the kernel side share."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sessions.kernels.host import Host
from tests.hosts import descendants, newcomers, started_host


@pytest.fixture
def before() -> dict[int, str]:
    """The processes that lived below this one when the test began."""
    return descendants(os.getpid())


@pytest.fixture
async def host(tmp_path: Path, before: dict[int, str]) -> AsyncIterator[Host]:
    """A host that must not leave processes behind."""
    host = await started_host(tmp_path)
    yield host
    await host.stop()
    assert not newcomers(before), "a process outlived its host"
