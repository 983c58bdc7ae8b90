"""``/events/session``: the beginnings and ends of sessions, as server-sent events.

Each event is ``event: session_started`` or ``session_terminated`` and ``data:`` with a JSON
object of ``reason``, ``sessionId``, ``sessionName``, ``ownerAccessKey`` and ``exitCode``.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from uuid import UUID

from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request

from sessions.engines import engine
from sessions.exceptions import HostUnavailable, SessionNotFound
from sessions.history import is_news
from sessions.models import Session
from workbench.access.callers import owner_of
from workbench.dialects.backendai.errors import invalid
from workbench.dialects.backendai.views import BackendAIView

# Seconds without news after which a comment says that the connection is alive.
KEEP_ALIVE_SECONDS = 15.0
_ALL = "*"
_SCOPES = {_ALL, "session", "kernel"}


class EventsView(BackendAIView):
    """The stream of one session, or with ``sessionName=*`` of all."""

    async def get(self, request: Request) -> HttpResponseBase:
        """Stream until the client leaves, or the one session it asked for has ended."""
        query = request.query_params
        name = query.get("sessionName") or query.get("name") or query.get("sessionId") or _ALL
        if not set(query.get("scope", _ALL).split(",")) <= _SCOPES:
            raise invalid("Input validation error", scope="must be *, session or kernel")
        owner_id = await owner_of(request._request)
        only: UUID | None = None
        if name != _ALL:
            only = await _live_id(owner_id, name)
        return StreamingHttpResponse(
            _stream(owner_id, only),
            content_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )


async def _live_id(owner_id: int | None, name: str) -> UUID:
    if "\0" not in name:
        session = await Session.objects.visible_to(owner_id).live().named(name).afirst()
        if session is not None:
            return session.id
    raise SessionNotFound


async def _stream(owner_id: int | None, only: UUID | None) -> AsyncIterator[bytes]:
    """Events as they happen; for one session also that it is there, at the beginning."""
    known: dict[UUID, Session] | None = {} if only else None
    try:
        # Subscribe before looking, so that nothing falls in between.
        async with engine().subscribe("sessions") as notices:
            while True:
                live = await _live(owner_id, only)
                if known is None:
                    yield b": from now on\n\n"
                for event in await _changes(live if known is None else known, live):
                    yield event
                known = live
                if only and not live:
                    return
                if not await is_news(notices, KEEP_ALIVE_SECONDS):
                    yield b": still here\n\n"
    except HostUnavailable:
        return  # the client comes back


async def _live(owner_id: int | None, only: UUID | None) -> dict[UUID, Session]:
    sessions = Session.objects.visible_to(owner_id).live()
    if only:
        sessions = sessions.filter(id=only)
    return {session.id: session async for session in sessions.order_by("created_at")}


async def _changes(before: dict[UUID, Session], now: dict[UUID, Session]) -> list[bytes]:
    started = [_event("session_started", now[key], "") for key in now.keys() - before.keys()]
    gone = Session.objects.filter(id__in=before.keys() - now.keys())
    ended = [_event("session_terminated", session, session.state) async for session in gone]
    return started + ended


def _event(kind: str, session: Session, reason: str) -> bytes:
    data = {
        "reason": session.reason or reason,
        "sessionId": str(session.id),
        "sessionName": session.identifier,
        "ownerAccessKey": None,
        "exitCode": None,
    }
    return f"event: {kind}\ndata: {json.dumps(data)}\n\n".encode()
