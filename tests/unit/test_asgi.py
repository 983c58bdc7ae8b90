"""Which browser pages may open a socket."""

from __future__ import annotations

from typing import Any

import pytest

from workbench.asgi import SameOriginOnly, is_same_origin


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://localhost:8000", "localhost:8000"),
        ("http://LOCALHOST:8000", "localhost:8000"),
        ("http://[::1]:8000", "[::1]:8000"),
        ("http://example.org", "example.org"),
        ("http://example.org", "example.org:80"),
        ("https://example.org", "example.org"),
        ("https://example.org:443", "example.org"),
    ],
)
def test_a_page_of_our_own_is_the_same_origin(origin: str, host: str) -> None:
    assert is_same_origin(origin, host)


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "http://localhost",
        "http://localhost:3000",
        "http://127.0.0.1:8000",
        "http://evil.example:8000",
        "http://localhost.evil.example:8000",
        "http://localhost:8000.evil.example",
        "http://localhost:8000,http://localhost:8000",
        "http://localhost:99999",
        "file://localhost:8000",
        "http://[::1",
    ],
)
def test_any_other_page_is_not(origin: str) -> None:
    assert not is_same_origin(origin, "localhost:8000")


async def reaches_the_application(headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether a socket with these headers gets through; if not, it is closed unaccepted."""
    reached: list[bool] = []
    sent: list[dict[str, Any]] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        reached.append(True)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await SameOriginOnly(application)({"type": "websocket", "headers": headers}, None, send)
    assert sent == ([] if reached else [{"type": "websocket.close"}])
    return bool(reached)


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ([(b"host", b"localhost:8000")], True),
        ([(b"host", b"localhost:8000"), (b"origin", b"http://localhost:8000")], True),
        ([(b"host", b"localhost:8000"), (b"origin", b"null")], False),
        ([(b"host", b"localhost:8000"), (b"origin", b"http://evil.example")], False),
        ([(b"host", b"evil.example")], False),
        ([(b"host", b"evil.example"), (b"origin", b"http://evil.example")], False),
        ([(b"host", b"localhost"), (b"host", b"evil.example")], False),
        ([], False),
    ],
)
async def test_sockets_are_for_programs_and_our_own_pages(
    settings: Any, headers: list[tuple[bytes, bytes]], *, allowed: bool
) -> None:
    settings.ALLOWED_HOSTS = ["localhost"]

    assert await reaches_the_application(headers) is allowed
