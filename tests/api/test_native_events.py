"""A session's log over the native API: pages, long polls, streams."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from django.http import StreamingHttpResponse

from sessions import history, operations
from sessions.engines import engine
from sessions.exceptions import HostUnavailable
from sessions.models import Event, Session
from sessions.operations import SessionRef
from tests.api.sockets import ended_session
from workbench.api import events

pytestmark = pytest.mark.usefixtures("host")

REF = SessionRef(owner_id=None, identifier="s")
HERE = "/api/v1/sessions/s/events"
SSE = {"Accept": "text/event-stream"}


async def page(api: Any, query: str) -> Any:
    answer = await api.get(f"{HERE}{query}")
    assert answer.status_code == 200
    return answer.json()


def numbers(answer: Any) -> list[int]:
    return [event["number"] for event in answer["events"]]


def frames_in(text: bytes) -> list[dict[str, str]]:
    """What a stream has said: its fields, frame by frame; a comment is under ""."""
    frames = [frame.split("\n") for frame in text.decode().split("\n\n") if frame]
    return [dict(line.split(": ", 1) for line in frame) for frame in frames]


@asynccontextmanager
async def streamed(api: Any, query: str = "", **headers: str) -> AsyncIterator[AsyncIterator[Any]]:
    """The frames of a stream, until the reader leaves."""
    answer = await api.get(f"{HERE}{query}", headers=SSE | headers)
    assert (answer.status_code, answer["Content-Type"]) == (200, "text/event-stream")

    async def frames() -> AsyncIterator[dict[str, str]]:
        async with asyncio.timeout(60):
            async for piece in pieces:
                for frame in frames_in(piece):
                    yield frame

    async with aclosing(aiter(answer)) as pieces:
        yield frames()


async def opened() -> Session:
    info = await operations.open_session(REF, origin="test")
    return await Session.objects.aget(id=info.id)


# --- Pages -------------------------------------------------------------------------------------


async def test_pages_have_the_whole_log_once_and_say_where_to_go_on(api):
    await ended_session("s", events=250)

    found, since, has_more = [], 0, True
    while has_more:
        answer = await page(api, f"?since={since}&limit=120")
        found += numbers(answer)
        assert answer["is_live"] is False
        since, has_more = answer["last_number"], answer["has_more"]

    assert found == list(range(1, 251))
    assert since == 250
    assert await page(api, "?since=999") == {
        "events": [],
        "last_number": 999,
        "has_more": False,
        "is_live": False,
    }


async def test_an_event_is_as_the_sockets_have_it(api):
    session = await ended_session("s", events=1)

    (event,) = (await page(api, ""))["events"]

    assert event == (await session.events.aget()).to_wire()


async def test_a_page_of_large_events_is_short(api, monkeypatch):
    monkeypatch.setattr(events, "CHARACTERS_PER_PAGE", 300)
    monkeypatch.setattr(history, "CHARACTERS_PER_PORTION", 300)
    await ended_session("s", events=10)

    answer = await page(api, "")

    assert 1 <= len(answer["events"]) < 10
    assert answer["has_more"]


# --- Long polls --------------------------------------------------------------------------------


@pytest.mark.kernel
async def test_a_long_poll_is_answered_when_something_happens(api):
    session = await opened()
    await operations.run_code(REF, "1", origin="test")
    await session.arefresh_from_db()
    poll = asyncio.create_task(page(api, f"?since={session.last_event_number}&wait=60"))

    await operations.run_code(REF, "print('hi')", origin="test")
    answer = await asyncio.wait_for(poll, 60)

    assert answer["events"][0]["number"] == session.last_event_number + 1
    assert answer["is_live"]


@pytest.mark.kernel
async def test_a_long_poll_is_answered_when_its_time_is_over_and_when_the_session_ends(api):
    session = await opened()
    await operations.run_code(REF, "1", origin="test")
    await session.arefresh_from_db()
    last = session.last_event_number

    empty = await page(api, f"?since={last}&wait=1")
    poll = asyncio.create_task(page(api, f"?since={10**9}&wait=60"))
    await operations.close_session(REF)
    ended = await asyncio.wait_for(poll, 60)

    assert (empty["events"], empty["last_number"], empty["is_live"]) == ([], last, True)
    assert (ended["events"], ended["is_live"]) == ([], False)


async def test_nobody_waits_for_what_has_ended(api):
    await ended_session("s", events=3)

    async with asyncio.timeout(30):
        assert numbers(await page(api, "?since=3&wait=60")) == []


# --- Streams -----------------------------------------------------------------------------------


@pytest.mark.kernel
async def test_a_stream_has_the_log_then_what_happens_and_ends_with_the_session(api):
    await opened()
    await operations.run_code(REF, "print('before')", origin="test")

    async with streamed(api, "?format=sse") as frames:
        seen = [await anext(frames), await anext(frames)]
        await operations.run_code(REF, "print('after')", origin="test")
        await operations.close_session(REF)
        seen += [frame async for frame in frames]

    assert "retry" in seen[0]
    told = [json.loads(frame["data"]) for frame in seen if "id" in frame]
    session = await Session.objects.aget()
    assert told == [event.to_wire() async for event in session.events.order_by("number")]
    assert [int(frame["id"]) for frame in seen if "id" in frame] == [e["number"] for e in told]
    texts = [event["data"]["text"] for event in told if event["type"] == "stream"]
    assert texts == ["before\n", "after\n"]
    assert seen[-1]["event"] == "end"
    assert json.loads(seen[-1]["data"])["state"] == "closed"


async def test_a_stream_is_taken_up_where_it_broke(api):
    await ended_session("s", events=5)

    async with streamed(api, "?since=1", **{"Last-Event-ID": "3"}) as frames:
        seen = [frame async for frame in frames]

    assert [frame["id"] for frame in seen if "id" in frame] == ["4", "5"]
    assert seen[-1]["event"] == "end"


async def test_who_has_all_of_an_ended_session_need_not_come_again(api):
    await ended_session("s", events=5)

    answer = await api.get(HERE, headers=SSE | {"Last-Event-ID": "5"})
    bad = await api.get(HERE, headers=SSE | {"Last-Event-ID": "x"})

    assert (answer.status_code, answer.content) == (204, b"")
    assert (bad.status_code, bad.json()["code"]) == (400, "invalid_value")


@pytest.mark.parametrize(
    ("query", "accept", "is_stream"),
    [
        ("", "text/event-stream", True),
        ("", "*/*", False),
        ("", "application/json, text/event-stream;q=0.5", False),
        ("?format=sse", "application/json", True),
        ("?format=json", "text/event-stream", False),
    ],
)
async def test_the_client_chooses_the_format(api, query, accept, is_stream):
    await ended_session("s", events=1)

    answer = await api.get(f"{HERE}{query}", headers={"Accept": accept})

    assert isinstance(answer, StreamingHttpResponse) is is_stream
    assert "Accept" in answer["Vary"]


@pytest.mark.kernel
async def test_a_quiet_stream_says_that_it_is_alive(api, monkeypatch):
    monkeypatch.setattr(events, "KEEP_ALIVE_SECONDS", 0.05)
    await opened()

    async with streamed(api) as frames:
        async for frame in frames:
            if "" in frame:
                break

    assert frame == {"": "still here"}


@pytest.mark.kernel
async def test_a_reader_that_leaves_leaves_nothing_behind(api):
    session = await opened()
    subscribers = engine()._subscribers
    async with streamed(api) as frames:
        await anext(frames)
        await anext(frames)  # it follows from here on
        watched = subscribers._by_topic.get(str(session.id))
        assert watched
        assert len(watched) == 1

    assert str(session.id) not in subscribers._by_topic


@pytest.mark.kernel
async def test_a_slow_reader_holds_back_nobody_and_misses_nothing(api):
    await opened()

    async with streamed(api) as slow, streamed(api) as quick:
        await anext(slow)
        for n in range(30):
            await operations.run_code(REF, f"print({n})", origin="test")
        await operations.close_session(REF)
        by_quick = [frame async for frame in quick]
        by_slow = [frame async for frame in slow]

    assert by_slow == by_quick[1:]
    assert len(by_quick) > 120


async def test_without_a_host_a_stream_tells_what_the_rows_have_and_ends(api, monkeypatch):
    session = await ended_session("s", events=3)
    await Session.objects.filter(id=session.id).aupdate(state="idle", ended_at=None)

    class Absent:
        def subscribe(self, topic: str) -> Any:
            raise HostUnavailable

    monkeypatch.setattr(events, "engine", Absent)

    async with streamed(api) as frames:
        seen = [frame async for frame in frames]

    assert [frame["id"] for frame in seen if "id" in frame] == ["1", "2", "3"]
    assert "event" not in seen[-1]
    assert await Event.objects.acount() == 3
