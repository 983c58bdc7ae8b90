"""What a web process takes: CPU of a poll, and of a socket that is open."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

from websockets.asyncio.client import ClientConnection, connect

from tests.running import RunningServer
from tests.scale.clients import client_of, execute, open_session
from tests.scale.figures import Figure
from tests.scale.processes import cpu_seconds, descriptors, memory, tree
from tests.scale.services import postgresql

PART = "web"
POLLS = 600
CROWD, EACH = 16, 30
SOCKETS = 400
FOLLOWED = 50
IDLE_SECONDS = 10.0


async def measure() -> dict[str, Figure]:
    """With rows in PostgreSQL, as where there are several web processes."""
    with (
        postgresql() as service,
        tempfile.TemporaryDirectory() as folder,
        RunningServer(Path(folder), WORKBENCH_DATABASE_URL=service.url) as server,
    ):
        async with client_of(server) as client:
            session = await open_session(client, "one")
            await execute(client, "one", "1")
            web = server.child("web")
            alone = memory([web])["resident"]

            async def poll() -> None:
                response = await client.get(f"/api/v1/sessions/{session}/events?since=0")
                response.raise_for_status()

            database = cpu_seconds(tree(service.pid), with_ended=True)
            polls = await _rate(web, poll, POLLS)
            database = (cpu_seconds(tree(service.pid), with_ended=True) - database) / POLLS * 1e3
            names = [f"crowd-{number}" for number in range(CROWD)]
            await asyncio.gather(*(execute(client, name, "1") for name in names))
            rounds = iter(names * EACH)
            runs = await _rate(web, lambda: execute(client, next(rounds), "1"), CROWD * EACH)
        found = {
            "web_memory": Figure(alone, "MiB", "memory of a web process (resident)", PART),
            "poll_cpu": Figure(polls[1], "ms", "CPU of the web process for a poll that reads a short log (PostgreSQL)", PART),
            "poll_database_cpu": Figure(database, "ms", "CPU of PostgreSQL for it", PART),
            "poll_rate": Figure(polls[0], "/s", f"such polls of one web process, {CROWD} at once, the client on the same two cores", PART),
            "run_cpu": Figure(runs[1], "ms", f"CPU of the web process for a synchronous execution, {CROWD} at once", PART),
            "run_rate": Figure(runs[0], "/s", "such executions of one web process and one host, kernels and client on the same two cores", PART),
        }  # fmt: skip
        return found | await _sockets(server, session, web)


async def _rate(web: int, work: Callable[[], Awaitable[None]], count: int) -> tuple[float, float]:
    """How often a second, and milliseconds of the web process's CPU for each."""
    left = iter(range(count))

    async def one() -> None:
        for _ in left:
            await work()

    cpu, began = cpu_seconds([web]), time.perf_counter()
    await asyncio.gather(*(one() for _ in range(CROWD)))
    taken = time.perf_counter() - began
    return count / taken, (cpu_seconds([web]) - cpu) / count * 1e3


async def _sockets(server: RunningServer, session: str, web: int) -> dict[str, Figure]:
    """Many that are open and quiet; then what an execution costs that all of them follow."""
    address = f"ws://127.0.0.1:{server.port}/ws/sessions/{session}/"
    async with AsyncExitStack() as stack, client_of(server) as client:
        first = await stack.enter_async_context(connect(address, proxy=None))
        await first.recv()
        before, files, cpu = memory([web])["resident"], descriptors([web]), cpu_seconds([web])
        sockets = [first]
        for _ in range(SOCKETS):
            socket = await stack.enter_async_context(connect(address, proxy=None))
            await socket.recv()
            sockets.append(socket)
        opening = (cpu_seconds([web]) - cpu) / SOCKETS
        after = memory([web])["resident"]
        cpu = cpu_seconds([web])
        await asyncio.sleep(IDLE_SECONDS)
        idle = (cpu_seconds([web]) - cpu) / IDLE_SECONDS / SOCKETS
        files = descriptors([web]) - files
        # What is heard by nobody else, for comparison.
        await execute(client, "one", "1")
        cpu = cpu_seconds([web])
        reading = [asyncio.create_task(_until_finished(each, FOLLOWED)) for each in sockets]
        for _ in range(FOLLOWED):
            await execute(client, "one", "1")
        await asyncio.gather(*reading)
        followed = (cpu_seconds([web]) - cpu) / FOLLOWED / len(sockets)
    return {
        "socket_memory": Figure((after - before) / SOCKETS * 1024, "KiB", f"memory that an open socket adds to a web process ({SOCKETS} on one session)", PART),
        "socket_descriptors": Figure(round(files / SOCKETS), "", "open files that it adds", PART),
        "socket_open_cpu": Figure(opening * 1e3, "ms", "CPU of the web process to open it", PART),
        "socket_idle_cpu": Figure(idle * 1e3, "ms/s", "CPU that it takes while nothing happens (it looks every 10 s whether its reader may still see)", PART),
        "socket_follow_cpu": Figure(followed * 1e3, "ms", "CPU of the web process for one socket that follows a short execution", PART),
    }  # fmt: skip


async def _until_finished(socket: ClientConnection, count: int) -> None:
    async for text in socket:
        count -= str(text).count("execution_finished")
        if count <= 0:
            return
