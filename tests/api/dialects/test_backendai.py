"""Backend.AI's contract over real kernels: sessions, runs, files, events, and refusals."""

from __future__ import annotations

import asyncio
import io
import json
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any
from uuid import UUID, uuid4

import pytest
from channels.routing import URLRouter
from django.test import AsyncClient

from sessions import operations
from sessions.models import Execution, Session
from sessions.operations import SessionRef
from tests.api.sockets import Socket
from workbench.access.middleware import SocketAccess
from workbench.dialects.backendai import stream

PROBLEMS = "https://api.backend.ai/probs/"
SOCKETS = SocketAccess(URLRouter(stream.websocket_urlpatterns))

kernel = pytest.mark.kernel


async def send(api: AsyncClient, method: str, address: str, body: Any = None, **headers: str):
    """A request with a JSON body, whatever the method."""
    content = b"" if body is None else json.dumps(body).encode()
    return await api.generic(
        method, address, content, content_type="application/json", headers=headers
    )


async def create(api: AsyncClient, name: str = "mysess-01", image: str = "python:3.11", **fields):
    response = await send(api, "POST", "/session", {"name": name, "image": image, **fields})
    assert response.status_code in (200, 201), response.content
    return response.json()


async def call(api: AsyncClient, body: dict[str, Any], name: str = "mysess-01") -> dict[str, Any]:
    """One call about a run."""
    response = await send(api, "POST", f"/session/{name}", body)
    assert response.status_code == 200, response.content
    assert response.headers["Content-Type"] == "application/json"
    result: dict[str, Any] = response.json()["result"]
    assert result.keys() == {"runId", "status", "exitCode", "console", "options", "files"}
    assert isinstance(result["console"], list)
    return result


async def drive(
    api: AsyncClient, first: dict[str, Any], *, answers: tuple[str, ...] = ()
) -> list[dict[str, Any]]:
    """A whole run, as clients loop: every reply that tells something."""
    results = [await call(api, first)]
    waiting = list(answers)
    while results[-1]["status"] != "finished":
        run_id = results[-1]["runId"]
        body = {"mode": "continue", "code": "", "runId": run_id}
        if results[-1]["status"] == "waiting-input":
            body = {"mode": "input", "code": waiting.pop(0), "runId": run_id}
        results.append(await call(api, body))
    return results


def batch(**options: str | None) -> dict[str, Any]:
    return {"mode": "batch", "code": "", "runId": None, "options": options}


def query(code: str) -> dict[str, Any]:
    return {"mode": "query", "code": code, "runId": None}


def text_of(results: list[dict[str, Any]], stream: str = "stdout") -> str:
    items = [item for result in results for item in result["console"]]
    return "".join(data for kind, data in items if kind == stream)


def multipart(*files: tuple[str, bytes], field: str = "src") -> bytes:
    """Written by hand: Django's client would make a bad name a good one."""
    parts = [
        f'--b\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n\r\n'.encode()
        + content
        + b"\r\n"
        for name, content in files
    ]
    return b"".join(parts) + b"--b--\r\n"


async def upload(api: AsyncClient, *files: tuple[str, bytes], name: str = "mysess-01", **headers):
    return await api.post(
        f"/session/{name}/upload",
        multipart(*files),
        content_type="multipart/form-data; boundary=b",
        headers=headers,
    )


async def listed(api: AsyncClient, path: str = ".") -> dict[str, dict[str, Any]]:
    response = await send(api, "GET", "/session/mysess-01/files", {"path": path})
    assert response.status_code == 200, response.content
    return {file["filename"]: file for file in json.loads(response.json()["files"])}


async def body_of(response: Any) -> bytes:
    return b"".join([piece async for piece in response])


def tars_in(content_type: str, body: bytes) -> list[dict[str, bytes | None]]:
    """The members of each tar in a multipart document; None for directories."""
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    message = BytesParser(policy=HTTP).parsebytes(head + body)
    found = []
    for part in message.iter_parts():
        payload = part.get_payload(decode=True)
        assert part["Content-Encoding"] == "identity"
        assert int(part["Content-Length"]) == len(payload)
        with tarfile.open(fileobj=io.BytesIO(payload), mode="r:") as tar:
            members = tar.getmembers()
            found.append(
                {m.name: tar.extractfile(m).read() if m.isfile() else None for m in members}
            )
    return found


def assert_problem(response: Any, status: int, slug: str) -> dict[str, Any]:
    assert response.status_code == status, response.content
    assert response.headers["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["type"] == PROBLEMS + slug
    assert body["title"]
    assert body.keys() <= {"type", "title", "msg", "data"}
    return body


# --- Sessions -----------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["/backendai", "/backendai/"])
async def test_the_version_that_clients_negotiate_with(api, address) -> None:
    response = await api.get(address)

    assert response.json() == {"version": "v5.20191215", "manager": "20.03.0"}


@kernel
async def test_a_session_is_created_and_found_again(api) -> None:
    first = await send(api, "POST", "/session", {"name": "mysess-01", "image": "python:3.11"})
    again = await send(api, "POST", "/session", {"name": "mysess-01", "image": "python:3.11"})
    body = first.json()

    assert (first.status_code, again.status_code) == (201, 200)
    assert str(UUID(body["sessionId"])) == body["sessionId"]
    assert body == {
        "sessionId": body["sessionId"],
        "sessionName": "mysess-01",
        "sessId": "mysess-01",
        "kernelId": "mysess-01",
        "status": "RUNNING",
        "servicePorts": [],
        "created": True,
    }
    assert again.json() == {**body, "created": False}


@kernel
@pytest.mark.parametrize(
    "address",
    ["/session/create", "/session/_/create", "/kernel", "/kernel/create", "/backendai/session"],
)
async def test_sessions_are_created_at_every_documented_address(api, address) -> None:
    response = await send(api, "POST", address, {"clientSessionToken": "old-1", "lang": "python3"})

    assert response.status_code == 201
    assert response.json()["kernelId"] == "old-1"
    assert (await Session.objects.aget()).identifier == "old-1"


@kernel
@pytest.mark.parametrize(
    "fields", [{"image": "python:3.11", "reuseIfExists": False}, {"image": "c:latest"}]
)
async def test_a_name_that_may_not_be_used_again_is_refused(api, fields) -> None:
    session = await create(api)
    response = await send(api, "POST", "/session", {"name": "mysess-01", **fields})
    body = assert_problem(response, 400, "session-already-exists")

    assert body["data"] == {"existingSessionId": session["sessionId"]}


async def test_an_unknown_image_is_404(api) -> None:
    response = await send(api, "POST", "/session", {"name": "mysess-01", "image": "nonsense:1"})

    assert_problem(response, 404, "image-not-found")
    assert not await Session.objects.aexists()


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "mysess-01"},
        {"image": "python"},
        {"name": "abc", "image": "python"},
        {"name": 1, "image": "python"},
        {"name": "mysess-01", "image": ["python"]},
        {"name": "mysess-01", "image": "python", "config": []},
        {"name": "mysess-01", "image": "python", "config": {"environ": {"A": 1}}},
        {"name": "mysess-01", "image": "python", "config": {"environ": {"A=B": "x"}}},
        {"name": "mysess-01", "image": "python", "config": {"resources": []}},
        {"name": "mysess-01", "image": "python", "config": {"resources": {"cuda.device": "all"}}},
        {"name": "mysess-01", "image": "python", "config": {"resources": {"cuda.device": 0.5}}},
        {"name": "mysess-01", "image": "python", "config": {"resources": {"cuda.device": True}}},
        {"name": "mysess-01", "image": "python", "config": {"resources": {"cuda.device": "-1"}}},
        {"name": "mysess-01", "image": "python", "config": {"resources": {"cuda.device": "99"}}},
        {"name": "mysess-01", "image": "python", "config": {"resources": {"cuda.device": 1}}},
        {"name": "mysess-01", "image": "python", "reuseIfExists": "yes"},
        [],
        "x",
        None,
    ],
)
async def test_a_creation_that_is_wrong_is_400(api, body) -> None:
    assert_problem(await send(api, "POST", "/session", body), 400, "invalid-api-params")
    assert not await Session.objects.aexists()


@kernel
async def test_a_session_is_known_by_name_and_by_id(api) -> None:
    session = await create(api, image="c:latest")
    by_name = await api.get("/session/mysess-01")
    by_id = await api.get(f"/kernel/{session['sessionId']}")
    info = by_name.json()

    assert by_id.json()["sessionId"] == info["sessionId"] == session["sessionId"]
    assert (info["lang"], info["image"], info["status"]) == ("c", "c:latest", "RUNNING")
    assert isinstance(info["age"], int)
    assert info["numQueriesExecuted"] == 0

    await drive(api, query("1"))
    assert (await api.get("/session/mysess-01")).json()["numQueriesExecuted"] == 1


@kernel
async def test_environ_reaches_code_and_commands(api) -> None:
    await create(api, config={"environ": {"COLOUR": "blue"}})

    assert text_of(await drive(api, query("import os; print(os.environ['COLOUR'])"))) == "blue\n"
    assert text_of(await drive(api, batch(exec="echo $COLOUR"))) == "blue\n"


@kernel
@pytest.mark.parametrize("amount", [1, "1"])
async def test_devices_of_cuda_are_the_sessions_own(api, settings, amount) -> None:
    settings.WORKBENCH_GPUS = (0,)
    resources = {"cuda.device": amount, "cpu": "1", "mem": "2g"}
    await create(api, config={"resources": resources})
    assert (await Session.objects.aget()).policy["gpus"] == 1

    body = {"name": "mysess-02", "image": "python", "config": {"resources": resources}}
    problem = await send(api, "POST", "/session", body)
    assert_problem(problem, 412, "quota-exceeded")


@kernel
async def test_restarting_drops_state_and_keeps_files(api) -> None:
    await create(api)
    await drive(api, query("x = 1; open('kept.txt', 'w').write('here')"))
    response = await send(api, "PATCH", "/session/mysess-01")

    assert (response.status_code, response.content) == (204, b"")
    assert "NameError" in text_of(await drive(api, query("x")), "stderr")
    assert "kept.txt" in await listed(api)


@kernel
async def test_destroying_ends_a_session(api) -> None:
    await create(api)
    response = await api.delete("/session/mysess-01?forced=true&recursive=true")

    assert response.status_code == 200
    assert isinstance(response.json()["stats"], dict)
    assert_problem(await api.get("/session/mysess-01"), 404, "session-not-found")


@kernel
async def test_renaming_and_matching(api) -> None:
    session = await create(api)
    other = await create(api, "other-01")
    renamed = await send(api, "POST", "/session/mysess-01/rename?name=newname")
    taken = await send(api, "POST", "/session/newname/rename?name=other-01")
    anothers_id = await send(api, "POST", f"/session/newname/rename?name={other['sessionId']}")
    bad = await send(api, "POST", "/session/newname/rename?name=x")
    nameless = await send(api, "POST", "/session/newname/rename")
    matches = (await api.get("/session/_/match?id=newn")).json()["matches"]

    assert (renamed.status_code, renamed.content) == (204, b"")
    assert_problem(taken, 400, "session-already-exists")
    assert_problem(anothers_id, 400, "session-already-exists")
    assert_problem(bad, 400, "invalid-api-params")
    assert_problem(nameless, 400, "invalid-api-params")
    assert_problem(await api.get("/session/mysess-01"), 404, "session-not-found")
    assert matches == [{"id": session["sessionId"], "name": "newname", "status": "RUNNING"}]
    assert_problem(await api.get("/session/_/match"), 400, "invalid-api-params")


@kernel
async def test_completion_and_logs(api) -> None:
    await create(api)
    body = {"code": "pri", "options": {"row": 0, "col": 3, "line": "pri", "post": ""}}
    address = "/session/mysess-01/complete"
    # On a busy machine a fresh kernel takes longer than the server waits, which says: try again.
    while (response := await send(api, "POST", address, body)).status_code == 503:
        pass
    await drive(api, query("print('to the log')"))
    logs = (await api.get("/session/mysess-01/logs")).json()

    assert response.json()["result"]["status"] == "finished"
    assert "print" in response.json()["result"]["completions"]
    assert logs == {"result": {"logs": "to the log\n"}}


# --- Runs ---------------------------------------------------------------------------------------


@kernel
async def test_a_query_prints_and_raises(api) -> None:
    await create(api)
    results = await drive(api, query('print("hello world"); 1/0'))

    assert text_of(results) == "hello world\n"
    assert "ZeroDivisionError" in text_of(results, "stderr")
    assert (results[-1]["status"], results[-1]["exitCode"]) == ("finished", 0)
    assert results[-1]["files"] == []
    assert results[-1]["options"] is None
    assert len({result["runId"] for result in results}) == 1
    execution = await Execution.objects.aget()
    assert execution.origin == "backendai"


@kernel
async def test_a_query_asks_for_input(api) -> None:
    await create(api)
    results = await drive(api, query("print('hi', input('name? '))"), answers=("Ada",))
    (waiting,) = [result for result in results if result["status"] == "waiting-input"]

    assert waiting["options"] == {"is_password": False}
    assert waiting["exitCode"] is None
    assert text_of(results).endswith("hi Ada\n")
    assert text_of(results).startswith("name? ")


@kernel
async def test_a_password_is_asked_for_as_one(api) -> None:
    await create(api)
    code = "import getpass; print(len(getpass.getpass('secret? ')))"
    results = await drive(api, query(code), answers=("four",))

    assert {"is_password": True} in [result["options"] for result in results]
    assert text_of(results).endswith("4\n")


@kernel
async def test_a_batch_run_tells_every_step_skipped_ones_too(api) -> None:
    await create(api)
    results = await drive(api, {**batch(exec="echo done; exit 3"), "runId": "mine"})
    told = [(result["status"], result["exitCode"]) for result in results]

    assert [it for it in told if it[0] != "continued"] == [
        ("clean-finished", 0),
        ("build-finished", 0),
        ("finished", 3),
    ]
    assert {result["runId"] for result in results} == {"mine"}
    assert text_of(results) == "done\n"


@kernel
async def test_output_before_build_finished_is_the_builds(api) -> None:
    await create(api)
    results = await drive(api, batch(clean="echo cleaning", build="echo building", exec="echo ran"))
    by_status = {result["status"]: result for result in results}

    assert by_status["clean-finished"]["console"] == [["stdout", "cleaning\n"]]
    assert by_status["build-finished"]["console"] == [["stdout", "building\n"]]
    assert by_status["finished"]["console"] == [["stdout", "ran\n"]]


@kernel
async def test_a_failed_build_skips_the_program(api) -> None:
    await create(api)
    results = await drive(api, batch(clean="exit 2", build="echo no >&2; exit 7", exec="touch ran"))
    told = [(r["status"], r["exitCode"]) for r in results if r["status"] != "continued"]

    assert told == [("clean-finished", 2), ("build-finished", 7), ("finished", 127)]
    assert "ran" not in await listed(api)


@kernel
async def test_the_default_build_of_c(api) -> None:
    await create(api, image="c:latest")
    main = b'#include <stdio.h>\nint two(void);\nint main(void) { printf("%d\\n", two()); }\n'
    uploaded = await upload(
        api, ("main.c", main), ("lib%2Ftwo.c", b"int two(void) { return 2; }\n")
    )
    results = await drive(api, batch(clean="*", build="*", exec="*"))

    assert uploaded.status_code == 204
    assert (results[-1]["exitCode"], text_of(results)) == (0, "2\n"), results


@kernel
async def test_the_default_program_of_python_reads_input_and_dies_of_a_signal(api) -> None:
    await create(api)
    code = "import os, signal\nprint('hi ' + input('name? '))\nos.kill(os.getpid(), signal.SIGKILL)"
    await upload(api, ("main.py", code.encode()))
    results = await drive(api, batch(clean="*", build="*", exec="*"), answers=("Alice",))

    assert "name? " in text_of(results)
    assert "hi Alice\n" in text_of(results)
    assert results[-1]["exitCode"] == 137


@kernel
async def test_commands_run_at_home_with_the_documented_environment(api) -> None:
    await create(api)
    results = await drive(api, batch(exec="pwd; echo $HOME $USER $LANG $TERM $SHELL"))

    lines = text_of(results).splitlines()
    assert lines[0] == lines[1].split()[0]
    assert lines[1].split()[1:] == ["work", "C.UTF-8", "xterm", "/bin/bash"]


@kernel
async def test_a_long_run_is_continued_in_between(api) -> None:
    await create(api)
    results = await drive(api, batch(exec="echo first; sleep 2.5; echo second"))
    statuses = [result["status"] for result in results]

    assert statuses[:2] == ["clean-finished", "build-finished"]
    assert "continued" in statuses
    continued = next(result for result in results if result["status"] == "continued")
    assert (continued["exitCode"], continued["options"]) == (None, None)
    assert text_of(results) == "first\nsecond\n"


@kernel
async def test_runs_come_one_after_the_other(api) -> None:
    await create(api)
    first = await call(api, {**batch(exec="sleep 0.5; echo one"), "runId": "run-a"})
    second = await drive(api, {**query("print('two')"), "runId": "run-b"})

    assert (first["status"], second[-1]["runId"]) == ("clean-finished", "run-b")
    order = [execution.client_id async for execution in Execution.objects.order_by("started_at")]
    assert order[-1] == "run-b/query"


@kernel
async def test_an_interrupt_ends_what_a_shell_started(api) -> None:
    await create(api)
    result = await call(api, batch(exec="sh -c 'echo up; sleep 60'; exit $?"))
    run_id = result["runId"]
    while "up" not in text_of([result]):
        result = await call(api, {"mode": "continue", "code": "", "runId": run_id})
    response = await send(api, "POST", "/session/mysess-01/interrupt")
    while result["status"] != "finished":
        result = await call(api, {"mode": "continue", "code": "", "runId": run_id})

    assert (response.status_code, response.content) == (204, b"")
    assert result["exitCode"] == 130


@kernel
@pytest.mark.parametrize("mode", ["continue", "input"])
async def test_a_run_that_is_over_or_never_was_is_refused(api, mode) -> None:
    await create(api)
    *_, result = await drive(api, query("1"))
    for run_id in (result["runId"], "nonsense"):
        body = {"mode": mode, "code": "", "runId": run_id}
        response = await send(api, "POST", "/session/mysess-01", body)
        assert_problem(response, 400, "invalid-api-params")


@kernel
@pytest.mark.parametrize(
    "body",
    [
        {},
        {"mode": "dance"},
        {"mode": "continue"},
        {"mode": "input", "runId": None},
        {"mode": "query", "code": 1},
        {"mode": "query", "code": "1", "runId": ["x"]},
        {"mode": "query", "code": "1", "runId": "a\0b"},
        {"mode": "batch", "options": "{batch-execution-query-object}"},
        {"mode": "batch", "options": {"exec": 1}},
        {"mode": "batch", "options": {"exec": "a\0b"}},
        {"mode": "batch", "options": {"exec": "x" * 128 * 1024}},
        {"mode": "batch", "options": json.dumps({"exec": "\ud800"})},
        {"mode": "query", "code": "a\0b"},
        {"mode": "query", "code": "1", "runId": "a\nb"},
        [],
        None,
    ],
)
async def test_a_call_that_is_wrong_is_400_and_runs_nothing(api, body) -> None:
    await create(api)
    response = await send(api, "POST", "/session/mysess-01", body)

    assert_problem(response, 400, "invalid-api-params")
    assert not await Execution.objects.aexists()


@kernel
@pytest.mark.parametrize("end", ["PATCH", "DELETE"])
async def test_a_run_whose_session_goes_away_ends_with_130(api, end) -> None:
    await create(api)
    result = await call(api, {**batch(exec="sleep 60"), "runId": "mine"})
    body = {"mode": "continue", "code": "", "runId": "mine"}
    while result["status"] != "continued":
        result = await call(api, body)
    waiting = asyncio.create_task(call(api, body))
    await send(api, end, "/session/mysess-01")
    result = await waiting
    while result["status"] != "finished":
        result = await call(api, body)

    assert result["exitCode"] == 130


@kernel
async def test_input_nobody_asked_for_is_refused(api) -> None:
    await create(api)
    result = await call(api, batch(exec="sleep 30"))
    body = {"mode": "input", "code": "x", "runId": result["runId"]}

    assert_problem(await send(api, "POST", "/session/mysess-01", body), 400, "invalid-api-params")


# --- Files --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("place")
@kernel
async def test_uploads_keep_their_directories_and_their_letters(api) -> None:
    await create(api)
    response = await upload(
        api,
        ("src%2Fdeep%2Fa%20b_%C3%A9.txt", b"one"),
        ("src/raw.txt", b"two"),
        ("/home/work/abs.txt", b"three"),
        ("abs.txt", b"four"),
    )
    src = await listed(api, "src")

    assert (response.status_code, response.content) == (204, b"")
    assert set(await listed(api)) == {"src", "abs.txt"}
    assert set(src) == {"deep", "raw.txt"}
    assert src["deep"]["mode"].startswith("drwx")
    assert src["raw.txt"]["mode"] == "-rw-r--r--"
    assert (await listed(api, "/home/work/src/deep"))["a b_é.txt"]["size"] == 3
    assert (await listed(api))["abs.txt"]["size"] == 4
    assert isinstance(src["raw.txt"]["mtime"], float)


@pytest.mark.usefixtures("place")
@kernel
async def test_the_limits_of_an_upload(api) -> None:
    await create(api)
    full = b"x" * 1024 * 1024
    twenty = [(f"f{n}", b"x") for n in range(20)]

    assert (await upload(api, *twenty)).status_code == 204
    assert (await upload(api, ("full", full))).status_code == 204
    many = await upload(api, *((f"g{n}", b"x") for n in range(21)))
    assert assert_problem(many, 400, "invalid-api-params")["msg"] == "Too many files"
    flood = await upload(api, *((f"g{n}", b"x") for n in range(150)))
    assert assert_problem(flood, 400, "invalid-api-params")["msg"] == "Too many files"
    large = await upload(api, ("h0", b"x"), ("h1", full + b"x"))
    assert assert_problem(large, 400, "invalid-api-params")["msg"] == "Too large file"
    assert set(await listed(api)) == {"full", *(name for name, _ in twenty)}


@kernel
@pytest.mark.parametrize(
    "name",
    [
        "../out.txt",
        "..%2Fout.txt",
        "/etc/passwd",
        "%2Fetc%2Fpasswd",
        "a/../../out",
        "a%00b",
        "x" * 300,
        "%ff",
        "/home/work",
        "link/x.txt",
        "link",
        "dir",
        "file/x.txt",
        "good.txt/x.txt",
    ],
)
async def test_a_refused_name_refuses_the_whole_upload(api, name) -> None:
    await create(api)
    code = "import os; os.symlink('/tmp', 'link'); os.mkdir('dir'); open('file', 'w').close()"
    await drive(api, query(code))
    response = await upload(api, ("good.txt", b"x"), (name, b"y"))
    found = await listed(api)

    if name == "link":  # a link is replaced, never followed
        assert response.status_code == 204
        assert found["link"]["mode"].startswith("-")
    else:
        assert_problem(response, 400, "invalid-api-params")
        assert set(found) == {"dir", "file"}


@kernel
@pytest.mark.parametrize(
    "header",
    [
        b'form-data; name="src"; filename="\xe9.txt"',  # Latin-1
        b'form-data; filename="nameless.txt"',
    ],
)
async def test_an_upload_is_whole_or_nothing_also_if_a_part_cannot_be_read(api, header) -> None:
    await create(api)
    good = b'--b\r\nContent-Disposition: form-data; name="src"; filename="good.txt"\r\n\r\nx\r\n'
    bad = b"--b\r\nContent-Disposition: " + header + b"\r\n\r\ny\r\n"
    response = await api.post(
        "/session/mysess-01/upload",
        good + bad + b"--b--\r\n",
        content_type="multipart/form-data; boundary=b",
    )

    assert_problem(response, 400, "invalid-api-params")
    assert await listed(api) == {}


@kernel
@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Disp"),
        ("multipart/form-data", b""),
        ("multipart/form-data; boundary=b", b"--b--\r\n"),
        ("application/json", b"{}"),
    ],
)
async def test_a_broken_upload_is_400(api, content_type, body) -> None:
    await create(api)
    response = await api.post("/session/mysess-01/upload", body, content_type=content_type)

    assert_problem(response, 400, "invalid-api-params")


@pytest.mark.usefixtures("place")
@kernel
async def test_a_listing_is_text_that_holds_json(api) -> None:
    await create(api)
    await upload(api, (".hidden", b"x"), ("sub/a", b"x"))
    by_default = (await api.get("/session/mysess-01/files")).json()
    by_query = (await api.get("/session/mysess-01/files?path=sub")).json()

    assert by_default.keys() == {"files", "folder_path", "abspath", "errors"}
    assert (by_default["folder_path"], by_default["errors"]) == ("/home/work", "")
    assert [file["filename"] for file in json.loads(by_default["files"])] == [".hidden", "sub"]
    assert (by_query["folder_path"], by_query["abspath"]) == ("/home/work/sub", "sub")
    missing = await send(api, "GET", "/session/mysess-01/files", {"path": "nothing"})
    assert_problem(missing, 404, "object-not-found")


@kernel
@pytest.mark.parametrize("path", ["..", "/etc", "/home/work/../..", "a\0b", 1, ["."]])
async def test_a_path_that_leads_out_is_400(api, path) -> None:
    await create(api)
    for address, body in (
        ("files", {"path": path}),
        ("download", {"files": [path]}),
        ("download_single", {"file": path}),
    ):
        response = await send(api, "GET", f"/session/mysess-01/{address}", body)
        assert_problem(response, 400, "invalid-api-params")


@pytest.mark.usefixtures("place")
@kernel
async def test_downloads_are_tars_in_a_multipart_document(api) -> None:
    await create(api)
    await upload(api, ("src/deep/x.c", b"int x;"), ("main.py", b"print()"))
    wanted = ["src/deep/x.c", "/home/work/src", "main.py"]
    expected = [
        {"x.c": b"int x;"},
        {"src": None, "src/deep": None, "src/deep/x.c": b"int x;"},
        {"main.py": b"print()"},
    ]
    address = "/session/mysess-01/download"
    query_string = "&".join(f"files={path}" for path in wanted)
    for response in (
        await send(api, "GET", address, {"files": wanted}),
        await send(api, "POST", address, {"files": wanted}),
        await send(api, "POST", f"{address}?{query_string}"),
    ):
        assert response.status_code == 200
        content_type = response.headers["Content-Type"]
        assert content_type.startswith("multipart/mixed; boundary=")
        assert tars_in(content_type, await body_of(response)) == expected

    single = await send(api, "GET", f"{address}_single", {"file": "main.py"})
    assert await body_of(single) == b"print()"


@kernel
async def test_a_download_never_follows_a_link(api) -> None:
    await create(api)
    code = "import os; os.mkdir('d'); os.symlink('/etc/passwd', 'd/link'); os.mkfifo('d/fifo')"
    await drive(api, query(code))
    directory = await send(api, "GET", "/session/mysess-01/download", {"files": ["d"]})
    (members,) = tars_in(directory.headers["Content-Type"], await body_of(directory))

    assert members == {"d": None}
    for path in ("d/link", "d/fifo"):
        response = await send(api, "GET", "/session/mysess-01/download", {"files": [path]})
        assert_problem(response, 400, "invalid-api-params")


@kernel
@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"files": [f"f{n}" for n in range(6)]}, "Too many files (maximum 5 files allowed)"),
        ({"files": []}, "Input validation error"),
        ({"files": {}}, "Input validation error"),
        ({}, "Input validation error"),
        ({"files": ["there", "missing"]}, "The file is not found."),
    ],
)
async def test_a_download_that_is_wrong_is_400(api, body, message) -> None:
    await create(api)
    await upload(api, ("there", b"x"))
    response = await send(api, "GET", "/session/mysess-01/download", body)

    assert assert_problem(response, 400, "invalid-api-params")["msg"] == message


# --- Refusals everywhere ------------------------------------------------------------------------

ADDRESSES = [
    ("GET", ""),
    ("PATCH", ""),
    ("DELETE", ""),
    ("POST", ""),
    ("POST", "/interrupt"),
    ("POST", "/complete"),
    ("GET", "/logs"),
    ("POST", "/rename?name=newname"),
    ("POST", "/upload"),
    ("GET", "/files"),
    ("GET", "/download"),
    ("POST", "/download"),
    ("GET", "/download_single"),
]


@pytest.mark.parametrize("root", ["/session", "/kernel", "/backendai/session", "/backendai/kernel"])
@pytest.mark.parametrize(("method", "address"), ADDRESSES)
async def test_no_session_no_answer_but_404(api, root, method, address) -> None:
    for name in ("nobody", str(uuid4()), "%00x", "%2e%2e", "a%0ab"):
        response = await send(api, method, f"{root}/{name}{address}", {"mode": "query"})
        assert_problem(response, 404, "session-not-found")


@pytest.mark.parametrize(
    "address",
    [
        "/session/a/nonsense",
        "/session/mysess-01/",
        "/kernel/",
        "/backendai/x",
        "/session/a/files/",
        "/stream/session/mysess-01/execute",
        "/stream/kernel/mysess-01/pty",
        "/events/background-task",
        "/manager/announcement",
    ],
)
async def test_other_addresses_are_404_in_our_words(api, address) -> None:
    assert_problem(await api.get(address), 404, "generic-not-found")


@pytest.mark.parametrize(
    ("method", "address"),
    [("PUT", "/session/abcd"), ("GET", "/kernel"), ("GET", "/session/abcd/upload")],
)
async def test_other_methods_are_405(api, method, address) -> None:
    response = await send(api, method, address)

    assert_problem(response, 405, "method-not-allowed")
    assert response.headers["Allow"]


async def test_a_version_that_is_none_is_refused(api) -> None:
    bad = await send(api, "GET", "/session/abcd", **{"X-BackendAI-Version": "latest"})
    good = await send(api, "GET", "/session/abcd", **{"X-BackendAI-Version": "v9.20990101"})

    assert assert_problem(bad, 400, "generic-bad-request")["msg"] == "Unsupported API version."
    assert_problem(good, 404, "session-not-found")


@kernel
@pytest.mark.parametrize("authorization", ["BackendAI", "BackendAI x=y", "\xff", "Basic !", ""])
async def test_signatures_are_not_looked_at_on_loopback(api, authorization) -> None:
    await create(api)
    headers = {"Authorization": authorization, "Date": "the day before yesterday"}
    response = await send(api, "GET", "/session/mysess-01", **headers)

    assert response.status_code == 200


async def test_azure_keeps_its_methods_at_the_shared_address(api) -> None:
    for method in ("GET", "DELETE"):
        response = await send(api, method, "/session?identifier=nobody")
        assert response.json()["error"]["code"] == "NoSessionFoundError"


async def test_too_many_sessions_are_a_quota(api, settings) -> None:
    settings.WORKBENCH_MAX_SESSIONS = 0
    response = await send(api, "POST", "/session", {"name": "mysess-01", "image": "python"})

    assert_problem(response, 412, "quota-exceeded")


# --- The socket ---------------------------------------------------------------------------------


@asynccontextmanager
async def streaming(name: str, root: str = "/stream/session") -> AsyncIterator[Socket]:
    socket = Socket(SOCKETS, f"{root}/{name}/execute")
    is_accepted, _ = await socket.connect()
    assert is_accepted
    try:
        yield socket
    finally:
        await socket.disconnect()


async def frames_until(socket: Socket, *statuses: str) -> list[dict[str, Any]]:
    frames: list[dict[str, Any]] = []
    while not frames or frames[-1]["status"] not in statuses:
        frames.append(await socket.receive_json_from(timeout=20))
    return frames


@kernel
@pytest.mark.parametrize("root", ["/stream/session", "/stream/kernel", "/backendai/stream/session"])
async def test_a_stream_is_one_run_with_its_input(api, root) -> None:
    session = await create(api)
    await upload(api, ("main.py", b"print('hi ' + input('name? '))"))
    async with streaming(session["sessionId"], root) as socket:
        await socket.send_json_to(batch(exec="*"))
        frames = await frames_until(socket, "waiting-input")
        await socket.send_to(text_data="Alice")
        frames += await frames_until(socket, "finished")
        closing = await socket.receive_output(timeout=20)

    assert all(
        frame.keys() == {"status", "console", "exitCode", "options", "files"} for frame in frames
    )
    assert closing["type"] == "websocket.close"
    assert "name? " in text_of(frames)
    assert "hi Alice\n" in text_of(frames)
    told = [frame["status"] for frame in frames if frame["status"] != "continued"]
    assert told == ["clean-finished", "build-finished", "waiting-input", "finished"]


@kernel
async def test_a_stream_tells_every_fifth_of_a_second(api) -> None:
    await create(api)
    async with streaming("mysess-01") as socket:
        await socket.send_json_to(query("import time; time.sleep(0.7)"))
        frames = await frames_until(socket, "finished")

    assert [frame["status"] for frame in frames].count("continued") >= 2


@kernel
@pytest.mark.parametrize(
    "text", ["null", "x", "[]", "{}", '{"mode": "continue", "runId": "x"}', '{"mode": "dance"}']
)
async def test_a_first_frame_that_is_wrong_is_refused(api, text) -> None:
    await create(api)
    async with streaming("mysess-01") as socket:
        await socket.send_to(text_data=text)
        frame = await socket.receive_json_from(timeout=20)
        closing = await socket.receive_output(timeout=20)

    assert frame["status"] == "error"
    assert frame["msg"].startswith("Invalid API parameters: ")
    assert closing["type"] == "websocket.close"


@kernel
@pytest.mark.parametrize(
    ("first", "field"),
    [
        ({"mode": "batch", "options": {"exec": 5}}, "options.exec"),
        ({"mode": "batch", "options": {"build": "a\0b"}}, "options.build"),
        ({"mode": "query", "code": "\ud800"}, "code"),
    ],
)
async def test_a_refused_stream_says_what_is_wrong(api, first, field) -> None:
    await create(api)
    async with streaming("mysess-01") as socket:
        await socket.send_json_to(first)
        frame = await socket.receive_json_from(timeout=20)

    assert frame["status"] == "error"
    assert frame["msg"].startswith("Invalid API parameters: ")
    assert field in frame["msg"]


@kernel
async def test_a_stream_drops_no_answer_silently(api, monkeypatch) -> None:
    monkeypatch.setattr(stream, "MAX_ANSWERS_AHEAD", 2)
    await create(api)
    async with streaming("mysess-01") as socket:
        await socket.send_json_to(query("import time; time.sleep(60)"))
        for text in ("a", "b", "c"):
            await socket.send_to(text_data=text)
        frames = await frames_until(socket, "error")

    assert "2 answers" in frames[-1]["msg"]


@kernel
async def test_a_client_that_leaves_takes_its_run_with_it(api) -> None:
    await create(api)
    async with streaming("mysess-01") as socket:
        await socket.send_json_to(batch(exec="echo up; sleep 60"))
        while "up" not in text_of(await frames_until(socket, "continued")):
            pass
    execution = await Execution.objects.aget(client_id__endswith="/exec")
    ended = await operations.wait(
        SessionRef(owner_id=None, identifier="mysess-01"), str(execution.id), timeout_seconds=20
    )

    assert ended.state == "interrupted"


async def test_no_session_no_socket(api) -> None:
    socket = Socket(SOCKETS, "/stream/session/nobody/execute")
    is_accepted, _ = await socket.connect()

    assert not is_accepted


# --- Server-sent events -------------------------------------------------------------------------


async def event_in(stream: AsyncIterator[bytes]) -> tuple[str, dict[str, Any]]:
    """The next event; comments on the way are passed over."""
    async with asyncio.timeout(20):
        async for piece in stream:
            if piece.startswith(b"event: "):
                head, data = piece.decode().strip().split("\n")
                return head.removeprefix("event: "), json.loads(data.removeprefix("data: "))
    raise AssertionError("the stream has ended")


@kernel
async def test_the_events_of_one_session_end_with_it(api) -> None:
    session = await create(api)
    response = await api.get("/events/session?sessionName=mysess-01&scope=*")
    stream = aiter(response)
    started = await event_in(stream)
    await api.delete("/session/mysess-01")
    ended = await event_in(stream)

    assert response.headers["Content-Type"] == "text/event-stream"
    assert started[0] == "session_started"
    assert started[1]["sessionId"] == ended[1]["sessionId"] == session["sessionId"]
    assert started[1]["sessionName"] == "mysess-01"
    assert (ended[0], ended[1]["reason"]) == ("session_terminated", "closed")
    assert [piece async for piece in stream] == []


@kernel
async def test_the_events_of_all_sessions_begin_now(api) -> None:
    await create(api, "old-one")
    response = await api.get("/events/session?sessionName=*")
    stream = aiter(response)
    assert (await anext(stream)).startswith(b":")
    await create(api, "new-one")
    kind, data = await event_in(stream)
    await stream.aclose()

    assert (kind, data["sessionName"]) == ("session_started", "new-one")


@pytest.mark.parametrize(
    ("address", "status", "slug"),
    [
        ("/events/session?sessionName=nobody", 404, "session-not-found"),
        ("/events/session?sessionName=a%00b", 404, "session-not-found"),
        ("/events/session?scope=nonsense", 400, "invalid-api-params"),
    ],
)
async def test_events_that_cannot_be_had(api, address, status, slug) -> None:
    assert_problem(await api.get(address), status, slug)
