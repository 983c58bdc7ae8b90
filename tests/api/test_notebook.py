"""The notebook: edits that lose nothing, and cells that executions make."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import pytest

from sessions import notebook, operations
from sessions.engines import engine
from sessions.exceptions import EditConflict, InvalidValue, NotebookFull
from sessions.models import Cell, Event, Execution
from sessions.notebook_edits import edit_of
from sessions.operations import SessionRef
from tests.api.notebooks import A, B, a_cell, an_execution, edit, new_cell, sources
from tests.api.sockets import ended_session

REF = SessionRef(owner_id=None, identifier="s")

pytestmark = pytest.mark.usefixtures("host")


async def test_an_edit_is_kept_and_counted(session):
    first = await edit(session, new_cell(source="1"), metadata={"x": 1})
    second = await edit(session, a_cell(base=1, source="2", kind="markdown"))

    row = await Cell.objects.aget()
    assert (first, second) == (1, 2)
    assert (row.source, row.kind, row.version) == ("2", "markdown", 2)
    assert await notebook.state_of(session.id) == (2, {"x": 1})


async def test_an_edit_that_is_sent_again_does_nothing(session):
    for _ in range(2):
        version = await edit(session, new_cell(source="1"))

    assert version == 1


async def test_an_edit_is_made_whole_or_not_at_all(session):
    with pytest.raises(InvalidValue, match="needs a position"):
        await edit(session, new_cell(A, "1"), a_cell(B, source="2"))

    assert not await Cell.objects.aexists()
    assert (await notebook.state_of(session.id))[0] == 0


async def test_text_that_somebody_else_wrote_is_not_overwritten(session):
    await edit(session, new_cell(source="mine"))
    await edit(session, a_cell(base=1, source="theirs"))

    with pytest.raises(EditConflict) as conflict:
        await edit(session, a_cell(base=1, source="mine too"))

    [cell] = conflict.value.data["cells"]
    assert (cell["source"], cell["version"]) == ("theirs", 2)


@pytest.mark.parametrize("fields", [{"source": "theirs"}, {"position": "9"}, {"kind": "raw"}])
async def test_the_same_text_or_another_place_is_no_conflict(session, fields):
    await edit(session, new_cell(source="mine"))
    await edit(session, a_cell(base=1, source="theirs"))

    assert await edit(session, a_cell(base=1, **fields)) in (2, 3)


async def test_moving_a_cell_does_not_refuse_what_is_typed_in_it(session):
    await edit(session, new_cell(source="a"))
    await edit(session, a_cell(base=1, position="2"))

    assert await edit(session, a_cell(base=1, source="ab")) == 3


async def test_what_is_typed_in_a_deleted_cell_is_not_lost_in_silence(session):
    await edit(session, new_cell(source="a"))
    await edit(session, a_cell(base=1, is_deleted=True))

    with pytest.raises(EditConflict) as conflict:
        await edit(session, a_cell(base=1, source="ab"))

    assert conflict.value.data["cells"][0]["is_deleted"]


async def test_a_deletion_can_be_undone(session):
    await edit(session, new_cell(source="kept"))
    await edit(session, a_cell(base=1, is_deleted=True))
    tombstone = (await Cell.objects.aget()).to_wire()
    await edit(session, a_cell(base=2, is_deleted=False))

    assert (tombstone["source"], tombstone["is_deleted"]) == ("", True)
    assert await sources(session) == ["kept"]


async def test_concurrent_edits_each_get_a_version(session):
    cells = [new_cell(str(uuid4()), str(n)) for n in range(10)]

    versions = await asyncio.gather(*(edit(session, cell) for cell in cells))

    assert sorted(versions) == list(range(1, 11))


@pytest.mark.parametrize(
    ("frame", "sentence"),
    [
        ({"cells": {}}, "must be a list"),
        ({"cells": [1]}, "must be a JSON object"),
        ({"cells": [{}]}, "must be a UUID"),
        ({"cells": [new_cell(A), new_cell(A)]}, "only once"),
        ({"cells": [new_cell(base=-1)]}, "base"),
        ({"cells": [new_cell(base=True)]}, "base"),
        ({"cells": [new_cell(kind="dance")]}, "kind"),
        ({"cells": [new_cell(source=1)]}, "must be text"),
        ({"cells": [a_cell(position="a b")]}, "position"),
        ({"cells": [new_cell(metadata=[])]}, "Metadata"),
        ({"cells": [new_cell(outputs=[1])]}, "outputs"),
        ({"cells": [new_cell(is_deleted=0)]}, "is_deleted"),
        ({"metadata": 1}, "Metadata"),
    ],
)
def test_a_malformed_edit_is_refused_in_words(frame, sentence):
    with pytest.raises(InvalidValue, match=sentence):
        edit_of(frame)


async def test_there_are_limits_with_sentences(session, monkeypatch):
    monkeypatch.setattr(notebook, "MAX_CELLS", 1)
    monkeypatch.setattr(notebook, "MAX_NOTEBOOK_BYTES", 1_000)
    await edit(session, new_cell(A))

    with pytest.raises(NotebookFull, match="at most 1 cells"):
        await edit(session, new_cell(B))
    with pytest.raises(NotebookFull, match="20 MB"):
        await edit(session, a_cell(A, 1, source="x" * 1_000))
    with pytest.raises(NotebookFull, match="1 MB of text"):
        edit_of({"cells": [new_cell(source="x" * 1_000_001)]})

    assert await sources(session) == [""]


# Cells that executions make


async def test_an_execution_of_elsewhere_is_a_cell_at_its_place_in_the_log(session):
    execution = await an_execution(session, 1)
    await edit(session, new_cell(source="behind it"))
    await an_execution(session, 7, code="later")
    await an_execution(session, 9, code="behind it", cell=UUID(A))

    document = await notebook.read_document(session)

    assert [cell.source for cell in document.cells] == ["print(1)", "behind it", "later"]
    assert document.cells[0].key == execution.id
    assert document.cells[1].execution.code == "behind it"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"source": "changed"}, ["changed", "2"]),
        ({"position": "000000000009"}, ["2", "1"]),
        ({"kind": "markdown"}, ["1", "2"]),
        ({"is_deleted": True}, ["2"]),
    ],
)
async def test_a_row_takes_the_place_of_what_an_execution_made(session, change, expected):
    execution = await an_execution(session, 1, code="1")
    await an_execution(session, 2, code="2")

    await edit(session, a_cell(str(execution.id), **change))

    assert await sources(session) == expected


async def test_another_sessions_execution_makes_no_cell(session):
    execution = await an_execution(await ended_session("other"), 1)

    with pytest.raises(InvalidValue):
        await edit(session, a_cell(str(execution.id), kind="raw"))


@pytest.mark.kernel
async def test_the_log_says_which_cell_an_execution_ran_for():
    info = await operations.submit(REF, "1", origin="test", create=True, cell=A)
    other = await operations.submit(REF, "2", origin="test")

    queued = Event.objects.filter(type="execution_queued").order_by("number")
    assert [event.data["cell"] async for event in queued] == [A, None]
    assert str((await Execution.objects.aget(id=info.id)).cell) == A
    assert (await Execution.objects.aget(id=other.id)).cell is None


@pytest.mark.kernel
async def test_a_cell_that_is_no_uuid_is_refused():
    with pytest.raises(InvalidValue, match="UUID"):
        await operations.submit(REF, "1", origin="test", create=True, cell="first")


@pytest.mark.parametrize("topic", ["sessions", str(UUID(A)), "files:", "files:all", "log:" + A])
async def test_only_notebooks_and_files_can_be_announced(topic):
    with pytest.raises(InvalidValue):
        await engine().call("announce", topic=topic, number=10**9)
