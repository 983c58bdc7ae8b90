"""More than anybody can read: memory stays bounded, and who interrupts or closes is heard."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from tests.running import RunningServer

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(600)]

WAIT_SECONDS = 120.0
WORK_SECONDS = 2.0  # of processor time that the host spends on a flood
MIB = 1024 * 1024
MOST_GROWTH = 400 * MIB  # of a process, whatever code puts out
# Each holds what it is being sent, some 2.5 MB here, and on a busy machine all do at once.
READERS, SILENT = 80, 50
LINES = 20_000

# Each goes on until it is interrupted.
FLOODS = {
    "lines": "while True: print('x' * 1000)",
    "a line without an end": "while True: print('x' * 1_000_000, end='')",
    "threads": (
        "import threading\n"
        "def shout():\n"
        "    while True: print('x' * 100_000)\n"
        "for _ in range(8): threading.Thread(target=shout, daemon=True).start()\n"
        "while True: print('x', end='')"
    ),
    "large displays": (
        "from IPython.display import display\n"
        "while True: display({'text/plain': 'x' * 1_000_000}, raw=True)"
    ),
    "displays": "from IPython.display import display\nwhile True: display({'text/plain': 'x'}, raw=True)",
    "small messages": (
        "kernel = get_ipython().kernel\n"
        "while True:\n"
        "    kernel.session.send(kernel.iopub_socket, 'stream',\n"
        "        {'name': 'stdout', 'text': 'x'}, parent=kernel.get_parent('shell'))"
    ),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with RunningServer(tmp_path_factory.mktemp("floods")) as running:
        yield running


def memory_of(server: RunningServer) -> dict[str, int]:
    """Bytes that each process has in memory."""
    page = os.sysconf("SC_PAGE_SIZE")
    return {
        action: int(Path(f"/proc/{server.child(action)}/statm").read_text().split()[1]) * page
        for action in ("web", "host")
    }


def grown(server: RunningServer, before: dict[str, int]) -> dict[str, int]:
    """Those that have grown by more than they may, and by how much."""
    growth = {action: now - before[action] for action, now in memory_of(server).items()}
    return {action: by for action, by in growth.items() if by > MOST_GROWTH}


async def opened(client: httpx.AsyncClient, identifier: str) -> str:
    answer = await client.post("/api/v1/sessions", json={"identifier": identifier})
    assert answer.is_success, answer.text
    return str(answer.json()["id"])


def client_of(server: RunningServer) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=server.url, timeout=WAIT_SECONDS, trust_env=False)


async def events_until(socket: Any, kind: str) -> list[dict[str, Any]]:
    """Events from a session's socket, up to and with the first of a type."""
    events: list[dict[str, Any]] = []
    async for text in socket:
        events += json.loads(text).get("events", [])
        if any(event["type"] == kind for event in events):
            return events
    raise AssertionError("the socket was closed")


@pytest.mark.parametrize("how", ["interrupt", "close"])
@pytest.mark.parametrize("name", FLOODS)
async def test_a_flood_fills_no_memory_and_can_be_ended(
    server: RunningServer, name: str, how: str
) -> None:
    async with client_of(server) as client, asyncio.timeout(WAIT_SECONDS):
        session_id = await opened(client, f"{name.replace(' ', '-')}-{how}")
        before = memory_of(server)
        address = f"ws://127.0.0.1:{server.port}/ws/sessions/{session_id}/"
        async with connect(address, proxy=None, max_size=None) as socket:
            work = server.cpu_seconds()["host"] + WORK_SECONDS
            await socket.send(json.dumps({"type": "execute", "code": FLOODS[name]}))
            reading = asyncio.create_task(events_until(socket, "execution_finished"))
            while server.cpu_seconds()["host"] < work:
                assert grown(server, before) == {}
                await asyncio.sleep(0.05)
            await socket.send(json.dumps({"type": how}))
            events = await reading
        assert grown(server, before) == {}
        end = next(event for event in events if event["type"] == "execution_finished")
        assert end["data"]["state"] == "interrupted"
        await client.post("/.management/stopSession", params={"identifier": session_id})


async def test_a_very_long_line_arrives(server: RunningServer) -> None:
    """Of more than an execution may put out there are the first half and the last."""
    before = memory_of(server)
    async with client_of(server) as client:
        answer = await client.post(
            "/executions", params={"identifier": "line"}, json={"code": "print('x' * 50_000_000)"}
        )
        body = answer.json()
        assert (answer.status_code, body["status"]) == (200, "Succeeded")
        assert 9_000_000 < body["result"]["stdout"].count("x") < 12_000_000
        await client.post("/.management/stopSession", params={"identifier": "line"})
    assert grown(server, before) == {}


async def silent(server: RunningServer, session_id: str) -> asyncio.StreamWriter:
    """A socket that is opened, and never read."""
    key = base64.b64encode(os.urandom(16)).decode()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
    writer.write(
        f"GET /ws/sessions/{session_id}/ HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: {key}\r\n\r\n".encode()
    )
    status = await reader.readline()
    assert b"101" in status, status
    return writer


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def test_many_readers_and_some_who_never_read(server: RunningServer) -> None:
    """Everybody who reads has every event once, in order; the others cost nothing."""
    async with client_of(server) as client, AsyncExitStack() as stack:
        session_id = await opened(client, "crowd")
        address = f"ws://127.0.0.1:{server.port}/ws/sessions/{session_id}/"
        for _ in range(SILENT):
            writer = await silent(server, session_id)
            stack.push_async_callback(hang_up, writer)
        sockets = [
            await stack.enter_async_context(
                connect(address, proxy=None, max_size=None, ping_interval=None)
            )
            for _ in range(READERS)
        ]
        before = memory_of(server)
        reading = [
            asyncio.create_task(events_until(socket, "execution_finished")) for socket in sockets
        ]
        code = f"for i in range({LINES}): print('line', i, 'x' * 100)"
        async with asyncio.timeout(WAIT_SECONDS):
            answer = await client.post(
                "/executions", params={"identifier": "crowd"}, json={"code": code}
            )
            assert answer.json()["status"] == "Succeeded"
            everything = await asyncio.gather(*reading)
        assert grown(server, before) == {}
        await client.post("/.management/stopSession", params={"identifier": "crowd"})

    expected = [f"line {i} {'x' * 100}" for i in range(LINES)]
    for events in everything:
        assert [event["number"] for event in events] == list(range(1, len(events) + 1))
        texts = [event["data"]["text"] for event in events if event["type"] == "stream"]
        assert "".join(texts).splitlines() == expected
