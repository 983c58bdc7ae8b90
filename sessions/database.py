"""A database that is away: what its errors look like, and what to say meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import InterfaceError, InternalError, OperationalError

from sessions.exceptions import Unavailable

logger = logging.getLogger(__name__)

# It does not answer, takes nothing, or (InternalError) is a copy of another that may only be read.
AWAY = (OperationalError, InterfaceError, InternalError)
NO_DATABASE = "The database does not answer at the moment. Try again in a while."


@contextmanager
def database_needed() -> Iterator[None]:
    """While this is open, a database that is away is Unavailable."""
    try:
        yield
    except AWAY as error:
        logger.warning("the database does not answer: %s", error)
        raise Unavailable(NO_DATABASE) from error
