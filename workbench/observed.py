"""Around every request: how long it takes, what becomes of it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from django.conf import settings

from workbench.measures import GONE, NO_DOOR, STATIC, metrics

Message = MutableMapping[str, Any]
Application = Callable[[Any, Any, Any], Awaitable[None]]

# Where in a request's scope its handler says which door it came through.
DOOR = "workbench.door"


class Observed:
    """An application whose requests and sockets are counted."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await self._follow_socket(scope, receive, send)
            return
        began, status = time.perf_counter(), GONE

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
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
