"""The sockets: replay, then live; frames and their errors."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager

import pytest

from sessions import consumers, frames, history, operations
from sessions.exceptions import HostUnavailable
from sessions.models import Event, Execution
from sessions.overview import last_line
from tests.api.sockets import (
    NOW,
    Socket,
    connected,
    ended_session,
    events_until,
    frame_of,
    ref,
)


async def error_after(socket: Socket, text: str) -> dict:
    await socket.send_to(text_data=text)
    return await frame_of(socket, "error")


# Replay


async def test_an_ended_session_is_replayed_from_its_first_event(host):
    await ended_session(events=3)

    async with connected("/ws/sessions/old/") as socket:
        first = await socket.receive_json_from()
        events = await socket.receive_json_from()
        live = await socket.receive_json_from()

    assert (first["type"], first["session"]["state"]) == ("session", "closed")
    assert [event["number"] for event in events["events"]] == [1, 2, 3]
    assert live == {"type": "live", "number": 3}


async def test_replay_begins_after_since(host):
    session = await ended_session(events=3)

    async with connected(f"/ws/sessions/{session.id}/?since=2") as socket:
        frame = await frame_of(socket, "events")

    assert [event["number"] for event in frame["events"]] == [3]


async def test_a_long_log_comes_in_pages_in_order_once(host):
    await ended_session(events=1100)

    async with connected("/ws/sessions/old/") as socket:
        pages = [(await frame_of(socket, "events"))["events"] for _ in range(3)]

    assert [len(page) for page in pages] == [500, 500, 100]
    assert [event["number"] for page in pages for event in page] == list(range(1, 1101))


async def test_large_events_make_smaller_pages(host, monkeypatch):
    monkeypatch.setattr(history, "CHARACTERS_PER_PORTION", 300)
    await ended_session(events=4)

    async with connected("/ws/sessions/old/") as socket:
        page = (await frame_of(socket, "events"))["events"]

    assert 1 <= len(page) < 4


@pytest.mark.parametrize("since", ["-1", "x", "1.5", "", "9" * 30, "٣"])
async def test_a_malformed_since_is_refused(host, since):
    await ended_session()

    async with connected(f"/ws/sessions/old/?since={since}") as socket:
        closing = await socket.receive_output()

    assert (closing["type"], closing["code"]) == ("websocket.close", 4400)
    assert "since" in closing["reason"]


@pytest.mark.parametrize("path", ["/ws/sessions/nobody/", "/ws/sessions/a/b/c/", "/ws/elsewhere/"])
async def test_an_unknown_address_is_accepted_and_closed_with_4404(host, path):
    async with connected(path) as socket:
        closing = await socket.receive_output()

    assert closing["code"] == 4404
    assert closing["reason"]


async def test_another_owners_session_is_unknown(host, django_user_model):
    user = await django_user_model.objects.acreate(username="ada")
    session = await ended_session()
    session.owner = user
    await session.asave()

    async with connected("/ws/sessions/old/") as socket:
        closing = await socket.receive_output()

    assert closing["code"] == 4404


# Frames that are wrong


@pytest.mark.parametrize(
    ("text", "code", "in_reply_to"),
    [
        ("{", "invalid_value", None),
        ("[]", "invalid_value", None),
        ('"execute"', "invalid_value", None),
        ("[" * 100_000, "invalid_value", None),
        ("{}", "invalid_value", None),
        ('{"type": "launch"}', "invalid_value", None),
        ('{"type": ["execute"]}', "invalid_value", None),
        ('{"type": "execute"}', "invalid_value", "execute"),
        ('{"type": "execute", "code": 1}', "invalid_value", "execute"),
        ('{"type": "execute", "code": "\\ud800"}', "invalid_value", "execute"),
        ('{"type": "execute", "code": "1", "client_id": []}', "invalid_value", "execute"),
        ('{"type": "input", "text": null}', "invalid_value", "input"),
        ('{"type": "execute", "code": "1"}', "session_not_found", "execute"),
        ('{"type": "interrupt"}', "session_not_found", "interrupt"),
        ('{"type": "cancel", "execution": "x"}', None, "cancel"),
    ],
)
async def test_a_bad_frame_is_answered_and_the_connection_stays(host, text, code, in_reply_to):
    await ended_session()

    async with connected("/ws/sessions/old/") as socket:
        error = await error_after(socket, text)
        await socket.send_json_to({"type": "ping"})
        pong = await frame_of(socket, "pong")

    assert code in (None, error["code"])
    assert error["in_reply_to"] == in_reply_to
    assert error["message"]
    assert pong == {"type": "pong"}


async def test_a_binary_frame_is_answered_with_an_error(host):
    await ended_session()

    async with connected("/ws/sessions/old/") as socket:
        await socket.send_to(bytes_data=b"\x00")
        error = await frame_of(socket, "error")

    assert error["code"] == "invalid_value"


def test_every_field_a_table_names_can_be_parsed():
    frame = frames.parse('{"type": "open", "identifier": "a", "extra": 1}', frames.LIST_FRAMES)

    assert frame == ("open", {"identifier": "a"})


# Live


@pytest.mark.kernel
async def test_output_arrives_while_the_code_still_runs(host):
    await operations.open_session(ref("s"), origin="azure")

    async with connected("/ws/sessions/s/") as socket:
        code = "print('now', flush=True)\ninput()"
        await socket.send_json_to({"type": "execute", "code": code, "client_id": "mine"})
        events = await events_until(socket, "input_request")
        await socket.send_json_to({"type": "input", "text": "go on"})
        rest = await events_until(socket, "execution_finished")

    queued = next(event for event in events if event["type"] == "execution_queued")
    assert queued["data"]["client_id"] == "mine"
    assert queued["data"]["origin"] == "browser"
    assert {"name": "stdout", "text": "now\n"} in [event["data"] for event in events]
    numbers = [event["number"] for event in [*events, *rest]]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.kernel
async def test_an_interrupt_passes_the_code_that_runs(host):
    await operations.open_session(ref("s"), origin="azure")

    async with connected("/ws/sessions/s/") as socket:
        await socket.send_json_to({"type": "execute", "code": "print(1)\ninput()"})
        await events_until(socket, "input_request")
        await socket.send_json_to({"type": "interrupt"})
        finished = (await events_until(socket, "execution_finished"))[-1]

    assert finished["data"]["state"] in {"interrupted", "failed"}


@pytest.mark.kernel
async def test_frames_are_queued_in_the_order_in_which_they_came(host):
    await operations.open_session(ref("s"), origin="azure")

    async with connected("/ws/sessions/s/") as socket:
        for n in range(10):
            await socket.send_json_to({"type": "execute", "code": f"x = {n}"})
        seen: list[str] = []
        while len(seen) < 10:
            events = (await frame_of(socket, "events"))["events"]
            seen += [e["data"]["code"] for e in events if e["type"] == "execution_queued"]

    assert seen == [f"x = {n}" for n in range(10)]


@pytest.mark.kernel
async def test_a_client_that_leaves_stops_nothing(host):
    await operations.open_session(ref("s"), origin="azure")

    async with connected("/ws/sessions/s/") as socket:
        await socket.send_json_to({"type": "execute", "code": "6 * 7"})
        await events_until(socket, "execution_queued")
    execution = await Execution.objects.aget()
    ended = await operations.wait(ref("s"), str(execution.id), timeout_seconds=30)

    assert ended.state == "succeeded"


@pytest.mark.kernel
async def test_the_list_opens_closes_and_tells_of_changes(host):
    async with connected("/ws/sessions/") as socket:
        first = await frame_of(socket, "sessions")
        await socket.send_json_to({"type": "open", "identifier": "new"})
        opened = await frame_of(socket, "opened")
        await socket.send_json_to({"type": "close", "identifier": "new"})
        rows = first["sessions"]
        while not (rows and rows[0]["state"] == "closed"):
            rows = (await frame_of(socket, "sessions"))["sessions"]

    assert first["sessions"] == []
    assert (opened["session"]["identifier"], opened["session"]["created"]) == ("new", True)
    assert (rows[0]["origin"], rows[0]["executions"]["total"]) == ("browser", 0)


async def test_the_list_refuses_a_bad_identifier_in_words(host):
    async with connected("/ws/sessions/") as socket:
        error = await error_after(socket, json.dumps({"type": "open", "identifier": ""}))

    assert (error["code"], error["in_reply_to"]) == ("invalid_value", "open")


async def test_the_list_shows_the_last_line_and_counts(host):
    session = await ended_session(events=0)
    execution = await Execution.objects.acreate(
        session=session, code="1/0", origin="azure", state="failed", queued_at=NOW, finished_at=NOW
    )
    outputs = [
        ("stream", {"name": "stdout", "text": "first\n"}),
        ("error", {"ename": "KeyError", "evalue": "'x'", "traceback": []}),
        ("execution_finished", {"state": "failed"}),
    ]
    await Event.objects.abulk_create(
        Event(session=session, execution=execution, number=n, type=kind, data=data, at=NOW)
        for n, (kind, data) in enumerate(outputs, 1)
    )

    async with connected("/ws/sessions/") as socket:
        row = (await frame_of(socket, "sessions"))["sessions"][0]

    assert row["last_line"] == "KeyError: 'x'"
    assert row["executions"] == {"total": 1, "failed": 1, "waiting": 0}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\nb\n\n", "b"),
        ("10 %\r100 %", "100 %"),
        ("\x1b[31mred\x1b[0m\n", "red"),
        ("\x1b]0;title\x07x", "x"),
        ("", ""),
        ("y" * 500, "y" * 200),
    ],
)
def test_the_last_line_is_what_a_terminal_would_show(text, line):
    assert last_line(text) == line


# A host that is away


class AbsentEngine:
    """An engine whose host does not answer until it is ``present``."""

    def __init__(self, real) -> None:
        self.real, self.present = real, False

    async def call(self, verb, **arguments):
        raise HostUnavailable

    @asynccontextmanager
    async def subscribe(self, topic):
        if not self.present:
            raise HostUnavailable
        async with self.real.subscribe(topic) as notices:
            yield notices


async def test_without_a_host_the_log_is_replayed_and_the_socket_comes_back(host, monkeypatch):
    absent = AbsentEngine(consumers.engine())
    monkeypatch.setattr(consumers, "engine", lambda: absent)
    await ended_session(events=2)

    async with connected("/ws/sessions/old/") as socket:
        replayed = (await frame_of(socket, "events"))["events"]
        error = await frame_of(socket, "error")
        absent.present = True
        live = await frame_of(socket, "live")

    assert len(replayed) == 2
    assert (error["code"], error["in_reply_to"]) == ("host_unavailable", None)
    assert live["number"] == 2
