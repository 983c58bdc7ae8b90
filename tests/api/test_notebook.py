"""The notebook: edits that lose nothing, sockets in step, files in and out, over real kernels."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import nbformat
import pytest
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator

from sessions import consumers, notebook, notebook_consumer, notebook_html, operations
from sessions.engines import engine
from sessions.exceptions import EditConflict, HostUnavailable, InvalidValue, NotebookFull
from sessions.models import Cell, Event, Execution, Notebook, Session
from sessions.notebook_edits import edit_of
from sessions.operations import SessionRef
from sessions.outcomes import fold
from sessions.routing import websocket_urlpatterns
from workbench.access import OwnerMiddleware

NOW = datetime(2026, 1, 1, tzinfo=UTC)
APPLICATION = OwnerMiddleware(URLRouter(websocket_urlpatterns))
REF = SessionRef(owner_id=None, identifier="s")
A, B = str(uuid4()), str(uuid4())
IPYNB = {"nbformat": 4, "nbformat_minor": 5, "metadata": {"title": "T"}}

pytestmark = pytest.mark.usefixtures("host")


@pytest.fixture
async def session(host) -> Session:
    """A session that has ended; its notebook lives on."""
    return await ended_session("s")


async def ended_session(identifier: str, **more: Any) -> Session:
    times = {"created_at": NOW, "last_active_at": NOW, "ended_at": NOW}
    fields = {"kernel_name": "python3", "origin": "test", "state": "closed", "host": "gone"}
    return await Session.objects.acreate(identifier=identifier, **fields, **times, **more)


async def an_execution(session: Session, number: int, **more: Any) -> Execution:
    """An execution in the log, with its first event."""
    fields = {"code": "print(1)", "origin": "azure", "state": "succeeded", **more}
    execution = await Execution.objects.acreate(
        session=session, queued_at=NOW, finished_at=NOW, **fields
    )
    await Event.objects.acreate(
        session=session,
        execution=execution,
        number=number,
        type="execution_queued",
        data={},
        at=NOW,
    )
    session.last_event_number = number
    await session.asave()
    return execution


async def edit(session: Session, *cells: dict[str, Any], **more: Any) -> int:
    return await notebook.apply_edit(session.id, edit_of({"cells": list(cells), **more}))


def a_cell(id_: str = A, base: int = 0, **fields: Any) -> dict[str, Any]:
    return {"id": id_, "base": base, **fields}


def new_cell(id_: str = A, source: str = "", **fields: Any) -> dict[str, Any]:
    return a_cell(id_, source=source, position="000000000001V", **fields)


async def sources(session: Session) -> list[str]:
    return [cell.source for cell in (await notebook.read_document(session)).cells]


# Edits


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


async def test_only_notebooks_can_be_announced():
    with pytest.raises(InvalidValue):
        await engine().call("announce", topic="sessions", number=10**9)


# The socket


@asynccontextmanager
async def connected(path: str = "/ws/notebooks/s/") -> AsyncIterator[WebsocketCommunicator]:
    socket = WebsocketCommunicator(APPLICATION, path)
    is_accepted, _ = await socket.connect()
    assert is_accepted
    try:
        yield socket
    finally:
        await socket.disconnect()


async def frame_of(socket: WebsocketCommunicator, *kinds: str) -> dict[str, Any]:
    """The next frame of these types; others on the way are passed over."""
    while True:
        frame = await socket.receive_json_from(timeout=20)
        if frame["type"] in kinds:
            return frame


async def answer_to(socket: WebsocketCommunicator, *cells: Any, **more: Any) -> dict[str, Any]:
    frame = {"type": "edit", "edit": "e1", "cells": list(cells), **more}
    await socket.send_json_to(frame)
    return await frame_of(socket, "edited", "conflict", "error")


async def test_the_first_frame_comes_even_if_there_is_nothing(session):
    async with connected() as socket:
        first = await socket.receive_json_from()
        second = await socket.receive_json_from()

    assert first == {"type": "cells", "cells": [], "version": 0, "metadata": {}}
    assert second == {"type": "live", "version": 0}


async def test_two_sockets_stay_in_step(session):
    async with connected() as one, connected() as other:
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

    async with connected() as socket:
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
    async with connected() as socket:
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

    async with connected() as socket:
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
    monkeypatch.setattr(notebook, "engine", AbsentEngine)

    async with connected() as socket:
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

    async with connected() as socket:
        closing = await socket.receive_output()
    answers = [
        await api.get("/api/v1/sessions/s/notebook.ipynb"),
        await api.put("/api/v1/sessions/s/notebook", "{}", content_type="application/json"),
        await api.post("/api/v1/sessions", {"notebook_of": "s"}, content_type="application/json"),
    ]

    assert closing["code"] == 4404
    assert [answer.status_code for answer in answers] == [404, 404, 404]
    assert answers[0].json()["code"] == "session_not_found"


# Files


async def put(api: Any, ipynb: Any, mode: str = "append") -> Any:
    body = ipynb if isinstance(ipynb, bytes) else json.dumps(ipynb).encode()
    address = f"/api/v1/sessions/s/notebook?mode={mode}"
    return await api.put(address, body, content_type="application/x-ipynb+json")


def an_ipynb(*texts: str) -> dict[str, Any]:
    cells = [
        {"cell_type": "markdown", "id": f"c{n}", "source": text, "metadata": {}}
        for n, text in enumerate(texts)
    ]
    return {**IPYNB, "cells": cells}


async def test_a_file_is_taken_behind_what_is_there_or_instead(api, session):
    await an_execution(session, 1, code="run")
    await edit(session, new_cell(source="written"))

    appended = await put(api, an_ipynb("a", "b"))
    behind = await sources(session)
    replaced = await put(api, an_ipynb("c"), "replace")

    assert appended.json() == {"cells": 2, "version": 2}
    assert behind == ["run", "written", "a", "b"]
    assert replaced.json() == {"cells": 1, "version": 3}
    assert await sources(session) == ["c"]
    assert (await notebook.state_of(session.id))[1] == {"title": "T"}


async def test_a_broken_file_is_refused_and_nothing_is_written(api, session):
    answer = await put(api, {**IPYNB, "cells": [{"cell_type": "dance"}]}, "replace")

    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json() == {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": "The notebook is broken: cell 1 is neither code, nor markdown, nor raw.",
        "code": "invalid_value",
    }
    assert not await Notebook.objects.aexists()


async def test_a_file_beyond_the_limits_is_refused_whole(api, session, monkeypatch):
    monkeypatch.setattr(notebook, "MAX_CELLS", 1)

    answer = await put(api, an_ipynb("a", "b"))

    assert (answer.status_code, answer.json()["code"]) == (413, "notebook_full")
    assert not await Cell.objects.aexists()


async def test_an_unknown_mode_is_refused(api, session):
    assert (await put(api, an_ipynb(), "merge")).status_code == 400


async def test_a_large_file_is_taken(api, session):
    answer = await put(api, an_ipynb(*map(str, range(3_000))))

    assert answer.json()["cells"] == 3_000
    assert await sources(session) == list(map(str, range(3_000)))


async def exported(api: Any, suffix: str) -> Any:
    answer = await api.get(f"/api/v1/sessions/s/notebook{suffix}")
    assert answer.status_code == 200, answer.content
    assert answer.headers["Content-Disposition"] == f'attachment; filename="s{suffix}"'
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    return answer


RICH = """
import sys
from IPython.display import HTML, clear_output, display
print("gone")
clear_output()
print("out"); print("err", file=sys.stderr)
shown = display(HTML("<b>old</b>"), display_id=True)
shown.update(HTML("<b>new</b>"))
6 * 7
"""


@pytest.mark.kernel
async def test_what_real_kernels_put_out_is_exported_and_imported(api):
    await operations.run_code(REF, RICH, origin="azure", create=True)
    await operations.run_code(REF, "1/0", origin="rce")

    ipynb = (await exported(api, ".ipynb")).json()
    await put(api, ipynb, "replace")
    again = (await exported(api, ".ipynb")).json()

    nbformat.validate(nbformat.from_dict(ipynb))
    first, second = ipynb["cells"]
    assert [output.get("name") for output in first["outputs"]] == ["stdout", "stderr", None, None]
    assert first["outputs"][2]["data"]["text/html"] == "<b>new</b>"
    assert first["outputs"][3]["data"]["text/plain"] == "42"
    assert first["execution_count"] == first["outputs"][3]["execution_count"] == 1
    assert first["metadata"]["workbench"]["origin"] == "azure"
    assert second["outputs"][0]["ename"] == "ZeroDivisionError"
    assert ipynb["metadata"]["kernelspec"]["name"] == "python3"
    assert [cell["outputs"] for cell in again["cells"]] == [first["outputs"], second["outputs"]]
    assert [cell["id"] for cell in again["cells"]] == [first["id"], second["id"]]


async def test_a_notebook_is_exported_as_python(api, session):
    await put(api, an_ipynb("Words"))
    await an_execution(session, 5, code="x = 1")

    text = (await exported(api, ".py")).content.decode()

    assert text == "# %% [markdown]\n# Words\n\n# %%\nx = 1\n"


async def test_a_page_needs_no_internet_unless_it_has_formulas(api, session):
    await put(api, an_ipynb("Words, and <b>more</b>"))
    plain = (await exported(api, ".html")).content.decode()
    await put(api, an_ipynb("$x^2$ and $y$"))
    formula = (await exported(api, ".html")).content.decode()

    assert "Words" in plain
    assert "<script" not in plain
    assert "mathjax" in formula.lower()


async def test_a_page_that_takes_too_long_is_given_up_in_words(api, session, monkeypatch):
    monkeypatch.setattr(notebook_html, "TIMEOUT_SECONDS", 0.0)

    answer = await api.get("/api/v1/sessions/s/notebook.html")

    assert answer.status_code == 503
    assert ".ipynb instead" in answer.json()["detail"]


# Sessions


async def post(api: Any, body: Any, **headers: str) -> Any:
    return await api.post(
        "/api/v1/sessions", body, content_type="application/json", headers=headers
    )


@pytest.mark.kernel
async def test_a_session_is_opened_once(api):
    first = await post(api, {"identifier": "new"})
    second = await post(api, {"identifier": "new"})

    assert (first.status_code, first.json()["created"]) == (201, True)
    assert (second.status_code, second.json()["created"]) == (200, False)
    assert first.json()["id"] == second.json()["id"]
    assert (await Session.objects.aget()).origin == "api"


@pytest.mark.kernel
async def test_a_session_of_a_page_gets_a_name_and_the_pages_origin(api):
    answer = await post(api, {}, **{"Sec-Fetch-Site": "same-origin"})

    assert answer.json()["identifier"].startswith("session-")
    assert (await Session.objects.aget()).origin == "browser"


@pytest.mark.kernel
async def test_an_ended_session_is_opened_again_with_its_cells_and_outputs(api):
    await operations.run_code(REF, "print('kept')", origin="azure", create=True)
    source = await Session.objects.aget()
    await edit(source, a_cell(source="written", position="000000000099"))
    await operations.close_session(REF)

    answer = await post(api, {"identifier": "s", "notebook_of": str(source.id)})
    taken = await post(api, {"identifier": "s", "notebook_of": str(source.id)})

    target = await Session.objects.aget(id=answer.json()["id"])
    cells = (await notebook.read_document(target)).cells
    assert answer.status_code == 201
    assert [cell.source for cell in cells] == ["print('kept')", "written"]
    assert cells[0].outputs == [{"output_type": "stream", "name": "stdout", "text": "kept\n"}]
    assert (taken.status_code, taken.json()["code"]) == (409, "conflict")


@pytest.mark.kernel
async def test_a_session_has_the_limits_it_asked_for(api):
    limits = {"open_files": 100, "file_bytes": 2 * 1024 * 1024}
    await post(api, {"identifier": "s", "limits": limits})
    code = "import resource as r\nprint(r.getrlimit(r.RLIMIT_NOFILE)[0], r.getrlimit(r.RLIMIT_FSIZE)[0])"
    result = await operations.run_code(REF, code, origin="azure")

    assert fold(result.events).stdout == f"100 {2 * 1024 * 1024}\n"
    policy = (await Session.objects.aget()).policy
    assert policy["network"] == "none"
    assert limits.items() <= policy["limits"].items()


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        ("{}", "text/plain", 415),
        ("[]", "application/json", 400),
        ('{"identifier": 1}', "application/json", 400),
        ('{"identifier": "a b"}', "application/json", 400),
        ('{"limits": {"processes": 1000000}}', "application/json", 400),
        ('{"limits": 5}', "application/json", 400),
        ('{"network": "host"}', "application/json", 400),
        ('{"kernel": "nothing"}', "application/json", 404),
        ('{"notebook_of": "nothing"}', "application/json; charset=utf-8", 404),
    ],
)
async def test_a_bad_request_for_a_session_is_refused_in_words(api, body, content_type, status):
    answer = await api.post("/api/v1/sessions", body, content_type=content_type)

    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert answer.json()["detail"].endswith(".")


async def test_the_kernels_are_listed_the_default_first(api):
    kernels = (await api.get("/api/v1/kernelspecs")).json()["kernelspecs"]

    assert kernels[0]["name"] == "python3"
    assert kernels[0].keys() == {"name", "display_name", "language", "version"}
