"""A simulation of executions on their way through one cluster: how long they wait for each other.

Discrete events, seeded. An execution goes from a web process to its session's host, to a processor
of that machine, back to the host, and into the next transaction of that host's recorder; all
recorders share PostgreSQL. Web processes also answer polls. Hosts are slowed by what looking after
sessions takes. Every time is a measured figure or one of the model's assumptions; kernels' code takes
exponentially distributed times, everything else its mean.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from tests.scale.model import Model

_MS = 1e-3
WARM_UP = 0.1  # of the simulated time: what arrives then is not counted
MOST_EXECUTIONS = 8_000  # simulated: enough for a 99th percentile


@dataclass(frozen=True)
class Result:
    """What the server added to the executions, beyond their code's own time. Seconds."""

    median: float
    slow: float  # 95 of 100 are faster
    slowest: float  # 99 of 100 are
    # Executions in one transaction, on average.
    together: float


class Clock:
    """What happens when, in order of time."""

    def __init__(self) -> None:
        self.now = 0.0
        self._order = itertools.count()
        self._next: list[tuple[float, int, Callable[[], None]]] = []

    def after(self, seconds: float, work: Callable[[], None]) -> None:
        """Do some work then."""
        heapq.heappush(self._next, (self.now + seconds, next(self._order), work))

    def run(self) -> None:
        """Until nothing is left."""
        while self._next:
            self.now, _, work = heapq.heappop(self._next)
            work()


class Station:
    """So many servers with one queue before them; who comes first is served first."""

    def __init__(self, clock: Clock, servers: int) -> None:
        self._clock = clock
        self._free = servers
        self._queue: deque[tuple[float, Callable[[], None]]] = deque()

    def serve(self, seconds: float, done: Callable[[], None]) -> None:
        """Serve for so long, as soon as a server is free; then go on with ``done``."""
        if not self._free:
            self._queue.append((seconds, done))
            return
        self._free -= 1
        self._clock.after(seconds, lambda: self._ended(done))

    def _ended(self, done: Callable[[], None]) -> None:
        self._free += 1
        if self._queue:
            self.serve(*self._queue.popleft())
        done()


class Recorder:
    """One host's: a transaction at a time, with everything that has gathered meanwhile."""

    def __init__(self, database: Station, seconds: float) -> None:
        self._database, self._seconds = database, seconds
        self._gathered: list[Callable[[], None]] = []
        self._is_writing = False
        self.transactions = self.written = 0

    def write(self, done: Callable[[], None]) -> None:
        """Go on with ``done`` when this is durable."""
        self._gathered.append(done)
        if not self._is_writing:
            self._begin()

    def _begin(self) -> None:
        batch, self._gathered = self._gathered, []
        self._is_writing = True
        self.transactions += 1
        self.written += len(batch)
        self._database.serve(self._seconds, lambda: self._ended(batch))

    def _ended(self, batch: list[Callable[[], None]]) -> None:
        self._is_writing = False
        if self._gathered:
            self._begin()
        for done in batch:
            done()


def simulate(model: Model, sessions: int, *, seed: int = 1) -> Result:
    """One cluster of the plan for so many sessions."""
    plan = model.plan(sessions)
    mine = math.ceil(sessions / plan["clusters"])
    load = model.load(mine)
    chance, clock = random.Random(seed), Clock()
    hosts, webs = plan["kernels"], plan["web"]
    # Several machines: calls go through Ray.
    call = model["ray_call_seconds"] / 2 if sessions > SIZE_OF_ONE else 0.0
    one = sessions <= SIZE_OF_ONE
    commits = model["commits_sqlite_1"] if one else model["commits_postgresql_1"]
    # So many commit together, each in the time that one takes.
    at_once = 1 if one else max(1, round(model.most_transactions() / commits))
    web = [Station(clock, 1) for _ in range(webs)]
    host = [Station(clock, 1) for _ in range(hosts)]
    processors = [Station(clock, model.machine.processors) for _ in range(hosts)]
    database = Station(clock, at_once)
    recorders = [Recorder(database, 1 / commits) for _ in range(hosts)]
    kind = "sqlite" if one else "postgresql"
    run = model["run_cpu"] * _MS
    poll = model["poll_cpu"] * _MS
    # What each host does besides leaves it slower.
    idle = mine / hosts * model["session_idle_host_cpu"] * _MS
    idle += load.starts / hosts * model["start_warm_host_cpu"] * _MS
    events = model.users.more_events * model[f"event_{kind}_host_cpu"]
    half = (model[f"execution_{kind}_host_cpu"] + events) * _MS / 2 / (1 - idle)
    print_cpu = model[f"execution_{kind}_kernel_cpu"] * _MS
    seconds = MOST_EXECUTIONS / load.executions
    added: list[float] = []

    def execution() -> None:
        began, place = clock.now, chance.randrange(hosts)
        code = chance.expovariate(1 / model.users.code_seconds)

        def answered() -> None:
            if began > seconds * WARM_UP:
                added.append(clock.now - began - code)

        def written() -> None:
            clock.after(call, answered)

        def ran() -> None:
            host[place].serve(half, lambda: recorders[place].write(written))

        def at_host() -> None:
            host[place].serve(half, lambda: processors[place].serve(print_cpu + code, ran))

        web[chance.randrange(webs)].serve(run, lambda: clock.after(call, at_host))

    def arrivals(rate: float, work: Callable[[], None]) -> None:
        def one_more() -> None:
            if clock.now < seconds:
                work()
                clock.after(chance.expovariate(rate), one_more)

        clock.after(chance.expovariate(rate), one_more)

    arrivals(load.executions, execution)
    arrivals(load.polls, lambda: web[chance.randrange(webs)].serve(poll, lambda: None))
    clock.run()
    added.sort()
    transactions = sum(recorder.transactions for recorder in recorders)
    return Result(
        median=added[len(added) // 2],
        slow=added[int(len(added) * 0.95)],
        slowest=added[int(len(added) * 0.99)],
        together=sum(recorder.written for recorder in recorders) / transactions,
    )


# Up to here one machine does, with SQLite and without Ray.
SIZE_OF_ONE = 200
