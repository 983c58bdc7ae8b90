"""The host process of this machine, reached over its Unix socket."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from sessions.engines import wakeups, wire
from sessions.engines.assembly import trusted_run_dir
from sessions.engines.base import Notices, SingleHost, Subscribers
from sessions.exceptions import HostUnavailable, InvalidValue, WorkbenchError
from sessions.kernels import trace

SOCKET_NAME = "host.sock"
HUNG_UP = "The kernel host ended while it worked on this. Try again in a moment."


class LocalEngine(SingleHost):
    """One connection to the host, made on first use, and again after it was lost."""

    def __init__(self) -> None:
        # None before the first use.
        self._present: _Connection | None = None
        # Makes the next one, shared by all who need it; None while nobody does.
        self._connecting: asyncio.Task[_Connection] | None = None
        # None: notices come over the connection, too.
        self._listener = wakeups.Listener() if wakeups.are_shared() else None

    async def call(self, verb: str, **arguments: Any) -> Any:
        """Call a verb of the host."""
        connection = await self._connection()
        return await connection.call(verb, arguments)

    @asynccontextmanager
    async def subscribe(self, topic: str) -> AsyncIterator[Notices]:
        """Notices from the host. They fail with HostUnavailable when the connection is lost."""
        connection = await self._connection()
        if self._listener is None:
            notices = Notices()
            with connection.subscribed(topic, notices):
                yield notices
        else:
            async with self._listener.subscribe(topic) as notices:
                # Redis does not know whether the host is there.
                with connection.subscribed(None, notices):
                    yield notices

    async def close(self) -> None:
        """Hang up. The host goes on."""
        if self._listener is not None:
            await self._listener.close()
        if self._connecting is not None:
            await asyncio.wait({self._connecting})
        if self._present is not None:
            self._present.hang_up()

    async def _connection(self) -> _Connection:
        if self._present is not None and self._present.is_open:
            return self._present
        if self._connecting is None:
            self._connecting = asyncio.create_task(
                self._connect(), name="connect to host", context=trace.of_nobody()
            )
        return await asyncio.shield(self._connecting)

    async def _connect(self) -> _Connection:
        connection = _Connection()
        try:
            path = trusted_run_dir() / SOCKET_NAME
            loop = asyncio.get_running_loop()
            await loop.create_unix_connection(lambda: connection.peer, str(path))
        except OSError as error:
            raise HostUnavailable from error
        finally:
            self._connecting = None
        self._present = connection
        return connection


class _Connection:
    """A connection to the host, until one end hangs up, and all that depends on it."""

    def __init__(self) -> None:
        self.peer = wire.Peer(self._receive, self._lost, other="the kernel host")
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._subscribers = Subscribers()

    @property
    def is_open(self) -> bool:
        """Somebody may answer here."""
        return self.peer.is_open

    async def call(self, verb: str, arguments: dict[str, Any]) -> Any:
        """Call a verb and wait for its answer. Raises HostUnavailable."""
        self._check()
        id_ = next(self._ids)
        answer = self._answers[id_] = asyncio.get_running_loop().create_future()
        try:
            try:
                self.peer.send({"id": id_, "verb": verb, "arguments": arguments, **_about()})
            except ValueError as error:  # half a character, too large a number, too deep
                raise InvalidValue(f"The request cannot be passed on: {error}.") from error
            return await answer
        finally:
            del self._answers[id_]

    @contextmanager
    def subscribed(self, topic: str | None, notices: Notices) -> Iterator[None]:
        """Have ``notices`` told about a topic (None: about none), and fail with the connection.

        Raises HostUnavailable.
        """
        self._check()
        is_first = self._subscribers.add(topic or "", notices)
        if topic and is_first:
            self.peer.send({"subscribe": topic})
        try:
            yield
        finally:
            was_last = self._subscribers.remove(topic or "", notices)
            if topic and was_last:
                self.peer.send({"unsubscribe": topic})

    def hang_up(self) -> None:
        self.peer.hang_up()

    def _check(self) -> None:
        if not self.is_open:
            raise HostUnavailable(HUNG_UP)

    def _receive(self, message: dict[str, Any]) -> None:
        if "notices" in message:
            self._subscribers.tell(message["notices"])
            return
        answer = self._answers.get(message["id"])
        if answer is None or answer.done():
            return  # its caller has gone
        if "error" in message:
            answer.set_exception(WorkbenchError.from_wire(message["error"]))
        else:
            answer.set_result(message["result"])

    def _lost(self) -> None:
        """Nobody is left waiting."""
        self._subscribers.fail(HostUnavailable(HUNG_UP))
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(HostUnavailable(HUNG_UP))


def _about() -> dict[str, Any]:
    """Who wants this, and in which request; what is not said is nobody, and none."""
    request, asker = trace.request_id.get(), trace.asker.get()
    about: dict[str, Any] = {"request": request} if request else {}
    return {**about, "asker": asker} if asker != trace.NOBODY else about
