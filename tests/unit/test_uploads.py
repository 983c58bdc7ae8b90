"""Uploads as clients really send them, in the request object that the server builds."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator

import pytest
from django.core.files.uploadedfile import TemporaryUploadedFile
from django.core.handlers.asgi import ASGIRequest
from django.test import RequestFactory

from sessions.exceptions import InvalidValue
from workbench.uploads import prepare_multipart, uploaded_files

MULTIPART = "multipart/form-data; boundary=b"
MakeRequest = Callable[..., ASGIRequest]


@pytest.fixture
def make_request() -> Iterator[MakeRequest]:
    """A POST as Django's ASGI handler makes it; closed with its files after the test."""
    made: list[ASGIRequest] = []

    def make(
        body: bytes, *, content_type: str | None = MULTIPART, chunked: bool = False
    ) -> ASGIRequest:
        headers = [(b"transfer-encoding", b"chunked")]
        if not chunked:
            headers = [(b"content-length", str(len(body)).encode())]
        if content_type is not None:
            headers.append((b"content-type", content_type.encode()))
        stream = tempfile.SpooledTemporaryFile(max_size=1024)  # noqa: SIM115  # closed below
        stream.write(body)
        stream.seek(0)
        scope = {"method": "POST", "path": "/upload", "query_string": b"", "headers": headers}
        made.append(ASGIRequest(scope, stream))
        return made[-1]

    yield make
    for request in made:
        request.close()


def part(name: str = "in.txt", data: bytes = b"data!", *, field: str = "file") -> bytes:
    """A file part without a Content-Type."""
    disposition = f'form-data; name="{field}"; filename="{name}"'
    return f"--b\r\nContent-Disposition: {disposition}\r\n\r\n".encode() + data + b"\r\n"


END = b"--b--\r\n"


async def test_a_plain_upload_is_a_file_on_disk(make_request: MakeRequest) -> None:
    [file] = await uploaded_files(make_request(part() + END))

    assert isinstance(file, TemporaryUploadedFile)
    assert (file.name, file.size, file.read()) == ("in.txt", 5, b"data!")


async def test_a_chunked_upload_has_its_files(make_request: MakeRequest) -> None:
    """AutoGen's client sends no Content-Length, and Django sees an empty body."""
    [file] = await uploaded_files(make_request(part() + END, chunked=True))

    assert file.read() == b"data!"


async def test_a_large_chunked_upload_arrives_whole(make_request: MakeRequest) -> None:
    data = b"0123456789abcdef" * 65536 * 8

    [file] = await uploaded_files(make_request(part(data=data) + END, chunked=True))

    assert file.size == 8 * 1024 * 1024
    assert file.read() == data


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/json; charset=utf-8", "text/plain", None]
)
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_mislabelled_upload_is_recognised(
    make_request: MakeRequest, content_type: str | None, *, chunked: bool
) -> None:
    """Semantic Kernel's client labels its multipart bodies application/json."""
    request = make_request(part() + END, content_type=content_type, chunked=chunked)

    [file] = await uploaded_files(request)

    assert file.read() == b"data!"


async def test_a_label_without_its_boundary_is_completed(make_request: MakeRequest) -> None:
    [file] = await uploaded_files(make_request(part() + END, content_type="multipart/form-data"))

    assert file.read() == b"data!"


@pytest.mark.parametrize("boundary", ["----WebKitFormBoundaryAb1", "a'()+_,-./:=?z", "x" * 70])
async def test_any_legal_boundary_is_found(make_request: MakeRequest, boundary: str) -> None:
    body = (part() + END).replace(b"--b", f"--{boundary}".encode())

    [file] = await uploaded_files(make_request(body, content_type="application/json"))

    assert file.read() == b"data!"


async def test_files_come_in_the_order_they_were_sent(make_request: MakeRequest) -> None:
    body = part("1", field="x") + part("2", field="y") + part("3", field="x") + END

    files = await uploaded_files(make_request(body))

    assert [file.name for file in files] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("a b é 世界.txt", "a b é 世界.txt"),
        ("/mnt/data/sk.txt", "sk.txt"),
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\x.txt", "x.txt"),
        ("n" * 300 + ".txt", "n" * 300 + ".txt"),
        ("x." + "n" * 300, "x." + "n" * 300),
    ],
)
async def test_a_name_is_the_last_component_as_it_was_sent(
    make_request: MakeRequest, sent: str, name: str
) -> None:
    [file] = await uploaded_files(make_request(part(sent) + END))

    assert file.name == name


async def test_a_wrapped_request_is_unwrapped(make_request: MakeRequest) -> None:
    from rest_framework.request import Request

    [file] = await uploaded_files(Request(make_request(part() + END, chunked=True)))

    assert file.read() == b"data!"


async def test_a_stream_that_cannot_seek_is_read_first() -> None:
    request = RequestFactory().post("/", part() + END, content_type="application/json")

    [file] = await uploaded_files(request)

    assert file.read() == b"data!"
    request.close()


FIELD = b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\ntext\r\n'
BASE64 = part().replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: base64\r\n\r\n", 1)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        pytest.param(b'{"a": 1}', "application/json", id="json"),
        pytest.param(b"-- a note", "text/plain", id="a line like a boundary"),
        pytest.param(b"a=1", "application/x-www-form-urlencoded", id="form"),
        pytest.param(b"", MULTIPART, id="empty"),
        pytest.param(b"", None, id="nothing at all"),
        pytest.param(END, MULTIPART, id="no parts"),
        pytest.param(b"no parts at all", MULTIPART, id="not what the label says"),
        pytest.param(part(), MULTIPART, id="end missing"),
        pytest.param(part()[:-4], "application/json", id="cut off, mislabelled"),
        pytest.param(part() + END, "multipart/form-data; boundary=c", id="other boundary"),
        pytest.param(part() + END, "multipart/form-data; boundary=\x01", id="bad boundary"),
        pytest.param(part() + END, "multipart/form-data; boundary=é", id="boundary not ASCII"),
        pytest.param(part() + END, "multipart/mixed; boundary=b", id="other multipart"),
        pytest.param(FIELD + END, MULTIPART, id="a field, not a file"),
        pytest.param(part("") + END, MULTIPART, id="no name"),
        pytest.param(part("..") + END, MULTIPART, id="dots for a name"),
        pytest.param(BASE64 + END, MULTIPART, id="bad base64"),
        pytest.param(part() * 101 + END, MULTIPART, id="too many files"),
        # Django looks a charset up, and finds those that are no text, or know no replacements.
        pytest.param(FIELD + part() + END, f"{MULTIPART}; charset=hex", id="charset of no text"),
        pytest.param(FIELD + part() + END, f"{MULTIPART}; charset=idna", id="charset of hosts"),
    ],
)
@pytest.mark.parametrize("chunked", [False, True])
async def test_anything_else_is_an_invalid_value(
    make_request: MakeRequest, body: bytes, content_type: str | None, *, chunked: bool
) -> None:
    request = make_request(body, content_type=content_type, chunked=chunked)

    with pytest.raises(InvalidValue):
        await uploaded_files(request)


def test_a_body_that_is_not_multipart_is_left_alone(make_request: MakeRequest) -> None:
    request = make_request(b'{"a": 1}', content_type="application/json")

    prepare_multipart(request)

    assert request.META["CONTENT_TYPE"] == "application/json"
    assert request.body == b'{"a": 1}'
