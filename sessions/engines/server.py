"""A host behind a Unix socket, for the web processes of its machine."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from pathlib import Path
from typing import Any

from sessions.engines import wire
from sessions.exceptions import WorkbenchError
from sessions.kernels.host import VERBS, Host

LAST_ANSWERS_SECONDS = 2.0  # for the answers of a host that ends

logger = logging.getLogger(__name__)


class HostServer:
    """Answers web processes. ``tell`` passes the recorder's notices on to them."""

    def __init__(self) -> None:
        # None until ``listen``.
        self._host: Host | None = None
        self._server: asyncio.Server | None = None
        self._callers: set[_Caller] = set()
        # One for each connection; ``close`` waits for them.
        self._serving: set[asyncio.Task[None]] = set()

    async def listen(self, host: Host, path: Path) -> None:
        """Accept connections at ``path``; only this user can connect."""
        self._host = host
        path.unlink(missing_ok=True)  # noqa: ASYNC240 - nobody waits yet
        self._server = await asyncio.start_unix_server(self._serve, path)
        path.chmod(0o600)  # noqa: ASYNC240

    async def close(self) -> None:
        """Give the last answers, then hang up on everybody."""
        if self._server:
            self._server.close()
        await asyncio.gather(*(caller.close() for caller in list(self._callers)))
        await asyncio.gather(*self._serving)

    def tell(self, numbers: dict[str, int]) -> None:
        """Tell each web process about the topics it subscribed to."""
        for caller in self._callers:
            caller.tell(numbers)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until the other end goes."""
        assert self._host is not None
        serving = asyncio.current_task()
        assert serving is not None
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)
        caller = _Caller(self._host, writer)
        self._callers.add(caller)
        try:
            while (message := await wire.read(reader)) is not None:
                caller.receive(message)
        except ValueError as error:
            logger.warning("hung up on a web process: %s", error)
        finally:
            self._callers.discard(caller)
            caller.hang_up()


class _Caller:
    """A connected web process: its calls and its subscriptions."""

    def __init__(self, host: Host, writer: asyncio.StreamWriter) -> None:
        self._host = host
        self._writer = writer
        self._topics: set[str] = set()
        # Calls it waits for. They go on when it has gone: the host owns the work.
        self._calls: set[asyncio.Task[None]] = set()

    def receive(self, message: dict[str, Any]) -> None:
        """Start to do what a message asks for."""
        match message:
            case {"id": int(id_), "verb": str(verb), "arguments": dict(arguments)}:
                call = asyncio.create_task(self._call(id_, verb, arguments), name=verb)
                self._calls.add(call)
                call.add_done_callback(self._calls.discard)
            case {"subscribe": str(topic)}:
                self._topics.add(topic)
            case {"unsubscribe": str(topic)}:
                self._topics.discard(topic)
            case _:
                raise ValueError("an unknown message")

    def tell(self, numbers: dict[str, int]) -> None:
        """Pass on what it subscribed to."""
        wanted = {topic: numbers[topic] for topic in self._topics & numbers.keys()}
        if wanted:
            self._send(wire.pack({"notices": wanted}))

    def hang_up(self) -> None:
        """Say nothing more."""
        self._writer.close()

    async def close(self) -> None:
        """Hang up when its calls are answered and sent, or after a while."""
        if self._calls:
            await asyncio.wait(self._calls, timeout=LAST_ANSWERS_SECONDS)
        self.hang_up()
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(LAST_ANSWERS_SECONDS):
                await self._writer.wait_closed()

    async def _call(self, id_: int, verb: str, arguments: dict[str, Any]) -> None:
        try:
            if verb not in VERBS:
                raise WorkbenchError(f"The host does not know {verb!r}.")
            result = await getattr(self._host, verb)(**arguments)
            answer = wire.pack({"id": id_, "result": result})
        except WorkbenchError as error:
            answer = wire.pack({"id": id_, "error": error.to_wire()})
        except (Exception, asyncio.CancelledError):  # somebody waits for the answer all the same
            logger.exception("%s failed", verb)
            sorry = WorkbenchError("The kernel host made an error. Its log says more.")
            answer = wire.pack({"id": id_, "error": sorry.to_wire()})
        self._send(answer)

    def _send(self, frame: bytes) -> None:
        if not self._writer.is_closing():
            self._writer.write(frame)
