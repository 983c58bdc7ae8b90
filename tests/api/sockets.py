"""Sockets as clients use them: connect, wait for frames. And the sessions they are about."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator

from sessions.models import Event, Session
from sessions.operations import SessionRef
from sessions.routing import websocket_urlpatterns
from workbench.access.middleware import SocketAccess

WAIT_SECONDS = 60.0
NOW = datetime(2026, 1, 1, tzinfo=UTC)
APPLICATION = SocketAccess(URLRouter(websocket_urlpatterns))


class Socket(WebsocketCommunicator):
    """Channels gives a server one second for everything; a busy machine takes longer."""

    async def connect(self, timeout: float = WAIT_SECONDS) -> Any:
        return await super().connect(timeout)

    async def disconnect(self, code: int = 1000, timeout: float = WAIT_SECONDS) -> None:
        await super().disconnect(code, timeout)

    async def receive_output(self, timeout: float = WAIT_SECONDS) -> Any:
        return await super().receive_output(timeout)

    async def receive_from(self, timeout: float = WAIT_SECONDS) -> Any:
        return await super().receive_from(timeout)

    async def receive_json_from(self, timeout: float = WAIT_SECONDS) -> Any:
        return await super().receive_json_from(timeout)


@asynccontextmanager
async def connected(path: str) -> AsyncIterator[Socket]:
    socket = Socket(APPLICATION, path)
    is_accepted, _ = await socket.connect()
    assert is_accepted
    try:
        yield socket
    finally:
        await socket.disconnect()


async def frame_of(socket: Socket, *kinds: str) -> dict[str, Any]:
    """The next frame of these types; others on the way are passed over."""
    while True:
        frame: dict[str, Any] = await socket.receive_json_from()
        if frame["type"] in kinds:
            return frame


async def events_until(socket: Socket, kind: str) -> list[dict[str, Any]]:
    """Events, up to and with the first of a type."""
    events: list[dict[str, Any]] = []
    while not any(event["type"] == kind for event in events):
        events += (await frame_of(socket, "events"))["events"]
    return events


async def ended_session(identifier: str = "old", *, events: int = 0, **more: Any) -> Session:
    """A session that has ended, with so many events in its log."""
    times = {"created_at": NOW, "last_active_at": NOW, "ended_at": NOW}
    fields = {"kernel_name": "python3", "origin": "azure", "state": "closed", "host": "gone"}
    session = await Session.objects.acreate(
        identifier=identifier, last_event_number=events, **{**fields, **times, **more}
    )
    await Event.objects.abulk_create(
        Event(session=session, number=n, type="session_state", data={"state": "idle"}, at=NOW)
        for n in range(1, events + 1)
    )
    return session


def ref(identifier: str) -> SessionRef:
    return SessionRef(owner_id=None, identifier=identifier)
