"""Sessions and kernelspecs over the native API."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth import get_user_model
from django.test import AsyncClient
from hypothesis import HealthCheck, given
from hypothesis import settings as how
from hypothesis import strategies as st

from sessions import notebook, operations
from sessions.models import Session
from sessions.operations import SessionRef
from sessions.outcomes import fold
from tests.api.notebooks import a_cell, edit
from tests.api.sockets import NOW, ended_session

REF = SessionRef(owner_id=None, identifier="s")

pytestmark = pytest.mark.usefixtures("host")


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
        ('{"limits": []}', "application/json", 400),
        ('{"limits": false}', "application/json", 400),
        ('{"limits": {"processes": "100"}}', "application/json", 400),
        ('{"limits": {"processes": true}}', "application/json", 400),
        ('{"limits": {"processes": 100.0}}', "application/json", 400),
        ('{"limits": {"processes": -1}}', "application/json", 400),
        ('{"limits": {"processes": null}}', "application/json", 400),
        ('{"limits": {"memory_bytes": 1e400}}', "application/json", 400),
        ('{"limits": {"memory": 1}}', "application/json", 400),
        ('{"network": "host"}', "application/json", 400),
        ('{"network": ""}', "application/json", 400),
        ('{"network": true}', "application/json", 400),
        ('{"network": {}}', "application/json", 400),
        ('{"gpus": "1"}', "application/json", 400),
        ('{"gpus": true}', "application/json", 400),
        ('{"gpus": 1.0}', "application/json", 400),
        ('{"gpus": -1}', "application/json", 400),
        ('{"gpus": 65}', "application/json", 400),
        ('{"gpus": 1}', "application/json", 400),
        ('{"labels": "zone=a"}', "application/json", 400),
        ('{"labels": {"zone": 1}}', "application/json", 400),
        ('{"labels": {"zone": "a b"}}', "application/json", 400),
        ('{"labels": {"zone": "a"}}', "application/json", 400),
        ('{"identifer": "s"}', "application/json", 400),
        ('{"kernel": "nothing"}', "application/json", 404),
        ('{"notebook_of": "nothing"}', "application/json; charset=utf-8", 404),
    ],
)
async def test_a_bad_request_for_a_session_is_refused_in_words(api, body, content_type, status):
    answer = await api.post("/api/v1/sessions", body, content_type=content_type)

    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert answer.json()["detail"].endswith(".")
    assert not await Session.objects.aexists()


@pytest.mark.kernel
async def test_a_session_has_gpus_to_itself_until_it_ends(api, settings):
    settings.WORKBENCH_GPUS, settings.WORKBENCH_LABELS = (0, 1), {"zone": "a"}
    asked = {"gpus": 2, "labels": {"zone": "a"}}
    opened = await post(api, {"identifier": "s", **asked})
    full = await post(api, {"identifier": "t", "gpus": 1})
    never = await post(api, {"identifier": "t", "gpus": 3})
    elsewhere = await post(api, {"identifier": "t", "labels": {"zone": "b"}})

    assert opened.status_code == 201
    assert asked.items() <= (await Session.objects.aget()).policy.items()
    assert (full.status_code, full.json()["code"]) == (429, "session_limit_reached")
    assert full.json()["detail"].startswith("The session needs 1 GPU, and all 2 GPUs are in use.")
    assert full.headers["Retry-After"]
    assert (never.status_code, elsewhere.status_code) == (400, 400)
    assert "needs: zone=b. What there is: 2 GPUs, zone=a." in elsewhere.json()["detail"]

    await operations.close_session(REF)

    assert (await post(api, {"identifier": "t", "gpus": 2})).status_code == 201


@pytest.mark.kernel
async def test_an_open_session_is_no_reason_to_overlook_what_is_wrong(api):
    await post(api, {"identifier": "s"})

    answer = await post(api, {"identifier": "s", "limits": {"processes": "few"}})

    assert answer.status_code == 400


async def test_an_unknown_field_is_named_with_those_there_are(api):
    answer = await post(api, {"identifer": "s"})

    assert answer.json()["detail"] == (
        "There is no field “identifer”; there are: "
        "identifier, kernel, notebook_of, network, limits, gpus, labels."
    )


@pytest.mark.parametrize(
    ("method", "address", "there_are"),
    [
        ("post", "sessions?identifier=s", "there are none at this address"),
        ("get", "kernelspecs?all=1", "there are none at this address"),
        ("get", "sessions/s/notebook.py?mode=append", "there are none at this address"),
        ("put", "sessions/s/notebook?made=append", "there are: mode"),
        ("get", "sessions/s/files?directory=a", "there are: path, recursive"),
        ("delete", "sessions/s/files?path=a&recursive=1", "there are: path"),
        ("put", "sessions/s/files/content?pth=a", "there are: path, overwrite"),
        ("get", "sessions/s/files/archive?paths=a", "there are: path"),
    ],
)
async def test_an_unknown_parameter_is_named_with_those_there_are(api, method, address, there_are):
    answer = await getattr(api, method)(f"/api/v1/{address}")

    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("There is no query parameter “")
    assert answer.json()["detail"].endswith(f"”; {there_are}.")


@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete"])
@pytest.mark.parametrize("address", ["", "nothing", "sessions/a%0Ab/files", "schema", "docs"])
async def test_an_address_without_anything_is_a_problem_like_all_others(api, method, address):
    answer = await getattr(api, method)(f"/api/v1/{address}?a=b")

    assert answer.status_code == 404
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "not_found"


async def test_an_unknown_field_moves_no_file(api):
    for method, address in (("patch", "files?path=a"), ("post", "files/directories")):
        url = f"/api/v1/sessions/s/{address}"
        body = {"path": "b", "overwrite": True}
        answer = await getattr(api, method)(url, body, content_type="application/json")

        assert answer.status_code == 400
        assert "“overwrite”" in answer.json()["detail"]


# --- Lists and names ----------------------------------------------------------------------------


async def pages(api: Any, query: str = "") -> list[str]:
    """The names in all pages of the list."""
    names, cursor = [], ""
    while cursor is not None:
        answer = (await api.get(f"/api/v1/sessions?{query}{cursor}")).json()
        names += [session["identifier"] for session in answer["sessions"]]
        cursor = answer["next_cursor"] and f"&cursor={answer['next_cursor']}"
    return names


async def some_sessions() -> None:
    """Nine that have ended, three at each time; "n8" is the newest. One is live."""
    for n in range(9):
        await ended_session(f"n{n}", id=UUID(int=n), created_at=NOW + timedelta(days=n // 3))
    live = {"state": "idle", "ended_at": None, "created_at": NOW - timedelta(days=1)}
    await ended_session("live", **live)


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
async def test_pages_have_every_session_once_the_newest_first(api, limit):
    await some_sessions()

    assert await pages(api, f"limit={limit}") == [*(f"n{n}" for n in reversed(range(9))), "live"]


@pytest.mark.parametrize(
    ("state", "count"), [("live", 1), ("idle", 1), ("busy", 0), ("ended", 9), ("closed", 9)]
)
async def test_a_list_has_the_sessions_that_are_asked_for(api, state, count):
    await some_sessions()

    assert len(await pages(api, f"limit=4&state={state}")) == count


async def test_a_session_in_a_list_is_as_it_is_alone(api, session):
    (listed,) = (await api.get("/api/v1/sessions")).json()["sessions"]

    assert listed == (await api.get("/api/v1/sessions/s")).json()


async def test_sessions_of_others_are_neither_listed_nor_a_place_to_go_on(api):
    owner = await get_user_model().objects.acreate(username="ada")
    theirs = await ended_session("theirs", owner=owner)

    assert await pages(api) == []
    answer = await api.get(f"/api/v1/sessions?cursor={theirs.id}")
    assert (answer.status_code, answer.json()["code"]) == (404, "session_not_found")


@pytest.mark.parametrize("query", ["state=odd", "state=", "limit=0", "limit=201", "cursor=x"])
async def test_a_bad_question_for_sessions_is_refused(api, query):
    answer = await api.get(f"/api/v1/sessions?{query}")

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_value")


async def rename(api: Any, body: Any, name: str = "s") -> Any:
    return await api.patch(f"/api/v1/sessions/{name}", body, content_type="application/json")


@pytest.mark.kernel
async def test_a_session_gets_another_name_and_stays_itself(api):
    id_ = (await post(api, {"identifier": "s"})).json()["id"]

    answer = await rename(api, {"identifier": "t"})

    assert (answer.status_code, answer.json()["identifier"]) == (200, "t")
    assert answer.json()["id"] == id_
    assert (await api.get("/api/v1/sessions/s")).status_code == 404
    assert (await api.get("/api/v1/sessions/t")).json()["id"] == id_


@pytest.mark.kernel
async def test_a_name_that_is_taken_is_refused(api):
    for name in ("s", "t"):
        await post(api, {"identifier": name})

    answer = await rename(api, {"identifier": "t"})

    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


@pytest.mark.kernel
@pytest.mark.parametrize("body", [{}, {"identifier": None}, {"identifier": 1}, {"name": "t"}])
async def test_a_bad_name_is_refused(api, body):
    await post(api, {"identifier": "s"})
    for wrong in (body, {"identifier": ""}, {"identifier": "a b"}, {"identifier": "x" * 257}):
        assert (await rename(api, wrong)).status_code == 400

    assert (await Session.objects.aget()).identifier == "s"


async def test_a_session_that_has_ended_keeps_its_name(api, session):
    answer = await rename(api, {"identifier": "t"})

    assert (answer.status_code, answer.json()["code"]) == (409, "session_ended")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
SOME_LIMITS = st.dictionaries(st.sampled_from(["memory_bytes", "processes", "cpu_weight"]), JSON)
ASKED = {
    "identifier": JSON,
    "kernel": JSON | st.just("python3"),
    "notebook_of": JSON,
    "network": JSON | st.sampled_from(["none", "host", "allowed"]),
    "limits": JSON | SOME_LIMITS,
}
BODIES = (
    st.fixed_dictionaries({}, optional=ASKED).map(lambda body: json.dumps(body).encode())
    | JSON.map(lambda body: json.dumps(body).encode())
    | st.binary(min_size=1)
)


@how(
    derandomize=True,
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(body=BODIES)
async def test_no_body_is_a_fault_of_the_servers(settings, body):
    settings.WORKBENCH_MAX_SESSIONS = 0  # what would be right opens no kernel either

    answer = await AsyncClient().post("/api/v1/sessions", body, content_type="application/json")

    assert answer.status_code in (400, 404, 429), body
    assert answer.json()["detail"].endswith(".")
    assert not await Session.objects.aexists()


async def test_the_kernels_are_listed_the_default_first(api):
    kernels = (await api.get("/api/v1/kernelspecs")).json()["kernelspecs"]

    assert kernels[0]["name"] == "python3"
    assert kernels[0].keys() == {"name", "display_name", "language", "version"}
