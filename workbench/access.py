"""Who is asking, and so whose sessions they see.

On loopback the door is open: everybody there shares the sessions without an owner, and logging
in (for the admin) changes nothing about that.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from django.http import HttpRequest

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


async def owner_of(request: HttpRequest) -> int | None:
    """The owner whose sessions an HTTP request may use; None is the open door."""
    return None


async def owner_of_scope(scope: Scope) -> int | None:
    """The owner whose sessions a socket may watch; None is the open door."""
    return None


class OwnerMiddleware:
    """Puts ``owner_id`` into the scope of a socket: whose sessions it may watch.

    The sockets live below this module and cannot ask it.
    """

    def __init__(self, app: Application) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app({**scope, "owner_id": await owner_of_scope(scope)}, receive, send)
