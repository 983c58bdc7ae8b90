"""A host behind a Unix socket, for the web processes of its machine."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from sessions.database import AWAY, NO_DATABASE
from sessions.engines import wire
from sessions.exceptions import Unavailable, WorkbenchError
from sessions.kernels import trace
from sessions.kernels.host import VERBS, Host

LAST_ANSWERS_SECONDS = 2.0  # for the answers of a host that ends

SORRY = WorkbenchError("The kernel host made an error. Its log says more.")

logger = logging.getLogger(__name__)


class HostServer:
    """Answers web processes. ``tell`` passes the recorder's notices on to them."""

    def __init__(self) -> None:
        # None until ``listen``.
        self._host: Host | None = None
        self._server: asyncio.Server | None = None
        self._callers: set[_Caller] = set()

    async def listen(self, host: Host, path: Path) -> None:
        """Accept connections at ``path``; only this user can connect."""
        self._host = host
        path.unlink(missing_ok=True)  # noqa: ASYNC240 - nobody waits yet
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(self._serve, str(path))
        path.chmod(0o600)  # noqa: ASYNC240

    async def close(self) -> None:
        """Give the last answers, then hang up on everybody."""
        if self._server:
            self._server.close()
        await asyncio.gather(*(caller.close() for caller in list(self._callers)))

    def tell(self, numbers: dict[str, int]) -> None:
        """Tell each web process about the topics it subscribed to."""
        for caller in self._callers:
            caller.tell(numbers)

    def _serve(self) -> wire.Peer:
        """Our end of a new connection."""
        assert self._host is not None
        caller = _Caller(self._host, gone=self._callers.discard)
        self._callers.add(caller)
        return caller.peer


class _Caller:
    """A connected web process: its calls and its subscriptions.

    ``gone`` is called when it has hung up.
    """

    def __init__(self, host: Host, gone: Callable[[_Caller], None]) -> None:
        self.peer = wire.Peer(self._receive, lambda: gone(self), other="a web process")
        self._host = host
        self._topics: set[str] = set()
        # Calls it waits for. They go on when it has gone: the host owns the work.
        self._calls: set[asyncio.Task[None]] = set()

    def _receive(self, message: dict[str, Any]) -> None:
        """Start to do what a message asks for."""
        match message:
            case {"id": int(id_), "verb": str(verb), "arguments": dict(arguments)}:
                about = (str(message.get("request", "")), message.get("asker", ()))
                call = asyncio.create_task(self._call(id_, verb, arguments, *about), name=verb)
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
            self.peer.send({"notices": wanted})

    async def close(self) -> None:
        """Hang up when its calls are answered and sent, or after a while."""
        if self._calls:
            await asyncio.wait(self._calls, timeout=LAST_ANSWERS_SECONDS)
        self.peer.hang_up()
        await self.peer.ended(LAST_ANSWERS_SECONDS)

    async def _call(
        self, id_: int, verb: str, arguments: dict[str, Any], request: str, asker: Iterable[str]
    ) -> None:
        answer = await answered(self._host, verb, arguments, request, asker)
        try:
            self.peer.send({"id": id_, **answer})
        except ValueError:
            logger.exception("the answer of %s cannot be sent", verb)
            self.peer.send({"id": id_, "error": SORRY.to_wire()})


async def answered(
    host: Host, verb: str, arguments: dict[str, Any], request: str, asker: Iterable[str]
) -> dict[str, Any]:
    """What a verb leads to: ``{"result": …}``, or ``{"error": WorkbenchError.to_wire()}``.

    To be awaited in a task of its own, which from now on is for this request and this asker.
    """
    trace.request_id.set(request)
    try:
        trace.asker.set(trace.Asker(*asker))
        if verb not in VERBS:
            raise WorkbenchError(f"The host does not know {verb!r}.")
        return {"result": await getattr(host, verb)(**arguments)}
    except WorkbenchError as error:
        return {"error": error.to_wire()}
    except AWAY as error:
        logger.warning("%s: the database does not answer: %s", verb, error)
        return {"error": Unavailable(NO_DATABASE).to_wire()}
    except (Exception, asyncio.CancelledError):  # somebody waits for the answer all the same
        logger.exception("%s failed", verb)
        return {"error": SORRY.to_wire()}
