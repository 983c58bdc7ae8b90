"""Sessions outlive their host: the next one takes them back, with their files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from sessions.exceptions import SessionNotFound
from sessions.kernels.host import Host
from sessions.kernels.limits import Limits
from sessions.kernels.workspace import workspace_path
from sessions.outcomes import fold
from sessions.states import LIVE_SESSION_STATES
from tests.hosts import NAMED, run, run_arguments, started_host

pytestmark = pytest.mark.kernel

HostFactory = Callable[..., Any]


@asynccontextmanager
async def a_host(tmp_path: Path, before: Host | None = None, **config: Any) -> AsyncIterator[Host]:
    """A host, after another one in the same directory; it stops at the end."""
    if before is None:
        host = await started_host(tmp_path, **config)
    else:
        host = Host(replace(before.config, **config), before.recorder)
        records = before.recorder.sessions.values()
        await host.start([each for each in records if each.state in LIVE_SESSION_STATES])
    try:
        yield host
    finally:
        await host.stop()


async def text_of(host: Host, code: str) -> str:
    """What code prints in the session NAMED."""
    result = await run(host, code)
    assert result["state"] == "succeeded", result
    return fold(result["events"]).stdout.strip()


async def test_files_stay_and_variables_go_when_a_host_stops(tmp_path):
    async with a_host(tmp_path) as first:
        session = await first.open_session(**NAMED, origin="test", environment={"MINE": "yes"})
        await run(first, "kept = 1; open('note', 'w').write('kept')")
        running = await first.submit(**run_arguments("import time; time.sleep(600)"))
        waiting = await first.submit(**run_arguments("1"))
    record = next(iter(first.recorder.sessions.values()))
    assert (record.state, record.ended_at) == ("stopped", None)
    assert "files are kept" in record.reason
    states = {str(each.id): each.state for each in first.recorder.executions.values()}
    assert states[waiting["id"]] == "cancelled"
    assert states[running["id"]] in ("interrupted", "cancelled")
    last = record.last_event_number

    async with a_host(tmp_path, first) as second:
        found = await second.find_session(**NAMED)
        assert (found["id"], found["state"]) == (session["id"], "stopped")

        code = (
            "import os; open('note', 'a').write(' too')\n"
            "print(open('note').read(), os.environ['MINE'], 'kept' in globals())"
        )
        assert await text_of(second, code) == "kept too yes False"
        assert second.recorder.events[-1]["number"] == record.last_event_number > last
        await second.close_session(**NAMED)

    assert not workspace_path(first.config.data_dir, record.id).exists()
    async with a_host(tmp_path, second) as third:
        with pytest.raises(SessionNotFound):
            await third.find_session(**NAMED)


async def test_a_session_that_is_stopped_is_stopped_again_if_nobody_used_it(tmp_path):
    async with a_host(tmp_path) as first:
        await run(first, "open('note', 'w').write('kept')")
    numbers = len(first.recorder.events)
    async with a_host(tmp_path, first):
        pass
    assert len(first.recorder.events) == numbers

    async with a_host(tmp_path, first) as third:
        assert await text_of(third, "print(open('note').read())") == "kept"


async def test_the_time_without_a_host_is_not_idle_time(tmp_path, monkeypatch):
    monkeypatch.setattr("sessions.kernels.host.REAP_SECONDS", 0.05)
    async with a_host(tmp_path, idle_timeout_seconds=3_600) as first:
        await run(first, "1")
    record = next(iter(first.recorder.sessions.values()))
    record.last_active_at -= timedelta(days=3)

    async with a_host(tmp_path, first, idle_timeout_seconds=1) as second:
        await second.open_session(owner_id=None, identifier="other", origin="test")
        async with asyncio.timeout(30):
            while len(await second.list_sessions(owner_id=None)) > 1:
                await asyncio.sleep(0.01)
        assert (await second.find_session(**NAMED))["id"] == str(record.id)


async def test_a_session_is_held_to_what_its_new_host_allows(tmp_path):
    async with a_host(tmp_path, limits=Limits(open_files=512, processes=128)) as first:
        await first.open_session(**NAMED, origin="test", policy={"limits": {"processes": 64}})

    async with a_host(tmp_path, first, limits=Limits(open_files=256)) as second:
        limits = (await second.find_session(**NAMED))["policy"]["limits"]
        assert (limits["open_files"], limits["processes"]) == (256, 64)
        said = "import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
        assert await text_of(second, said) == "256"


async def test_a_session_that_cannot_be_taken_back_is_lost_and_the_others_are_not(tmp_path):
    async with a_host(tmp_path) as first:
        await run(first, "1")
        await first.open_session(owner_id=None, identifier="other", origin="test")
    lost = next(iter(first.recorder.sessions.values()))
    files = workspace_path(first.config.data_dir, lost.id)
    files.rename(files.with_name("elsewhere"))
    files.write_text("no directory")

    async with a_host(tmp_path, first) as second:
        assert [each["identifier"] for each in await second.list_sessions(owner_id=None)] == [
            "other"
        ]

    assert (lost.state, lost.ended_at is None) == ("lost", False)
    assert "could not take it back" in lost.reason


async def test_files_of_a_session_that_cannot_be_taken_back_are_never_deleted(tmp_path):
    async with a_host(tmp_path) as first:
        await run(first, "open('note', 'w').write('mine')")
    mine = next(iter(first.recorder.sessions.values()))
    # The host has one place for the sockets of both: it can take back only one.
    twin = replace(mine, id=UUID(int=mine.id.int ^ 1), identifier="twin")
    first.recorder.sessions[twin.id] = twin
    theirs = workspace_path(first.config.data_dir, twin.id)
    theirs.mkdir(parents=True)
    (theirs / "note").write_text("theirs")

    for _ in range(2):  # nor by the start after that
        async with a_host(tmp_path, first) as host:
            await host._sessions._tidying
        assert (twin.state, (theirs / "note").read_text()) == ("lost", "theirs")
    assert (workspace_path(first.config.data_dir, mine.id) / "note").read_text() == "mine"
