"""A few rounds of ``make torture``; and that its checker sees what it is there for."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from tests.running import RunningServer
from tests.torture.checker import Told, program, violations
from tests.torture.faults import left_behind
from tests.torture.rounds import Victim, play

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(600)]

SEEDS = [101, 102, 103, 104, 105, 106]
TABLES = """
create table workbench_sessions_session (
    id text, identifier text, state text, ended_at text, last_event_number int);
create table workbench_sessions_execution (
    id text, client_id text, code text, state text, final_event_number int);
create table workbench_sessions_event (
    session_id text, execution_id text, number int, type text, data text);
"""


async def test_a_few_rounds_of_faults_break_no_promise(tmp_path: Path) -> None:
    data_dir = tmp_path / "server"
    data_dir.mkdir()

    with RunningServer(data_dir) as server:
        result = await play(Victim.single(server), SEEDS)

    assert result.problems == []
    assert result.rounds == len(SEEDS)
    assert result.events > 0
    assert left_behind(data_dir) == []


# --- The checker --------------------------------------------------------------------------------


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log that is as it should be."""
    path = tmp_path / "log.sqlite3"
    events = [
        ("session_state", None, {"state": "starting"}),
        ("execution_queued", "e", {}),
        ("execution_started", "e", {}),
        ("stream", "e", {"name": "stdout", "text": "t 0\nt 1\n"}),
        ("stream", "e", {"name": "stdout", "text": "t 2\n"}),
        ("execution_finished", "e", {"state": "succeeded"}),
        ("session_state", None, {"state": "closed"}),
    ]
    with sqlite3.connect(path) as connection:
        connection.executescript(TABLES)
        connection.execute(
            "insert into workbench_sessions_session values ('s', 'name', 'closed', 'now', 7)"
        )
        connection.execute(
            "insert into workbench_sessions_execution values ('e', 'mine', ?, 'succeeded', 6)",
            (program("t", 3, 0.0),),
        )
        connection.executemany(
            "insert into workbench_sessions_event values ('s', ?, ?, ?, ?)",
            [
                (execution, number, type_, json.dumps(data))
                for number, (type_, execution, data) in enumerate(events, 1)
            ],
        )
    connection.close()
    return path


def told() -> Told:
    """What clients of that log were told."""
    queued = {"number": 2, "type": "execution_queued", "data": {}}
    started = {"number": 3, "type": "execution_started", "data": {}}
    return Told(
        watched=[("s", [queued, started])], answers=[("t", "t 0\nt 1\nt 2\n")], accepted=["mine"]
    )


def test_the_checker_finds_nothing_in_a_good_log(log: Path) -> None:
    assert violations(log, told()) == []


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ("delete from workbench_sessions_event where number = 4", "gaps or duplicates"),
        ("update workbench_sessions_event set number = 4 where number = 5", "gaps or duplicates"),
        ("update workbench_sessions_session set last_event_number = 9", "its row says 9"),
        ("update workbench_sessions_session set ended_at = null", "ended at None"),
        ("update workbench_sessions_session set state = 'busy'", "nothing is under way"),
        ("update workbench_sessions_execution set state = 'running'", "nothing is under way"),
        ("update workbench_sessions_execution set state = 'failed'", "its row says failed"),
        ("update workbench_sessions_execution set final_event_number = 5", "is not its end"),
        (
            "update workbench_sessions_event set type = 'file' where number = 6",
            "0 ends of it",
        ),
        (
            'update workbench_sessions_event set data = \'{"name": "stdout", "text": "t 2"}\' '
            "where number = 4",
            "succeeded with",
        ),
        ("delete from workbench_sessions_execution", "not in the rows"),
        ("update workbench_sessions_event set data = '[]' where number = 3", "sent another event"),
        (
            "update workbench_sessions_execution set state = 'interrupted';"
            'update workbench_sessions_event set data = \'{"state": "interrupted"}\' '
            "where number = 6",
            "a caller was told",
        ),
    ],
)
def test_the_checker_finds_what_is_wrong(log: Path, harm: str, said: str) -> None:
    connection = sqlite3.connect(log)
    connection.executescript(harm)
    connection.close()

    assert any(said in each for each in violations(log, told()))


def test_the_checker_finds_what_a_socket_lost_or_said_twice(log: Path) -> None:
    lost, twice = told(), told()
    lost.watched[0][1][1:] = [{"number": 4, "type": "stream", "data": {}}]
    twice.watched[0][1].append(twice.watched[0][1][-1])

    for each in (lost, twice):
        assert any("a socket sent" in sentence for sentence in violations(log, each))
