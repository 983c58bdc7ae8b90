"""Cells over the native API, one by one."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st

from sessions import notebook, notebook_cells, operations, positions
from sessions.models import Execution, Session
from tests.api.notebooks import NOWHERE, A, B, a_cell, an_execution, edit, new_cell, sources
from tests.api.sockets import connected, frame_of, ref

HERE = "/api/v1/sessions/s"
JSON = "application/json"


async def add(api: Any, source: str, **fields: Any) -> dict[str, Any]:
    """The new cell."""
    body = {"source": source, **fields}
    answer = await api.post(f"{HERE}/cells", body, content_type=JSON)
    assert answer.status_code == 201
    cell: dict[str, Any] = answer.json()
    return cell


async def change(api: Any, id_: str, **fields: Any) -> Any:
    return await api.patch(f"{HERE}/cells/{id_}", fields, content_type=JSON)


async def pages(api: Any, limit: int = 50) -> list[dict[str, Any]]:
    """All cells."""
    found, cursor = [], ""
    while cursor is not None:
        answer = (await api.get(f"{HERE}/cells?limit={limit}{cursor}")).json()
        assert len(answer["cells"]) <= limit
        found += answer["cells"]
        cursor = answer["next_cursor"] and f"&cursor={answer['next_cursor']}"
    return found


# --- Reading -----------------------------------------------------------------------------------


async def mixed(session: Session) -> list[str]:
    """Cells that people wrote among those that programs ran, some at one position; their ids."""
    for number in range(1, 6):
        await an_execution(session, number, code=f"run {number}")
    ids = sorted(str(uuid4()) for _ in range(3))
    await edit(session, *(a_cell(id_, position="000000000003") for id_ in ids))
    await edit(session, a_cell(A, position="000000000002V"), a_cell(B, position="9"))
    gone = str(uuid4())
    await edit(session, a_cell(gone, position="000000000004V"))
    await edit(session, a_cell(gone, base=3, is_deleted=True))
    return [str(cell.key) for cell in (await notebook.read_document(session)).cells]


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
async def test_pages_have_every_cell_once_in_order(api, session, limit):
    expected = await mixed(session)

    assert [cell["id"] for cell in await pages(api, limit)] == expected
    assert len(expected) == 10


async def test_a_page_ends_where_its_cells_are_long(api, session, monkeypatch):
    monkeypatch.setattr(notebook_cells, "CHARACTERS_PER_PAGE", 10)
    monkeypatch.setattr(notebook_cells, "CELLS_PER_READ", 2)
    expected = [(await add(api, "x" * 10))["id"] for _ in range(5)]

    first = (await api.get(f"{HERE}/cells")).json()

    assert len(first["cells"]) == 2
    assert [cell["id"] for cell in await pages(api)] == expected


async def test_a_deleted_cell_is_still_a_place_to_go_on_from(api, session):
    first, second = await add(api, "1"), await add(api, "2")
    await api.delete(f"{HERE}/cells/{first['id']}")

    answer = (await api.get(f"{HERE}/cells?cursor={first['id']}")).json()

    assert [cell["id"] for cell in answer["cells"]] == [second["id"]]


async def test_a_cell_tells_of_its_last_run(api, session):
    cell = await add(api, "1")
    assert cell["execution"] is None
    await an_execution(session, 1, cell=cell["id"])
    last = await an_execution(session, 2, cell=cell["id"])
    alone = await an_execution(session, 3, kind="command", code="ls")
    await Execution.objects.filter(id=last.id).aupdate(queued_at=alone.finished_at)

    read = (await api.get(f"{HERE}/cells/{cell['id']}")).json()
    command = (await api.get(f"{HERE}/cells/{alone.id}")).json()

    assert read["execution"] in {str(row.id) async for row in session.executions.all()}
    assert command == {
        "id": str(alone.id),
        "kind": "command",
        "source": "ls",
        "metadata": {},
        "version": 0,
        "execution": str(alone.id),
    }


@pytest.mark.parametrize("id_", ["x", NOWHERE, A])
async def test_a_cell_that_is_not_there_is_not_found(api, session, id_):
    await edit(session, new_cell(A))
    await edit(session, a_cell(A, base=1, is_deleted=True))

    answers = [
        await api.get(f"{HERE}/cells/{id_}"),
        await change(api, id_, version=1, source="2"),
        await api.delete(f"{HERE}/cells/{id_}"),
    ]
    if id_ != "x":
        body = {"after": id_}
        answers.append(await api.post(f"{HERE}/cells", body, content_type=JSON))

    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (404, "cell_not_found")
    assert await sources(session) == []


# --- Writing -----------------------------------------------------------------------------------


async def test_cells_come_behind_others_or_before_all(api, session):
    one = await add(api, "one")
    await an_execution(session, 1, code="run")
    await add(api, "end")
    await add(api, "two", after=one["id"])
    await add(api, "top", after=None)

    assert await sources(session) == ["top", "one", "two", "run", "end"]
    assert [cell["source"] for cell in await pages(api)] == await sources(session)


async def test_a_cell_is_put_elsewhere(api, session):
    ids = [(await add(api, str(n)))["id"] for n in range(4)]
    await change(api, ids[0], version=1, after=ids[2])
    assert await sources(session) == ["1", "2", "0", "3"]
    await change(api, ids[3], version=4, after=None)
    assert await sources(session) == ["3", "1", "2", "0"]
    version = (await api.get(f"{HERE}/cells")).json()["version"]

    for after in (ids[2], ids[0]):  # where it is, and behind itself
        answer = await change(api, ids[0], version=1, after=after)
        assert answer.status_code == 200

    assert await sources(session) == ["3", "1", "2", "0"]
    assert (await api.get(f"{HERE}/cells")).json()["version"] <= version + 1


@how(derandomize=True, max_examples=200, database=None)
@given(st.text(positions.DIGITS, min_size=1, max_size=14).filter(positions.is_position))
def test_the_first_event_behind_a_position(position):
    number = positions.first_event(position)

    if number < 10**positions.NUMBER_LENGTH:
        assert positions.of_event(number) >= position
        assert number == 0 or positions.of_event(number - 1) < position


async def test_where_no_room_is_left_is_said(api, session):
    await edit(session, a_cell(A, position="0"))

    answer = await api.post(f"{HERE}/cells", {"after": None}, content_type=JSON)

    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert await sources(session) == [""]


async def test_only_what_is_given_is_changed(api, session):
    cell = await add(api, "1", metadata={"tags": ["a"]})

    answer = await change(api, cell["id"], version=1.0, kind="markdown", source=None)

    assert answer.json() == {**cell, "kind": "markdown", "version": 2}


async def test_text_of_somebody_else_is_not_overwritten(api, session):
    cell = await add(api, "mine")
    theirs = (await change(api, cell["id"], version=1, source="theirs")).json()

    answer = await change(api, cell["id"], version=1, source="mine too", kind="raw")

    assert answer.status_code == 409
    assert answer["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["code"], problem["cell"]) == ("edit_conflict", theirs)
    again = await change(api, cell["id"], version=problem["cell"]["version"], source="mine too")
    assert again.json()["source"] == "mine too"


async def test_what_ran_becomes_a_cell_that_can_be_written(api, session):
    execution = await an_execution(session, 1, code="1")

    answer = await change(api, str(execution.id), version=0, source="2")

    assert (answer.json()["source"], answer.json()["version"]) == ("2", 1)
    assert answer.json()["execution"] == str(execution.id)
    assert await sources(session) == ["2"]


async def test_pages_that_are_open_see_it_at_once(api, session):
    async with connected("/ws/notebooks/s/?since=0") as page:
        await frame_of(page, "live")
        cell = await add(api, "1")
        seen = await frame_of(page, "cells")
        await api.delete(f"{HERE}/cells/{cell['id']}")
        gone = await frame_of(page, "cells")

    assert [each["source"] for each in seen["cells"]] == ["1"]
    assert [each["is_deleted"] for each in gone["cells"]] == [True]


@pytest.mark.parametrize(
    "fields",
    [
        {"version": 1, "kind": "command"},
        {"version": 1, "source": 5},
        {"version": 1, "metadata": []},
        {"version": 1, "after": "first"},
        {"version": 1, "after": 5},
        {"version": 1, "position": "9"},
        {"version": -1},
        {"version": True},
        {"version": 2**53 + 1},
        {"version": "1"},
        {"version": 1.5},
        {"source": "2"},
    ],
)
async def test_a_bad_change_is_refused_and_nothing_is_done(api, session, fields):
    cell = await add(api, "1")

    answer = await change(api, cell["id"], **fields)

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_value")
    assert answer.json()["detail"].endswith(".")
    assert (await api.get(f"{HERE}/cells/{cell['id']}")).json() == cell


async def test_a_cell_that_is_too_long_is_refused(api, session):
    answer = await api.post(f"{HERE}/cells", {"source": "x" * 1_000_001}, content_type=JSON)

    assert (answer.status_code, answer.json()["code"]) == (413, "notebook_full")
    assert await sources(session) == []


# --- Running -----------------------------------------------------------------------------------


@pytest.mark.kernel
async def test_a_cell_runs_with_its_id(api):
    await operations.open_session(ref("s"), origin="test")
    cell = await add(api, "6 * 7")
    run = {"code": cell["source"], "cell": cell["id"]}
    headers = {"Idempotency-Key": "one"}

    ran = await api.post(f"{HERE}/executions?wait=60", run, content_type=JSON, headers=headers)

    assert ran.json()["outputs"]["result"]["text/plain"] == "42"
    (only,) = await pages(api)
    assert only["execution"] == ran.json()["id"]
    await api.delete(f"{HERE}/cells/{cell['id']}")
    again = await api.post(f"{HERE}/executions", run, content_type=JSON, headers=headers)
    assert again.json()["id"] == ran.json()["id"]
    without = await api.post(f"{HERE}/executions", run, content_type=JSON)
    assert (without.status_code, without.json()["code"]) == (404, "cell_not_found")
