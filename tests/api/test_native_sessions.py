"""Sessions and kernelspecs over the native API."""

from __future__ import annotations

from typing import Any

import pytest

from sessions import notebook, operations
from sessions.models import Session
from sessions.operations import SessionRef
from sessions.outcomes import fold
from tests.api.notebooks import a_cell, edit

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
