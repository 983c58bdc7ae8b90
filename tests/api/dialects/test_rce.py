"""python_rce's contract over real kernels: golden bodies, and refusals in FastAPI's shapes."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from django.test import AsyncClient

from sessions import operations
from sessions.models import Execution, Session
from sessions.operations import SessionRef
from workbench.dialects import rce

kernel = pytest.mark.kernel

PREFIXES = ["", "/rce"]
# The generated client's schemas: every listed property is required, and of this type.
SCHEMAS: dict[str, dict[str, Any]] = {
    "create": {"session_id": str},
    "list": {"sessions": [{"session_id": str}]},
    "execute": {"result": str, "output": str, "error": str},
    "close": {"message": str},
    "not found": {"session_id": str, "error": str},
    "invalid": {"detail": [{"loc": [(str, int)], "msg": str, "type": str}]},
}


def check_schema(value: Any, schema: Any) -> None:
    """Refuse what the generated client refuses: a key missing, null, another type."""
    if isinstance(schema, dict):
        assert isinstance(value, dict)
        assert value.keys() >= schema.keys()
        for name, wanted in schema.items():
            check_schema(value[name], wanted)
    elif isinstance(schema, list):
        assert isinstance(value, list)
        for item in value:
            check_schema(item, schema[0])
    else:
        assert isinstance(value, schema)
        assert not isinstance(value, bool)


def checked(response: Any, status: int, schema: str) -> Any:
    """The body of an answer that the generated client takes."""
    assert response.status_code == status, response.content
    assert response.headers["Content-Type"].startswith("application/json")
    check_schema(response.json(), SCHEMAS[schema])
    return response.json()


async def post(api: AsyncClient, address: str, body: Any) -> Any:
    """Post a body as the generated client does: compact JSON with sorted keys."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return await api.post(address, text, content_type="application/json")


async def create(api: AsyncClient, prefix: str = "") -> str:
    """Open a session as the generated client does: no body, no Content-Type."""
    response = await api.generic("POST", f"{prefix}/sessions/create", content_type="")
    return str(checked(response, 200, "create")["session_id"])


async def run(api: AsyncClient, session_id: str, code: str, **more: Any) -> dict[str, str]:
    """Run code; the answer's body."""
    body = {"session_id": session_id, "code": code, **more}
    return dict(checked(await post(api, "/sessions/execute", body), 200, "execute"))


# --- The operations ----------------------------------------------------------------------------


@kernel
@pytest.mark.parametrize("prefix", PREFIXES)
async def test_life_of_a_session(api, prefix: str) -> None:
    """Every operation of the document, key by key."""
    session_id = await create(api, prefix)
    assert str(UUID(session_id)) == session_id
    listed = checked(await api.get(f"{prefix}/sessions/list"), 200, "list")
    assert listed == {"sessions": [{"session_id": session_id}]}
    body = {"session_id": session_id, "code": 'print("hi")'}
    ran = await post(api, f"{prefix}/sessions/execute", body)
    assert ran.content == b'{"result":"Success","output":"hi\\n","error":""}'
    closed = await post(api, f"{prefix}/sessions/close", {"session_id": session_id})
    assert checked(closed, 200, "close") == {"message": "Session closed"}
    listed = checked(await api.get(f"{prefix}/sessions/list"), 200, "list")
    assert listed == {"sessions": []}


@kernel
@pytest.mark.parametrize(
    ("body", "label"), [(b"{}", "application/json"), (b"\xff{", "text/plain"), (b"", "")]
)
async def test_create_ignores_its_body(api, body: bytes, label: str) -> None:
    """Whatever it is."""
    response = await api.generic("POST", "/sessions/create", body, content_type=label)

    checked(response, 200, "create")
    assert (await Session.objects.aget()).origin == "rce"


@kernel
async def test_results(api) -> None:
    """The table of what the original server says."""
    session_id = await create(api)
    table = {
        "x = 41": ("", ""),
        "x + 1": ("42\n", ""),
        'print("hi"); x': ("hi\n41\n", ""),
        "%set_env TEST=HELLO": ("env: TEST=HELLO\n", ""),
        "%env TEST": ("'HELLO'\n", ""),
        "import asyncio\nawait asyncio.sleep(0.1); print('slept')": ("slept\n", ""),
        'from IPython.display import display, HTML\ndisplay(HTML("<b>x</b>"))': (
            "<IPython.core.display.HTML object>\n",
            "",
        ),
        "": ("", ""),
        "import sys; print('lost', file=sys.stderr)": ("", ""),
        "raise SystemExit(3)": (
            "An exception has occurred, use %tb to see the full traceback.\n\nSystemExit: 3\n\n",
            "3",
        ),
        "%env NOT_THERE": ("", "UsageError: Environment does not have key: NOT_THERE"),
    }
    for code, (output, error) in table.items():
        assert await run(api, session_id, code) == {
            "result": "Success",
            "output": output,
            "error": error,
        }


@kernel
@pytest.mark.parametrize(
    ("code", "begins", "error"),
    [
        ("1/0", "-----", "division by zero"),
        ("print('before'); undefined", "before\n-----", "name 'undefined' is not defined"),
        ("def f(:", "  Cell In[1]", "invalid syntax"),
        ("raise ValueError()", "-----", "ValueError"),
        ("raise KeyboardInterrupt", "-----", "KeyboardInterrupt"),
        ("input('n? ')", "-----", "input requests"),
    ],
)
async def test_failing_code(api, code: str, begins: str, error: str) -> None:
    """A traceback without colours, and an error that is never empty; still a Success."""
    body = await run(api, await create(api), code)

    assert body["result"] == "Success"
    assert body["output"].startswith(begins)
    assert body["output"].endswith("\n")
    assert "\x1b" not in body["output"]
    assert error in body["error"]


@kernel
async def test_what_ended_the_code_is_an_error(api, monkeypatch) -> None:
    """A kernel that dies, a timeout: 200, ``Error`` and a sentence; the session goes on."""
    session_id = await create(api)
    died = await run(api, session_id, "import os; print('a', flush=True); os._exit(3)")
    monkeypatch.setattr(rce, "TIMEOUT_SECONDS", 0.5)
    late = await run(api, session_id, "import time; time.sleep(30)")

    assert (died["result"], died["error"]) == ("Error", "The kernel exited with code 3.")
    assert (late["result"], late["output"]) == ("Error", "")
    assert late["error"] == "The execution timed out after 0.5 seconds."
    assert (await run(api, session_id, "6 * 7"))["output"] == "42\n"


@kernel
async def test_environment_variables_stay(api) -> None:
    """Set before the code, not undone."""
    session_id = await create(api)
    value = 'it\'s "q" %$ é\n'
    first = await run(
        api, session_id, "import os; os.environ['A']", environment_variables={"A": value}
    )

    assert first["output"] == f"{value!r}\n"
    assert (await run(api, session_id, "os.environ['A']"))["output"] == first["output"]


@kernel
async def test_local_variables_go(api) -> None:
    """Set before the code with their types, deleted after it, also if it raised."""
    session_id = await create(api)
    values = {
        "s": "x'\"; import os; os._exit(1) #\n",
        "b": True,
        "i": 3,
        "f": 0.5,
        "boxed": {"type": "float", "data": "1.10", "precision": 2},
    }
    body = await run(api, session_id, "(s, b, i, f, boxed)", local_variables=values)
    expected = (values["s"], True, 3, 0.5, 1.1)

    assert body["output"] == f"{expected!r}\n"
    await run(api, session_id, "1/0", local_variables={"s": "again"})
    assert (await run(api, session_id, "s"))["error"] == "name 's' is not defined"
    row = await Execution.objects.order_by("queued_at").afirst()
    assert row is not None
    assert row.code == "(s, b, i, f, boxed)"
    null = await run(api, session_id, "1", local_variables=None, environment_variables=None)
    assert null["output"] == "1\n"


@kernel
async def test_ping(api) -> None:
    """Existing sessions are answered, others passed over."""
    session_id = await create(api)
    response = await post(api, "/rce/sessions/ping", {"session_ids": [session_id, "no"]})

    assert response.json() == {"session_infos": [{"session_id": session_id}]}


@kernel
async def test_ping_of_very_many(api, monkeypatch) -> None:
    """Each session is looked up once, however often it is named and whatever else is."""
    session_id = await create(api)
    row_id = str((await Session.objects.aget()).id).upper()
    looked_up = []
    find = operations.find_session

    async def counted(ref: SessionRef) -> operations.SessionInfo:
        looked_up.append(ref.identifier)
        return await find(ref)

    monkeypatch.setattr(operations, "find_session", counted)
    ids = [session_id, *map(str, range(1_000)), row_id, session_id]
    response = await post(api, "/sessions/ping", {"session_ids": ids})

    named = [info["session_id"] for info in response.json()["session_infos"]]
    assert named == [session_id, row_id, session_id]
    assert sorted(looked_up) == sorted([session_id, row_id])


@kernel
async def test_sessions_of_other_doors(api) -> None:
    """One session, many doors: names, files and state are shared."""
    session_id = await create(api)
    azure = await api.post(
        f"/files?api-version=2025-10-02-preview&identifier={session_id}",
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a b.txt"\r\n\r\n'
        b"hello\r\n--b--\r\n",
        content_type="multipart/form-data; boundary=b",
    )
    read = await run(api, session_id, "x = open('a b.txt').read(); x")
    sandbox = await post(api, f"/sandbox/{session_id}/execute", {"code": "print(x)"})
    await operations.open_session(SessionRef(owner_id=None, identifier="other"), origin="test")
    listed = (await api.get("/sessions/list")).json()["sessions"]

    assert azure.status_code == 200
    assert read["output"] == "'hello'\n"
    assert sandbox.json()["events"][0]["text"] == "hello\n"
    assert [each["session_id"] for each in listed] == [session_id, "other"]
    origins = [each async for each in Execution.objects.order_by("queued_at").values_list("origin")]
    assert origins == [("rce",), ("sandbox",)]


# --- Refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("name", ["execute", "close"])
async def test_unknown_session(api, prefix: str, name: str) -> None:
    """404 in the document's shape, and nothing is opened."""
    body = {"session_id": "no such", "code": "1"}
    response = await post(api, f"{prefix}/sessions/{name}", body)

    assert checked(response, 404, "not found") == {
        "session_id": "no such",
        "error": "Session not found",
    }
    assert not await Session.objects.aexists()


BAD_BODIES = {
    "empty": (b"", "missing"),
    "broken": (b'{"code": ', "json_invalid"),
    "not an object": (b'["code"]', "model_attributes_type"),
    "null": (b"null", "model_attributes_type"),
    "NaN": (b'{"code": NaN}', "json_invalid"),
    "not UTF-8": (b'{"code": "\xff"}', "json_invalid"),
    "half of a pair": (b'{"code": "\\ud800"}', "model_attributes_type"),
    "too deep": (b"[" * 100_000, "model_attributes_type"),
    "huge number": (b'{"a": ' + b"9" * 10_000 + b"}", "json_invalid"),
}


@pytest.mark.parametrize(("body", "kind"), BAD_BODIES.values(), ids=BAD_BODIES)
@pytest.mark.parametrize("name", ["execute", "close", "ping"])
@pytest.mark.parametrize("prefix", PREFIXES)
async def test_bad_body(api, prefix: str, name: str, body: bytes, kind: str) -> None:
    """What is no JSON object is a 422 in FastAPI's shape."""
    address = f"{prefix}/sessions/{name}"
    response = await api.post(address, body, content_type="application/json")
    (item,) = checked(response, 422, "invalid")["detail"]

    assert item["type"] == kind
    assert item["loc"][0] == "body"
    assert "Traceback" not in item["msg"]


async def test_text_is_not_json(api) -> None:
    """A wrong label is a 422; curl's, which it gives to everything, is not."""
    body = b'{"session_id": "x"}'
    text = await api.post("/sessions/close", body, content_type="text/plain")
    form = await api.post("/sessions/close", body, content_type="application/x-www-form-urlencoded")

    checked(text, 422, "invalid")
    checked(form, 404, "not found")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {},
            [
                ("missing", ["body", "session_id"]),
                ("missing", ["body", "code"]),
            ],
        ),
        ({"session_id": "x"}, [("missing", ["body", "code"])]),
        ({"session_id": 1, "code": "1"}, [("string_type", ["body", "session_id"])]),
        ({"session_id": "x", "code": None}, [("string_type", ["body", "code"])]),
        (
            {"session_id": "x", "code": "1", "environment_variables": []},
            [("dict_type", ["body", "environment_variables"])],
        ),
        (
            {"session_id": "x", "code": "1", "environment_variables": {"A": 1}},
            [("string_type", ["body", "environment_variables", "A"])],
        ),
        (
            {"session_id": "x", "code": "1", "environment_variables": {"A=B": "1"}},
            [("value_error", ["body", "environment_variables"])],
        ),
        (
            {"session_id": "x", "code": "1", "environment_variables": {"A": "\0"}},
            [("value_error", ["body", "environment_variables"])],
        ),
        (
            {"session_id": "x", "code": "1", "local_variables": {"a; b": 1}},
            [("value_error", ["body", "local_variables"])],
        ),
        (
            {"session_id": "x", "code": "1", "local_variables": {"class": 1}},
            [("value_error", ["body", "local_variables"])],
        ),
    ],
)
async def test_bad_fields(api, fields: dict[str, Any], expected: list[Any]) -> None:
    """Every flaw is named, with its place."""
    detail = checked(await post(api, "/sessions/execute", fields), 422, "invalid")["detail"]

    assert [(item["type"], item["loc"]) for item in detail] == expected


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"type": "float", "data": 1.1, "precision": 2},
        {"type": "float", "data": "x", "precision": 2},
        {"type": "float", "data": "1", "precision": True},
        {"type": "int", "data": "1", "precision": 2},
    ],
)
async def test_bad_local_variable(api, value: Any) -> None:
    """Types are strict."""
    body = {"session_id": "x", "code": "1", "local_variables": {"v": value}}
    (item,) = checked(await post(api, "/sessions/execute", body), 422, "invalid")["detail"]

    assert item["loc"] == ["body", "local_variables", "v"]


@pytest.mark.parametrize(
    "name", ["globals", "\uff47lobals", "_oh", "__builtins__", "__import__", "__name__"]
)
async def test_local_variables_the_kernel_needs(api, name: str) -> None:
    """Setting and then deleting one of these would leave a session that works no more."""
    body = {"session_id": "x", "code": "1", "local_variables": {name: 1}}
    (item,) = checked(await post(api, "/sessions/execute", body), 422, "invalid")["detail"]

    assert (item["type"], item["loc"]) == ("value_error", ["body", "local_variables", name])


@pytest.mark.parametrize("ids", [None, "x", [1], {}])
async def test_bad_ping(api, ids: Any) -> None:
    """So are lists."""
    response = await post(api, "/sessions/ping", {"session_ids": ids})

    assert checked(response, 422, "invalid")["detail"][0]["loc"] == ["body", "session_ids"]


@kernel
async def test_code_that_is_no_text(api) -> None:
    """What no kernel takes for text is a 422 as well."""
    body = {"session_id": await create(api), "code": "a\0b"}

    checked(await post(api, "/sessions/execute", body), 422, "invalid")


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize(
    ("method", "name"),
    [("get", "create"), ("get", "execute"), ("put", "close"), ("post", "list"), ("get", "ping")],
)
async def test_wrong_method(api, prefix: str, method: str, name: str) -> None:
    """405 in FastAPI's words."""
    response = await getattr(api, method)(f"{prefix}/sessions/{name}")

    assert (response.status_code, response.json()) == (405, {"detail": "Method Not Allowed"})


@pytest.mark.parametrize(
    "path",
    [
        "/rce",
        "/rce/",
        "/rce/sessions",
        "/rce/sessions/x/execute",
        "/rce//sessions/list",
        "/sessions",
        "/sessions/",
        "/sessions/x",
        "/sessions/execute/x",
        "/sessions/execute//",
    ],
)
async def test_unknown_address(api, path: str) -> None:
    """404 in FastAPI's words, whatever the method."""
    for response in (await api.get(path), await api.post(path)):
        assert (response.status_code, response.json()) == (404, {"detail": "Not Found"})


@kernel
async def test_too_many_sessions(api, settings) -> None:
    """429, with a sentence."""
    settings.WORKBENCH_MAX_SESSIONS = 1
    await create(api)
    response = await api.post("/sessions/create")

    assert (response.status_code, response.headers["Retry-After"]) == (429, "30")
    assert "as many as it may" in response.json()["detail"]


async def test_too_large_body(api, settings) -> None:
    """413: no list of flaws, and no 422 either."""
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    response = await post(api, "/sessions/execute", {"code": "x" * 200})

    assert response.status_code == 413
    assert isinstance(response.json()["detail"], str)


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_foreign_host(prefix: str) -> None:
    """Refused before any view, and still in FastAPI's words."""
    response = await AsyncClient().get(f"{prefix}/sessions/list", headers={"Host": "evil.example"})

    assert response.status_code == 400
    assert "Host header" in response.json()["detail"]


async def test_no_host() -> None:
    """503, with how to start one."""
    response = await AsyncClient().post("/sessions/create")

    assert response.status_code == 503
    assert "manage.py workbench" in response.json()["detail"]
