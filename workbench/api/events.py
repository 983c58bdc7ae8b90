"""A session's log over HTTP: ``/api/v1/sessions/<identifier>/events``, in pages or as a stream."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import Any

from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path
from rest_framework.request import Request

from sessions import history
from sessions.database import AWAY
from sessions.engines import engine
from sessions.exceptions import HostUnavailable
from sessions.models import Event, Session
from workbench.access.middleware import LOOK_SECONDS, still_sees
from workbench.api import shapes
from workbench.api.base import (
    SessionView,
    no_content,
    parse_number,
    read_choice,
    read_number,
)
from workbench.api.executions import WAIT
from workbench.api.operation import JSON, Answer, Parameter, number, operation

logger = logging.getLogger(__name__)

STREAM = "text/event-stream"
# Without news for so long, a comment says that the connection is alive. Then, too, it is asked
# whether the reader may still see the session.
KEEP_ALIVE_SECONDS = LOOK_SECONDS
# After so long a reader whose connection was lost shall come back.
RETRY_MILLISECONDS = 1_000
# A page with more characters goes no further.
CHARACTERS_PER_PAGE = 4_000_000
_MAX_NUMBER = 10**15 - 1
SINCE = number(
    "since", "The number of the last event the client has; 0: none.", most=_MAX_NUMBER, default=0
)
LIMIT = number("limit", "How many at most; a stream has no end.", least=1, most=1_000, default=100)
FORMAT = Parameter(
    name="format", about="Without it, the header `Accept` decides.", choices=("json", "sse")
)
LAST_EVENT_ID = Parameter(
    name="Last-Event-ID",
    about="Instead of `since`: what a browser sends when it takes up a stream again.",
    example="17",
)
_LAST_NUMBER = replace(SINCE, name=LAST_EVENT_ID.name)


class EventsView(SessionView):
    """``GET …/events``."""

    tag = "Events"

    @operation(
        "read_events",
        query=[SINCE, LIMIT, replace(WAIT, about="Seconds to wait, if there is none."), FORMAT],
        headers=[LAST_EVENT_ID],
        answers={
            HTTPStatus.OK: Answer(
                about="Some of the log; or, as `text/event-stream`, all that comes.",
                shape=shapes.Events,
                others={STREAM: shapes.MESSAGE},
            ),
            HTTPStatus.NO_CONTENT: Answer(
                about="Instead of a stream: the session has ended, and the client has everything."
            ),
        },
        failures=[HostUnavailable],
    )
    async def get(self, request: Request, **where: Any) -> HttpResponseBase:
        """Read the log of a session.

        In pages; with `wait` the answer comes as soon as there is something new. Or as a stream
        of server-sent events, whose `id` is the event's number and whose `data` the event: first
        what there is, then what happens, until the session has ended, which the last one says
        (`event: end`). Also of a session that has ended.
        """
        wanted = _format(request)
        since, limit = read_number(request, SINCE) or 0, read_number(request, LIMIT) or 1
        seconds = read_number(request, WAIT) or 0
        if (told := request.headers.get(LAST_EVENT_ID.name)) is not None:
            since = parse_number(told.strip(), _LAST_NUMBER)
        session = await self.session_of(request)
        if wanted == "json":
            if seconds and session.is_live:
                await history.wait_for_event(session, since, seconds)
                session = await self.session_of(request)
                await self.check_still_in(request, session)
            return await _page(session, since, limit)
        if not session.is_live and since >= session.last_event_number:
            return no_content()  # which tells browsers not to come again
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "Vary": "Accept"}
        if request.method == "HEAD":
            return HttpResponse(content_type=STREAM, headers=headers)
        is_in = partial(still_sees, request._request, session)
        return EventStream(_stream(session, since, is_in), content_type=STREAM, headers=headers)


class EventStream(StreamingHttpResponse):
    """Lets go of everything as soon as its reader leaves, whatever it is in the middle of.

    Django's own iterator hides ours: closing that one would leave ours to the garbage collector.
    """

    def __init__(self, frames: AsyncGenerator[bytes, None], **options: Any) -> None:
        super().__init__(frames, **options)
        self._frames = frames

    def __aiter__(self) -> AsyncGenerator[bytes, None]:
        return self._frames


def _format(request: Request) -> str:
    if FORMAT.name in request.query_params:
        return read_choice(request, FORMAT)
    return "sse" if request._request.get_preferred_type([JSON, STREAM]) == STREAM else "json"


async def _page(session: Session, since: int, limit: int) -> HttpResponse:
    texts: list[str] = []
    size, last = 0, since
    async for portion in history.portions(session, since, _in_json, limit=limit):
        texts += portion.texts
        last = portion.last_number
        size += sum(map(len, portion.texts))
        if size > CHARACTERS_PER_PAGE:
            break
    facts = {
        "last_number": last,
        "has_more": last < session.last_event_number,
        "is_live": session.is_live,
    }
    body = f'{{"events": [{", ".join(texts)}], {json.dumps(facts)[1:]}'
    headers = {"Cache-Control": "no-store", "Vary": "Accept"}
    return HttpResponse(body, content_type=JSON, headers=headers)


async def _stream(
    session: Session, since: int, is_in: Callable[[], Awaitable[bool]]
) -> AsyncGenerator[bytes, None]:
    """The log after ``since``, and what comes, until the session or its host has ended.

    Or until its reader, of whom ``is_in`` tells, may not see the session any more.

    What was sent is nowhere kept: a reader that is slow holds back only itself.
    """
    yield f"retry: {RETRY_MILLISECONDS}\n\n".encode()
    looked_at = time.monotonic()
    try:
        # Subscribe before reading, so that nothing falls in between.
        async with engine().subscribe(str(session.id)) as notices:
            while True:
                try:
                    await (
                        session.arefresh_from_db()
                    )  # first: when it has ended, its last event is there
                    async for portion in history.portions(session, since, _worded):
                        yield "".join(portion.texts).encode()
                        since = portion.last_number
                except AWAY as error:
                    # Browsers do not come back to who refuses them once, so they are kept.
                    logger.warning("the database does not answer: %s", error)
                    yield b": the database does not answer\n\n"
                    await asyncio.sleep(RETRY_MILLISECONDS / 1000)
                    continue
                if not session.is_live:
                    break
                if not await history.is_news(notices, KEEP_ALIVE_SECONDS):
                    yield b": still here\n\n"
                if time.monotonic() - looked_at >= LOOK_SECONDS:
                    if not await is_in():
                        return
                    looked_at = time.monotonic()
    except HostUnavailable:
        # The rows are there all the same; for more, the reader comes back.
        with suppress(*AWAY):
            async for portion in history.portions(session, since, _worded):
                yield "".join(portion.texts).encode()
            await session.arefresh_from_db()
    if not session.is_live:
        end = {"state": session.state, "reason": session.reason}
        yield f"event: end\ndata: {json.dumps(end)}\n\n".encode()


def _worded(event: Event) -> str:
    """An event as a reader of the stream gets it: JSON has no line breaks of its own."""
    return f"id: {event.number}\ndata: {_in_json(event)}\n\n"


def _in_json(event: Event) -> str:
    return json.dumps(event.to_wire())


urlpatterns: list[URLPattern] = [
    path("sessions/<path:identifier>/events", EventsView.as_view()),
]
