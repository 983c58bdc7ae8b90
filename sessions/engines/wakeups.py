"""Wake-ups through Redis: "topic T has numbers up to N", from any host to any web process.

Redis may lose them, and the channel layer may be deaf without a word: after it lost its
connection it makes another, and what was said in between is gone. So nobody relies on it. A
listener says something to itself every second; while it does not hear that, it wakes its readers
every second, so that they look at the rows, and once more when it hears again.

All hosts speak in one group that all listeners are in. A group for each topic would be a
message for each topic, up to fifty times a second: with many sessions that is more than a host
can send. And a reader could not know from when on it is in its group.

In the group:  {"numbers": {topic: newest number}}
To oneself:    {"beat": int}
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.utils.module_loading import import_string

from sessions.engines.base import Notices, Subscribers
from sessions.engines.outages import Outage
from sessions.kernels import trace

# Not "default": with that one, Channels gives each socket a channel of its own, and none could
# be opened while Redis is away.
LAYER = "wakeups"
GROUP = "wakeups"
# Between two rounds of a publisher; what comes meanwhile goes together.
ROUND_SECONDS = 0.005
# Topics that wait for Redis at once; the oldest go. Their readers look by themselves: REST_SECONDS.
MOST_UNTOLD = 10_000
# For Redis to do one thing, until it counts as away.
PATIENCE_SECONDS = 2.0
# Between two attempts, two beats, and two rings while nothing is heard.
BEAT_SECONDS = 1.0
# So often readers look although all is well: a host may be unable to say anything.
REST_SECONDS = 30.0
# For the last words of a host that ends.
LAST_WORDS_SECONDS = 1.0

logger = logging.getLogger(__name__)


def are_shared() -> bool:
    """Whether wake-ups go through Redis."""
    return LAYER in settings.CHANNEL_LAYERS


class Publisher:
    """The host's side: tells all web processes what has become of topics.

    Owns a task, from the first word until ``close``. Nothing in it ends it, or reaches who tells.
    """

    def __init__(self) -> None:
        self._layer = _Layer()
        # The newest number of each topic that has not been told, the oldest topics first.
        self._untold: dict[str, int] = {}
        self._is_untold = asyncio.Event()
        self._all_told = asyncio.Event()
        # None until there is something to tell.
        self._telling: asyncio.Task[None] | None = None
        self._outage = Outage(logger, "web processes hear later of what happens here")

    def tell(self, numbers: dict[str, int]) -> None:
        """Tell soon, and of each topic only the newest. Returns at once, whatever Redis does."""
        for topic, number in numbers.items():
            self._untold.pop(topic, None)
            self._untold[topic] = number
        self._bound()
        self._all_told.clear()
        self._is_untold.set()
        if self._telling is None:
            self._telling = asyncio.create_task(
                self._keep_telling(), name="tell Redis", context=trace.of_nobody()
            )

    async def close(self) -> None:
        """Tell what is left, if that does not take long, and end."""
        if self._telling is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_SECONDS):
                await self._all_told.wait()
        self._telling.cancel()
        await asyncio.wait({self._telling})
        self._telling = None
        await self._layer.drop()

    async def _keep_telling(self) -> None:
        while True:
            await self._is_untold.wait()
            self._is_untold.clear()
            numbers, self._untold = self._untold, {}
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await self._layer.now.group_send(GROUP, {"numbers": numbers})
                    _heed_cancelling()
            except Exception as error:  # of the network, of Redis, of its client
                self._outage.begin(error)
                newer = self._untold
                self._untold = {t: n for t, n in numbers.items() if t not in newer} | newer
                self._bound()
                self._is_untold.set()
                await asyncio.sleep(BEAT_SECONDS)
            else:
                self._outage.end()
                if not self._untold:
                    self._all_told.set()
                await asyncio.sleep(ROUND_SECONDS)

    def _bound(self) -> None:
        for _ in range(len(self._untold) - MOST_UNTOLD):
            del self._untold[next(iter(self._untold))]


class Listener:
    """The web process's side: what hosts tell, for the readers of one event loop.

    Owns a task, from the first reader until ``close``. Readers need not wait for Redis: what was
    said before it is heard is made up for by waking them then.
    """

    def __init__(self) -> None:
        self._layer = _Layer(self._reconnected)
        self._subscribers = Subscribers()
        # None until somebody subscribes.
        self._listening: asyncio.Task[None] | None = None
        # What takes messages from the layer; None while there is none to take them from.
        self._reading: asyncio.Task[None] | None = None
        # The last beat sent, the last one heard, and a wait for the next of those.
        self._sent = self._heard = 0
        self._is_heard = asyncio.Event()
        # Only a beat after this one says that nothing more is missed; None while that is so.
        self._missed: int | None = 0
        self._outage = Outage(logger, "pages look every second for what is new")

    @property
    def hears(self) -> bool:
        """Whether nothing is missed."""
        return self._missed is None

    @asynccontextmanager
    async def subscribe(self, topic: str) -> AsyncIterator[Notices]:
        """Notices about a topic. They never fail: whether a host is there is not known here."""
        if self._listening is None:
            self._listening = asyncio.create_task(
                self._listen(), name="listen to Redis", context=trace.of_nobody()
            )
        notices = Notices()
        self._subscribers.add(topic, notices)
        try:
            yield notices
        finally:
            self._subscribers.remove(topic, notices)

    async def close(self) -> None:
        """Hear no more."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait({self._listening})
            self._listening = None
            await self._let_go()

    async def _listen(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_ringing(), name="wake readers")
            tasks.create_task(self._keep_hearing(), name="hear Redis")

    async def _keep_ringing(self) -> None:
        rung_at = time.monotonic()
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            if not self.hears or time.monotonic() - rung_at >= REST_SECONDS:
                self._subscribers.ring_all()
                rung_at = time.monotonic()

    async def _keep_hearing(self) -> None:
        """Hear until that fails, and then anew: so it does not matter what the layer still knows."""
        while True:
            try:
                own, channel = await self._join()
                self._reading = asyncio.create_task(self._read(channel), name="read from Redis")
                while True:
                    await self._beat(own)
                    if self.hears:  # otherwise the next beat says it
                        await asyncio.sleep(BEAT_SECONDS)
            except Exception as error:  # of the network, of Redis, of its client
                self._missed = self._sent
                self._outage.begin(error)
            await self._let_go()
            await asyncio.sleep(BEAT_SECONDS)

    async def _join(self) -> tuple[str, str]:
        """Join the group of all; the name of a group of our own, and the channel of both."""
        own = f"beat.{uuid4().hex}"
        layer = self._layer.now
        async with asyncio.timeout(PATIENCE_SECONDS):
            channel: str = await layer.new_channel()
            # In this order, over one connection: who hears itself hears all.
            await layer.group_add(GROUP, channel)
            await layer.group_add(own, channel)
            _heed_cancelling()
        return own, channel

    async def _let_go(self) -> None:
        reading, self._reading = self._reading, None
        # First: a reader that ends would take leave of Redis, and wait for it.
        await self._layer.drop()
        if reading is not None:
            reading.cancel()
            await asyncio.wait({reading})

    async def _beat(self, own: str) -> None:
        """Say something to ourselves and wait until it is heard. Raises what Redis does, TimeoutError."""
        self._sent += 1
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._layer.now.group_send(own, {"beat": self._sent})
            _heed_cancelling()
            while self._heard < self._sent:
                self._is_heard.clear()
                await self._is_heard.wait()

    async def _read(self, channel: str) -> None:
        while self._reading is asyncio.current_task():
            try:
                message = await self._layer.now.receive(channel)
            except Exception:  # somebody else speaks there: it is no message
                message = None
                await asyncio.sleep(0)
            match message:
                case {"numbers": dict(numbers)}:
                    self._subscribers.tell(numbers)
                case {"beat": int(beat)}:
                    self._hear(beat)

    def _hear(self, beat: int) -> None:
        self._heard = beat
        self._is_heard.set()
        if self._missed is not None and beat > self._missed:
            self._missed = None
            self._outage.end()
            self._subscribers.ring_all()

    async def _reconnected(self, connection: Any) -> None:
        """Called by Redis's client for each connection that it makes, by itself too."""
        await connection.on_connect()
        self._missed = self._sent


class _Layer:
    """A channel layer of one owner, as the settings describe it.

    ``on_connect`` is called with each connection of its, and has to greet Redis.
    """

    def __init__(self, on_connect: Callable[[Any], Awaitable[None]] | None = None) -> None:
        self._more = {"redis_connect_func": on_connect} if on_connect else {}
        # None until it is used.
        self._layer: Any = None

    @property
    def now(self) -> Any:
        """The layer, made if need be."""
        if self._layer is None:
            about: Any = settings.CHANNEL_LAYERS[LAYER]
            hosts = [{**host, **self._more} for host in about["CONFIG"]["hosts"]]
            self._layer = import_string(about["BACKEND"])(**{**about["CONFIG"], "hosts": hosts})
        return self._layer

    async def drop(self) -> None:
        """Let go of connections and groups; the layer can be used anew."""
        if self._layer is None:
            return
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._layer.flush()
        except Exception:  # it cannot let go of a reader that has failed: take another
            self._layer = None


def _heed_cancelling() -> None:
    """End the task if it was cancelled: Redis's client overhears that while it connects."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
