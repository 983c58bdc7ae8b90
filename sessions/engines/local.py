"""The host process of this machine, reached over its Unix socket."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sessions.engines import wire
from sessions.engines.assembly import trusted_run_dir
from sessions.engines.base import Notices, Subscribers
from sessions.exceptions import HostUnavailable, InvalidValue, WorkbenchError

logger = logging.getLogger(__name__)

SOCKET_NAME = "host.sock"
HUNG_UP = "The kernel host ended while it worked on this. Try again in a moment."


class LocalEngine:
    """One connection to the host, made on first use, and again after it was lost."""

    def __init__(self) -> None:
        self._connecting: asyncio.Task[_Connection] | None = None
        self._subscribers = Subscribers()

    async def call(self, verb: str, **arguments: Any) -> Any:
        """Call a verb of the host."""
        connection = await self._connection()
        return await connection.call(verb, arguments)

    @asynccontextmanager
    async def subscribe(self, topic: str) -> AsyncIterator[Notices]:
        """Notices from the host. They fail with HostUnavailable when the connection is lost."""
        connection = await self._connection()
        connection.check()  # it may have been lost since
        notices = Notices()
        if self._subscribers.add(topic, notices):
            connection.send({"subscribe": topic})
        try:
            yield notices
        finally:
            if self._subscribers.remove(topic, notices):
                connection.send({"unsubscribe": topic})

    async def close(self) -> None:
        """Hang up. The host goes on."""
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            (await connecting).hang_up()

    async def _connection(self) -> _Connection:
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect(), name="connect to host")
        return await asyncio.shield(self._connecting)

    async def _connect(self) -> _Connection:
        try:
            reader, writer = await asyncio.open_unix_connection(
                trusted_run_dir() / SOCKET_NAME, limit=1024 * 1024
            )
        except OSError as error:
            self._connecting = None
            raise HostUnavailable from error
        return _Connection(reader, writer, on_notices=self._subscribers.tell, on_lost=self._lost)

    def _lost(self, error: WorkbenchError) -> None:
        self._connecting = None
        self._subscribers.fail(error)


class _Connection:
    """A connection to the host, until one end hangs up."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        on_notices: Any,
        on_lost: Any,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._on_notices = on_notices
        self._on_lost = on_lost
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._receiving = asyncio.create_task(self._receive(), name="receive from host")

    async def call(self, verb: str, arguments: dict[str, Any]) -> Any:
        """Call a verb and wait for its answer."""
        self.check()
        id_ = next(self._ids)
        answer = self._answers[id_] = asyncio.get_running_loop().create_future()
        try:
            try:
                self.send({"id": id_, "verb": verb, "arguments": arguments})
            except ValueError as error:  # half a character, too large a number, too deep
                raise InvalidValue(f"The request cannot be passed on: {error}.") from error
            return await answer
        finally:
            del self._answers[id_]

    def check(self) -> None:
        """Raise HostUnavailable if nobody answers here any more."""
        if self._receiving.done() or self._writer.is_closing():
            raise HostUnavailable(HUNG_UP)

    def send(self, message: dict[str, Any]) -> None:
        """Send a message, if the host is still there."""
        if not self._writer.is_closing():
            self._writer.write(wire.pack(message))

    def hang_up(self) -> None:
        self._writer.close()

    async def _receive(self) -> None:
        """Started with the connection, ends with it; then nobody is left waiting."""
        try:
            while (message := await wire.read(self._reader)) is not None:
                self._dispatch(message)
        except ValueError as error:
            logger.error("hung up on the kernel host: %s", error)
        finally:
            self._writer.close()
            self._on_lost(HostUnavailable(HUNG_UP))
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_exception(HostUnavailable(HUNG_UP))

    def _dispatch(self, message: dict[str, Any]) -> None:
        if "notices" in message:
            self._on_notices(message["notices"])
            return
        answer = self._answers.get(message["id"])
        if answer is None or answer.done():
            return  # its caller has gone
        if "error" in message:
            answer.set_exception(WorkbenchError.from_wire(message["error"]))
        else:
            answer.set_result(message["result"])
