"""A client of a running server, as far as measuring needs one."""

from __future__ import annotations

import httpx

from tests.running import RunningServer

EXECUTIONS = "/executions?api-version=2025-10-02-preview&identifier="


def client_of(server: RunningServer, *, connections: int = 200) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=connections)
    return httpx.AsyncClient(base_url=server.url, timeout=120, limits=limits, trust_env=False)


async def open_session(client: httpx.AsyncClient, identifier: str) -> str:
    """A new session's id."""
    response = await client.post("/api/v1/sessions", json={"identifier": identifier})
    response.raise_for_status()
    found: str = response.json()["id"]
    return found


async def execute(client: httpx.AsyncClient, identifier: str, code: str) -> None:
    """Run code and wait for its end."""
    response = await client.post(EXECUTIONS + identifier, json={"code": code})
    response.raise_for_status()
    assert response.json()["status"] == "Succeeded", response.text
