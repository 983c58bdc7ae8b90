"""Transactions a second: of one recorder, and what PostgreSQL takes from several at once."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import psycopg

from tests.running import ROOT
from tests.scale.figures import Figure
from tests.scale.processes import cpu_seconds, tree
from tests.scale.services import Service, postgresql, programs

PART = "commits"
SECONDS = 6.0
SESSIONS = 50  # of a host that has much to do
RECORDERS = (1, 2, 4, 8)
CONNECTIONS = (8, 32)
TABLES = """
drop table if exists scale_row, scale_session;
create table scale_row (id bigserial primary key, session int, number bigint, at timestamptz, data jsonb);
create index on scale_row (session, number);
create table scale_session (id int primary key, number bigint);
insert into scale_session select each, 0 from generate_series(1, 1000) each;
"""
# Six rows and a change of one, as of a short execution.
AN_EXECUTION = r"""
\set session random(1, 1000)
begin;
insert into scale_row (session, number, at, data)
select :session, each, now(), '{"name": "stdout", "text": "hi"}' from generate_series(1, 6) each;
update scale_session set number = number + 6 where id = :session;
commit;
"""


async def measure() -> dict[str, Figure]:
    """On SQLite and on PostgreSQL, one recorder; on PostgreSQL, several."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        found = _alone("sqlite", "SQLite", {"WORKBENCH_DATA_DIR": folder}, 0)
        service = stack.enter_context(postgresql())
        other = {"WORKBENCH_DATA_DIR": stack.enter_context(tempfile.TemporaryDirectory())}
        other["WORKBENCH_DATABASE_URL"] = service.url
        found |= _alone("postgresql", "PostgreSQL 15, fsync on", other, service.pid)
        for count in RECORDERS[1:]:
            before = cpu_seconds(tree(service.pid), with_ended=True)
            each = _record(other, 1, count=count)
            cpu = cpu_seconds(tree(service.pid), with_ended=True) - before
            rate = sum(one["transactions"] for one in each) / SECONDS
            found[f"commits_postgresql_{count}"] = Figure(rate, "/s", f"transactions of {count} recorders at once, each waiting for its own, all on one machine", PART)  # fmt: skip
            found[f"commits_postgresql_{count}_processors"] = Figure(cpu / SECONDS, "", "processors that PostgreSQL kept busy meanwhile", PART)  # fmt: skip
        for count in CONNECTIONS:
            rate = _pgbench(service, count)
            found[f"commits_pgbench_{count}"] = Figure(rate, "/s", f"transactions of {count} connections at once, of as many rows (pgbench, which takes little itself)", PART)  # fmt: skip
    return found


def _pgbench(service: Service, connections: int) -> float:
    """Transactions a second of PostgreSQL's own bench, with rows like an execution's."""
    with psycopg.connect(service.url, autocommit=True) as connection:
        connection.execute(TABLES)
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(AN_EXECUTION)
        script.flush()
        Path(script.name).chmod(0o644)
        done = subprocess.run(
            [programs() / "pgbench", "--no-vacuum", f"--client={connections}", f"--time={SECONDS:.0f}",
             f"--file={script.name}", service.url],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    return float(re.findall(r"^tps = ([0-9.]+)", done.stdout, re.MULTILINE)[0])


def _alone(name: str, where: str, settings: dict[str, str], database: int) -> dict[str, Figure]:
    _manage(settings, "migrate", "--verbosity=0")
    (serial,) = _record(settings, 1)
    before = cpu_seconds(tree(database), with_ended=True) if database else 0.0
    (busy,) = _record(settings, SESSIONS)
    cpu = cpu_seconds(tree(database), with_ended=True) - before if database else 0.0
    found = {
        f"commits_{name}_1": Figure(serial["transactions"] / SECONDS, "/s", f"transactions of one recorder that waits for each ({where})", PART),
        f"recorded_{name}": Figure(busy["executions"] / SECONDS, "/s", f"executions that one recorder writes for {SESSIONS} sessions at once, four events each ({where})", PART),
        f"recorded_{name}_together": Figure(busy["executions"] / busy["transactions"], "", "executions in one transaction then", PART),
        f"recorded_{name}_cpu": Figure(busy["cpu"] / busy["executions"] * 1e3, "ms", "CPU of the host's process for one of them", PART),
    }  # fmt: skip
    if database:
        found["recorded_database_cpu"] = Figure(cpu / busy["executions"] * 1e3, "ms", "CPU of PostgreSQL for one of them", PART)  # fmt: skip
    return found


def _record(settings: dict[str, str], at_once: int, *, count: int = 1) -> list[dict[str, float]]:
    command = [sys.executable, "-m", "tests.scale.recording", str(SECONDS), str(at_once)]
    running = [
        subprocess.Popen(command, cwd=ROOT, env=_environment(settings), stdout=subprocess.PIPE)
        for _ in range(count)
    ]
    return [json.loads(process.communicate()[0]) for process in running]


def _manage(settings: dict[str, str], *arguments: str) -> None:
    command = [sys.executable, str(Path(ROOT) / "manage.py"), *arguments]
    subprocess.run(command, cwd=ROOT, env=_environment(settings), check=True)


def _environment(settings: dict[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if "WORKBENCH" not in name}
    return kept | settings
