"""Rounds of clients and faults against one server, and what an independent reader finds after."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.running import RunningServer
from tests.torture.checker import Told, all_watched, violations
from tests.torture.clients import DEADLINE_SECONDS, Clients, Server
from tests.torture.faults import DATABASE, FAULTS, fill_disk, has_own_disk

MOST_SESSIONS = 4
MOST_SEEN = 12  # of what clients have seen when the first fault comes
UNTIL_FAULT_SECONDS = 5.0  # it comes then, however little they have seen
ASK_SECONDS = 0.05


@dataclass(frozen=True)
class Victim:
    """What rounds are played against."""

    server: Server
    # Each is given what ``about`` is, and the round's dice.
    faults: Sequence[Callable[[Any, random.Random], Awaitable[None]]]
    about: Any
    # The rows, as a SQLite file that lasts as long as the context.
    log: Callable[[], AbstractContextManager[Path]]

    @classmethod
    def single(cls, server: RunningServer) -> Victim:
        """A server of one machine."""
        faults = (*FAULTS, fill_disk) if has_own_disk(server) else FAULTS
        return cls(server, faults, server, lambda: nullcontext(server.data_dir / DATABASE))


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


async def play(victim: Victim, seeds: list[int], *, say: bool = False) -> Result:
    """A round for each seed; all sessions are closed at the end of theirs."""
    result = Result()
    for seed in seeds:
        began = time.monotonic()
        faults = await _round(victim, seed, result)
        result.rounds += 1
        if say:
            took = time.monotonic() - began
            print(f"round {seed}: {', '.join(faults)}, {took:.1f} s", flush=True)
            for problem in result.problems:
                if problem.startswith(f"seed {seed}:"):
                    print(f"  {problem}", flush=True)
    return result


async def _round(victim: Victim, seed: int, result: Result) -> list[str]:
    rng = random.Random(seed)
    server = victim.server
    clients = Clients(server, rng)
    names = [f"r{seed}-{number}" for number in range(rng.randint(1, MOST_SESSIONS))]
    faults = rng.choices(victim.faults, k=rng.choice([1, 1, 2]))
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
            await fault(victim.about, rng)
        _, late = await asyncio.wait(doing, timeout=2 * DEADLINE_SECONDS)
        problems = [f"a client was never done: {task.get_coro()}" for task in late]
        problems += [repr(task.exception()) for task in doing if task.done() and task.exception()]
        for name in names:
            await _close(server, name)
        await _watchers_see_all(victim, clients)
    finally:
        for task in (*doing, *watching):
            task.cancel()
        await asyncio.gather(*doing, *watching, return_exceptions=True)
        await clients.close()
    problems += clients.problems
    problems += await asyncio.to_thread(_violations, victim, clients.told)
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


async def _watchers_see_all(victim: Victim, clients: Clients) -> None:
    """Return when each socket has sent all that its session's log has; they have time for it."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not await asyncio.to_thread(_all_watched, victim, clients.told):
            await asyncio.sleep(ASK_SECONDS)


def _violations(victim: Victim, told: Told) -> list[str]:
    with victim.log() as database:
        return violations(database, told)


def _all_watched(victim: Victim, told: Told) -> bool:
    with victim.log() as database:
        return all_watched(database, told)


async def _open(server: Server, name: str) -> None:
    await _insist(f"{server.url}/api/v1/sessions", json={"identifier": name})


async def _close(server: Server, name: str) -> None:
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


def _name(fault: Callable[..., Any]) -> str:
    return fault.__name__.replace("_", " ")
