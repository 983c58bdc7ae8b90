"""Static files: whitenoise's answers, as asynchronous streams."""

from __future__ import annotations

import asyncio
import warnings
from pathlib import Path
from typing import Any

import pytest
from django.http import HttpResponse, StreamingHttpResponse
from django.test import RequestFactory

from workbench.static import CHUNK_BYTES, StaticFilesMiddleware

CONTENT = bytes(range(256)) * (CHUNK_BYTES // 128)  # exactly two chunks


@pytest.fixture(params=[False, True], ids=["scanned", "autorefresh"])
def middleware(request: Any, settings: Any, tmp_path: Path) -> StaticFilesMiddleware:
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "app.js").write_bytes(CONTENT)
    (tmp_path / "secret").write_text("secret")
    settings.STATICFILES_DIRS = []
    settings.STATIC_ROOT = tmp_path / "static"
    settings.WHITENOISE_AUTOREFRESH = request.param

    async def view(request: Any) -> HttpResponse:
        return HttpResponse("view", status=299)

    return StaticFilesMiddleware(view)


async def get(middleware: Any, path: str, method: str = "GET", **headers: str) -> tuple[Any, bytes]:
    """The response and its body; nothing may complain about how it is streamed."""
    response = await middleware(RequestFactory().generic(method, path, **headers))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        body = b"".join([chunk async for chunk in response]) if response.streaming else b""
    response.close()
    return response, body or getattr(response, "content", b"")


async def test_a_file_is_streamed_whole(middleware: StaticFilesMiddleware) -> None:
    response, body = await get(middleware, "/static/app.js")

    assert isinstance(response, StreamingHttpResponse)
    assert response.is_async
    assert (response.status_code, body) == (200, CONTENT)
    assert response["Content-Type"].startswith("text/javascript")
    assert response["Content-Length"] == str(len(CONTENT))


async def test_head_has_the_headers_only(middleware: StaticFilesMiddleware) -> None:
    response, body = await get(middleware, "/static/app.js", "HEAD")

    assert (response.status_code, body) == (200, b"")
    assert response["Content-Length"] == str(len(CONTENT))


async def test_a_known_file_is_not_sent_again(middleware: StaticFilesMiddleware) -> None:
    first, _ = await get(middleware, "/static/app.js")

    response, body = await get(middleware, "/static/app.js", HTTP_IF_NONE_MATCH=first["ETag"])

    assert (response.status_code, body) == (304, b"")
    assert "Content-Type" not in response


async def test_a_range_is_cut_out(middleware: StaticFilesMiddleware) -> None:
    response, body = await get(middleware, "/static/app.js", HTTP_RANGE="bytes=2-5")

    assert (response.status_code, body) == (206, b"\x02\x03\x04\x05")
    assert response["Content-Range"] == f"bytes 2-5/{len(CONTENT)}"


async def test_a_range_beyond_the_end_is_refused(middleware: StaticFilesMiddleware) -> None:
    response, _ = await get(middleware, "/static/app.js", HTTP_RANGE="bytes=99999999-")

    assert response.status_code == 416


async def test_files_are_only_read(middleware: StaticFilesMiddleware) -> None:
    response, _ = await get(middleware, "/static/app.js", "POST")

    assert response.status_code == 405


@pytest.mark.parametrize(
    "path", ["/", "/app.js", "/static/", "/static/other.js", "/static/../secret", "/static"]
)
async def test_all_else_goes_on(middleware: StaticFilesMiddleware, path: str) -> None:
    response, body = await get(middleware, path)

    assert (response.status_code, body) == (299, b"view")


async def test_an_abandoned_response_closes_its_file(middleware: StaticFilesMiddleware) -> None:
    response = await middleware(RequestFactory().get("/static/app.js"))

    response.close()

    with pytest.raises(ValueError, match="closed file"):
        [chunk async for chunk in response]


def test_a_missing_static_root_is_no_complaint(settings: Any, tmp_path: Path) -> None:
    settings.STATIC_ROOT = tmp_path / "missing"

    middleware = StaticFilesMiddleware(lambda request: HttpResponse("view"))

    assert not asyncio.iscoroutinefunction(middleware)
    assert middleware(RequestFactory().get("/")).content == b"view"
