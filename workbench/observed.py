"""Around every request: its id, how long it takes, what becomes of it."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from ipaddress import ip_address
from typing import Any

from django.conf import settings

from sessions.kernels import trace
from workbench.measures import GONE, NO_DOOR, STATIC, metrics

Message = MutableMapping[str, Any]
Application = Callable[[Any, Any, Any], Awaitable[None]]

# Where in a request's scope its handler says which door it came through.
DOOR = "workbench.door"
# What a proxy or a client may call a request: nothing that means anything in a log.
_SANE = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:/+=@-]{0,127}")


class Observed:
    """An application whose requests and sockets are counted, and named in the log."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        if settings.WORKBENCH_FORWARDED_FOR and (address := _forwarded_for(scope)):
            scope = {**scope, "client": (address, 0)}
        id_ = _id_of(scope)
        trace.request_id.set(id_)
        if scope["type"] == "websocket":
            await self._follow_socket(scope, receive, send)
            return
        began, status = time.perf_counter(), GONE

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                # A copy: some answers are given again, to other requests.
                headers = [*message.get("headers", ()), (b"X-Request-Id", id_.encode())]
                message = {**message, "headers": headers}
            await send(message)

        scope[DOOR] = STATIC if scope["path"].startswith(settings.STATIC_URL) else NO_DOOR
        try:
            await self._application(scope, receive, note)
        except Exception:
            status = 500 if status == GONE else status  # the server answers in our place
            raise
        finally:
            metrics.answered(scope[DOOR], status, time.perf_counter() - began)

    async def _follow_socket(self, scope: Message, receive: Any, send: Any) -> None:
        metrics.socket_opened()
        try:
            await self._application(scope, receive, send)
        finally:
            metrics.socket_closed()


def _forwarded_for(scope: Message) -> str:
    """The address that the nearest proxy was reached from; empty if it does not say.

    It is the last: those before it are what the client says, or proxies that we do not know.
    """
    given = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
    try:
        return str(ip_address(given[-1].decode("latin1").rpartition(",")[2].strip()))
    except (IndexError, ValueError):
        return ""


def _id_of(scope: Message) -> str:
    """What the request is called by whoever sent it, or else by us."""
    given = [value for name, value in scope["headers"] if name == b"x-request-id"]
    if len(given) == 1 and _SANE.fullmatch(given[0]):
        return str(given[0].decode())
    return secrets.token_hex(8)
