"""HTTP and WebSocket meet here, and only here. No start-up hook: daphne has no lifespan."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import django
from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.exceptions import ImproperlyConfigured

from workbench.origins import is_allowed_host, is_same_origin

Application = Callable[[Any, Any, Any], Awaitable[None]]


class SameOriginOnly:
    """Refuses sockets that a browser opens for another site's page.

    A program sends no Origin and may connect. A page's Origin must name the host and the port
    that its browser connects to; a sandboxed page's is ``null`` and names none.
    """

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        host = _header(scope, b"host")
        origin = _header(scope, b"origin")
        if is_allowed_host(host) and (origin is None or is_same_origin(origin, host or "")):
            await self._application(scope, receive, send)
        else:
            await send({"type": "websocket.close"})  # before it is accepted: HTTP status 403


class ExactAddresses(URLRouter):  # type: ignore[misc]  # channels is untyped
    """Channels' router overlooks how many slashes there are at the beginning; Django's does not."""

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        path = scope["path"]
        is_ours = path.startswith("/") and not path.startswith("//")
        await super().__call__(scope if is_ours else {**scope, "path": ""}, receive, send)


def _header(scope: MutableMapping[str, Any], name: bytes) -> str | None:
    """A header's value, several of them joined (which then match nothing); None if absent."""
    values = [value.decode("latin1") for key, value in scope["headers"] if key == name]
    return ",".join(values) if values else None


def _build() -> Application:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "workbench.settings")
    try:
        django.setup(set_prefix=False)
    except ImproperlyConfigured as error:  # a setting that cannot be: its sentence says which
        sys.exit(f"workbench: {error}")
    # Only now, with the apps loaded, can consumers be imported.
    from sessions.routing import websocket_urlpatterns
    from workbench.access.middleware import SocketAccess
    from workbench.dialects.backendai import stream
    from workbench.middleware import Handler
    from workbench.observed import Observed
    from workbench.static import Remembered

    # Ours last: they end with one for every address that nothing serves.
    addresses = ExactAddresses([*stream.websocket_urlpatterns, *websocket_urlpatterns])
    sockets = SocketAccess(addresses)
    doors = {"http": Remembered(Handler()), "websocket": SameOriginOnly(sockets)}
    return Observed(ProtocolTypeRouter(doors))


application = _build()
