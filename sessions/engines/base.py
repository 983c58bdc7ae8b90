"""What an engine can do, and what its subscribers hold."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from sessions.exceptions import NotSupported, WorkbenchError


class Engine(Protocol):
    """Reaches hosts. Arguments and results are plain data, whatever the engine."""

    async def call(self, verb: str, **arguments: Any) -> Any:
        """Call a verb of sessions/kernels/host.py.

        Raises what the verb raises, or HostUnavailable. Cancelling stops the waiting only.
        """

    def subscribe(self, topic: str) -> AbstractAsyncContextManager[Notices]:
        """Notices about a topic.

        Those of sessions/topics.py.
        """

    async def restart_host(self, name: str, reason: str) -> None:
        """End a host in order, and have another made that takes its sessions back.

        Raises NotSupported where that is for whoever started it, HostUnavailable.
        """

    async def close(self) -> None:
        """Let go of everything it holds. An inline engine ends its host."""


class SingleHost:
    """What engines share that know one host, which somebody else has started."""

    async def restart_host(self, name: str, reason: str) -> None:
        """Raises NotSupported."""
        raise NotSupported(
            "The kernel host of a single machine ends with “python manage.py workbench stop”, and "
            "takes its sessions back when it is started again."
        )


class Notices:
    """An endless iterator of the newest number of a topic.

    The number is for who watches: hosts count changes of "sessions" each by themselves, and a
    reader may be woken without a new one. What is new is in the rows. A reader that is slow sees fewer, newer numbers: nothing piles up. Iterating raises the
    error given to ``fail``, once the engine cannot tell any more.
    """

    def __init__(self) -> None:
        self._number = 0
        self._error: WorkbenchError | None = None
        self._news = asyncio.Event()

    def ring(self, number: int) -> None:
        """Tell the reader."""
        self._number = number
        self._news.set()

    def ring_again(self) -> None:
        """Have the reader look: there may be something of which nobody could tell."""
        self._news.set()

    def fail(self, error: WorkbenchError) -> None:
        """End the reader's iteration with an error."""
        self._error = error
        self._news.set()

    def __aiter__(self) -> Notices:
        return self

    async def __anext__(self) -> int:
        await self._news.wait()
        if self._error is not None:
            raise self._error
        self._news.clear()
        return self._number


class Subscribers:
    """Who wants to be told about what."""

    def __init__(self) -> None:
        self._by_topic: defaultdict[str, set[Notices]] = defaultdict(set)

    def add(self, topic: str, notices: Notices) -> bool:
        """Add a reader; True if it is the topic's first."""
        self._by_topic[topic].add(notices)
        return len(self._by_topic[topic]) == 1

    def remove(self, topic: str, notices: Notices) -> bool:
        """Remove a reader; True if it was the topic's last. A failed reader is gone already."""
        readers = self._by_topic.get(topic, set())
        if notices not in readers:
            return False
        readers.remove(notices)
        if not readers:
            del self._by_topic[topic]
        return not readers

    def tell(self, numbers: dict[str, int]) -> None:
        """Ring every reader of the topics."""
        for topic, number in numbers.items():
            for notices in self._by_topic.get(topic, ()):
                notices.ring(number)

    def ring_all(self) -> None:
        """Have every reader look."""
        for readers in self._by_topic.values():
            for notices in readers:
                notices.ring_again()

    def fail(self, error: WorkbenchError) -> None:
        """End every reader's iteration; nobody is subscribed from then on."""
        by_topic, self._by_topic = self._by_topic, defaultdict(set)
        for readers in by_topic.values():
            for notices in readers:
                notices.fail(error)
