"""Static files: whitenoise's answers, as asynchronous streams."""

from __future__ import annotations

import asyncio
import gzip
import warnings
from pathlib import Path
from typing import Any

import pytest
from django.http import HttpResponse, StreamingHttpResponse
from django.test import RequestFactory

from workbench import assets
from workbench.static import CHUNK_BYTES, FOR_EVER, Remembered, StaticFilesMiddleware

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


# Compressed, and kept by browsers


async def test_text_is_compressed_for_those_who_take_it(settings: Any, tmp_path: Path) -> None:
    middleware = scanned(settings, tmp_path, b"/* kept */ body { color: red }\n" * 20)

    response, body = await get(middleware, "/static/a.css", HTTP_ACCEPT_ENCODING="gzip, br")
    plain, whole = await get(middleware, "/static/a.css")

    assert (response["Content-Encoding"], response["Vary"]) == ("gzip", "Accept-Encoding")
    assert response["Content-Length"] == str(len(body))
    assert "Content-Encoding" not in plain
    assert plain["Vary"] == "Accept-Encoding"
    assert gzip.decompress(body) == whole


async def test_a_part_is_a_part_of_the_file_itself(settings: Any, tmp_path: Path) -> None:
    middleware = scanned(settings, tmp_path, b"0123456789")

    response, body = await get(
        middleware, "/static/a.css", HTTP_ACCEPT_ENCODING="gzip", HTTP_RANGE="bytes=2-4"
    )

    assert (response.status_code, body) == (206, b"234")
    assert "Content-Encoding" not in response


async def test_only_the_current_version_is_kept_for_ever(settings: Any, tmp_path: Path) -> None:
    middleware = scanned(settings, tmp_path, b"content")

    current, _ = await get(middleware, f"/static/v-{assets.version()}/a.css")
    other, body = await get(middleware, "/static/v-000000000000/a.css")

    assert current["Cache-Control"] == FOR_EVER
    assert (other.status_code, body) == (200, b"content")
    assert "immutable" not in other["Cache-Control"]


def test_addresses_have_a_version_except_while_developing(settings: Any) -> None:
    storage = assets.VersionedStorage()

    assert storage.url("a/b.js") == f"/static/v-{assets.version()}/a/b.js"
    assert storage.url("") == "/static/"
    settings.DEBUG = True
    assert storage.url("a/b.js") == "/static/a/b.js"


def test_comments_go_and_lines_keep_their_numbers() -> None:
    module = b"""// @ts-check
/**
 * @param {string} a
 */
export const f = (a) => a; // stays
  // goes
/** @type {number} */ let x = "/* text */ // text";
"""

    assert assets.without_comments(module).split(b"\n") == [
        *[b""] * 4,
        b"export const f = (a) => a; // stays",
        b"",
        b'/** @type {number} */ let x = "/* text */ // text";',
        b"",
    ]


def test_our_style_sheets_are_sent_without_comments(tmp_path: Path) -> None:
    sheet = tmp_path / "a.css"
    sheet.write_bytes(b"/* A row,\n   and why. */\n.row { color: red; } /* stays */\n  /** b **/\n")

    ours, theirs = (
        gzip.decompress(assets.packed(name, sheet)) for name in ("workbench/a.css", "vendor/a.css")
    )

    assert ours == b"\n\n.row { color: red; } /* stays */\n\n"
    assert theirs == sheet.read_bytes()


def test_no_text_of_our_modules_goes_over_several_lines() -> None:
    """Comments are found by how lines begin: a line of text must not look like one."""
    modules = Path(assets.finders.find("workbench/js") or "").rglob("*.js")
    lines = [line.strip() for module in modules for line in module.read_text().splitlines()]

    assert [line for line in lines if line.endswith(("= `", "(`", "=> `", "return `"))] == []


def test_what_a_module_imports_is_known_before_it_is_read() -> None:
    imported = assets.imported_modules("workbench/js/notebook/page.js")

    assert {"vendor/editor.js", "workbench/js/fold.js"} <= set(imported)
    assert "workbench/js/panels/history.js" not in imported  # fetched when it is looked at
    assert len(imported) == len(set(imported))


async def test_what_never_changes_is_asked_for_once() -> None:
    asked: list[str] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        asked.append(scope["path"])
        lasting = FOR_EVER if "v-" in scope["path"] else "no-cache"
        headers = [(b"Cache-Control", lasting.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"content"})

    async def ask(path: str, *headers: tuple[bytes, bytes]) -> None:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "method": "GET",
            "path": path,
            "headers": [(b"accept-encoding", b"gzip"), *headers],
        }
        await remembered(scope, None, send)
        assert sent[-1]["body"] == b"content"

    remembered = Remembered(application)
    for _ in range(2):
        await ask("/static/v-1/a.js")
        await ask("/static/a.js")
    await ask("/static/v-1/a.js", (b"range", b"bytes=1-2"))

    assert asked == ["/static/v-1/a.js", "/static/a.js", "/static/a.js", "/static/v-1/a.js"]


def scanned(settings: Any, tmp_path: Path, content: bytes) -> StaticFilesMiddleware:
    """The middleware over one style sheet, a.css."""
    (tmp_path / "a.css").write_bytes(content)
    settings.STATICFILES_DIRS = []
    settings.STATIC_ROOT = tmp_path

    async def view(request: Any) -> HttpResponse:
        return HttpResponse("view", status=299)

    return StaticFilesMiddleware(view)
