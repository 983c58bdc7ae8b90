"""What tests of the API share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from sessions.engines import close_engine
from sessions.models import Session
from tests.api.sockets import ended_session
from workbench.access import callers
from workbench.access.failures import Failures


@pytest.fixture(autouse=True)
def cheap_passwords(settings) -> None:
    """A hash that takes a fifth of a second is for those who guess; tests make many users."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
async def session(host: None) -> Session:
    """A session named "s" that has ended; its notebook lives on."""
    return await ended_session("s")


@pytest.fixture
def closed(host, settings, monkeypatch):
    """A server that lets in only whom it knows; nobody was wrong before, or is remembered."""
    settings.WORKBENCH_IS_OPEN = False
    monkeypatch.setattr(callers, "_failures", Failures(most=10_000, seconds=60))
    for memory in ("_known", "_seen"):
        monkeypatch.setattr(callers, memory, type(callers._known)())


@pytest.fixture(params=["disk", "host"])
async def place(request, settings) -> AsyncIterator[str]:
    """Files read and written by this process, or by a kernel host for it."""
    if request.param == "host":
        settings.WORKBENCH_FILES_THROUGH_HOST = True
        settings.WORKBENCH_ENGINE = "inline"
        settings.WORKBENCH_FORK_KERNELS = False
    yield request.param
    await close_engine()
