"""Quotas of owners, kept by the host: whatever door asks for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from sessions.exceptions import (
    ExecutionFinished,
    QueueLimitReached,
    QuotaReached,
    SessionLimitReached,
    SessionNotFound,
    WorkspaceFull,
)
from sessions.kernels import host as host_module
from sessions.kernels.host import Host
from sessions.kernels.quotas import Quota
from sessions.kernels.workspace import workspace_path
from sessions.outcomes import fold
from tests.hosts import NAMED, run, run_arguments, started_host

pytestmark = pytest.mark.kernel

MIB = 1024 * 1024
ADA, BOB = 1, 2
LOOPS = "while True: pass"
FILLS = "open({name!r}, 'wb').write(b'x' * {size})"


@pytest.fixture
def host_with(tmp_path: Path) -> Callable[..., Any]:
    """Makes a host with a quota, or the one after ``before``."""

    @asynccontextmanager
    async def make(before: Host | None = None, **quota: int) -> AsyncIterator[Host]:
        if before is None:
            host = await started_host(tmp_path, quota=Quota(**quota))
        else:
            host = Host(before.config, before.recorder)
            await host.start(list(before.recorder.sessions.values()))
        try:
            yield host
        finally:
            await host.stop()

    return make


def of(owner_id: int | None, identifier: str = "s", **more: Any) -> dict[str, Any]:
    return {"owner_id": owner_id, "identifier": identifier, **more}


async def used(host: Host, owner_id: int | None = None) -> dict[str, float]:
    usage = await host.usage(owner_id=owner_id)
    return {each["name"]: each["used"] for each in usage["quotas"]}


async def end_of(host: Host, execution_id: str) -> None:
    with suppress(ExecutionFinished):
        await host.wait(**NAMED, execution_id=execution_id, timeout_seconds=60)


async def opened(host: Host, owner_id: int | None, identifier: str) -> dict[str, Any]:
    return await host.open_session(**of(owner_id, identifier), origin="test")


async def test_an_owner_opens_as_many_sessions_as_may_be(host_with):
    async with host_with(sessions=2) as host:
        await opened(host, ADA, "a")
        others = await asyncio.gather(
            *(opened(host, ADA, name) for name in "bcd"), return_exceptions=True
        )
        with pytest.raises(SessionLimitReached):
            await run(host, "1", **of(ADA, "e"))
        again = await opened(host, ADA, "a")
        await opened(host, BOB, "a")
        await opened(host, None, "a")
        await host.close_session(**of(ADA, "a"))
        after = await opened(host, ADA, "a")

        assert sorted(type(each).__name__ for each in others) == [
            "SessionLimitReached",
            "SessionLimitReached",
            "dict",
        ]
        assert (again["created"], after["created"]) == (False, True)
        assert (await used(host, ADA))["sessions"] == 2


async def test_executions_of_all_sessions_count_together(host_with):
    async with host_with(executions=2) as host:
        first = await host.submit(**run_arguments(LOOPS, client_id="mine"))
        await run(host, "1", identifier="other")
        await run(host, "1", **of(ADA))  # another owner's
        await host.submit(**run_arguments(LOOPS, identifier="other"))
        with pytest.raises(QueueLimitReached):
            await run(host, "1")
        with pytest.raises(QueueLimitReached):
            await run(host, "1", identifier="new")
        with pytest.raises(SessionNotFound):  # nothing was opened for what was refused
            await host.find_session(**of(None, "new"))
        again = await host.submit(**run_arguments(LOOPS, client_id="mine"))
        await host.cancel(**NAMED, execution_id=first["id"])
        await end_of(host, first["id"])
        after = await run(host, "print('in')")

        assert again["id"] == first["id"]
        assert fold(after["events"]).stdout == "in\n"
    assert (await used(host))["executions"] == 0


async def test_steps_that_follow_each_other_are_let_in_together(host_with):
    steps = [
        {"name": name, "command": ["sleep", "600"], "code": None} for name in ("build", "exec")
    ]
    async with host_with(executions=1) as host:
        await opened(host, None, "s")
        await host.start_run(**NAMED, run_id="r", steps=steps, origin="test", environment={})

        assert (await used(host))["executions"] == 2
        with pytest.raises(QueueLimitReached):
            await host.start_run(**NAMED, run_id="q", steps=steps, origin="test", environment={})


@pytest.mark.parametrize("command", [None, ["sleep", "600"]])
async def test_what_runs_is_interrupted_when_the_time_is_used_up(host_with, command):
    async with host_with(execution_seconds=1) as host:
        kind = "command" if command else "code"
        arguments = run_arguments(LOOPS, kind=kind, command=command)
        running = asyncio.create_task(host.run(**arguments))
        while not (await used(host))["executions"]:
            await asyncio.sleep(0)
        waiting = await host.submit(**run_arguments("1"))
        ended = await running
        await end_of(host, waiting["id"])
        with pytest.raises(QuotaReached):
            await run(host, "1")
        others = await run(host, "1", **of(ADA))

        assert ended["state"] == "failed"
        assert ended["reason"].startswith("It was interrupted. Your code ran for 1 second in")
        behind = host.recorder.executions[host_module._uuid(waiting["id"])]
        assert (behind.state, behind.started_at) == ("failed", None)
        assert behind.reason.startswith("Your code ran for 1 second in the last 24 hours")
        assert others["state"] == "succeeded"
        assert (await used(host))["execution_seconds"] >= 1


async def test_what_puts_out_too_much_is_interrupted(host_with):
    async with host_with(output_bytes=10_000) as host:
        await run(host, "print('x' * 5000)")
        loud = await run(host, "while True: print('x' * 99)")
        with pytest.raises(QuotaReached, match=r"put out 9\.8 KiB in the last 24 hours"):
            await run(host, "1")

        assert loud["state"] == "failed"
        assert loud["reason"].startswith("It was interrupted. Your code put out 9.8 KiB in")
        rows = [each.output_bytes for each in host.recorder.executions.values()]
        assert rows[0] == 5001
        assert sum(rows) == (await used(host))["output_bytes"] > 10_000


async def test_late_output_counts_for_the_execution_it_is_of(host_with):
    late = """
import threading, time
def say():
    time.sleep(0.3)
    print("y" * 1000)
threading.Thread(target=say).start()
"""
    async with host_with(output_bytes=MIB) as host:
        execution = await run(host, late)
        async with asyncio.timeout(30):
            while (await used(host))["output_bytes"] < 1000:
                await asyncio.sleep(0.01)

        assert execution["state"] == "succeeded"
        (record,) = host.recorder.executions.values()
        assert record.output_bytes >= 1000


async def test_the_day_outlasts_the_host_that_counted_it(host_with):
    async with host_with(output_bytes=1000) as first:
        await run(first, "print('x' * 1000)")
        await run(first, "print('x' * 10)", **of(ADA))
        before = [await used(first), await used(first, ADA)]
    async with host_with(before=first) as second:
        after = [await used(second), await used(second, ADA)]
        with pytest.raises(QuotaReached):
            await run(second, "1")
        ran = await run(second, "1", **of(ADA))

    names = ("execution_seconds", "output_bytes")
    for one, other in zip(before, after, strict=True):
        assert [other[name] for name in names] == pytest.approx(
            [one[name] for name in names], abs=0.1
        )
    assert ran["state"] == "succeeded"


async def test_files_of_all_sessions_count_together(host_with, monkeypatch):
    monkeypatch.setattr("sessions.kernels.host.SAMPLE_SECONDS", 0.05)
    async with host_with(storage_bytes=4 * MIB) as host:
        for name in "ab":
            await run(host, FILLS.format(name="f", size=3 * MIB // 2), identifier=name)
        grows = "import time\n" + FILLS.format(name="g", size=2 * MIB) + "\ntime.sleep(600)"
        busy = await host.submit(**run_arguments("import time; time.sleep(600)", identifier="a"))
        grown = await run(host, grows, identifier="b")
        refused = []
        for name in "ab":
            with pytest.raises(WorkspaceFull) as refusal:
                await run(host, "1", identifier=name)
            refused.append(refusal.value.message)
        others = await run(host, "1", **of(ADA))
        silent = host.recorder.executions[host_module._uuid(busy["id"])]

        assert grown["state"] == "failed"
        assert grown["reason"].startswith("It was interrupted. The files of your sessions take")
        assert silent.state == "running", "only what writes is stopped"
        assert all("together more than 4 MiB" in each for each in refused)
        assert others["state"] == "succeeded"

        directory = workspace_path(host.config.data_dir, host._sessions.find(None, "b").record.id)
        (directory / "g").unlink()
        after = await run(host, "1", identifier="b")
        assert after["state"] == "succeeded"
        assert (await used(host))["storage_bytes"] == pytest.approx(3 * MIB, rel=0.05)


async def test_an_accounts_own_quota_counts_soon(host_with, monkeypatch):
    monkeypatch.setattr(host_module, "GRANT_SECONDS", 0.02)
    async with host_with(sessions=1) as host:
        await opened(host, ADA, "a")
        with pytest.raises(SessionLimitReached):
            await opened(host, ADA, "b")
        host.recorder.own_quotas = {ADA: {"sessions": 2}}
        async with asyncio.timeout(30):
            while True:
                try:
                    await opened(host, ADA, "b")
                    break
                except SessionLimitReached:
                    await asyncio.sleep(0.01)
        await opened(host, BOB, "a")
        with pytest.raises(SessionLimitReached):
            await opened(host, BOB, "b")


async def test_quotas_that_cannot_be_read_stay_as_they_were(host_with, monkeypatch):
    monkeypatch.setattr(host_module, "GRANT_SECONDS", 0.01)
    async with host_with() as host:
        host.recorder.own_quotas = {ADA: {"sessions": 1}}
        async with asyncio.timeout(30):
            while host._ledger.account(ADA).quota.sessions is None:
                await asyncio.sleep(0.01)
        asked = asyncio.Event()

        async def broken() -> dict[int, dict[str, int]]:
            asked.set()
            raise RuntimeError("no database")

        host.recorder.quotas = broken
        await asked.wait()
        await opened(host, ADA, "a")
        with pytest.raises(SessionLimitReached):
            await opened(host, ADA, "b")


async def test_what_a_quota_refused_is_counted(host_with):
    async with host_with(sessions=1) as host:
        await opened(host, None, "a")
        with pytest.raises(SessionLimitReached):
            await opened(host, None, "b")
        text = await host.metrics()

    assert 'workbench_quotas_reached_total{quota="sessions"} 1.0' in text
    assert 'workbench_quotas_reached_total{quota="output_bytes"} 0.0' in text
