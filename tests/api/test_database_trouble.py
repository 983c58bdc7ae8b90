"""Code goes on while the database takes nothing; what it put out is all there afterwards."""

from __future__ import annotations

import asyncio

import pytest

from sessions import engines, operations, recorder
from sessions.models import Event
from sessions.operations import SessionRef
from sessions.states import ExecutionState
from tests.locked import locked_database

pytestmark = [pytest.mark.kernel, pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]

REF = SessionRef(owner_id=None, identifier="s")
LINES = 300_000
WAIT_SECONDS = 120.0


@pytest.fixture
async def flow(host, monkeypatch, settings):
    """The flow of a host with little room for what is not written."""
    monkeypatch.setattr(recorder, "MAX_WAITING", 200_000)
    settings.WORKBENCH_MAX_OUTPUT_BYTES = 1_000_000_000
    await operations.open_session(REF, origin="test")
    return (await engines.engine()._start.wait())[1].flow


async def closes(flow) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while flow.is_open:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("kind", ["code", "command"])
async def test_output_waits_and_none_of_it_is_lost(flow, kind):
    await operations.run_code(REF, "kept = 1", origin="test")
    with locked_database():
        if kind == "code":
            code = f"for i in range({LINES}): print('line', i)"
            running = asyncio.create_task(operations.run_code(REF, code, origin="test"))
        else:
            program = ["sh", "-c", f"seq -f 'line %.0f' 0 {LINES - 1}"]
            running = asyncio.create_task(operations.run_command(REF, program, origin="test"))
        await closes(flow)
        assert not running.done()

    async with asyncio.timeout(WAIT_SECONDS):
        execution = await running

    assert execution.state == ExecutionState.SUCCEEDED
    texts = [each["data"]["text"] for each in execution.events if each["type"] == "stream"]
    assert "".join(texts).splitlines() == [f"line {i}" for i in range(LINES)]
    numbers = [event.number async for event in Event.objects.order_by("number")]
    assert numbers == list(range(1, len(numbers) + 1))


async def test_an_interrupt_meanwhile_keeps_the_kernel(flow):
    await operations.run_code(REF, "kept = 1", origin="test")
    with locked_database():
        code = "while True: print('x' * 1000)"
        running = asyncio.create_task(operations.run_code(REF, code, origin="test"))
        await closes(flow)
        await operations.interrupt(REF)

    async with asyncio.timeout(WAIT_SECONDS):
        assert (await running).state == ExecutionState.INTERRUPTED
        again = await operations.run_code(REF, "kept", origin="test")

    assert again.state == ExecutionState.SUCCEEDED
