"""What a short execution costs: CPU of each process, rows and bytes, on SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg

from tests.running import RunningServer
from tests.scale.clients import client_of, execute
from tests.scale.figures import Figure
from tests.scale.processes import cpu_seconds, tree
from tests.scale.services import Service, postgresql

PART = "executions"
COUNT = 400
EVENTS = 50  # of the execution that puts out more
SETTLE_SECONDS = 1.0
TABLES = ("session", "execution", "event", "auditentry")
SHORT = "print('hi')"
LONG = f"from IPython.display import display\nfor number in range({EVENTS}): display(number)"

Look = Callable[[], dict[str, float]]


async def measure() -> dict[str, Figure]:
    """On both databases."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "workbench.sqlite3"
        found = await _measure("sqlite", Path(folder), {}, lambda: _look_at_sqlite(file), 0)
    with postgresql() as service, tempfile.TemporaryDirectory() as folder:
        settings = {"WORKBENCH_DATABASE_URL": service.url}
        found |= await _measure(
            "postgresql", Path(folder), settings, lambda: _look_at_postgresql(service), service.pid
        )
    return found


async def _measure(
    name: str, folder: Path, settings: dict[str, str], look: Look, database: int
) -> dict[str, Figure]:
    with RunningServer(folder, **settings) as server:
        assert server.process is not None
        root = server.process.pid

        def cpu() -> dict[str, float]:
            whole = cpu_seconds(tree(root), with_ended=True)
            used = server.cpu_seconds()
            of_database = cpu_seconds(tree(database), with_ended=True) if database else 0.0
            return {**used, "kernel": whole - sum(used.values()), "database": of_database}

        async with client_of(server) as client:
            for _ in range(20):
                await execute(client, "bench", LONG)
            await asyncio.sleep(SETTLE_SECONDS)
            taken: list[float] = []
            rows, used = look(), cpu()
            for _ in range(COUNT):
                began = time.perf_counter()
                await execute(client, "bench", SHORT)
                taken.append(time.perf_counter() - began)
            await asyncio.sleep(SETTLE_SECONDS)
            short_rows, short_used = _less(look(), rows), _less(cpu(), used)
            rows, used = look(), cpu()
            for _ in range(COUNT // 4):
                await execute(client, "bench", LONG)
            await asyncio.sleep(SETTLE_SECONDS)
            long_rows, long_used = _less(look(), rows), _less(cpu(), used)
    each = {key: value / COUNT for key, value in short_rows.items()}
    per = {key: value / COUNT * 1e3 for key, value in short_used.items()}
    longer = {key: value / (COUNT // 4) for key, value in long_rows.items()}
    more = longer["events"] - each["events"]
    host_more = (long_used["host"] / (COUNT // 4) - short_used["host"] / COUNT) / more
    where = {"sqlite": "SQLite", "postgresql": "PostgreSQL 15"}[name]
    found = {
        f"execution_{name}_seconds": Figure(statistics.median(taken), "s", f"a short execution over HTTP, alone, on {where}", PART),
        f"execution_{name}_web_cpu": Figure(per["web"], "ms", f"CPU of the web process for it ({where})", PART),
        f"execution_{name}_host_cpu": Figure(per["host"], "ms", f"CPU of the host process for it ({where})", PART),
        f"execution_{name}_kernel_cpu": Figure(per["kernel"], "ms", f"CPU of its kernel for it ({where})", PART),
        f"execution_{name}_rows": Figure(each["rows"], "", f"rows that it makes: itself, its events, its entry in the audit ({where})", PART),
        f"execution_{name}_bytes": Figure(each["bytes"], "B", f"bytes of these rows with their indexes ({where})", PART),
        f"event_{name}_bytes": Figure((longer["bytes"] - each["bytes"]) / more, "B", f"bytes of one more event with a small value ({where})", PART),
        f"event_{name}_host_cpu": Figure(host_more * 1e3, "ms", f"CPU of the host process for one more event ({where})", PART),
    }  # fmt: skip
    if database:
        found |= {
            "execution_database_cpu": Figure(per["database"], "ms", "CPU of PostgreSQL for a short execution", PART),
            "execution_transactions": Figure(each["transactions"], "", "transactions in PostgreSQL for it, reads included", PART),
            "execution_wal_bytes": Figure(each["wal"], "B", "bytes of PostgreSQL's log of changes (WAL) for it: what replicas and archives take", PART),
            "event_wal_bytes": Figure((longer["wal"] - each["wal"]) / more, "B", "bytes of that log for one more event", PART),
        }  # fmt: skip
    return found


def _less(after: dict[str, float], before: dict[str, float]) -> dict[str, float]:
    return {key: value - before[key] for key, value in after.items()}


def _look_at_sqlite(file: Path) -> dict[str, float]:
    with closing(sqlite3.connect(file, timeout=30)) as connection:
        rows = {
            table: connection.execute(
                f"select count(*) from workbench_sessions_{table}"
            ).fetchone()[0]
            for table in TABLES
        }
        pages, free, size = (
            connection.execute(f"pragma {what}").fetchone()[0]
            for what in ("page_count", "freelist_count", "page_size")
        )
    return {"rows": sum(rows.values()), "events": rows["event"], "bytes": (pages - free) * size}


def _look_at_postgresql(service: Service) -> dict[str, float]:
    with psycopg.connect(service.url, autocommit=True) as connection:

        def ask(question: str) -> float:
            row = connection.execute(question).fetchone()
            assert row
            return float(row[0])

        rows = {table: ask(f"select count(*) from workbench_sessions_{table}") for table in TABLES}
        size = sum(
            ask(f"select pg_total_relation_size('workbench_sessions_{table}')") for table in TABLES
        )
        return {
            "rows": sum(rows.values()),
            "events": rows["event"],
            "bytes": size,
            "transactions": ask(
                "select xact_commit from pg_stat_database where datname = 'workbench'"
            ),
            "wal": ask("select pg_current_wal_lsn() - '0/0'"),
        }
