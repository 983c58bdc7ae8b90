"""Who watches a session hears that its files have changed, whoever changed them."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.test import AsyncClient

from files import operations as files
from files import rows
from sessions import consumers
from sessions import operations as sessions
from sessions.models import Session
from tests.api.sockets import Socket, connected, events_until, frame_of, ref
from tests.api.test_consumers import AbsentEngine

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("host")]

FILES = "/api/v1/sessions/s/files"


@pytest.fixture
async def session(host) -> Session:
    """A live session named "s", without files."""
    info = await sessions.open_session(ref("s"), origin="test")
    return await Session.objects.aget(pk=info.id)


async def save(session: Session, path: str) -> None:
    await files.save_file(session.pk, path, io.BytesIO(b"x"), origin="azure")


async def told_version(socket: Socket) -> int:
    return int((await frame_of(socket, "files"))["version"])


async def asked(socket: Socket) -> list[dict[str, Any]]:
    """The frames before the answer to a ping."""
    await socket.send_json_to({"type": "ping"})
    frames = []
    while (frame := await socket.receive_json_from())["type"] != "pong":
        frames.append(frame)
    return frames


@pytest.mark.usefixtures("place")
async def test_each_change_is_told_once_with_a_new_version(session):
    api = AsyncClient()
    async with connected("/ws/sessions/s/") as socket:
        first = (await frame_of(socket, "session"))["session"]["files_version"]
        await frame_of(socket, "live")
        versions = [first]
        for method, route, sent in (
            ("put", f"{FILES}/content?path=d/a", {"data": b"text"}),
            ("post", f"{FILES}/directories", {"data": {"path": "empty"}}),
            ("patch", f"{FILES}?path=d/a", {"data": {"path": "b"}}),
            ("delete", f"{FILES}?path=b", {}),
        ):
            answer = await getattr(api, method)(route, content_type="application/json", **sent)
            assert answer.status_code < 300, answer.content
            versions.append(await told_version(socket))
        for route in (FILES, f"{FILES}?path=d"):
            assert (await api.get(route)).status_code == 200
        rest = await asked(socket)

    assert versions == sorted(set(versions))
    assert not rest
    assert (await api.get("/api/v1/sessions/s")).json()["files_version"] == versions[-1]


@pytest.mark.usefixtures("place")
async def test_what_code_wrote_is_told_after_it(session):
    async with connected("/ws/sessions/s/") as socket:
        await frame_of(socket, "live")
        await socket.send_json_to({"type": "execute", "code": "open('new', 'w').close()"})
        await events_until(socket, "execution_finished")
        version = await told_version(socket)

    assert version > session.files_version
    assert await rows.refresh(session.pk) is None  # nothing is new any more


async def test_who_comes_back_sees_that_something_has_changed(session):
    await save(session, "a")

    async with connected("/ws/sessions/s/") as socket:
        frame = await frame_of(socket, "session")

    assert frame["session"]["files_version"] > session.files_version


async def test_what_changed_while_the_host_was_away_is_told_once_it_is_back(session, monkeypatch):
    absent = AbsentEngine(consumers.engine())
    monkeypatch.setattr(consumers, "engine", lambda: absent)
    async with connected("/ws/sessions/s/") as socket:
        assert (await frame_of(socket, "error"))["code"] == "host_unavailable"
        await save(session, "a")
        absent.present = True
        version = await told_version(socket)

    assert version > session.files_version


async def test_a_change_is_made_also_if_nobody_can_be_told(session, monkeypatch):
    absent = AbsentEngine(None)
    monkeypatch.setattr("sessions.engines.engine", lambda: absent)

    await save(session, "a")

    assert [info.path for info in await files.list_files(session.pk)] == ["a"]
    await session.arefresh_from_db()
    assert session.files_version > 0
