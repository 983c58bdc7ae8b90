"""How the web process looks after one request: its threads, connections and vanished clients."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.signals import request_finished, request_started
from django.db import connection, connections
from django.http import HttpRequest, HttpResponse
from django.urls import path

from sessions.models import Session
from workbench.middleware import Handler

pytestmark = pytest.mark.django_db(transaction=True)

# What the views below leave for the tests; made anew for each.
seen: dict[str, Any] = {}


async def compute(request: HttpRequest, name: str) -> HttpResponse:
    return HttpResponse(name + request.GET.get("more", ""))


async def ask_the_database(request: HttpRequest) -> HttpResponse:
    await _remember_connection()
    return HttpResponse(str(await Session.objects.acount()))


async def ask_and_wait(request: HttpRequest) -> HttpResponse:
    """Never answers; says when it waits, and how that ended."""
    await Session.objects.acount()
    await _remember_connection()
    seen["waits"].set()
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        seen["cancelled"] = True
        raise
    return HttpResponse()


async def _remember_connection() -> None:
    def of_this_thread() -> None:
        seen["connection"] = connections[connection.alias]
        seen["thread"] = threading.get_ident()

    await sync_to_async(of_this_thread)()


urlpatterns = [
    path("compute/<str:name>", compute),
    path("database", ask_the_database),
    path("wait", ask_and_wait),
]


class Client:
    """One request to the handler, as a server makes it."""

    def __init__(
        self, handler: Handler, address: str, query: bytes = b"", label: bytes = b""
    ) -> None:
        scope = {
            **{"type": "http", "method": "GET", "path": address, "query_string": query},
            "headers": [(b"host", b"localhost"), (b"content-type", label)],
        }
        self.sent: list[dict[str, Any]] = []
        self._read = False
        self._gone = asyncio.Event()
        self.request = asyncio.create_task(handler(scope, self._receive, self._send))

    def leave(self) -> None:
        self._gone.set()

    async def answer(self) -> tuple[int, bytes]:
        """Status and body."""
        async with asyncio.timeout(30):
            await self.request
        return self.sent[0]["status"], b"".join(part["body"] for part in self.sent[1:])

    async def _receive(self) -> dict[str, Any]:
        if not self._read:
            self._read = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)


@pytest.fixture
def handler(settings) -> Handler:
    settings.ROOT_URLCONF = __name__
    seen.clear()
    seen["waits"] = asyncio.Event()
    return Handler()


@pytest.fixture
def signals() -> Iterator[list[int]]:
    """The threads in which requests began and ended."""
    threads: list[int] = []

    def note(**_: Any) -> None:
        threads.append(threading.get_ident())

    for signal in (request_started, request_finished):
        signal.connect(note)
    yield threads
    for signal in (request_started, request_finished):
        signal.disconnect(note)


async def test_a_request_that_needs_no_thread_has_none(handler, signals):
    assert await Client(handler, "/compute/a").answer() == (200, b"a")

    assert signals == [threading.get_ident()] * 2


async def test_a_connection_is_closed_in_the_thread_it_belongs_to(handler, signals):
    assert await Client(handler, "/database").answer() == (200, b"0")

    assert seen["thread"] != threading.get_ident()
    assert signals[-1] == seen["thread"]
    assert seen["connection"].connection is None


async def test_the_view_of_a_client_that_left_is_cancelled(handler):
    client = Client(handler, "/wait")
    async with asyncio.timeout(30):
        await seen["waits"].wait()
        client.leave()
        await client.request

    assert seen["cancelled"]
    assert client.sent == []
    assert seen["connection"].connection is None


async def test_a_server_that_stops_cancels_the_view(handler):
    client = Client(handler, "/wait")
    async with asyncio.timeout(30):
        await seen["waits"].wait()
        client.request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await client.request

    assert seen["cancelled"]
    assert seen["connection"].connection is None


async def test_the_same_address_may_be_asked_for_different_things(handler):
    first = Client(handler, "/compute/a", b"more=1")
    second = Client(handler, "/compute/a", b"more=2")

    assert [await each.answer() for each in (first, second)] == [(200, b"a1"), (200, b"a2")]


@pytest.mark.parametrize(
    ("query", "label", "what"),
    [
        (b"more=\xff", b"", "The query of the address is not UTF-8."),
        (b"", b"a/b; c*=nothing''d", "The header Content-Type cannot be read."),
        (b"", b"a/b; c*=idna''%ff", "The header Content-Type cannot be read."),
        # Django reads the query as soon as a label names a charset.
        (b"&a" * 1001, b"a/b; charset=utf-8", "The query of the address has too many parameters."),
    ],
)
async def test_what_cannot_be_read_is_refused(handler, signals, query, label, what):
    status, body = await Client(handler, "/compute/a", query, label).answer()

    assert status == 400
    assert json.loads(body) == {"error": {"code": "bad_request", "message": what}}
    assert len(signals) == 2
