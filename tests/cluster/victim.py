"""A cluster as a victim of ``tests.torture``: what befalls it, and its log."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import signal
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from tests.cluster.running import RunningCluster
from tests.torture.rounds import Victim

COLUMNS = {
    "session": ("id", "identifier", "state", "ended_at", "last_event_number"),
    "execution": ("id", "client_id", "code", "state", "final_event_number"),
    "event": ("session_id", "execution_id", "number", "type", "data"),
}
AWAY_SECONDS = (0.2, 2.0)  # that a service is away


class Balanced:
    """All web processes as one server: each request goes to the next, as do sockets."""

    def __init__(self, cluster: RunningCluster) -> None:
        self._turns = itertools.count()
        self._cluster = cluster

    @property
    def url(self) -> str:
        return self._next().url

    @property
    def port(self) -> int:
        return self._next().port

    def _next(self) -> Any:
        webs = self._cluster.webs
        return webs[next(self._turns) % len(webs)]


def victim_of(cluster: RunningCluster) -> Victim:
    """The cluster, with all that may befall it."""
    return Victim(Balanced(cluster), FAULTS, cluster, lambda: log_of(cluster))


@contextmanager
def log_of(cluster: RunningCluster) -> Iterator[Path]:
    """The cluster's rows as a SQLite file, which the checker can read."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "log.sqlite3"
        target = sqlite3.connect(path)
        with psycopg.connect(cluster.settings["WORKBENCH_DATABASE_URL"]) as source:
            source.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            for name, columns in COLUMNS.items():
                table, wanted = f"workbench_sessions_{name}", ", ".join(columns)
                target.execute(f"create table {table} ({wanted})")
                rows = source.execute(f"select {wanted} from {table}".encode())
                places = ", ".join("?" * len(columns))
                copied = ([_plain(value) for value in row] for row in rows)
                target.executemany(f"insert into {table} values ({places})", copied)
        target.commit()
        target.close()
        yield path


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, dict | list):
        return json.dumps(value)
    return str(value).replace("-", "") if hasattr(value, "hex") else str(value)


# --- Faults -----------------------------------------------------------------------------------


async def lose_node(cluster: RunningCluster, rng: random.Random) -> None:
    """A machine loses its power; another of its name comes later."""
    name = rng.choice(sorted(cluster.nodes))
    await asyncio.to_thread(cluster.remove_node, name)
    await _some_time(rng)
    cluster.add_node(name)  # Ray sets signal handlers for it: only here


async def kill_host(cluster: RunningCluster, rng: random.Random) -> None:
    """A host's process dies, and with it its kernels."""
    os.kill(cluster.host_process(rng.choice(sorted(cluster.nodes))), signal.SIGKILL)


async def kill_web(cluster: RunningCluster, rng: random.Random) -> None:
    """A web process dies, and is started again."""
    web = rng.choice(cluster.webs)
    await asyncio.to_thread(web.stop, signal.SIGKILL)
    await _some_time(rng)
    web.start()


async def restart_redis(cluster: RunningCluster, rng: random.Random) -> None:
    """Redis is away for a while, and forgets everything."""
    await asyncio.to_thread(cluster.redis.stop)
    await _some_time(rng)
    await asyncio.to_thread(cluster.redis.start)


async def restart_postgres(cluster: RunningCluster, rng: random.Random) -> None:
    """PostgreSQL is restarted: in order, or because it failed."""
    how = rng.choice([signal.SIGINT, signal.SIGQUIT])
    await asyncio.to_thread(cluster.postgres.stop, how)
    await _some_time(rng)
    await asyncio.to_thread(cluster.postgres.start)


async def _some_time(rng: random.Random) -> None:
    await asyncio.sleep(rng.uniform(*AWAY_SECONDS))


FAULTS = (lose_node, kill_host, kill_web, restart_redis, restart_postgres)
