"""Wake-ups through a real Redis, which stays, goes, hangs and comes back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator

import pytest

from sessions.engines import wakeups
from sessions.engines.base import Notices
from sessions.engines.wakeups import Listener, Publisher
from tests.services.redis import PASSWORD, RunningRedis, needs_redis

pytestmark = [needs_redis, pytest.mark.timeout(60)]

WAIT_SECONDS = 30.0
NEVER_SECONDS = 1_000.0


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRedis]:
    with RunningRedis(tmp_path_factory.mktemp("redis")) as redis:
        yield redis


@pytest.fixture
def redis(running: RunningRedis, settings, monkeypatch) -> RunningRedis:
    """One that runs when a test begins; whoever waits for it waits a tenth as long as usual."""
    if not running.is_running:
        running.start()
    host = {"address": running.url, "socket_connect_timeout": 2, "socket_timeout": 2}
    settings.CHANNEL_LAYERS = {
        "wakeups": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"prefix": "workbench:", "hosts": [host]},
        }
    }
    monkeypatch.setattr(wakeups, "BEAT_SECONDS", 0.1)
    monkeypatch.setattr(wakeups, "PATIENCE_SECONDS", WAIT_SECONDS)  # a slow machine is not deaf
    monkeypatch.setattr(wakeups, "REST_SECONDS", NEVER_SECONDS)
    return running


@pytest.fixture
async def publisher(redis: RunningRedis) -> AsyncIterator[Publisher]:
    publisher = Publisher()
    yield publisher
    await publisher.close()


@pytest.fixture
async def listener(redis: RunningRedis) -> AsyncIterator[Listener]:
    listener = Listener()
    yield listener
    await listener.close()


async def until(listener: Listener, *, hears: bool) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while listener.hears is not hears:
            await asyncio.sleep(0.01)


async def quiet(listener: Listener, notices: Notices) -> None:
    """Return when the listener hears, and its reader has no notice left of the time before."""
    await until(listener, hears=True)
    async with asyncio.timeout(WAIT_SECONDS):
        await anext(notices)


async def number(notices: Notices, wanted: int) -> None:
    """Wait for a notice with this number."""
    async with asyncio.timeout(WAIT_SECONDS):
        async for found in notices:
            if found == wanted:
                return


async def test_readers_hear_of_their_topics_the_newest_number(publisher, listener):
    async with listener.subscribe("a") as ours, listener.subscribe("b") as others:
        await quiet(listener, ours)
        await quiet(listener, others)
        publisher.tell({"a": 1, "sessions": 1})
        publisher.tell({"a": 2, "sessions": 2})
        async with asyncio.timeout(WAIT_SECONDS):
            first = await anext(ours)
        publisher.tell({"b": 7})
        async with asyncio.timeout(WAIT_SECONDS):
            theirs = await anext(others)

    assert (first, theirs) == (2, 7)


async def test_all_readers_are_woken_when_redis_is_heard(listener, monkeypatch):
    """Whatever was said before that, and although nobody looks by himself."""
    monkeypatch.setattr(wakeups, "BEAT_SECONDS", NEVER_SECONDS)
    async with listener.subscribe("a") as one, listener.subscribe("b") as two:
        await quiet(listener, one)
        await quiet(listener, two)


async def test_what_waits_for_redis_is_bounded(publisher, listener, monkeypatch):
    """The oldest topics go; those that are told again are new."""
    monkeypatch.setattr(wakeups, "MOST_UNTOLD", 2)
    async with listener.subscribe("a") as a, listener.subscribe("b") as b:
        await quiet(listener, a)
        await quiet(listener, b)
        for topic, newest in [("a", 1), ("b", 1), ("a", 2), ("c", 1)]:
            publisher.tell({topic: newest})
        await number(a, 2)
        publisher.tell({"b": 5})
        async with asyncio.timeout(WAIT_SECONDS):
            assert await anext(b) == 5


async def test_without_redis_readers_look_by_themselves_and_nothing_is_lost(
    redis, publisher, listener, caplog
):
    """Redis stops and starts again; the log says so once, without tracebacks and passwords."""
    caplog.set_level(logging.INFO)
    async with listener.subscribe("a") as notices:
        await quiet(listener, notices)
        publisher.tell({"a": 1})
        await number(notices, 1)
        redis.stop()
        await until(listener, hears=False)
        publisher.tell({"a": 2})
        async with asyncio.timeout(WAIT_SECONDS):
            for _ in range(3):
                await anext(notices)
        redis.start()
        await until(listener, hears=True)
        publisher.tell({"a": 3})
        await number(notices, 3)
    await publisher.close()
    told = [record for record in caplog.records if record.name.startswith(("sess", "channels"))]

    assert sorted(record.getMessage().partition(":")[0] for record in told) == [
        *("Redis is away", "Redis is away", "Redis is back.", "Redis is back."),
    ]
    assert not any(record.exc_info for record in told)
    assert PASSWORD not in caplog.text


async def test_redis_may_come_later_than_its_users(redis, publisher, listener):
    redis.stop()
    publisher.tell({"a": 1})
    async with listener.subscribe("a") as notices:
        async with asyncio.timeout(WAIT_SECONDS):
            for _ in range(3):
                await anext(notices)
        redis.start()
        await until(listener, hears=True)
        publisher.tell({"a": 2})
        await number(notices, 2)


async def test_a_redis_that_hangs_holds_up_nobody(redis, publisher, listener, monkeypatch):
    monkeypatch.setattr(wakeups, "PATIENCE_SECONDS", 0.5)
    async with listener.subscribe("a") as notices:
        await quiet(listener, notices)
        redis.freeze()
        try:
            publisher.tell({"a": 1})
            await until(listener, hears=False)
            async with asyncio.timeout(WAIT_SECONDS):
                for _ in range(3):
                    await anext(notices)
        finally:
            redis.thaw()
        await until(listener, hears=True)
        publisher.tell({"a": 2})
        await number(notices, 2)


async def test_who_was_cut_off_between_two_beats_is_woken(redis, listener, monkeypatch):
    """Redis's client makes another connection by itself, and what was said meanwhile is lost."""
    monkeypatch.setattr(wakeups, "BEAT_SECONDS", 2.0)  # the client is back in half of that
    monkeypatch.setattr(wakeups, "PATIENCE_SECONDS", NEVER_SECONDS)
    async with listener.subscribe("a") as notices:
        await quiet(listener, notices)
        assert redis.ask("CLIENT KILL TYPE pubsub") == ":1"
        async with asyncio.timeout(WAIT_SECONDS):
            await anext(notices)


async def test_what_others_say_to_the_group_is_passed_over(redis, publisher, listener):
    async with listener.subscribe("a") as notices:
        await quiet(listener, notices)
        for text in ("nonsense", r'"\x81\xa4beat\xa1x"', r'"\x93\x01\x02\x03"', r'"\xc1"', "5"):
            assert redis.ask(f"PUBLISH workbench:__group__wakeups {text}") == ":1"
        publisher.tell({"a": 1})
        await number(notices, 1)
        assert listener.hears


async def test_readers_look_from_time_to_time_although_nothing_is_told(listener, monkeypatch):
    """A host may be cut off from Redis while they are not."""
    async with listener.subscribe("a") as notices:
        await quiet(listener, notices)
        monkeypatch.setattr(wakeups, "REST_SECONDS", 0.2)
        async with asyncio.timeout(WAIT_SECONDS):
            for _ in range(2):
                await anext(notices)


async def test_last_words_are_told_and_do_not_take_long(redis, listener):
    publisher = Publisher()
    async with listener.subscribe("a") as notices:
        await quiet(listener, notices)
        publisher.tell({"a": 1})
        await publisher.close()
        await number(notices, 1)
    redis.stop()
    publisher.tell({"a": 2})

    async with asyncio.timeout(WAIT_SECONDS):
        await publisher.close()


@pytest.mark.parametrize("steps", range(0, 30, 3))
async def test_both_end_at_any_moment(redis, steps):
    """Redis's client overhears that a task is cancelled while it connects."""
    publisher, listener = Publisher(), Listener()
    async with listener.subscribe("a"), asyncio.timeout(WAIT_SECONDS):
        for _ in range(steps):
            await asyncio.sleep(0)
        await listener.close()
    publisher.tell({"a": 1})
    for _ in range(steps):
        await asyncio.sleep(0)

    async with asyncio.timeout(WAIT_SECONDS):
        await publisher.close()
