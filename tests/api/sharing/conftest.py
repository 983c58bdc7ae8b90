"""An owner with a session, on a closed server."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model

from sessions.models import Session
from tests.api.sharing.links import PASSWORD, live_session


@pytest.fixture
async def owner() -> Any:
    return await get_user_model().objects.acreate_user("ada", password=PASSWORD)


@pytest.fixture
async def theirs(owner) -> Session:
    """A session of the owner's, of which only rows are known."""
    return await live_session("s", owner)
