"""A whole server on PostgreSQL, which is stopped and started while everything is in use."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest
import websockets

from tests.running import ROOT, RunningServer, free_port
from tests.services.postgres import PostgresServer

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

WAIT_SECONDS = 60.0
# Small, so that those who wait would soon have them all.
CONNECTIONS = 3
DATABASE = "workbench"
LINES = 200
COUNT_SLOWLY = (
    f"import time\nfor i in range({LINES}):\n    print(i, flush=True)\n    time.sleep(0.01)"
)
AWAY = "the database does not answer"
TRIED = "trying again in 1.0 s"
AZURE = "api-version=2025-10-02-preview&identifier=s"
# Of each contract something that needs the database.
DOORS = {
    "native": ("GET", "/api/v1/sessions", None),
    "events": ("GET", "/api/v1/sessions/{}/events", None),
    "cells": ("GET", "/api/v1/sessions/{}/cells", None),
    "upload": ("PUT", "/api/v1/sessions/{}/files/content?path=a.txt", {"a": 1}),
    "open": ("POST", "/api/v1/sessions", {"identifier": "new"}),
    "azure": ("GET", f"/executions/mine?{AZURE}", None),
    "rce": ("POST", "/rce/sessions/create", {"session_id": "other"}),
    "sandbox": ("POST", "/sandbox/third/execute", {"code": "1"}),
    "backendai": ("POST", "/session", {"name": "fourth", "image": "python"}),
    "page": ("GET", "/workbench/", None),
}


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL that every test finds running."""
    server = PostgresServer()
    try:
        yield server.start()
    finally:
        server.remove()


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, postgres: PostgresServer
) -> Iterator[RunningServer]:
    """A server that lives through all that is done to its database."""
    settings = {
        "WORKBENCH_DATABASE_URL": postgres.database(DATABASE),
        "WORKBENCH_DATABASE_POOL": str(CONNECTIONS),
        "WORKBENCH_WARM_KERNELS": "1",
    }
    with RunningServer(tmp_path_factory.mktemp("server"), **settings) as running:
        yield running
    assert "Traceback" not in running.log.read_text()


@pytest.fixture
async def client(server: RunningServer) -> AsyncIterator[httpx.AsyncClient]:
    """A client of it."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(
        base_url=server.url, trust_env=False, timeout=WAIT_SECONDS, limits=limits
    ) as client:
        yield client


@pytest.fixture
async def session(client: httpx.AsyncClient) -> str:
    """The id of a new session."""
    opened = await client.post("/api/v1/sessions", json={"identifier": uuid4().hex})
    id_: str = opened.raise_for_status().json()["id"]
    return id_


@asynccontextmanager
async def socket_at(server: RunningServer, path: str) -> AsyncIterator[Any]:
    url = server.url.replace("http", "ws", 1) + path
    # Without a limit of frames: those that nobody reads would hold up its end.
    async with websockets.connect(url, max_size=None, max_queue=None, proxy=None) as socket:
        yield socket


async def frame_of(socket: Any, *kinds: str) -> dict[str, Any]:
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            frame: dict[str, Any] = json.loads(await socket.recv())
            if frame["type"] in kinds:
                return frame


async def event_of(socket: Any, kind: str) -> None:
    """Return once a session has an event of that type."""
    while kind not in {each["type"] for each in (await frame_of(socket, "events"))["events"]}:
        pass


async def numbers_until_finished(socket: Any) -> list[int]:
    """The numbers of a session's events, up to the end of an execution."""
    numbers: list[int] = []
    while True:
        events = (await frame_of(socket, "events"))["events"]
        numbers += [event["number"] for event in events]
        if any(event["type"] == "execution_finished" for event in events):
            return numbers


async def streamed(client: httpx.AsyncClient, session: str, begun: asyncio.Event) -> list[int]:
    """The same, from a stream of server-sent events."""
    numbers: list[int] = []
    headers = {"Accept": "text/event-stream"}
    async with client.stream(
        "GET", f"/api/v1/sessions/{session}/events", headers=headers
    ) as response:
        async for line in response.aiter_lines():
            begun.set()
            if line.startswith("data: "):
                event = json.loads(line.removeprefix("data: "))
                numbers.append(event["number"])
                if event["type"] == "execution_finished":
                    return numbers
    raise AssertionError("the stream has ended")


async def run(client: httpx.AsyncClient, session: str, code: str) -> httpx.Response:
    """Run code and wait for its end."""
    path = f"/api/v1/sessions/{session}/executions?wait=60"
    return await client.post(path, json={"code": code})


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
async def test_nothing_is_lost_or_written_twice_while_it_is_away(
    server, client, session, postgres, how
):
    begun = asyncio.Event()
    async with socket_at(server, f"/ws/sessions/{session}/?since=0") as socket:
        await frame_of(socket, "live")
        stream = asyncio.create_task(streamed(client, session, begun))
        await begun.wait()
        running = asyncio.create_task(run(client, session, COUNT_SLOWLY))
        await event_of(socket, "stream")  # from here on it needs nothing of the database
        tried = server.log.read_text().count(TRIED)
        postgres.stop(how)
        # As long as the code runs, and longer.
        while server.log.read_text().count(TRIED) == tried:
            await asyncio.sleep(0.05)
        assert not running.done()
        postgres.start()
        answer = (await running).json()
        await stream

    assert answer["outputs"]["stdout"].split() == [str(i) for i in range(LINES)]
    rows, audited = (
        postgres.execute(f"select {what} where session_id = '{session}' {more}", name=DATABASE)
        for what, more in (
            ("number from workbench_sessions_event", "order by number"),
            ("count(*) from workbench_sessions_auditentry", "and action = 'execution_ended'"),
        )
    )
    assert [number for (number,) in rows] == list(range(1, len(rows) + 1))
    assert await stream == list(range(1, len(rows) + 1))
    assert audited == [(1,)]


async def test_every_door_says_that_it_is_away_and_works_again(client, session, postgres):
    postgres.stop()
    answers = {
        name: await client.request(method, path.format(session), json=body)
        for name, (method, path, body) in DOORS.items()
    }
    postgres.start()

    told = {name: (each.status_code, "database" in each.text) for name, each in answers.items()}
    assert told == dict.fromkeys(DOORS, (503, True))
    assert all(answer.json() for answer in answers.values())
    assert (await client.get("/workbench/")).status_code == 200


async def test_sockets_tell_once_and_go_on_by_themselves(server, session, postgres):
    async with socket_at(server, f"/ws/notebooks/{session}/") as notebook:
        await frame_of(notebook, "live")
        postgres.stop()
        await notebook.send(json.dumps({"type": "edit", "edit": "1", "cells": []}))
        refused = await frame_of(notebook, "error")
        async with socket_at(server, f"/ws/sessions/{session}/") as late:
            await late.wait_closed()
        async with socket_at(server, "/ws/sessions/") as listing:
            told = await frame_of(listing, "error", "live")
            tried = server.log.read_text().count(AWAY)
            while server.log.read_text().count(AWAY) < tried + 2:
                await asyncio.sleep(0.05)
            postgres.start()
            first = await frame_of(listing, "error", "sessions")
            await frame_of(listing, "live")
        await notebook.send(json.dumps({"type": "edit", "edit": "2", "cells": []}))
        edited = await frame_of(notebook, "edited")

    assert (refused["code"], refused["edit"]) == ("unavailable", "1")
    assert late.close_code == 4503
    assert (told["type"], told["code"], told["in_reply_to"]) == ("error", "unavailable", None)
    assert first["type"] == "sessions"
    assert edited["edit"] == "2"


def test_servers_that_start_at_once_prepare_a_new_database_once(tmp_path, postgres):
    url = postgres.database(f"{tmp_path.name}-new")
    servers = [RunningServer(tmp_path, WORKBENCH_DATABASE_URL=url) for _ in range(3)]

    commands = [each.manage("workbench", "key", f"ada{i}") for i, each in enumerate(servers)]

    assert [command.wait(WAIT_SECONDS) for command in commands] == [0, 0, 0]


def test_a_server_whose_database_is_away_says_so_in_a_sentence(tmp_path, postgres):
    url = postgres.url().replace(f":{postgres.port}/", f":{free_port()}/")
    server = RunningServer(tmp_path, WORKBENCH_DATABASE_URL=url)

    assert server.manage("workbench").wait(WAIT_SECONDS) == 1
    assert "The database cannot be used (connection failed" in server.log.read_text()
    assert "Traceback" not in server.log.read_text()


def test_who_falls_silent_in_a_transaction_lets_go_of_its_locks(server, postgres):
    """A machine that has lost its power or its network does not say so."""
    code = (
        "from django.db import connection, transaction\n"
        "with transaction.atomic(), connection.cursor() as cursor:\n"
        "    cursor.execute('lock table workbench_sessions_host')\n"
        "    print('locked', flush=True)\n"
        "    input()"
    )
    command = [sys.executable, "manage.py", "shell", "--no-imports", "-c", code]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, env=server.environment, **pipes) as silent:
        try:
            assert silent.stdout.readline() == b"locked\n"

            wants = (
                "begin; set local lock_timeout = '60s'; lock table workbench_sessions_host; commit"
            )
            postgres.execute(*wants.split("; "), name=DATABASE)

            assert silent.poll() is None
        finally:
            silent.kill()


async def test_who_waits_holds_no_connection(client, session, postgres):
    """Sockets, streams and requests that wait, many times as many as there are connections."""
    crowd = 10 * CONNECTIONS
    waiting = [
        asyncio.create_task(client.get(f"/api/v1/sessions/{session}/events?since=1000&wait=60"))
        for _ in range(crowd)
    ]
    begun = [asyncio.Event() for _ in range(crowd)]
    waiting += [asyncio.create_task(streamed(client, session, each)) for each in begun]
    waiting.append(asyncio.create_task(run(client, session, "import time\ntime.sleep(60)")))
    for each in begun:
        await each.wait()

    answers = [(await client.get("/api/v1/sessions")).status_code for _ in range(crowd)]

    (used,) = postgres.execute(
        "select count(*) from pg_stat_activity where application_name = 'workbench'"
    )
    for each in waiting:
        each.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert answers == [200] * crowd
    assert used[0] <= 3 * CONNECTIONS  # of the web process, the host and the supervisor
