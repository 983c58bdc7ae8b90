"""Azure's contract over real kernels: golden bodies of both generations, and refusals."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from typing import Any
from uuid import UUID

import pytest
from django.test import AsyncClient

from sessions.models import Session

OLD = "2024-08-02-preview"
FIRST_NEW = "2024-10-02-preview"
SECOND_NEW = "2025-02-02-preview"
NEWEST = "2025-10-02-preview"
POOL = "/subscriptions/s/resourceGroups/r/sessionPools/p"
SEVEN_DIGITS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}Z")

kernel = pytest.mark.kernel


def url(
    address: str, version: str | None = NEWEST, /, *, identifier: str | None = "s1", **query: str
) -> str:
    """An address with the usual query."""
    named = {"api-version": version, "identifier": identifier, **query}
    pairs = "&".join(f"{name}={value}" for name, value in named.items() if value is not None)
    return f"{address}?{pairs}" if pairs else address


async def post(api: AsyncClient, address: str, body: Any, **headers: str):
    """Post a JSON body."""
    return await api.post(
        address, json.dumps(body), content_type="application/json", headers=headers
    )


async def run(api: AsyncClient, code: str, version: str = NEWEST, **fields: Any) -> dict[str, Any]:
    """Run code through the new generation; its answer's body."""
    response = await post(api, url("/executions", version), {"code": code, **fields})
    assert response.status_code in (200, 202), response.content
    return response.json()


async def upload(api: AsyncClient, address: str, name: str, content: bytes = b"hello"):
    """Upload one file. Written by hand: Django's client would make a bad name a good one."""
    head = f'--b\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    body = head.encode() + content + b"\r\n--b--\r\n"
    return await api.post(address, body, content_type="multipart/form-data; boundary=b")


async def body_of(response: Any) -> bytes:
    """The bytes of a streamed answer."""
    return b"".join([piece async for piece in response])


async def finished(api: AsyncClient, address: str) -> dict[str, Any]:
    """Poll until the status is final."""
    while (body := (await api.get(address)).json())["status"] == "Running":
        await asyncio.sleep(0.02)  # as clients do
    return body


# --- Running code, new generation --------------------------------------------------------------


@kernel
async def test_execution_on_the_container_face(api) -> None:
    """The sample document's synchronous execution, key by key."""
    response = await post(
        api,
        url("/executions", FIRST_NEW),
        {
            "identifier": "ignored",
            "codeInputType": "inline",
            "executionType": "Synchronous",
            "code": 'print("inline-synchronous")',
            "timeoutInSeconds": 100,
        },
    )
    body = response.json()
    took = body["result"]["executionTimeInMilliseconds"]
    diagnostics = body["rawResult"]["diagnosticInfo"]

    assert response.status_code == 202
    assert response.headers["Content-Type"] == "application/json"
    assert isinstance(took, int)
    assert took < 5000
    assert str(UUID(body["id"])) == body["id"]
    assert body == {
        "id": body["id"],
        "identifier": "s1",
        "sessionId": "s1",
        "executionType": "Synchronous",
        "status": "Succeeded",
        "result": {
            "stdout": "inline-synchronous\n",
            "stderr": "",
            "executionResult": "",
            "executionTimeInMilliseconds": took,
        },
        "rawResult": {
            "hresult": 0,
            "result": "",
            "error_name": "",
            "error_message": "",
            "error_stack_trace": "",
            "stdout": "inline-synchronous\n",
            "stderr": "",
            "diagnosticInfo": {
                "executionRequestTimeInMilliSeconds": diagnostics[
                    "executionRequestTimeInMilliSeconds"
                ],
                "executionProcessResponseTimeInMilliSeconds": 0,
                "executionDuration": took,
                "identifier": "s1",
            },
            "operationId": body["id"],
        },
    }


@kernel
async def test_execution_on_the_pool_face(api) -> None:
    """The cloud's answer has neither of the container's two keys, and 200."""
    response = await post(api, url(f"{POOL}/executions"), {"code": "6 * 7"})
    body = response.json()

    assert response.status_code == 200
    assert body.keys() == {"id", "identifier", "executionType", "status", "result"}
    assert body["result"]["executionResult"] == 42


@kernel
async def test_execution_headers(api) -> None:
    """Times are milliseconds as floats; the versions are on every answer."""
    response = await post(api, url("/executions"), {"code": "1"})

    assert UUID(response.headers["x-ms-session-guid"])
    assert response.headers["operation-id"] == response.json()["id"]
    assert NEWEST in response.headers["api-supported-versions"]
    for name in ("allocation", "preparation", "execution-request", "overall-execution"):
        assert float(response.headers[f"x-ms-{name}-time"]) >= 0
    assert int(response.headers["x-ms-container-execution-duration"]) >= 0


@kernel
async def test_state_is_shared_by_versions_and_faces(api) -> None:
    """One identifier is one session, whichever way it is called."""
    await run(api, "x = 41")
    old = await post(api, url("/code/execute", OLD), {"properties": {"code": "x + 1"}})
    pool = await post(api, url(f"{POOL}/executions"), {"properties": {"code": "x + 1"}})
    address = await post(api, "/identifier/s1/executions", {"code": "x + 1"})

    assert old.json()["properties"]["result"] == 42
    assert pool.json()["result"]["executionResult"] == 42
    assert address.json()["result"]["executionResult"] == 42


@kernel
async def test_values(api) -> None:
    """The table of values, through a real kernel, in both formats."""
    table = {
        "x = 1": ("", None),
        "None": ("", None),
        "True": (True, "True"),
        "2.5": (2.5, "2.5"),
        "float('nan')": (None, "nan"),
        "'nan'": ("nan", "'nan'"),
        "'it\\'s \\n é'": ("it's \n é", '"it\'s \\n é"'),
        "{'a': [1]}": ("{'a': [1]}", "{'a': [1]}"),
        "print('x')\n7": (7, "7"),
    }
    for code, (plain, jupyter) in table.items():
        assert (await run(api, code))["result"]["executionResult"] == plain
        answer = await run(api, code, returnJupyterFormatExecutionResult=True)
        assert answer["result"]["executionResult"] == jupyter


@kernel
async def test_picture(api) -> None:
    """The last picture is the value, also over a scalar."""
    code = (
        "import matplotlib.pyplot as plt\n"
        "from IPython.display import display, Image\n"
        "display(Image(data=b'\\x89PNG\\r\\n\\x1a\\n', format='png'))\n"
        "plt.plot([1, 2])\nplt.show()\n5"
    )
    value = (await run(api, code))["result"]["executionResult"]

    assert (value["type"], value["format"]) == ("image", "png")
    png = base64.b64decode(value["base64_data"], validate=True)
    assert png.startswith(b"\x89PNG")
    assert len(png) > 1000


@kernel
async def test_exception(api) -> None:
    """A failing program is no failing request; the traceback is in stderr, without colours."""
    body = await run(api, "import sys\nprint('out')\nprint('err', file=sys.stderr)\n1/0")

    assert body["status"] == "Failed"
    assert body["result"]["executionResult"] == ""
    assert body["result"]["stdout"] == "out\n"
    assert body["result"]["stderr"].startswith("err\n")
    assert "ZeroDivisionError: division by zero" in body["result"]["stderr"]
    assert "\x1b" not in body["result"]["stderr"]
    assert body["rawResult"]["hresult"] == -2147205116
    assert body["rawResult"]["result"] is None
    assert body["rawResult"]["error_name"] == "ZeroDivisionError"
    assert body["rawResult"]["error_message"] == "division by zero"
    assert "\x1b[" in body["rawResult"]["error_stack_trace"]


@kernel
async def test_syntax_error_names_no_file(api) -> None:
    """Of where the error is, only the line is said."""
    message = (await run(api, "x = = 1"))["rawResult"]["error_message"]

    assert message == "invalid syntax (line 1)"


@kernel
async def test_timeout(api) -> None:
    """A run that takes too long ends as Failed, with the cloud's sentence; the next one works."""
    body = await run(api, "print('a', flush=True)\nimport time; time.sleep(30)", timeoutInSeconds=1)

    assert body["status"] == "Failed"
    assert body["result"]["stderr"].startswith(
        "Request timed out waiting for code execution to complete"
    )
    assert body["result"]["stdout"] == "a\n"
    assert body["rawResult"]["hresult"] == -2147205110
    assert (await run(api, "1"))["result"]["executionResult"] == 1


@kernel
async def test_kernel_death(api) -> None:
    """A kernel that dies is said so at the start of stderr; the next run has a fresh one."""
    await run(api, "x = 1")
    body = await run(api, "import os; os._exit(3)")

    assert body["status"] == "Failed"
    assert body["result"]["stderr"].startswith("Kernel restarted\n")
    assert body["rawResult"]["hresult"] == -2147205111
    assert (await run(api, "'x' in globals()"))["result"]["executionResult"] is False


@kernel
@pytest.mark.parametrize(
    ("version", "fields", "length"),
    [
        (SECOND_NEW, {}, 5001),
        (NEWEST, {}, 4096),
        (NEWEST, {"outputStreamsMaxLength": 10}, 10),
        (FIRST_NEW, {"outputStreamsMaxLength": 0}, 0),
    ],
)
async def test_stream_length(api, version: str, fields: dict[str, int], length: int) -> None:
    """Streams are cut silently, by default only where the version says so."""
    body = await run(api, "import sys\nfor f in sys.stdout, sys.stderr: print('x' * 5000, file=f)",
                     version, **fields)  # fmt: skip

    assert len(body["result"]["stdout"]) == length
    assert len(body["result"]["stderr"]) == length


@kernel
async def test_base64_and_mislabelled_bodies(api) -> None:
    """Code may come in base64, and JSON under curl's default label or none."""
    code = base64.b64encode("'é'".encode()).decode()
    encoded = await run(api, code, codeInputType="InlineBase64")
    form = await api.post(
        url("/executions"), '{"code": "1"}', content_type="application/x-www-form-urlencoded"
    )

    assert encoded["result"]["executionResult"] == "é"
    assert form.json()["result"]["executionResult"] == 1


@kernel
async def test_default_session_and_identifier_in_the_body(api) -> None:
    """Without an identifier, the container's one session; the body's counts without a query."""
    default = await post(api, url("/executions", identifier=None), {"code": "1"})
    in_body = await post(
        api, url("/executions", identifier=None), {"code": "1", "identifier": "b1"}
    )

    assert default.json()["identifier"] == "default"
    assert in_body.json()["identifier"] == "b1"


# --- Asynchronous ------------------------------------------------------------------------------


@kernel
async def test_asynchronous_execution(api) -> None:
    """The documented sample: submitted, polled through the absolute address, done."""
    response = await post(
        api,
        url(f"{POOL}/executions", FIRST_NEW),
        {
            "executionType": "Asynchronous",
            "code": 'import time\\ntime.sleep(0.2)\\nprint("Hello from async code")',
        },
        **{"operation-id": "my-id"},
    )
    location = response.headers["Operation-Location"]

    assert response.status_code == 202
    assert response.json() == {
        "id": "my-id",
        "identifier": "s1",
        "executionType": "Asynchronous",
        "status": "Running",
    }
    assert response.headers["Operation-Id"] == "my-id"
    assert location == (
        f"http://testserver{POOL}/executions/my-id?api-version={FIRST_NEW}&identifier=s1"
    )
    body = await finished(api, location)
    assert (body["id"], body["status"]) == ("my-id", "Succeeded")
    assert body["executionType"] == "Asynchronous"
    assert body["result"]["stdout"] == "Hello from async code\n"
    assert body["result"]["executionTimeInMilliseconds"] >= 200


@kernel
async def test_poll_keeps_the_request_in_mind(api) -> None:
    """A later poll words the answer as the request wanted it."""
    fields = {"executionType": "asynchronous", "returnJupyterFormat": True}
    response = await post(api, url("/executions"), {"code": "'a'", **fields})
    body = await finished(api, response.headers["Operation-Location"])

    assert response.json()["rawResult"]["result"] is None
    assert body["executionType"] == "asynchronous"
    assert body["result"]["executionResult"] == "'a'"


@kernel
async def test_operation_id_is_idempotent(api) -> None:
    """The same id with the same code runs once; with other code it is refused."""
    named = {"operation-id": "once"}
    for _ in range(2):
        await post(api, url("/executions"), {"code": "n = globals().get('n', 0) + 1; n"}, **named)
    again = await post(
        api, url("/executions"), {"code": "n = globals().get('n', 0) + 1; n"}, **named
    )
    other = await post(api, url("/executions"), {"code": "2"}, **named)

    assert again.json()["result"]["executionResult"] == 1
    assert other.status_code == 409
    assert other.json()["error"]["code"] == "OperationIdConflict"


# --- Commands ----------------------------------------------------------------------------------


@kernel
async def test_shell_command(api) -> None:
    """The status of a command is its exit code, as text."""
    response = await post(
        api, url("/executions", SECOND_NEW), {"shellCommand": "echo hello; exit 3"}
    )
    body = response.json()

    assert response.status_code == 200
    assert body["status"] == "3"
    assert body["result"]["stdout"] == "hello\n"
    assert body["result"]["exitCode"] == 3


@kernel
async def test_command_with_stdin(api) -> None:
    """A program gets its arguments unread by any shell, and its standard input."""
    fields = {"execCommandAndArgs": ["cat", "-", "/nonexistent $HOME"], "stdin": "é\n"}
    body = (await post(api, url("/executions"), fields)).json()

    assert body["status"] == "1"
    assert body["result"]["stdout"] == "é\n"
    assert "/nonexistent $HOME" in body["result"]["stderr"]


@kernel
async def test_command_that_takes_too_long(api) -> None:
    """A timed-out command has the status -1 and the cloud's sentence."""
    fields = {"shellCommand": "sleep 30", "timeoutInSeconds": 1}
    body = (await post(api, url("/executions"), fields)).json()

    assert body["status"] == "-1"
    assert body["result"]["stderr"].startswith("Request timed out")


@kernel
async def test_asynchronous_command(api) -> None:
    """Commands can be polled as well."""
    fields = {"shellCommand": "kill -9 $$", "executionType": "Asynchronous"}
    response = await post(api, url("/executions"), fields)
    body = await finished(api, response.headers["Operation-Location"])

    assert response.json()["status"] == "Running"
    assert body["status"] == "137"


# --- Running code, old generation --------------------------------------------------------------


@kernel
@pytest.mark.parametrize("path", ["/code/execute", "/code/execute/"])
async def test_old_execution_on_the_container_face(api, path: str) -> None:
    """202, a GUID for an id, and the value under both of its names."""
    fields = {"codeInputType": "inline", "executionType": "synchronous", "code": "print(1)\n6 * 7"}
    response = await post(api, url(path, OLD), {"properties": fields})
    properties = response.json()["properties"]

    assert response.status_code == 202
    assert UUID(properties.pop("$id"))
    assert isinstance(properties.pop("executionTimeInMilliseconds"), int)
    assert properties == {
        "status": "Success",
        "stdout": "1\n",
        "stderr": "",
        "result": 42,
        "executionResult": 42,
    }


@kernel
async def test_old_execution_on_the_pool_face(api) -> None:
    """200, and ids that count; failing code is Failure."""
    response = await post(api, url(f"{POOL}/code/execute", OLD), {"code": "1/0"})
    body = response.json()

    assert response.status_code == 200
    assert (body["$id"], body["properties"]["$id"]) == ("1", "2")
    assert body["properties"]["status"] == "Failure"
    assert body["properties"]["result"] == ""
    assert "ZeroDivisionError" in body["properties"]["stderr"]


# --- Files -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("place")
@kernel
async def test_new_files(api) -> None:
    """Up, list, describe, down and away, in the shape of the first new version."""
    name, content = "README2.md", b"x" * 133
    saved = await upload(api, url("/files", FIRST_NEW, path="/mnt/data"), name, content)
    shape = saved.json()

    assert saved.status_code == 200
    assert SEVEN_DIGITS.fullmatch(shape["lastModifiedAt"])
    assert shape == {
        "name": "README2.md",
        "sizeInBytes": 133,
        "lastModifiedAt": shape["lastModifiedAt"],
        "contentType": "text/markdown; charset=utf-8",
        "type": "File",
    }
    assert (await api.get(url("/files", FIRST_NEW, path=""))).json() == {"value": [shape]}
    assert (await api.get(url(f"/files/{name}", FIRST_NEW))).json() == shape
    download = await api.get(url(f"/files/{name}/content", FIRST_NEW))
    assert await body_of(download) == content
    assert download.headers["Content-Type"] == "text/markdown; charset=utf-8"
    gone = await api.delete(url(f"/files/{name}", FIRST_NEW))
    assert (gone.status_code, gone.content) == (204, b"")
    assert "Content-Type" not in gone.headers
    assert (await api.get(url("/files", FIRST_NEW))).json() == {"value": []}


@kernel
async def test_newest_files_have_directories(api) -> None:
    """The newest version tells where a file is; its types are lower-case."""
    await upload(api, url("/files", path="a/b"), "f.txt")
    top = (await api.get(url("/files"))).json()["value"]
    all_of_it = (await api.get(url("/files", recursive="true"))).json()["value"]

    assert [(file["name"], file["type"], file["directory"]) for file in top] == [
        ("a", "directory", ".")
    ]
    assert [(file["name"], file["directory"]) for file in all_of_it] == [
        ("a", "."),
        ("b", "a"),
        ("f.txt", "a/b"),
    ]
    assert (await api.get(url("/files/f.txt", path="a/b"))).json()["sizeInBytes"] == 5
    assert (await api.get(url("/files/a%2Fb%2Ff.txt"))).json()["sizeInBytes"] == 5
    assert (await api.delete(url("/files/a"))).status_code == 204
    assert (await api.get(url("/files"))).json() == {"value": []}


@pytest.mark.usefixtures("place")
@kernel
async def test_old_files(api) -> None:
    """The first generation's envelopes, as its clients need them."""
    saved = await upload(api, url("/files/upload", OLD), "a b.txt", b"x")
    shape = saved.json()
    time = shape["value"][0]["properties"]["lastModifiedTime"]
    properties = {"filename": "a b.txt", "size": 1, "lastModifiedTime": time}

    assert shape == {"$id": "1", "value": [{"$id": "2", "properties": {"$id": "3", **properties}}]}
    assert (await api.get(url("/files", OLD))).json() == shape
    assert (await api.get(url("/files/a%20b.txt", OLD))).json() == {
        "value": [{"$id": "", "properties": {"$id": "", **properties}}]
    }
    for address in (
        "/files/content/a%20b.txt",
        "/files/content/a%20b.txt/content",
    ):
        assert await body_of(await api.get(url(address, OLD))) == b"x"
    gone = await api.delete(url("/files/a%20b.txt", OLD))
    assert (gone.status_code, gone.content) == (200, b'{"message": "file deleted successfully"}')


@kernel
async def test_container_upload(api) -> None:
    """The container's own address needs no query; without an identifier its list is bare."""
    saved = await upload(api, "/upload", "README.md", b"hi")
    shape = saved.json()[0]

    assert shape == {
        "name": "README.md",
        "type": "file",
        "filename": "README.md",
        "size": 2,
        "last_modified_time": shape["last_modified_time"],
        "mime_type": "text/markdown; charset=utf-8",
    }
    assert (await api.get(url("/files", OLD, identifier=None))).json() == [shape]
    assert "value" in (await api.get(url("/files", OLD, identifier="default"))).json()


@pytest.mark.usefixtures("place")
@kernel
async def test_old_files_are_found_in_the_default_session(api) -> None:
    """The sample uploads without an identifier and reads with one; only the container does so."""
    await upload(api, "/upload", "README.md", b"hi")

    address = "/files/content/README.md/content"
    assert await body_of(await api.get(url(address, OLD))) == b"hi"
    assert (await api.get(url(f"{POOL}{address}", OLD))).status_code == 404
    assert (await api.get(url("/files/README.md"))).status_code == 404
    listed = (await api.get(url("/files", OLD))).json()["value"]
    assert [file["properties"]["filename"] for file in listed] == ["README.md"]
    assert (await api.get(url(f"{POOL}/files", OLD))).json()["value"] == []
    assert (await api.get(url("/files"))).json()["value"] == []
    assert (await api.delete(url("/files/README.md", OLD))).status_code == 200
    assert (await api.get(url(address, OLD))).status_code == 404


@pytest.mark.usefixtures("place")
@kernel
async def test_files_and_code_see_each_other(api) -> None:
    """What is uploaded lies where code looks, and back."""
    await upload(api, url("/files", path=""), "in.txt", b"data!")
    read = await run(api, "open('/mnt/data/in.txt').read()")
    await run(api, "open('/mnt/data/out.txt', 'w').write('made')")

    assert read["result"]["executionResult"] == "data!"
    assert await body_of(await api.get(url("/files/out.txt/content"))) == b"made"


@kernel
async def test_file_called_content(api) -> None:
    """``content`` is a name like any other."""
    await upload(api, url("/files"), "content", b"c")

    assert await body_of(await api.get(url("/files/content/content"))) == b"c"
    assert await body_of(await api.get(url("/files/content/content", OLD))) == b"c"
    assert (await api.get(url("/files/content"))).json()["name"] == "content"


@kernel
@pytest.mark.parametrize(
    ("range_", "status", "body"),
    [
        ("bytes=0-1", 206, b"01"),
        ("bytes=8-", 206, b"89"),
        ("bytes=-3", 206, b"789"),
        ("bytes=5-99", 206, b"56789"),
        ("bytes=10-", 416, b""),
        ("bytes=-0", 416, b""),
        ("bytes=5-2", 200, b"0123456789"),
        ("bytes=0-1,4-5", 200, b"0123456789"),
        ("lines=0-1", 200, b"0123456789"),
        ("bytes=-", 200, b"0123456789"),
    ],
)
async def test_download_range(api, range_: str, status: int, body: bytes) -> None:
    """One range is served; what is no range is ignored; what lies outside is refused."""
    await upload(api, url("/files"), "d.bin", b"0123456789")
    response = await api.get(url("/files/d.bin/content"), headers={"Range": range_})

    assert response.status_code == status
    sent = await body_of(response) if response.streaming else response.content
    assert sent == body
    if status == 206:
        assert response.headers["Content-Length"] == str(len(body))
        assert response.headers["Content-Range"].endswith("/10")


@kernel
async def test_download_is_never_a_page(api) -> None:
    """A file of a session cannot run in our origin."""
    await upload(api, url("/files"), "x.html", b"<script>1</script>")
    response = await api.get(url(f"{POOL}/files/x.html/content"))

    assert response.headers["Content-Disposition"] == 'attachment; filename="x.html"'
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Content-Type"] == "application/octet-stream"
    assert response.headers["Content-Length"] == "18"
    assert response.headers["Accept-Ranges"] == "bytes"
    assert response.headers["Last-Modified"].endswith("GMT")
    assert await body_of(response) == b"<script>1</script>"


@pytest.mark.usefixtures("place")
@kernel
async def test_too_large_upload(api, settings) -> None:
    """Beyond the limit nothing is kept, and no session is opened."""
    settings.WORKBENCH_MAX_UPLOAD_BYTES = 10
    response = await upload(api, url("/files"), "big", b"x" * 11)

    assert response.status_code == 413
    assert response.json()["error"]["code"] == "FileTooLarge"
    assert not await Session.objects.aexists()


@pytest.mark.usefixtures("place")
@kernel
async def test_missing_files(api) -> None:
    """Reading and deleting open no session; both say 404."""
    for address in ("/files/no.txt", "/files/no.txt/content"):
        response = await api.get(url(address))
        assert (response.status_code, response.json()["error"]["code"]) == (404, "FileNotFound")
    gone = await api.delete(url("/files/no.txt"))
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "DeleteFileError")
    assert not await Session.objects.aexists()
    assert (await api.get(url("/files", path="no"))).status_code == 404


# --- Sessions ----------------------------------------------------------------------------------


@kernel
async def test_session(api) -> None:
    """Described, listed, ended; afterwards the identifier names a fresh one."""
    await run(api, "x = 1")
    session = (await api.get(url("/session"))).json()
    listed = (await api.get(url("/listSessions", identifier=None))).json()

    assert session.keys() == {"identifier", "createdAt", "lastAccessedAt", "expireAt", "etag"}
    assert session["identifier"] == "s1"
    assert SEVEN_DIGITS.fullmatch(session["expireAt"])
    assert [each["etag"] for each in listed["sessions"]] == [session["etag"]]
    skipped = await api.get(url("/listSessions", identifier=None, skip="1"))
    assert skipped.json() == {"sessions": []}
    gone = await api.delete(url("/session"))
    assert (gone.status_code, gone.content) == (204, b"")
    assert (await run(api, "'x' in globals()"))["result"]["executionResult"] is False


@kernel
async def test_missing_session(api) -> None:
    """404 for the session itself; nothing is opened."""
    for response in (await api.get(url("/session")), await api.delete(url("/session"))):
        assert response.status_code == 404
        assert response.headers["x-ms-error-code"] == "NoSessionFoundError"
        assert response.json() == {
            "error": {
                "code": "NoSessionFoundError",
                "message": "Could not find session with name 's1'.",
                "target": "identifier",
            }
        }
    assert not await Session.objects.aexists()


@kernel
async def test_management(api) -> None:
    """The management calls, and their own way to miss a session."""
    missing = await api.post(url("/.management/getSession"))
    assert (missing.status_code, missing.json()["error"]["code"]) == (
        400,
        "SessionWithIdentifierNotFound",
    )
    await run(api, "1")
    session = (await api.post(url(f"{POOL}/.management/getSession"))).json()
    assert session.keys() == {"identifier", "etag", "expiresAt", "createdAt", "lastAccessedAt"}
    listed = (await api.post(url("/.management/listSessions", skip="0"))).json()
    assert (listed["count"], listed["nextLink"]) == (1, None)
    assert listed["value"][0]["identifier"] == "s1"
    stopped = await api.post(url(f"{POOL}/.management/stopSession"))
    assert stopped.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert stopped.content == b"Session s1 in session pool p stopped."
    assert (await api.post(url("/.management/stopSession"))).status_code == 400


@kernel
async def test_metadata(api) -> None:
    """What the kernels have, not what the server has."""
    body = (await api.get(url("/metadata", identifier=None))).json()
    packages = {package["name"]: package["version"] for package in body["preInstalledPackages"]}

    assert packages.keys() >= {"ipykernel", "numpy", "pandas", "matplotlib"}
    assert "Django" not in packages
    assert body["runtimes"][0]["name"] == "python"
    assert body["runtimes"][0]["version"].startswith("3.")
    assert body["jupyterKernel"]["name"] == "python3"
    assert body["jupyterKernel"]["version"] == packages["ipykernel"]
    assert SEVEN_DIGITS.fullmatch(body["createdAt"])


@kernel
@pytest.mark.parametrize("path", ["/health", "/health/startup", f"{POOL}/health"])
async def test_health(api, path: str) -> None:
    """Healthy, to the byte."""
    assert (await api.get(path)).content == b'{"message": "healthy"}'


# --- Refusals ----------------------------------------------------------------------------------

BAD_BODIES = {
    "empty": b"",
    "blank": b"  \n",
    "broken": b'{"code": ',
    "not an object": b'["code"]',
    "a string": b'"code"',
    "NaN": b'{"code": "1", "timeoutInSeconds": NaN}',
    "not UTF-8": b'{"code": "\xff"}',
    "half of a pair": b'{"code": "\\ud800"}',
    "too deep": b"[" * 100_000,
    "too deep, closed": b'{"code": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "huge number": b'{"code": "1", "timeoutInSeconds": ' + b"9" * 10_000 + b"}",
    "a form": b"code=1",
    "two documents": b'{"code": "1"}{}',
}


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES)
@pytest.mark.parametrize("path", ["/executions", "/code/execute", f"{POOL}/executions"])
async def test_bad_body(api, path: str, body: bytes) -> None:
    """What is no JSON object is a 400 in Azure's shape, and opens nothing."""
    response = await api.post(url(path), body, content_type="application/json")
    error = response.json()["error"]

    assert response.status_code == 400
    assert error["code"] == response.headers["x-ms-error-code"] == "SessionRequestValidationFailed"
    assert "Traceback" not in error["message"]
    assert not await Session.objects.aexists()


async def test_too_large_body(api, settings) -> None:
    """More JSON than may be in memory is a 413."""
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    response = await post(api, url("/executions"), {"code": "x" * 200})

    assert response.status_code == 413


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, "SessionPropertiesMissing"),
        ({"properties": []}, "SessionPropertiesMissing"),
        ({"code": 1}, "SessionRequestValidationFailed"),
        ({"code": "1", "timeoutInSeconds": 0}, "SessionRequestValidationFailed"),
        ({"code": "1", "timeoutInSeconds": "9"}, "SessionRequestValidationFailed"),
        ({"code": "1", "useEmptyKernel": True}, "SessionRequestNotSupported"),
    ],
)
@pytest.mark.parametrize("path", ["/executions", "/code/execute"])
async def test_bad_fields(api, path: str, fields: dict[str, Any], code: str) -> None:
    """Missing and malformed fields are told apart, and open nothing."""
    response = await post(api, url(path), fields)

    assert response.status_code == 400
    assert response.json()["error"]["code"] == code
    assert not await Session.objects.aexists()


@pytest.mark.parametrize(
    "fields", [{"shellCommand": "ls"}, {"code": "1", "executionType": "Asynchronous"}]
)
async def test_old_generation_has_neither_shell_nor_polling(api, fields) -> None:
    """What the first generation never had is said to be in the second."""
    response = await post(api, url("/code/execute", OLD), fields)

    assert response.json()["error"]["code"] == "SessionRequestNotSupported"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("post", "/executions"),
        ("post", "/code/execute"),
        ("get", "/executions/x"),
        ("get", "/files"),
        ("post", "/files"),
        ("post", "/files/upload"),
        ("get", "/files/a.txt"),
        ("delete", "/files/a.txt"),
        ("get", "/session"),
        ("delete", "/session"),
        ("post", "/.management/getSession"),
        ("post", "/.management/stopSession"),
    ],
)
@pytest.mark.parametrize(
    ("version", "identifier", "code"),
    [
        ("2023-08-01-preview", "s1", "InvalidApiVersion"),
        ("latest", "s1", "InvalidApiVersion"),
        (NEWEST, "", "SessionRequestValidationFailed"),
        (NEWEST, "a%20b", "SessionRequestValidationFailed"),
        (NEWEST, "a%00b", "SessionRequestValidationFailed"),
        (NEWEST, "a" * 257, "SessionRequestValidationFailed"),
    ],
)
async def test_bad_query(
    api, method: str, path: str, version: str, identifier: str, code: str
) -> None:
    """Unknown versions and bad identifiers are refused everywhere, before anything is done."""
    content = {"data": '{"code": "1"}', "content_type": "application/json"}
    call = getattr(api, method)
    response = await call(
        url(path, version, identifier=identifier), **(content if method == "post" else {})
    )

    assert response.status_code == 400
    assert response.json()["error"]["code"] == code
    assert "2024-02-02-preview" in response.headers["api-supported-versions"]
    assert not await Session.objects.aexists()


async def test_pool_needs_version_and_identifier(api) -> None:
    """The cloud guesses neither."""
    no_version = await api.get(url(f"{POOL}/files", None))
    no_identifier = await api.get(url(f"{POOL}/files", identifier=None))

    assert no_version.json()["error"]["code"] == "InvalidApiVersion"
    assert no_identifier.json()["error"]["code"] == "SessionRequestValidationFailed"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/files/..", "FileNameInvalid"),
        ("/files/%2E%2E%2Fx", "FileNameInvalid"),
        ("/files/a%00b", "FileNameInvalid"),
        ("/files/" + "x" * 300, "FileNameInvalid"),
        ("/files/a%0Ab%2F..%2F..", "FileNameInvalid"),
        ("/files/content/..", "FileNameInvalid"),
    ],
)
@pytest.mark.parametrize("version", [OLD, NEWEST])
async def test_bad_file_name(api, path: str, code: str, version: str) -> None:
    """Names that lead out of the workspace are refused, whatever they are wanted for."""
    for response in (await api.get(url(path, version)), await api.delete(url(path, version))):
        assert (response.status_code, response.json()["error"]["code"]) == (400, code)


@pytest.mark.parametrize("path", ["..", "/etc", "a%00b", "x" * 300])
async def test_bad_directory(api, path: str) -> None:
    """So are directories, before a file is read or a session opened."""
    listed = await api.get(url("/files", path=path))
    saved = await upload(api, url("/files", path=path), "a.txt")

    for response in (listed, saved):
        assert response.status_code == 400
        assert response.json()["error"]["code"] == "FilePathInvalid"
    assert not await Session.objects.aexists()


@pytest.mark.parametrize("name", ["x" * 300, ".workbench-tmp-1"])
@pytest.mark.parametrize("path", ["/files", "/files/upload", "/upload"])
async def test_bad_upload_name(api, path: str, name: str) -> None:
    """Nothing is written under a name that cannot be."""
    response = await upload(api, url(path), name)

    assert (response.status_code, response.json()["error"]["code"]) == (400, "FileNameInvalid")
    assert not await Session.objects.aexists()


@pytest.mark.parametrize("body", [b"", b"no multipart", b"--b\r\nbroken"])
@pytest.mark.parametrize("path", ["/files", "/files/upload", "/upload"])
async def test_bad_upload(api, path: str, body: bytes) -> None:
    """A body without a file is a 400, and opens nothing."""
    response = await api.post(url(path), body, content_type="multipart/form-data; boundary=b")

    assert response.status_code == 400
    assert not await Session.objects.aexists()


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("get", "/executions", "POST, OPTIONS"),
        ("delete", "/code/execute", "POST, OPTIONS"),
        ("put", "/files", "GET, POST, HEAD, OPTIONS"),
        ("post", "/session", "GET, DELETE, HEAD, OPTIONS"),
        ("get", "/.management/stopSession", "POST, OPTIONS"),
    ],
)
async def test_wrong_method(api, method: str, path: str, allowed: str) -> None:
    """405 in Azure's shape, with the methods there are."""
    response = await getattr(api, method)(url(path))

    assert response.status_code == 405
    assert response.json()["error"]["code"] == "MethodNotAllowed"
    assert set(response.headers["Allow"].split(", ")) == set(allowed.split(", "))


async def test_unknown_execution(api) -> None:
    """404, with the sentence of the container."""
    response = await api.get(url("/executions/nope"))

    assert response.status_code == 404
    assert response.json() == {
        "error": {
            "code": "ExecutionNotFound",
            "message": "No execution available for operation Id: nope",
        }
    }


@pytest.mark.parametrize("skip", ["-1", "x", "1.5", "9" * 30])
async def test_bad_skip(api, skip: str) -> None:
    """Pages are counted from 0."""
    response = await api.get(url("/listSessions", skip=skip))

    assert response.status_code == 400


@pytest.mark.parametrize("operation_id", ["", "a b", "x" * 257])
async def test_bad_operation_id(api, operation_id: str) -> None:
    """A client's own id has the form of an identifier."""
    response = await post(api, url("/executions"), {"code": "1"}, **{"operation-id": operation_id})

    assert response.json()["error"]["target"] == "operation-id"


@kernel
async def test_full_pool(api, settings) -> None:
    """As many sessions as there may be: 429, with the code both inside and outside."""
    settings.WORKBENCH_MAX_SESSIONS = 1
    await run(api, "1")
    response = await post(api, url("/executions", identifier="s2"), {"code": "1"})

    assert (response.status_code, response.headers["Retry-After"]) == (429, "30")
    assert response.json()["code"] == "SessionsCountExceedsLimit"
    assert response.json()["error"]["code"] == "SessionsCountExceedsLimit"


async def test_unknown_address(api) -> None:
    """Programs get JSON; browsers get a page."""
    program = await api.get(f"{POOL}/nothing")
    browser = await api.get("/nothing", headers={"Accept": "text/html,*/*"})

    assert (program.status_code, program.json()["error"]["code"]) == (404, "not_found")
    assert browser.status_code == 404
    assert browser.headers["Content-Type"].startswith("text/html")
