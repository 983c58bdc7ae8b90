"""Requests of the Azure contract as they come over the wire, against the whole server."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest

from tests.running import RunningServer, http

pytestmark = [pytest.mark.clients, pytest.mark.acceptance, pytest.mark.timeout(120)]

POOL = "/subscriptions/s/resourceGroups/r/sessionPools/p"
FIRST_OLD = "2024-02-02-preview"
FIRST_NEW = "2024-10-02-preview"
NEWEST = "2025-10-02-preview"
MIB = 1024 * 1024
TIMED_OUT = "Request timed out waiting for code execution to complete"
DEADLINE_SECONDS = 30.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server of the module's own."""
    with RunningServer(tmp_path_factory.mktemp("data")) as running:
        yield running


@pytest.fixture(params=["", POOL], ids=["root", "pool"])
def client(server: RunningServer, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    """A client of either face, with a session that is its test's own."""
    query = {"identifier": uuid4().hex, "api-version": NEWEST}
    with httpx.Client(
        base_url=server.azure_url + request.param,
        params=query,
        timeout=DEADLINE_SECONDS,
        trust_env=False,
    ) as made:
        yield made


def run(client: httpx.Client, code: str, version: str = NEWEST, **fields: Any) -> dict[str, Any]:
    """The result of some code."""
    body = {"code": code, **fields}
    response = client.post("/executions", params={"api-version": version}, json=body)
    assert response.is_success, response.text
    answer: dict[str, Any] = response.json()
    return answer


def multipart(name: str, content: bytes, *, content_type: str | None = None) -> bytes:
    """A body of one part, as clients write it by hand."""
    label = f"Content-Type: {content_type}\r\n" if content_type else ""
    head = f'--b\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n{label}\r\n'
    return head.encode() + content + b"\r\n--b--\r\n"


def chunks(size_bytes: int) -> Iterator[bytes]:
    """A multipart body with a file of so many zeros."""
    head, tail = multipart("big.bin", b"|").split(b"|")
    yield head
    for _ in range(size_bytes // MIB):
        yield bytes(MIB)
    yield bytes(size_bytes % MIB)
    yield tail


def upload(client: httpx.Client, content: Any, label: str, **headers: str) -> httpx.Response:
    """Upload through the first generation's address."""
    headers["Content-Type"] = label
    query = {"api-version": FIRST_OLD}
    return client.post("/files/upload", params=query, content=content, headers=headers)


def names(client: httpx.Client) -> list[str]:
    """The files of the session."""
    return [file["name"] for file in client.get("/files", params={"path": ""}).json()["value"]]


@pytest.mark.parametrize(
    "label", ["multipart/form-data; boundary=b", "application/json"], ids=["multipart", "json"]
)
@pytest.mark.parametrize("is_chunked", [True, False], ids=["chunked", "sized"])
def test_uploads_of_all_kinds(client: httpx.Client, label: str, *, is_chunked: bool) -> None:
    """A name and a body survive, sized or in chunks, labelled as what it is or as JSON."""
    for name in ("a b é.txt", "日本語.md", "a+b%20c.txt", "it's;v=1.csv"):
        check_upload(client, name, label, is_chunked=is_chunked)


def check_upload(client: httpx.Client, name: str, label: str, *, is_chunked: bool) -> None:
    content = b"\x00\r\n--\xff" * 100
    body = multipart(name, content)
    response = upload(client, iter([body[:20], body[20:]]) if is_chunked else body, label)

    assert response.status_code == 200, response.text
    properties = response.json()["value"][0]["properties"]
    assert (properties["filename"], properties["size"]) == (name, len(content))
    assert names(client) == [name]
    address = f"/files/{quote(name, safe='')}"
    assert client.get(f"{address}/content").content == content
    assert client.delete(address).status_code == 204


def test_part_with_a_type(client: httpx.Client) -> None:
    """A part's own type is read past; what the file is goes by its name."""
    body = multipart("page.html", b"<p>", content_type="text/plain")
    assert upload(client, body, "multipart/form-data; boundary=b").is_success

    assert client.get("/files/page.html").json()["contentType"] == "text/html; charset=utf-8"


def test_file_of_exactly_128_mib(client: httpx.Client) -> None:
    """The largest file there may be arrives whole."""
    response = upload(client, chunks(128 * MIB), "multipart/form-data; boundary=b")

    assert response.status_code == 200, response.text
    assert response.json()["value"][0]["properties"]["size"] == 128 * MIB
    assert client.get("/files/big.bin").json()["sizeInBytes"] == 128 * MIB
    assert client.delete("/files/big.bin").status_code == 204


@pytest.mark.parametrize("size_bytes", [128 * MIB + 1, 200 * MIB])
@pytest.mark.parametrize("is_chunked", [True, False], ids=["chunked", "sized"])
def test_file_beyond_128_mib(client: httpx.Client, size_bytes: int, *, is_chunked: bool) -> None:
    """It is refused with 413, however it is sent, and nothing is kept of it."""
    wrapped = size_bytes + len(multipart("big.bin", b""))
    sized = {} if is_chunked else {"Content-Length": str(wrapped)}
    response = upload(client, chunks(size_bytes), "multipart/form-data; boundary=b", **sized)

    assert response.status_code == 413
    assert response.json()["error"]["message"]
    assert names(client) == []


def test_asynchronous_execution_with_its_own_id(client: httpx.Client) -> None:
    """The client's id is the execution's, which is polled at the absolute Operation-Location."""
    response = client.post(
        "/executions",
        json={"code": "import time; time.sleep(1); 6 * 7", "executionType": "asynchronous"},
        headers={"operation-id": "my-id"},
    )
    location = response.headers["Operation-Location"]
    assert (response.status_code, response.json()["id"]) == (202, "my-id")
    assert response.json()["status"] == "Running"
    assert "result" not in response.json()
    assert location.startswith(f"{str(client.base_url).rstrip('/')}/executions/my-id?")

    deadline = time.monotonic() + DEADLINE_SECONDS
    while (body := http.get(location).json())["status"] == "Running":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert (body["id"], body["status"]) == ("my-id", "Succeeded")
    assert body["executionType"] == "asynchronous"
    assert body["result"]["executionResult"] == 42


def test_timeout(client: httpx.Client) -> None:
    """Code that takes too long is answered promptly, as Failed; what follows works."""
    began = time.monotonic()
    body = run(client, "x = 1\nimport time; time.sleep(60)", timeoutInSeconds=1)

    assert time.monotonic() - began < 30
    assert body["status"] == "Failed"
    assert body["result"]["stderr"].startswith(TIMED_OUT)
    assert run(client, "x + 1")["result"]["executionResult"] == 2


def test_wrapped_and_encoded_bodies(client: httpx.Client) -> None:
    """Both wrappings and both encodings of code are taken."""
    encoded = base64.b64encode("print('é')".encode()).decode()
    wrapped = client.post("/executions", json={"properties": {"code": "6 * 7"}})

    assert wrapped.json()["result"]["executionResult"] == 42
    assert run(client, encoded, codeInputType="InlineBase64")["result"]["stdout"] == "é\n"


@pytest.mark.parametrize(
    ("code", "fields", "value"),
    [
        ("float('nan')", {}, None),
        ("None", {}, ""),
        ("'abc'", {}, "abc"),
        ("1.5", {}, 1.5),
        ("1.5", {"returnJupyterFormatExecutionResult": True}, "1.5"),
        ("None", {"returnJupyterFormatExecutionResult": True}, None),
    ],
)
def test_values(client: httpx.Client, code: str, fields: dict[str, Any], value: Any) -> None:
    """The last expression's value as JSON."""
    assert run(client, code, **fields)["result"]["executionResult"] == value


@pytest.mark.parametrize(("version", "length"), [(FIRST_NEW, 5001), (NEWEST, 4096)])
def test_stdout_is_cut_where_the_version_says_so(
    client: httpx.Client, version: str, length: int
) -> None:
    """4096 characters of a stream, without a word, from the newest version on."""
    assert len(run(client, "print('x' * 5000)", version)["result"]["stdout"]) == length


@pytest.mark.parametrize("address", ["/executions/none", "/files/none", "/files/none/content"])
def test_unknown_things(client: httpx.Client, address: str) -> None:
    """404, and Azure's shape of an error."""
    response = client.get(address)

    assert response.status_code == 404
    assert response.json()["error"].keys() >= {"code", "message"}
    assert response.headers["x-ms-error-code"] == response.json()["error"]["code"]
