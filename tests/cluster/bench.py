"""``make bench-cluster``: sessions and executions through Ray, against the local engine, in turn.

Both have the same PostgreSQL and the same Redis, and a web process of their own, so that what
differs is the way to the host. Ratios of medians of one run; absolute times say more about the
machine.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from uuid import uuid4

import httpx

from tests.bench.__main__ import report, timed
from tests.cluster.running import RunningCluster
from tests.running import RunningServer

ROUNDS = 150
SESSIONS = 20
SLOTS = 2  # of each host, for the throughput of several
THROUGHPUT_SECONDS = 5.0
HOSTS = 3


async def execute(client: httpx.AsyncClient, identifier: str, code: str) -> None:
    answer = await client.post(f"/sandbox/{identifier}/execute", json={"code": code})
    answer.raise_for_status()
    assert answer.json()["status"] == "ok", answer.text


async def compare(
    name: str, rounds: int, deed: Callable[[httpx.AsyncClient, int], Awaitable[None]],
    sides: dict[str, httpx.AsyncClient], goal: str = "",
) -> None:  # fmt: skip
    """One deed on both sides in turn."""
    times: dict[str, list[float]] = {side: [] for side in sides}
    for number in range(rounds):
        for side, client in sides.items():
            times[side].append(await timed(partial(deed, client, number)))
    median = {side: statistics.median(taken) for side, taken in times.items()}
    for side, taken in median.items():
        report(f"{name}, {side}, median", taken * 1e3, "ms")
    report(f"{name}, ray / local", median["ray"] / median["local"], "x", goal)


async def opens(client: httpx.AsyncClient, number: int) -> None:
    """A session, up to its first answer; closed again."""
    name = f"new-{uuid4().hex[:8]}"
    await execute(client, name, "1")
    (await client.delete(f"/api/v1/sessions/{name}")).raise_for_status()


async def throughput(cluster: RunningCluster, hosts: int) -> float:
    """Executions a second of as many sessions as the hosts have slots, all at once."""
    names = [f"t{hosts}-{number}" for number in range(hosts * SLOTS)]
    clients = [client_of(web.url) for web in cluster.webs]
    done = 0
    try:
        for number, name in enumerate(names):
            await execute(clients[number % len(clients)], name, "1")
        deadline = time.perf_counter() + THROUGHPUT_SECONDS

        async def keeps_running(number: int, name: str) -> None:
            nonlocal done
            while time.perf_counter() < deadline:
                await execute(clients[(number + done) % len(clients)], name, "sum(range(1000))")
                done += 1

        await asyncio.gather(*(keeps_running(*each) for each in enumerate(names)))
        for name in names:
            await clients[0].delete(f"/api/v1/sessions/{name}")
    finally:
        for client in clients:
            await client.aclose()
    return done / THROUGHPUT_SECONDS


def client_of(url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, timeout=60, trust_env=False)


async def measure() -> None:
    print(f"{'':<68}{'':>9}")
    with RunningCluster(nodes=1, webs=1) as cluster:
        data_dir = cluster.directory / "local"
        data_dir.mkdir()
        shared = {
            "WORKBENCH_DATABASE_URL": cluster.postgres.database("local"),
            "WORKBENCH_REDIS_URL": cluster.redis.url,
        }
        with RunningServer(data_dir, **shared) as server:
            sides = {"local": client_of(server.url), "ray": client_of(cluster.webs[0].url)}
            for client in sides.values():
                await execute(client, "bench", "1")
            await compare(
                "synchronous execution", ROUNDS, lambda client, _: execute(client, "bench", "1"),
                sides, "goal: at most 2.0",
            )  # fmt: skip
            await compare("session, to its first answer", SESSIONS, opens, sides)
            for client in sides.values():
                await client.aclose()
    for hosts in range(1, HOSTS + 1):
        with RunningCluster(nodes=hosts, webs=2, slots=SLOTS) as cluster:
            report(
                f"executions a second, {hosts} host(s) of {SLOTS} kernels each",
                await throughput(cluster, hosts), "/s",
            )  # fmt: skip


if __name__ == "__main__":
    sys.exit(asyncio.run(measure()))
