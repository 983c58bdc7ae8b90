"""The Sandbox API over real kernels: golden bodies, files, and refusals."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest
from django.test import AsyncClient

from files.models import SessionFile
from sessions import operations
from sessions.models import Session
from sessions.operations import SessionRef

kernel = pytest.mark.kernel

PREFIXES = ["", "/sandbox", "/sandbox/s1"]
MICROSECONDS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


async def post(api: AsyncClient, address: str, body: Any) -> Any:
    """Post a JSON body."""
    return await api.post(address, json.dumps(body), content_type="application/json")


async def run(api: AsyncClient, code: str, prefix: str = "", **more: Any) -> dict[str, Any]:
    """Run code; the answer's body, its timestamps checked and taken out."""
    response = await post(api, f"{prefix}/execute", {"code": code, **more})
    assert response.status_code == 200, response.content
    assert response.headers["Content-Type"] == "application/json"
    body: dict[str, Any] = response.json()
    for event in body["events"]:
        assert MICROSECONDS.fullmatch(event.pop("timestamp"))
    return body


async def upload(api: AsyncClient, path: str, content: bytes = b"hello", prefix: str = "") -> Any:
    """Upload a file as the document says: its bytes are the body."""
    address = f"{prefix}/files/upload/-/{path}"
    return await api.generic("POST", address, content, content_type="")


async def download(api: AsyncClient, path: str, prefix: str = "") -> Any:
    """Ask for a file."""
    return await api.get(f"{prefix}/files/download/-/{path}")


async def body_of(response: Any) -> bytes:
    """The bytes of a streamed answer."""
    assert response.status_code == 200, response.content
    return b"".join([piece async for piece in response])


def refused(response: Any, status: int, sentence: str = "") -> None:
    """It is an error in the contract's shape."""
    assert response.status_code == status, response.content
    assert response.headers["Content-Type"] == "application/json"
    assert response.json().keys() == {"error"}
    assert sentence in response.json()["error"]
    assert "Traceback" not in response.json()["error"]


# --- Alive -------------------------------------------------------------------------------------


@kernel
@pytest.mark.parametrize("address", ["/", "/sandbox", "/sandbox/", "/sandbox/s1", "/sandbox/s1/"])
async def test_alive(api, address: str) -> None:
    """A time; nothing is opened, and asking is no activity."""
    first = (await api.get(address)).json()
    again = (await api.get(address)).json()

    assert MICROSECONDS.fullmatch(first["last_activity"])
    assert first == again
    assert not await Session.objects.aexists()


@kernel
@pytest.mark.parametrize("prefix", PREFIXES)
async def test_activity(api, prefix: str) -> None:
    """Running, uploading and downloading are activity."""
    seen = [(await api.get(f"{prefix}/")).json()["last_activity"]]
    for act in (
        lambda: run(api, "1", prefix),
        lambda: upload(api, "a.txt", prefix=prefix),
        lambda: download(api, "a.txt", prefix),
    ):
        response = await act()
        if not isinstance(response, dict) and response.streaming:
            await body_of(response)
        seen.append((await api.get(f"{prefix}/")).json()["last_activity"])

    assert seen == sorted(set(seen))


async def test_root_for_everybody(api) -> None:
    """Backend.AI's clients find a version, people the workbench."""
    program = await api.get("/", headers={"Accept": "*/*"})
    browser = await api.get("/", headers={"Accept": "text/html,application/xhtml+xml"})

    assert program.json().keys() == {"last_activity", "version", "manager"}
    assert program.json()["version"] == "v5.20191215"
    assert (browser.status_code, browser.headers["Location"]) == (302, "/workbench/")
    assert program.headers["Vary"] == browser.headers["Vary"] == "Accept"


@kernel
async def test_dead_kernel(api) -> None:
    """The call in which it dies ends at once; the next one has a fresh kernel."""
    died = await post(api, "/execute", {"code": "import os; os._exit(3)"})
    ping = await api.get("/")

    refused(died, 500, "The kernel exited with code 3.")
    refused(ping, 500, "kernel is not alive")
    assert (await run(api, "print(1)"))["status"] == "ok"
    assert (await api.get("/")).status_code == 200


# --- Running code ------------------------------------------------------------------------------


@kernel
@pytest.mark.parametrize("prefix", PREFIXES)
async def test_stream(api, prefix: str) -> None:
    """The event that documents, tests and client can all read."""
    assert await run(api, "print('hi')", prefix) == {
        "status": "ok",
        "events": [
            {
                "type": "stream",
                "text": "hi\n",
                "data": {"name": "stdout", "stream": "stdout", "text": "hi\n"},
            }
        ],
    }
    assert (await Session.objects.aget()).origin == "sandbox"


@kernel
async def test_events(api) -> None:
    """Displays and values, both streams, files last."""
    code = (
        "import sys\n"
        "from IPython.display import display, HTML\n"
        "open('README.md', 'w').write('x' * 128)\n"
        "print('e', file=sys.stderr, flush=True)\n"
        "display(HTML('<b>x</b>'))\n"
        "6 * 7"
    )
    html = {"text/plain": "<IPython.core.display.HTML object>", "text/html": "<b>x</b>"}
    events = (await run(api, code))["events"]

    assert [(event["type"], event["data"]) for event in events] == [
        ("stream", {"name": "stderr", "stream": "stderr", "text": "e\n"}),
        ("display_data", {"variants": html}),
        ("display_data", {"variants": {"text/plain": "42"}}),
        ("file", {"path": "README.md", "size": 128}),
    ]
    assert (await run(api, "x = 1"))["events"] == []


@kernel
async def test_picture_is_one_event(api) -> None:
    """No font cache beside it."""
    code = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()"
    (event,) = (await run(api, code))["events"]

    assert event["type"] == "display_data"
    assert event["data"]["variants"].keys() == {"text/plain", "image/png"}


@kernel
@pytest.mark.parametrize(
    ("code", "ename"),
    [
        ("1/0", "ZeroDivisionError"),
        ("def f(:", "SyntaxError"),
        ("input('n? ')", "StdinNotImplementedError"),
    ],
)
async def test_failing_code_is_ok(api, code: str, ename: str) -> None:
    """With an error event, colours kept; input() fails at once."""
    body = await run(api, code)
    (event,) = body["events"]

    assert (body["status"], event["type"]) == ("ok", "error")
    assert event["data"].keys() == {"ename", "evalue", "traceback"}
    assert event["data"]["ename"] == ename
    assert "\x1b[" in "".join(event["data"]["traceback"])


@kernel
async def test_failing_magic_is_ok(api) -> None:
    """It says so on stderr only."""
    body = await run(api, "%env NOT_THERE")

    assert (body["status"], len(body["events"])) == ("ok", 1)


@kernel
async def test_timeout(api) -> None:
    """What came before it counts, the KeyboardInterrupt does not; the next call works."""
    nothing = await run(api, "import time; time.sleep(30)", timeout_secs=0.5)
    partly = await run(api, "print('a', flush=True); time.sleep(30)", timeout_secs=0.5)

    assert nothing == {"status": "timeout", "events": []}
    assert (partly["status"], partly["events"][0]["text"]) == ("timeout", "a\n")
    assert len(partly["events"]) == 1
    assert (await run(api, "print(1)", timeout_secs=1e300))["status"] == "ok"


@kernel
async def test_sandboxes_are_apart(api) -> None:
    """The root and /sandbox/ are one, every identifier another."""
    await run(api, "x = 1")

    assert (await run(api, "print(x)", "/sandbox"))["events"][0]["text"] == "1\n"
    other = await run(api, "x", "/sandbox/s1")
    assert other["events"][0]["data"]["ename"] == "NameError"


# --- Files -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("place")
@kernel
@pytest.mark.parametrize("prefix", PREFIXES)
async def test_upload_and_download(api, prefix: str) -> None:
    """To the byte; a second upload is refused, to the byte as well."""
    created = await upload(api, "tmp/xyz/test.txt", prefix=prefix)
    again = await upload(api, "tmp/xyz/test.txt", b"other", prefix)
    response = await download(api, "tmp/xyz/test.txt", prefix)

    assert (created.status_code, created.content) == (201, b"")
    assert "Content-Type" not in created.headers
    assert (again.status_code, again.content) == (409, b'{"error":"file already exists"}')
    assert await body_of(response) == b"hello"
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert response.headers["Content-Disposition"] == "attachment; filename*=UTF-8''test.txt"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    row = await SessionFile.objects.aget(is_directory=False)
    assert (row.path, row.origin) == ("tmp/xyz/test.txt", "sandbox")


@kernel
@pytest.mark.parametrize(
    "path",
    [
        "a.txt",
        "/a.txt",
        "mnt/data/a.txt",
        "/mnt/data/a.txt",
        "home/work/a.txt",
        "//home/work/.//a.txt",
        "%2Fmnt%2Fdata%2Fa.txt",
    ],
)
async def test_paths_of_one_file(api, path: str) -> None:
    """Absolute or not, under either name of the workspace."""
    assert (await upload(api, path)).status_code == 201

    assert (await run(api, "print(open('/mnt/data/a.txt').read())"))["events"][0]["text"]
    assert await body_of(await download(api, path)) == b"hello"
    assert (await upload(api, "mnt/data/a.txt")).status_code == 409


@kernel
@pytest.mark.parametrize(
    ("path", "disposition"),
    [
        ("a%20b%2Bc.txt", "a%20b%2Bc.txt"),
        ("it's%22.svg", "it%27s%22.svg"),
        ("d/line%0Abreak", "line%0Abreak"),
        ("100%25.txt", "100%25.txt"),
    ],
)
async def test_names(api, path: str, disposition: str) -> None:
    """Percent-encoded as RFC 8187 has it."""
    assert (await upload(api, path)).status_code == 201
    response = await download(api, path)

    assert await body_of(response) == b"hello"
    assert response.headers["Content-Disposition"] == f"attachment; filename*=UTF-8''{disposition}"


@kernel
async def test_multipart_is_stored_as_it_is(api) -> None:
    """The body is the file, whatever its label says; large ones and empty ones too."""
    multipart = (
        b'--b\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\n1\r\n--b--\r\n'
    )
    for path, content in {"m": multipart, "big": b"\0\xff" * 3_000_000, "empty": b""}.items():
        response = await api.post(
            f"/files/upload/-/{path}", content, content_type="multipart/form-data; boundary=b"
        )
        assert response.status_code == 201
        assert await body_of(await download(api, path)) == content


@pytest.mark.usefixtures("place")
@kernel
async def test_too_large_upload(api, settings) -> None:
    """413, and nothing is left of it."""
    settings.WORKBENCH_MAX_UPLOAD_BYTES = 10
    refused(await upload(api, "big", b"x" * 11), 413)

    refused(await download(api, "big"), 404, "file not found")


@kernel
@pytest.mark.parametrize("wanted", ["bytes=5-", "bytes=-0"])
async def test_out_of_range(api, wanted: str) -> None:
    """416 in the contract's shape, with the file's size."""
    await upload(api, "a.txt")
    response = await api.get("/files/download/-/a.txt", headers={"Range": wanted})

    refused(response, 416)
    assert response.headers["Content-Range"] == "bytes */5"


@pytest.mark.usefixtures("place")
@kernel
async def test_missing_file(api) -> None:
    """404, without opening a session."""
    response = await download(api, "no.txt")

    assert (response.status_code, response.content) == (404, b'{"error":"file not found"}')
    assert not await Session.objects.aexists()


@pytest.mark.usefixtures("place")
@kernel
async def test_files_of_other_doors(api) -> None:
    """Made by python_rce, fed by Azure, read here; Azure's own addresses stay Azure's."""
    session_id = (await api.post("/sessions/create")).json()["session_id"]
    query = f"api-version=2025-10-02-preview&identifier={session_id}"
    fed = await api.post(
        f"/files?{query}",
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="upload"\r\n\r\n'
        b"fed\r\n--b--\r\n",
        content_type="multipart/form-data; boundary=b",
    )
    prefix = f"/sandbox/{session_id}"
    event = (await run(api, "print(open('upload').read())", prefix))["events"][0]
    azure = await api.get(f"/files/upload/content?{query}")

    assert fed.status_code == 200
    assert event["text"] == "fed\n"
    assert await body_of(await download(api, "upload", prefix)) == b"fed"
    assert await body_of(azure) == b"fed"
    assert [each async for each in Session.objects.values_list("origin", flat=True)] == ["rce"]


# --- Refusals ----------------------------------------------------------------------------------

BAD_PATHS = {
    "nothing": "",
    "a slash": "/",
    "the workspace": "mnt/data",
    "the workspace, home": "/home/work/",
    "up": "../x",
    "up, later": "a/../../x",
    "up, encoded": "%2E%2E/x",
    "up, encoded with its slash": "..%2Fx",
    "up, encoded twice": "%252E%252E%252Fx",
    "up, encoded thrice": "%25252E%25252E/x",
    "out of the mount": "/mnt/data/../../etc/passwd",
    "NUL": "a%00b",
    "NUL, encoded twice": "a%2500b",
    "a long name": "x" * 300,
    "one of ours": ".workbench-tmp-1",
}


@kernel
@pytest.mark.parametrize("path", BAD_PATHS.values(), ids=BAD_PATHS)
@pytest.mark.parametrize("prefix", ["", "/sandbox/s1"])
async def test_bad_path(api, path: str, prefix: str) -> None:
    """400, whatever it is wanted for; nothing is written."""
    await run(api, "1", prefix)
    refused(await upload(api, path, prefix=prefix), 400)
    refused(await download(api, path, prefix), 400)

    assert not await SessionFile.objects.aexists()


@kernel
async def test_links_and_directories(api) -> None:
    """Links are not followed, wherever they lead; a directory is no file."""
    await run(api, "import os; os.symlink('/etc', 'out'); os.symlink('a', 'in'); os.mkdir('d')")

    for path in ("out/hostname", "in", "d", "out"):
        refused(await download(api, path), 400)
    for path in ("out/new", "d"):
        refused(await upload(api, path), 400)
    refused(await upload(api, "in"), 409, "file already exists")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b'{"code": ',
        b'["code"]',
        b'{"code": "1", "timeout_secs": NaN}',
        b'{"code": "\xff"}',
        b"[" * 100_000,
        b"{}",
        b'{"code": null}',
        b'{"code": 1}',
        b'{"code": "a\\u0000b"}',
        b'{"code": "1", "timeout_secs": 0}',
        b'{"code": "1", "timeout_secs": -1}',
        b'{"code": "1", "timeout_secs": "5"}',
        b'{"code": "1", "timeout_secs": true}',
        b'{"code": "1", "timeout_secs": [1]}',
    ],
)
@pytest.mark.parametrize("prefix", ["", "/sandbox/s1"])
async def test_bad_body(api, prefix: str, body: bytes) -> None:
    """400, and nothing is opened."""
    response = await api.post(f"{prefix}/execute", body, content_type="application/json")

    refused(response, 400)
    assert not await Session.objects.aexists()


@pytest.mark.parametrize("identifier", ["a%20b", "a%00b", "x" * 257])
async def test_bad_identifier(api, identifier: str) -> None:
    """400 where a session would be opened; otherwise there is none."""
    prefix = f"/sandbox/{identifier}"

    refused(await post(api, f"{prefix}/execute", {"code": "1"}), 400)
    refused(await upload(api, "a", prefix=prefix), 400)
    refused(await download(api, "a", prefix), 404)


@pytest.mark.parametrize("identifier", [".", "..", "%2e%2e"])
async def test_identifier_that_is_a_direction(api, identifier: str) -> None:
    """400 everywhere: clients resolve such addresses, and would not find the session again."""
    prefix = f"/sandbox/{identifier}"

    refused(await post(api, f"{prefix}/execute", {"code": "1"}), 400)
    refused(await upload(api, "a", prefix=prefix), 400)
    refused(await download(api, "a", prefix), 400)
    refused(await api.get(f"{prefix}/"), 400)
    assert not await Session.objects.aexists()


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_wrong_method(api, prefix: str) -> None:
    """405 in the contract's shape."""
    refused(await api.get(f"{prefix}/execute"), 405)
    refused(await api.put(f"{prefix}/files/upload/-/a"), 405)
    refused(await api.get(f"{prefix}/files/upload/-/a"), 405)
    refused(await api.post(f"{prefix}/files/download/-/a"), 405)
    refused(await api.post(f"{prefix}/"), 405)


@pytest.mark.parametrize(
    "address", ["/sandbox/s1/x", "/sandbox/s1/files", "/sandbox/s1/files/upload/a", "/sandbox//"]
)
async def test_unknown_address(api, address: str) -> None:
    """404 in the contract's shape, whatever the method."""
    refused(await api.get(address), 404)
    refused(await api.post(address), 404)


@kernel
async def test_too_many_sessions(api, settings) -> None:
    """429, with a sentence."""
    settings.WORKBENCH_MAX_SESSIONS = 1
    await run(api, "1")

    response = await post(api, "/sandbox/s1/execute", {"code": "1"})

    refused(response, 429, "as many as it may")
    assert response.headers["Retry-After"] == "30"
    refused(await upload(api, "a", prefix="/sandbox/s1"), 429)


@kernel
async def test_code_of_a_closed_session(api) -> None:
    """Cut off is not ok."""
    ref = SessionRef(owner_id=None, identifier="s1")
    running = asyncio.create_task(
        post(api, "/sandbox/s1/execute", {"code": "import time; time.sleep(30)"})
    )
    async with asyncio.timeout(20):
        while not [each for each in await operations.list_sessions(None) if each.state == "busy"]:
            await asyncio.sleep(0.02)
    await operations.close_session(ref)

    refused(await running, 500, "The session was closed.")


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_foreign_host(prefix: str) -> None:
    """Refused before any view, and still in the contract's shape; people see a page."""
    evil = {"Host": "evil.example"}

    refused(await AsyncClient().get(f"{prefix}/", headers=evil), 400, "Host header")
    page = await AsyncClient().get(f"{prefix}/", headers=evil | {"Accept": "text/html"})
    assert page.headers["Content-Type"].startswith("text/html")


async def test_no_host() -> None:
    """503, with how to start one."""
    client = AsyncClient()

    refused(await client.get("/"), 503, "manage.py workbench")
    refused(await post(client, "/execute", {"code": "1"}), 503)
    refused(await upload(client, "a"), 503)
    refused(await download(client, "a"), 503)
