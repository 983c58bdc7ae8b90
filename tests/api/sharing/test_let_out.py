"""Who is let out: of sockets, streams and requests that wait, and nobody else with them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth import get_user_model
from django.db import OperationalError
from django.test import AsyncClient
from django.utils import timezone

from tests.api.doors import Question, ask
from tests.api.sharing.links import (
    PASSWORD,
    bearer,
    cookie_of,
    guest,
    key_of,
    link_to,
    live_session,
    visit,
)
from tests.api.sockets import APPLICATION, Socket, frame_of
from workbench.access import callers, middleware, shares
from workbench.access.models import ApiKey, Scope, Share
from workbench.api import events

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("closed")]


@pytest.fixture
def quick(monkeypatch):
    """Looks that come at once, and remember nothing."""
    monkeypatch.setattr(middleware, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(events, "KEEP_ALIVE_SECONDS", 0.02)
    monkeypatch.setattr(callers, "KNOWN_SECONDS", 0.0)


SOCKETS = ["sessions", "notebooks"]


def test_who_is_let_out_is_out_within_ten_seconds():
    assert middleware.LOOK_SECONDS + callers.KNOWN_SECONDS < 10


async def connected(path: str, headers: Any) -> Socket:
    socket = Socket(APPLICATION, path, list(headers))
    is_accepted, _ = await socket.connect()
    assert is_accepted
    return socket


async def closed_with(socket: Socket) -> tuple[int, str]:
    while (message := await socket.receive_output())["type"] != "websocket.close":
        pass
    return message["code"], message["reason"]


@pytest.mark.parametrize("kind", SOCKETS)
async def test_a_guest_watches_and_a_link_to_look_changes_nothing(theirs, kind):
    socket = await connected(f"/ws/{kind}/{theirs.id}/", await guest(theirs))
    await frame_of(socket, "live")
    edit = {"type": "edit", "edit": "1", "cells": []}
    frames: list[dict[str, Any]] = [edit] if kind == "notebooks" else SESSION_CHANGES

    for frame in frames:
        await socket.send_json_to(frame)
        answer = await frame_of(socket, "error")
        assert (answer["code"], answer["in_reply_to"]) == ("not_allowed", frame["type"])
    await socket.send_json_to({"type": "ping"})
    await frame_of(socket, "pong")
    await socket.disconnect()
    assert not await theirs.executions.aexists()
    assert not await theirs.cells.aexists()


SESSION_CHANGES: list[dict[str, Any]] = [
    {"type": "execute", "code": "1"},
    {"type": "interrupt"},
    {"type": "restart"},
    {"type": "close"},
    {"type": "input", "text": "x"},
    {"type": "cancel", "execution": "x"},
    {"type": "comm", "kind": "msg", "comm_id": "x"},
    {"type": "complete", "question": "1", "code": "a", "cursor": 1},
    {"type": "inspect", "question": "1", "code": "a", "cursor": 1},
    {"type": "variables", "question": "1"},
    {"type": "table", "question": "1", "name": "a"},
]


async def test_who_may_only_look_may_ask_what_it_uses(theirs):
    socket = await connected(f"/ws/sessions/{theirs.id}/", await guest(theirs))
    await socket.send_json_to({"type": "resources", "question": "1"})

    answer = await frame_of(socket, "resources", "error")
    assert answer.get("code") == "session_not_found"  # by the host, which has only heard of it
    await socket.disconnect()


async def test_a_link_to_run_does_not_end_the_session(theirs):
    socket = await connected(f"/ws/sessions/{theirs.id}/", await guest(theirs, Scope.RUN))
    await socket.send_json_to({"type": "close"})

    assert (await frame_of(socket, "error"))["code"] == "not_allowed"
    await socket.disconnect()


async def test_a_guest_writes_in_the_notebook_of_a_link_to_run(theirs):
    socket = await connected(f"/ws/notebooks/{theirs.id}/", await guest(theirs, Scope.RUN))
    cell = {"id": str(uuid4()), "kind": "code", "source": "1", "position": "a"}
    await socket.send_json_to({"type": "edit", "edit": "1", "cells": [cell]})

    assert (await frame_of(socket, "edited", "error"))["type"] == "edited"
    await socket.disconnect()


@pytest.mark.parametrize("path", ["sessions/", "sessions/s/", "sessions/%s/", "notebooks/%s/"])
async def test_a_guests_sockets_are_those_of_the_session(owner, theirs, path):
    other = await live_session("other", owner)
    socket = Socket(APPLICATION, f"/ws/{path.replace('%s', str(other.id))}")
    socket.scope["headers"] = list(await guest(theirs, Scope.RUN))
    is_accepted, _ = await socket.connect()

    assert not is_accepted or (await closed_with(socket))[0] == 4401


@pytest.mark.parametrize("kind", SOCKETS)
@pytest.mark.parametrize("how", ["revoked", "expired", "inactive"])
async def test_a_guest_is_let_out_of_what_is_open(theirs, quick, kind, how):
    socket = await connected(f"/ws/{kind}/{theirs.id}/", await guest(theirs, Scope.RUN))
    await frame_of(socket, "live")
    match how:
        case "revoked":
            await Share.objects.aupdate(revoked_at=timezone.now())
        case "expired":
            await Share.objects.aupdate(expires_at=timezone.now() - timedelta(seconds=1))
        case "inactive":
            await get_user_model().objects.aupdate(is_active=False)

    code, reason = await closed_with(socket)

    assert (code, reason) == (4401, callers.LET_OUT)
    await socket.disconnect()


@pytest.mark.parametrize("how", ["revoked", "inactive", "logged out"])
async def test_everybody_else_is_let_out_as_well(owner, theirs, quick, how):
    if how == "logged out":
        client = AsyncClient()
        await client.post("/login/", {"username": "ada", "password": PASSWORD})
        headers = ((b"cookie", f"sessionid={client.cookies['sessionid'].value}".encode()),)
    else:
        headers = bearer(await key_of("ada"))
    socket = await connected("/ws/sessions/", headers)
    await frame_of(socket, "live")
    match how:
        case "revoked":
            await ApiKey.objects.aupdate(revoked_at=timezone.now())
        case "inactive":
            await get_user_model().objects.aupdate(is_active=False)
        case "logged out":
            await client.post("/logout/")

    assert (await closed_with(socket))[0] == 4401
    await socket.disconnect()


async def test_one_link_that_ends_leaves_the_others_alone(owner, theirs, quick):
    other = await live_session("other", owner)
    share, token = await link_to(theirs)
    _, more = await link_to(other)
    first = cookie_of(await visit(token))
    both = cookie_of(await visit(more, cookies=first[0][1].decode()))
    gone = await connected(f"/ws/sessions/{theirs.id}/", both)
    stays = await connected(f"/ws/sessions/{other.id}/", both)

    await Share.objects.filter(id=share.id).aupdate(revoked_at=timezone.now())

    assert (await closed_with(gone))[0] == 4401
    await stays.send_json_to({"type": "ping"})
    await frame_of(stays, "pong")
    for socket in (gone, stays):
        await socket.disconnect()


async def test_a_page_that_comes_back_too_late_is_told_why(theirs):
    headers = await guest(theirs)
    await Share.objects.aupdate(revoked_at=timezone.now())
    socket = await connected(f"/ws/sessions/{theirs.id}/", headers)

    assert await closed_with(socket) == (4401, callers.LET_OUT)


async def test_without_a_database_nobody_is_let_out(theirs, quick, monkeypatch):
    socket = await connected(f"/ws/sessions/{theirs.id}/", await guest(theirs))
    await frame_of(socket, "live")
    looks: list[None] = []

    def away(_: Any) -> None:
        looks.append(None)
        raise OperationalError("database is locked")

    monkeypatch.setattr(callers, "_look_again", away)
    while len(looks) < 3:
        await socket.send_json_to({"type": "ping"})
        await frame_of(socket, "pong")
    await socket.disconnect()


async def test_many_sockets_of_one_person_ask_the_database_once(theirs, monkeypatch):
    headers = await guest(theirs)
    asked = middleware._asked_by_socket(
        {"headers": list(headers), "path": f"/ws/sessions/{theirs.id}/"}
    )
    looks: list[None] = []
    look = callers._look_again
    monkeypatch.setattr(callers, "_look_again", lambda asked: looks.append(None) or look(asked))

    seen = [await callers.find_again(asked) for _ in range(50)]

    assert len(looks) == 1
    assert all(each.shared == {theirs.id: False} for each in seen)


async def test_a_stream_ends_with_its_readers_access(theirs, quick, monkeypatch):
    headers = await guest(theirs)
    seen: list[bool] = []
    still = middleware.still_sees

    async def look(*about: Any) -> bool:
        seen.append(await still(*about))
        await Share.objects.aupdate(revoked_at=timezone.now())  # after the first look
        return seen[-1]

    monkeypatch.setattr(events, "still_sees", look)
    monkeypatch.setattr(events, "LOOK_SECONDS", 0.0)
    client = AsyncClient()
    client.cookies[shares.COOKIE] = headers[0][1].decode().partition("=")[2]
    answer: Any = await client.get(f"/api/v1/sessions/{theirs.id}/events?format=sse")

    text = b"".join([piece async for piece in answer.streaming_content]).decode()

    assert seen == [True, False]
    assert "event: end" not in text


async def test_a_long_poll_does_not_outlive_the_link(theirs, quick, monkeypatch):
    headers = await guest(theirs)

    async def waits(*_: Any) -> None:
        await Share.objects.aupdate(revoked_at=timezone.now())

    monkeypatch.setattr(events.history, "wait_for_event", waits)
    answer = await ask(Question("GET", f"/api/v1/sessions/{theirs.id}/events?wait=30", headers))

    assert answer.status == 401
