"""The notebook's socket: everybody who has it open stays in step."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from sessions import consumers, engines, notebook, notebook_consumer
from sessions.exceptions import HostUnavailable
from sessions.operations import SessionRef
from tests.api.notebooks import A, B, a_cell, edit, new_cell
from tests.api.sockets import Socket, connected, frame_of

NOTEBOOK = "/ws/notebooks/s/"
REF = SessionRef(owner_id=None, identifier="s")

pytestmark = pytest.mark.usefixtures("host")


async def answer_to(socket: Socket, *cells: Any, **more: Any) -> dict[str, Any]:
    frame = {"type": "edit", "edit": "e1", "cells": list(cells), **more}
    await socket.send_json_to(frame)
    return await frame_of(socket, "edited", "conflict", "error")


async def test_the_first_frame_comes_even_if_there_is_nothing(session):
    async with connected(NOTEBOOK) as socket:
        first = await socket.receive_json_from()
        second = await socket.receive_json_from()

    assert first == {"type": "cells", "cells": [], "version": 0, "metadata": {}}
    assert second == {"type": "live", "version": 0}


async def test_two_sockets_stay_in_step(session):
    async with connected(NOTEBOOK) as one, connected(NOTEBOOK) as other:
        for socket in (one, other):
            await frame_of(socket, "live")
        answer = await answer_to(one, new_cell(source="1"), metadata={"x": 1})
        heard = await frame_of(other, "cells")

    assert answer == {"type": "edited", "edit": "e1", "version": 1}
    assert (heard["version"], heard["metadata"]) == (1, {"x": 1})
    assert heard["cells"] == [
        {
            "id": A,
            "kind": "code",
            "source": "1",
            "position": "000000000001V",
            "metadata": {},
            "outputs": [],
            "version": 1,
            "is_deleted": False,
        }
    ]


async def test_a_client_that_comes_back_gets_what_it_missed(session):
    await edit(session, new_cell(A, "1"))
    await edit(session, new_cell(B, "2"))
    await edit(session, a_cell(A, 1, is_deleted=True))

    async with connected("/ws/notebooks/s/?since=2") as socket:
        frame = await frame_of(socket, "cells")

    assert [(cell["id"], cell["is_deleted"]) for cell in frame["cells"]] == [(A, True)]
    assert frame["version"] == 3


async def test_a_conflict_is_answered_with_the_present_cells(session):
    await edit(session, new_cell(source="theirs"))

    async with connected(NOTEBOOK) as socket:
        answer = await answer_to(socket, a_cell(source="mine"))

    assert (answer["type"], answer["edit"]) == ("conflict", "e1")
    assert answer["cells"][0]["source"] == "theirs"


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "edit", "edit": "e1", "cells": [{"id": 1}]},
        {"type": "edit", "cells": []},
        {"type": "edit", "edit": "e1", "cells": 3},
        {"type": "edit", "edit": ["e1"]},
    ],
)
async def test_a_bad_edit_is_answered_and_the_connection_stays(session, frame):
    async with connected(NOTEBOOK) as socket:
        await socket.send_json_to(frame)
        error = await frame_of(socket, "error")
        answer = await answer_to(socket, new_cell())

    assert (error["code"], error["in_reply_to"]) == ("invalid_value", "edit")
    assert answer["type"] == "edited"


async def test_a_large_notebook_comes_in_frames_that_can_be_resumed(session, monkeypatch):
    """Many cells may have one version: who leaves in between must get the rest of them."""
    monkeypatch.setattr(notebook_consumer, "CELLS_PER_FRAME", 2)
    monkeypatch.setattr(notebook, "ROWS_PER_READ", 3)
    await edit(session, *(new_cell(str(uuid4()), str(n)) for n in range(5)))

    async with connected(NOTEBOOK) as socket:
        frames = [await frame_of(socket, "cells") for _ in range(3)]

    assert [len(frame["cells"]) for frame in frames] == [2, 2, 1]
    assert [frame["version"] for frame in frames] == [0, 0, 1]


async def test_without_a_host_edits_are_kept_all_the_same(session, monkeypatch):
    class AbsentEngine:
        async def call(self, verb, **arguments):
            raise HostUnavailable

        def subscribe(self, topic):
            raise HostUnavailable

    monkeypatch.setattr(consumers, "engine", AbsentEngine)
    monkeypatch.setattr(engines, "engine", AbsentEngine)

    async with connected(NOTEBOOK) as socket:
        assert (await frame_of(socket, "error"))["code"] == "host_unavailable"
        answer = await answer_to(socket, new_cell(source="1"))
        heard = await frame_of(socket, "cells")

    assert answer["type"] == "edited"
    assert heard["version"] == 1


@pytest.mark.parametrize(
    ("path", "code"), [("/ws/notebooks/nobody/", 4404), ("/ws/notebooks/s/?since=x", 4400)]
)
async def test_a_socket_to_nothing_is_closed_with_a_reason(session, path, code):
    async with connected(path) as socket:
        closing = await socket.receive_output()

    assert closing["code"] == code
    assert closing["reason"]


async def test_another_owners_notebook_is_unknown(session, api, django_user_model):
    session.owner = await django_user_model.objects.acreate(username="ada")
    await session.asave()

    async with connected(NOTEBOOK) as socket:
        closing = await socket.receive_output()
    answers = [
        await api.get("/api/v1/sessions/s/notebook.ipynb"),
        await api.put("/api/v1/sessions/s/notebook", "{}", content_type="application/json"),
        await api.post("/api/v1/sessions", {"notebook_of": "s"}, content_type="application/json"),
    ]

    assert closing["code"] == 4404
    assert [answer.status_code for answer in answers] == [404, 404, 404]
    assert answers[0].json()["code"] == "session_not_found"
