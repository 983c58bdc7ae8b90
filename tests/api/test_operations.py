"""The verbs over the inline engine: real kernels, real rows."""

import asyncio

import pytest

from sessions import operations, recorder
from sessions.engines import close_engine, engine
from sessions.exceptions import ExecutionIdTaken, ExecutionNotFound, SessionNotFound
from sessions.models import Event, Execution, Session
from sessions.operations import SessionRef

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("host")]

REF = SessionRef(owner_id=None, identifier="s")


async def run(code, **more):
    return await operations.run_code(REF, code, origin="test", create=True, **more)


async def test_a_run_is_in_the_rows_when_it_is_answered():
    result = await run("print('hi')")

    row = await Execution.objects.aget(id=result.id)
    types = [event.type async for event in row.events.order_by("number")]
    assert (row.state, row.origin, row.code) == ("succeeded", "test", "print('hi')")
    assert types == ["execution_queued", "execution_started", "stream", "execution_finished"]


async def test_an_answer_from_the_rows_is_the_answer_from_the_host():
    direct = await run("print('hi'); 1/0")

    assert await operations.get_execution(REF, str(direct.id)) == direct


async def test_event_numbers_have_no_gaps_and_the_session_knows_the_last():
    await run("for i in range(100): print(i, flush=True)")
    await run("1/0")

    session = await Session.objects.aget()
    numbers = [event.number async for event in session.events.order_by("number")]
    assert numbers == list(range(1, session.last_event_number + 1))


async def test_submit_returns_before_the_code_ends_and_the_row_is_there():
    submitted = await operations.submit(
        REF, "import time; time.sleep(60)", origin="test", create=True
    )

    assert not submitted.is_finished
    assert await Execution.objects.filter(id=submitted.id).aexists()


async def test_wait_returns_the_finished_execution_of_a_closed_session():
    done = await run("1 + 1", client_id="mine")
    await operations.close_session(REF)

    assert (await operations.wait(REF, "mine")).id == done.id


async def test_wait_gives_up_after_its_timeout():
    await operations.submit(
        REF, "import time; time.sleep(60)", origin="test", create=True, client_id="long"
    )

    assert not (await operations.wait(REF, "long", timeout_seconds=0.1)).is_finished


async def test_unknown_executions_are_not_found():
    await run("1")

    for execution_id in ("nothing", "12345678-1234-1234-1234-123456789abc"):
        with pytest.raises(ExecutionNotFound):
            await operations.wait(REF, execution_id)


async def test_without_create_nothing_is_opened():
    with pytest.raises(SessionNotFound):
        await operations.run_code(REF, "1", origin="test")
    assert not await Session.objects.aexists()


async def test_a_subscriber_hears_of_every_commit():
    session = await operations.open_session(REF, origin="test")

    async with engine().subscribe(str(session.id)) as notices:
        await run("print('hi')")
        newest = await anext(notices)

    assert newest == await Event.objects.acount()


async def test_output_is_told_while_the_code_runs():
    session = await operations.open_session(REF, origin="test")

    async with engine().subscribe(str(session.id)) as notices, asyncio.timeout(30):
        await operations.submit(
            REF, "print('now', flush=True); import time; time.sleep(60)", origin="test"
        )
        while not await Event.objects.filter(type="stream").aexists():
            await anext(notices)

    assert (await Execution.objects.aget()).state == "running"


async def test_code_that_writes_files_makes_rows():
    session = await operations.open_session(REF, origin="test")
    await run("open('made.txt', 'w').write('12345')")

    row = await Session.objects.aget(id=session.id)
    async with asyncio.timeout(60):
        while not await row.files.aexists():
            await asyncio.sleep(0.02)
    file = await row.files.aget()
    assert (file.path, file.size_bytes, file.origin) == ("made.txt", 5, "")


async def test_what_a_lost_host_left_becomes_true_before_the_next_answers():
    done = await run("print('kept')")
    running = await operations.submit(REF, "import time; time.sleep(60)", origin="test")
    # What a host that was killed leaves: rows that say what is no longer so.
    left = await Session.objects.aget()
    events = await left.events.acount()
    await close_engine()
    await Session.objects.filter(id=left.id).aupdate(
        state="busy", ended_at=None, reason="", last_event_number=events
    )
    await left.events.filter(number__gt=events).adelete()
    await Execution.objects.filter(id=running.id).aupdate(
        state="running", finished_at=None, final_event_number=None
    )

    await engine().call("health")

    session = await Session.objects.aget()
    numbers = [event.number async for event in session.events.order_by("number")]
    assert (session.state, session.ended_at) == ("stopped", None)
    assert (await Execution.objects.aget(id=running.id)).state == "lost"
    assert (await operations.get_execution(REF, str(done.id))).events == done.events
    assert numbers == list(range(1, session.last_event_number + 1))
    await run("print('again')")
    numbers = [event.number async for event in session.events.order_by("number")]
    assert numbers == list(range(1, len(numbers) + 1))


async def test_an_end_that_is_told_is_written(monkeypatch):
    """Also if the host has just let go of what ended, and has not written it yet."""
    monkeypatch.setattr(recorder, "BATCH_SECONDS", 60)
    submitted = await operations.submit(REF, "1", origin="test", create=True)
    host, _ = await engine()._start.wait()
    await host._find(None, "s").execution(str(submitted.id)).ended.wait()

    assert (await operations.wait(REF, str(submitted.id))).is_finished


async def test_a_clients_own_id_is_known_to_the_next_host():
    first = await run("print('once')", client_id="mine")
    await close_engine()

    again = await run("print('once')", client_id="mine")
    with pytest.raises(ExecutionIdTaken):
        await operations.submit(REF, "other", origin="test", client_id="mine")

    assert again == first
    assert await Execution.objects.acount() == 1
