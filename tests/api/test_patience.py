"""A kernel host that takes requests and answers none (stopped, or stuck) holds nobody up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from django.test import AsyncClient

from sessions import engines
from sessions.engines import close_engine
from sessions.engines.assembly import make_run_dir
from sessions.engines.local import SOCKET_NAME

pytestmark = pytest.mark.django_db(transaction=True)

AZURE = "api-version=2025-10-02-preview&identifier=s"


@pytest.fixture
async def silent_host(settings, monkeypatch) -> AsyncIterator[None]:
    """A host's socket, at which somebody listens who never says anything."""
    settings.WORKBENCH_ENGINE = "local"
    monkeypatch.setattr(engines, "PATIENCE_SECONDS", 0.2)

    talks: list[asyncio.Task[None] | None] = []

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.append(asyncio.current_task())
        while await reader.read(64 * 1024):
            pass
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_unix_server(hear, make_run_dir() / SOCKET_NAME)
    yield
    await close_engine()
    await asyncio.gather(*filter(None, talks))
    server.close()
    await server.wait_closed()


@pytest.mark.usefixtures("silent_host")
@pytest.mark.parametrize(
    ("method", "address", "body"),
    [
        ("get", "/api/v1/kernelspecs", None),
        ("post", "/api/v1/sessions", {}),
        ("get", f"/listSessions?{AZURE}", None),
        ("get", f"/files?{AZURE}", None),
        ("post", f"/executions?{AZURE}", {"code": "1", "executionType": "Asynchronous"}),
        ("get", "/sessions/list", None),
        ("post", "/sessions/create", {}),
        ("get", "/sandbox/s", None),
        ("post", "/session", {"lang": "python3", "clientSessionToken": "session"}),
        ("get", "/session/s/logs", None),
    ],
)
async def test_what_need_not_wait_is_given_up_with_a_sentence(method, address, body):
    answer = await getattr(AsyncClient(), method)(address, body, content_type="application/json")

    assert answer.status_code == 503
    assert "The kernel host does not answer." in answer.content.decode()
