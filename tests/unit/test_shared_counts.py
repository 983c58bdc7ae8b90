"""What web processes count together, in a real Redis: wrong passwords and keys, signatures."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.core.cache.backends.redis import RedisCache
from redis import Redis

from tests.services.redis import PASSWORD, RunningRedis, needs_redis
from workbench.access import failures, replays, shared
from workbench.access.failures import Failures
from workbench.access.replays import Replays
from workbench.access.shared import SharedNumbers

pytestmark = [needs_redis, pytest.mark.timeout(60)]

ADDRESS, NAME = "192.0.2.7", "for ada\n \ud800" + "x" * 300
SIGNATURE = "AB12" * 16


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RunningRedis]:
    with RunningRedis(tmp_path) as redis:
        yield redis


@contextmanager
def cache_in(redis: RunningRedis, **options: Any) -> Iterator[RedisCache]:
    """Django's cache, with connections of its own until the end of the block."""
    cache = RedisCache([redis.url], {"OPTIONS": options})
    try:
        yield cache
    finally:
        cache._cache.get_client().connection_pool.disconnect()


@pytest.fixture
def numbers(redis: RunningRedis, monkeypatch) -> Iterator[SharedNumbers]:
    """What all share here, where Redis is asked again at once when it was away."""
    monkeypatch.setattr(shared, "RETRY_SECONDS", 0.0)
    with cache_in(redis, serializer="workbench.access.shared.Integers") as cache:
        numbers = SharedNumbers(cache)
        for module in (failures, replays):
            monkeypatch.setattr(module, "shared_numbers", lambda: numbers)
        yield numbers


@pytest.fixture
def later(monkeypatch) -> Callable[[float], None]:
    """Lets time pass for the counts."""
    now = [1_000_000.0]
    monkeypatch.setattr(failures.time, "time", lambda: now[0])

    def pass_by(seconds: float) -> None:
        now[0] += seconds

    return pass_by


@pytest.mark.parametrize("name", [ADDRESS, NAME])
def test_failures_count_whichever_process_they_come_to(numbers, name):
    one, other = Failures(most=3, seconds=60.0), Failures(most=3, seconds=60.0)

    assert [each.add(name) for each in (one, other, one, other)] == [False, False, False, True]
    assert one.is_too_many(name)
    assert not one.is_too_many("somebody else")


def test_what_is_forgotten_is_forgotten_by_all(numbers):
    one, other = Failures(most=1, seconds=60.0), Failures(most=1, seconds=60.0)
    one.add(NAME)
    other.add(NAME)

    one.forget(NAME)

    assert not one.is_too_many(NAME)
    assert not other.is_too_many(NAME)


def test_failures_of_all_count_for_as_long_as_they_matter(numbers, later):
    one, other = Failures(most=1, seconds=60.0), Failures(most=1, seconds=60.0)
    one.add(ADDRESS)
    later(40)
    other.add(ADDRESS)

    later(13)
    assert one.is_too_many(ADDRESS)
    later(8)
    assert not one.is_too_many(ADDRESS)


def test_nothing_stays_in_redis_and_no_name_is_there(redis, numbers):
    Failures(most=1, seconds=60.0).add(ADDRESS)
    Replays().is_one(SIGNATURE)

    with Redis.from_url(redis.url) as client:
        found = {key.decode(): client.ttl(key) for key in client.keys("*")}
    assert len(found) == 2
    assert ADDRESS not in str(found)
    assert all(0 < seconds < 3600 for seconds in found.values())


def test_a_signature_counts_once_for_all_processes(numbers):
    one, other = Replays(), Replays()

    assert not one.is_one(SIGNATURE)
    assert other.is_one(SIGNATURE.lower())
    assert not other.is_one("00" * 32)


def test_while_redis_is_away_each_process_goes_by_its_own(redis, numbers, caplog):
    """And is not slow; the log says once that it is so, and once that it is over."""
    caplog.set_level(logging.INFO)
    one, other = Failures(most=1, seconds=60.0), Failures(most=1, seconds=60.0)
    signatures = Replays()
    redis.stop()

    assert [each.add(ADDRESS) for each in (one, other, one, other)] == [False, False, True, True]
    assert not signatures.is_one(SIGNATURE)
    assert signatures.is_one(SIGNATURE)
    redis.start()
    one.forget(ADDRESS)
    assert not one.is_too_many(ADDRESS)
    assert signatures.is_one(SIGNATURE)

    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert caplog.messages[1] == "Redis is back."
    assert PASSWORD not in caplog.text


def test_redis_is_not_asked_again_at_once_when_it_was_away(redis, numbers, monkeypatch):
    """Whoever fails meanwhile would wait for nothing."""
    monkeypatch.setattr(shared, "RETRY_SECONDS", 1_000.0)
    redis.stop()
    numbers.count("a", seconds=60)
    redis.start()

    assert numbers.is_first("b", seconds=60)
    assert numbers.is_first("b", seconds=60)


def test_what_somebody_else_wrote_is_never_run(redis, numbers, tmp_path):
    """A cache of Django's believes that it has written what it reads."""
    touched = tmp_path / "touched"
    with cache_in(redis) as other:
        other.set("a", Touching(touched), 60)
        numbers.count("b", seconds=60)

        assert numbers.total(["a", "b"]) == 1
        assert not touched.exists()
        other.get("a")
        assert touched.exists()


class Touching:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self._path,)


def test_without_redis_nothing_is_shared(monkeypatch):
    numbers = SharedNumbers(None)
    monkeypatch.setattr(failures, "shared_numbers", lambda: numbers)
    one, other = Failures(most=1, seconds=60.0), Failures(most=1, seconds=60.0)

    assert [each.add(ADDRESS) for each in (one, other, one)] == [False, False, True]
    assert numbers.is_first("a", seconds=60)
    assert numbers.is_first("a", seconds=60)
