"""Numbers that all web processes have in common: in Redis, through Django's cache.

A load balancer may send each request of one client to another process. Without Redis, or while
it is away, there are none, and each process goes by what it has counted itself.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from typing import TypeVar

from django.conf import settings
from django.core.cache import caches
from django.core.cache.backends.base import BaseCache

from sessions.engines.outages import Outage

# While Redis is away it is not asked again for so long: somebody waits for each answer.
RETRY_SECONDS = 5.0

logger = logging.getLogger(__name__)
T = TypeVar("T")


class Integers:
    """How a number is written in Redis.

    Django's own way can write anything, and runs what it reads: whoever may write to Redis could
    run code here.
    """

    def dumps(self, value: int) -> int:
        return int(value)

    def loads(self, data: bytes) -> int:
        try:
            return int(data)
        except ValueError:  # somebody else's
            return 0


class SharedNumbers:
    """The numbers in a cache; None: there is no such cache. Its methods block, and never raise."""

    def __init__(self, numbers: BaseCache | None) -> None:
        self._numbers = numbers
        self._away_until = 0.0
        self._outage = Outage(logger, "each web process counts wrong passwords and keys by itself")

    def count(self, key: str, *, seconds: float) -> None:
        """Count one more, which is forgotten after so many seconds or somewhat later."""

        def increase(numbers: BaseCache) -> None:
            numbers.add(key, 0, seconds)
            with suppress(ValueError):  # Redis has just thrown it out
                numbers.incr(key)

        self._ask(increase, otherwise=None)

    def total(self, keys: Iterable[str]) -> int:
        """What these have counted together."""
        wanted = list(keys)
        return self._ask(lambda numbers: sum(numbers.get_many(wanted).values()), otherwise=0)

    def forget(self, keys: Iterable[str]) -> None:
        """Count anew from 0."""
        wanted = list(keys)
        self._ask(lambda numbers: numbers.delete_many(wanted), otherwise=None)

    def is_first(self, key: str, *, seconds: float) -> bool:
        """Whether nobody has asked this for the key in so many seconds; also if that is not known."""
        return self._ask(lambda numbers: numbers.add(key, 1, seconds), otherwise=True)

    def _ask(self, question: Callable[[BaseCache], T], *, otherwise: T) -> T:
        if self._numbers is None or time.monotonic() < self._away_until:
            return otherwise
        try:
            answer = question(self._numbers)
        except Exception as error:  # of the network, of Redis, of its client
            self._away_until = time.monotonic() + RETRY_SECONDS
            self._outage.begin(error)
            return otherwise
        self._outage.end()
        return answer


@cache
def shared_numbers() -> SharedNumbers:
    """Those of this process."""
    if not settings.WORKBENCH_REDIS_URL:
        return SharedNumbers(None)
    # Not caches["shared"]: that is another one, with other connections, in each request.
    return SharedNumbers(caches.create_connection("shared"))
