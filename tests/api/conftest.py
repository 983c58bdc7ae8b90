"""What tests of the API share."""

from __future__ import annotations

import pytest

from sessions.models import Session
from tests.api.sockets import ended_session


@pytest.fixture
async def session(host: None) -> Session:
    """A session named "s" that has ended; its notebook lives on."""
    return await ended_session("s")
