"""What must be true of a log, whatever happened while it was written.

Independent of the server: it reads the database with sqlite3 and knows none of the project's code.
Programs are expected to print numbered lines, see ``program``.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

UNFINISHED = {"queued", "running"}
ENDED_SESSIONS = {"closed", "expired", "lost"}
LIVE_AT_REST = {"idle", "died", "stopped", "starting"}
_TAG = re.compile(r"# tag=(\w+) lines=(\d+)")


def program(tag: str, lines: int, pause_seconds: float, ending: str = "") -> str:
    """Code that prints so many lines that can be told from all others, one after the other."""
    return (
        f"# tag={tag} lines={lines}\n"
        "import time\n"
        f"for i in range({lines}):\n"
        f"    print('{tag}', i, flush=True)\n"
        f"    time.sleep({pause_seconds})\n"
        f"{ending}"
    )


@dataclass
class Told:
    """What clients were told, and is therefore a promise."""

    # (session id, what one socket sent: events in the order they came).
    watched: list[tuple[str, list[dict[str, Any]]]] = field(default_factory=list)
    # (tag, stdout) of synchronous answers that said that the code succeeded.
    answers: list[tuple[str, str]] = field(default_factory=list)
    # Clients' own names of executions that were accepted.
    accepted: list[str] = field(default_factory=list)


def violations(database: Path, told: Told) -> list[str]:
    """A sentence for each rule that is broken, now that nothing is under way any more."""
    with _reading(database) as connection:
        return list(_broken(connection, told))


def all_watched(database: Path, told: Told) -> bool:
    """Whether each socket has sent what the log of its session has."""
    with _reading(database) as connection:
        for session_id, seen in told.watched:
            newest = connection.execute(
                "select max(number) from workbench_sessions_event where session_id = ?",
                (session_id.replace("-", ""),),
            ).fetchone()[0]
            if (newest or 0) > (seen[-1]["number"] if seen else 0):
                return False
    return True


@contextmanager
def _reading(database: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)
    connection.row_factory = sqlite3.Row
    try:
        yield connection
    finally:
        connection.close()


def _broken(connection: sqlite3.Connection, told: Told) -> Iterator[str]:
    sessions = {
        row["id"]: row for row in connection.execute("select * from workbench_sessions_session")
    }
    executions = {
        row["id"]: row for row in connection.execute("select * from workbench_sessions_execution")
    }
    events: dict[str, list[sqlite3.Row]] = defaultdict(list)
    for row in connection.execute(
        "select * from workbench_sessions_event order by session_id, number"
    ):
        events[row["session_id"]].append(row)
    for session in sessions.values():
        yield from _session(session, events[session["id"]])
    by_execution: dict[str, list[sqlite3.Row]] = defaultdict(list)
    for rows in events.values():
        for row in rows:
            if row["execution_id"]:
                by_execution[row["execution_id"]].append(row)
    stdout_by_tag: dict[str, tuple[str, str]] = {}
    for execution in executions.values():
        yield from _execution(execution, by_execution[execution["id"]])
        if match := _TAG.match(execution["code"]):
            text = _stdout(by_execution[execution["id"]], execution["final_event_number"])
            stdout_by_tag[match[1]] = (execution["state"], text)
    yield from _promises(told, events, executions, stdout_by_tag)


def _session(session: sqlite3.Row, events: list[sqlite3.Row]) -> Iterator[str]:
    name, state = session["identifier"], session["state"]
    numbers = [row["number"] for row in events]
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"{name}: the events have gaps or duplicates: {_odd(numbers)}"
    if numbers and numbers[-1] != session["last_event_number"]:
        yield f"{name}: its row says {session['last_event_number']}, its log {numbers[-1]}"
    if (state in ENDED_SESSIONS) != (session["ended_at"] is not None):
        yield f"{name}: it is {state}, and ended at {session['ended_at']}"
    if state not in ENDED_SESSIONS | LIVE_AT_REST:
        yield f"{name}: it is {state} although nothing is under way"
    said = [json.loads(row["data"])["state"] for row in events if row["type"] == "session_state"]
    if said and said[-1] != state and {said[-1], state} != {"idle", "busy"}:
        yield f"{name}: its row says {state}, its log {said[-1]}"


def _execution(execution: sqlite3.Row, events: list[sqlite3.Row]) -> Iterator[str]:
    name, state = execution["client_id"] or execution["id"], execution["state"]
    if state in UNFINISHED:
        yield f"{name}: it is {state} although nothing is under way"
    types = [row["type"] for row in events]
    for type_ in ("execution_queued", "execution_started", "execution_finished"):
        if types.count(type_) > 1:
            yield f"{name}: {type_} is in the log {types.count(type_)} times"
    if "execution_queued" not in types:
        yield f"{name}: the log does not say that it was queued"
    finished = [row for row in events if row["type"] == "execution_finished"]
    if (state not in UNFINISHED) != bool(finished):
        yield f"{name}: it is {state}, and the log has {len(finished)} ends of it"
    if finished:
        if json.loads(finished[0]["data"])["state"] != state:
            yield f"{name}: its row says {state}, its log {finished[0]['data']}"
        if finished[0]["number"] != execution["final_event_number"]:
            yield f"{name}: its last event that counts is not its end"
    yield from _lines(execution, events)


def _lines(execution: sqlite3.Row, events: list[sqlite3.Row]) -> Iterator[str]:
    match = _TAG.match(execution["code"])
    if match is None:
        return
    tag, wanted = match[1], int(match[2])
    lines = _stdout(events, None).splitlines()
    expected = [f"{tag} {number}" for number in range(wanted)]
    if execution["state"] == "succeeded" and lines != expected:
        yield f"{tag}: it succeeded with {len(lines)} of {wanted} lines: {_odd(lines)}"
    cut = lines[:-1] if lines and lines[-1] != expected[min(len(lines), wanted) - 1] else lines
    if cut != expected[: len(cut)]:
        yield f"{tag}: its lines are not a beginning of what it printed: {_odd(lines)}"


def _promises(
    told: Told,
    events: dict[str, list[sqlite3.Row]],
    executions: dict[str, sqlite3.Row],
    stdout_by_tag: dict[str, tuple[str, str]],
) -> Iterator[str]:
    for session_id, seen in told.watched:
        rows = {row["number"]: row for row in events[session_id.replace("-", "")]}
        numbers = [event["number"] for event in seen]
        if numbers != list(range(numbers[0], numbers[0] + len(numbers))) if numbers else False:
            yield f"{session_id}: a socket sent gaps or duplicates: {_odd(numbers)}"
        for event in seen:
            row = rows.get(event["number"])
            if row is None:
                yield f"{session_id}: a socket sent event {event['number']}, which is not in the log"
            elif (row["type"], json.loads(row["data"])) != (event["type"], event["data"]):
                yield f"{session_id}: a socket sent another event {event['number']} than the log has"
    for tag, stdout in told.answers:
        if stdout_by_tag.get(tag) != ("succeeded", stdout):
            yield f"{tag}: a caller was told that it succeeded, with other output than the log has"
    known = {row["client_id"] for row in executions.values()}
    for name in told.accepted:
        if name not in known:
            yield f"{name}: it was accepted, and is not in the rows"


def _stdout(events: list[sqlite3.Row], until: int | None) -> str:
    pieces = (
        json.loads(row["data"])
        for row in events
        if row["type"] == "stream" and (until is None or row["number"] <= until)
    )
    return "".join(piece["text"] for piece in pieces if piece["name"] == "stdout")


def _odd(found: list[Any]) -> str:
    """The part of a list that somebody wants to see."""
    text = str(found)
    return text if len(text) <= 300 else f"{text[:150]} … {text[-150:]}"
