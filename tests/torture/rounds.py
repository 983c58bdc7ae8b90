"""Rounds of clients and faults against one server, and what an independent reader finds after."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.running import RunningServer
from tests.torture.checker import all_watched, violations
from tests.torture.clients import DEADLINE_SECONDS, Clients
from tests.torture.faults import DATABASE, FAULTS, Fault, fill_disk, has_own_disk

MOST_SESSIONS = 4
MOST_SEEN = 12  # of what clients have seen when the first fault comes
UNTIL_FAULT_SECONDS = 5.0  # it comes then, however little they have seen
ASK_SECONDS = 0.05


@dataclass
class Result:
    """What rounds came to."""

    rounds: int = 0
    # By the name of a fault.
    faults: Counter[str] = field(default_factory=Counter)
    executions: int = 0
    events: int = 0
    # Sentences; each begins with the seed that makes it happen again.
    problems: list[str] = field(default_factory=list)


async def play(server: RunningServer, seeds: list[int], *, say: bool = False) -> Result:
    """A round for each seed; all sessions are closed at the end of theirs."""
    result = Result()
    for seed in seeds:
        began = time.monotonic()
        faults = await _round(server, seed, result)
        result.rounds += 1
        if say:
            took = time.monotonic() - began
            print(f"round {seed}: {', '.join(faults)}, {took:.1f} s", flush=True)
            for problem in result.problems:
                if problem.startswith(f"seed {seed}:"):
                    print(f"  {problem}", flush=True)
    return result


async def _round(server: RunningServer, seed: int, result: Result) -> list[str]:
    rng = random.Random(seed)
    clients = Clients(server, rng)
    names = [f"r{seed}-{number}" for number in range(rng.randint(1, MOST_SESSIONS))]
    possible = (*FAULTS, fill_disk) if has_own_disk(server) else FAULTS
    faults = rng.choices(possible, k=rng.choice([1, 1, 2]))
    doing: list[asyncio.Task[None]] = []
    watching: list[asyncio.Task[None]] = []
    for name in names:
        await _open(server, name)
        for deed in clients.pick():
            task = asyncio.create_task(deed(name))
            (watching if deed == clients.watches else doing).append(task)
    try:
        for fault in faults:
            await _at_some_moment(clients, rng)
            await fault(server, rng)
        _, late = await asyncio.wait(doing, timeout=2 * DEADLINE_SECONDS)
        problems = [f"a client was never done: {task.get_coro()}" for task in late]
        problems += [repr(task.exception()) for task in doing if task.done() and task.exception()]
        for name in names:
            await _close(server, name)
        await _watchers_see_all(server, clients)
    finally:
        for task in (*doing, *watching):
            task.cancel()
        await asyncio.gather(*doing, *watching, return_exceptions=True)
        await clients.close()
    problems += clients.problems
    problems += await asyncio.to_thread(violations, server.data_dir / DATABASE, clients.told)
    result.problems += [f"seed {seed}: {problem}" for problem in problems]
    result.executions += len(clients.told.accepted) + len(clients.told.answers)
    result.events += sum(len(seen) for _, seen in clients.told.watched)
    told = [_name(fault) for fault in faults]
    result.faults.update(told)
    return told


async def _at_some_moment(clients: Clients, rng: random.Random) -> None:
    try:
        async with asyncio.timeout(UNTIL_FAULT_SECONDS):
            await clients.progress.reached(rng.randint(0, MOST_SEEN))
    except TimeoutError:
        pass


async def _watchers_see_all(server: RunningServer, clients: Clients) -> None:
    """Return when each socket has sent all that its session's log has; they have time for it."""
    database = server.data_dir / DATABASE
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not await asyncio.to_thread(all_watched, database, clients.told):
            await asyncio.sleep(ASK_SECONDS)


async def _open(server: RunningServer, name: str) -> None:
    await _insist(f"{server.url}/api/v1/sessions", json={"identifier": name})


async def _close(server: RunningServer, name: str) -> None:
    await _insist(f"{server.url}/.management/stopSession", params={"identifier": name})


async def _insist(address: str, **about: Any) -> None:
    """Ask until it is done: whatever befell the server, it answers again in time."""
    async with (
        httpx.AsyncClient(trust_env=False, timeout=DEADLINE_SECONDS) as http,
        asyncio.timeout(2 * DEADLINE_SECONDS),
    ):
        while True:
            try:
                answer = await http.post(address, **about)
                if answer.is_success or answer.status_code == 404:
                    return
                if answer.status_code != 503:
                    raise RuntimeError(f"{address}: {answer.status_code} {answer.text}")
            except httpx.TransportError:
                pass
            await asyncio.sleep(ASK_SECONDS)


def _name(fault: Fault) -> str:
    return fault.__name__.replace("_", " ")
