"""What may overlap: starts, restarts, interrupts, closes, deaths and the end of the host."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest

from sessions.exceptions import ExecutionFinished, SessionNotFound, Unavailable
from sessions.kernels import runs
from sessions.outcomes import fold
from tests.hosts import (
    NAMED,
    event_of_type,
    newcomers,
    run,
    run_arguments,
    started_host,
)

pytestmark = pytest.mark.kernel

SLEEP = "import time; time.sleep(60)"


async def test_an_interrupt_right_after_the_start_reaches_the_code(host, monkeypatch):
    # However long it takes on a busy machine, no kernel is taken for one that ignores interrupts.
    monkeypatch.setattr(runs, "INTERRUPT_GRACE_SECONDS", 1000.0)
    await run(host, "kept = 1")
    for _ in range(10):
        last = host.recorder.events[-1]["number"]
        execution = await host.submit(**run_arguments(SLEEP))
        await event_of_type(host, "execution_started", after=last)
        await host.interrupt(**NAMED)
        await host.wait(**NAMED, execution_id=execution["id"], timeout_seconds=50)
        assert host.recorder.executions[UUID(execution["id"])].state == "interrupted"

    assert fold((await run(host, "kept"))["events"]).result == {"text/plain": "1"}


async def test_restarts_at_the_same_time_all_end(host):
    await run(host, "1")

    async with asyncio.timeout(30):
        await asyncio.gather(*(host.restart(**NAMED) for _ in range(3)))

    assert (await run(host, "1"))["state"] == "succeeded"


async def test_what_is_submitted_after_a_restart_runs_on_the_new_kernel(host):
    await run(host, "kept = 1")

    restart = asyncio.create_task(host.restart(**NAMED))
    submit = asyncio.create_task(host.submit(**run_arguments("'kept' in globals()")))
    await restart
    execution = await submit
    await host.wait(**NAMED, execution_id=execution["id"], timeout_seconds=20)

    assert host.recorder.executions[UUID(execution["id"])].state == "succeeded"
    results = [e["data"]["data"] for e in host.recorder.events if e["type"] == "execute_result"]
    assert results == [{"text/plain": "False"}]


async def test_a_close_ends_a_restart_that_is_under_way(host, before):
    await run(host, "1")
    restart = asyncio.create_task(host.restart(**NAMED))
    await event_of_type(host, "session_state", after=host.recorder.events[-1]["number"])

    async with asyncio.timeout(30):
        await host.close_session(**NAMED)
        with pytest.raises(SessionNotFound):
            await restart

    session = next(iter(host.recorder.sessions.values()))
    assert session.state == "closed"
    assert not newcomers(before)


async def test_a_restart_and_a_close_asked_for_at_once_leave_a_closed_session(host, before):
    await run(host, "1")

    async with asyncio.timeout(30):
        await asyncio.gather(
            host.restart(**NAMED), host.close_session(**NAMED), return_exceptions=True
        )

    session = next(iter(host.recorder.sessions.values()))
    assert session.state == "closed"
    assert not newcomers(before)


async def test_a_question_during_a_restart_is_answered_by_the_new_kernel(host):
    await run(host, "1")
    restart = asyncio.create_task(host.restart(**NAMED))
    await event_of_type(host, "session_state", after=host.recorder.events[-1]["number"])

    answer = await host.inspect(**NAMED, code="print", cursor=5, detail=0)
    await restart

    assert answer["found"]
    assert (await run(host, "1"))["state"] == "succeeded"


async def test_what_comes_while_a_kernel_is_ended_runs_on_the_next(host):
    """It was sent to the kernel that was being killed for too much memory, and failed with it."""
    await run(host, "kept = 1")
    kernel = host._sessions.find(None, "s")._slot.running()

    kernel.exceed("It used too much.")
    assert not kernel.death.done()
    result, answer = await asyncio.gather(
        run(host, "print('kept' in globals())"), host.complete(**NAMED, code="kep", cursor=3)
    )

    assert (result["state"], result["reason"]) == ("succeeded", "")
    assert fold(result["events"]).stdout == "False\n"
    assert answer["matches"] == []


async def test_a_session_closes_while_its_kernel_starts(host):
    await host.open_session(**NAMED, origin="test")
    waiting = asyncio.create_task(run(host, "1"))
    await event_of_type(host, "execution_queued")

    await host.close_session(**NAMED)

    assert (await waiting)["state"] in {"cancelled", "interrupted"}


async def test_a_command_ends_with_its_session(host):
    waiting = asyncio.create_task(run(host, "", kind="command", command=["sleep", "60"]))
    await event_of_type(host, "execution_started")

    await host.close_session(**NAMED)

    assert (await waiting)["state"] == "interrupted"


async def test_a_host_that_stops_opens_no_session_any_more(tmp_path, before):
    host = await started_host(tmp_path)
    opening = asyncio.create_task(host.open_session(**NAMED, origin="test"))
    await asyncio.sleep(0)

    await host.stop()
    await asyncio.gather(opening, return_exceptions=True)

    assert {each.state for each in host.recorder.sessions.values()} <= {"stopped"}
    assert not newcomers(before)
    with pytest.raises(Unavailable):
        await host.open_session(**NAMED, origin="test")


async def test_a_host_that_stops_finishes_the_closing_of_sessions(tmp_path):
    host = await started_host(tmp_path)
    await run(host, "1")
    closing = asyncio.create_task(host.close_session(**NAMED))
    while await host.list_sessions(owner_id=None):
        await asyncio.sleep(0)

    await host.stop()

    await closing
    assert all(session.ended_at for session in host.recorder.sessions.values())
    assert not list((tmp_path / "data/workspaces").glob("*/*"))


async def test_a_submission_under_a_name_that_has_ended_leads_to_the_first(host):
    first = await run(host, "print(1)", client_id="mine")

    again = await host.submit(**run_arguments("print(1)", client_id="mine"))

    assert again["id"] == first["id"]
    assert len(host.recorder.executions) == 1


async def test_a_finished_command_is_told_from_an_unknown_one(host):
    done = await run(host, "", kind="command", command=["true"])

    with pytest.raises(ExecutionFinished):
        await host.cancel(**NAMED, execution_id=done["id"])


async def test_a_session_that_waits_for_input_expires_too(tmp_path, monkeypatch):
    monkeypatch.setattr("sessions.kernels.host.REAP_SECONDS", 0.05)
    host = await started_host(tmp_path, idle_timeout_seconds=1)
    try:
        async with asyncio.timeout(20):
            result = await run(host, "input()", allow_input=True)
    finally:
        await host.stop()

    assert result["state"] == "interrupted"
