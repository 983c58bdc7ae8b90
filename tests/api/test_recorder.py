"""The event log's only writer."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from django.db import OperationalError, connection, transaction
from django.db.models.signals import post_save

from sessions import recorder as recorder_module
from sessions.exceptions import Conflict, Unavailable
from sessions.hosts import Claim
from sessions.kernels.records import AuditRecord, ExecutionRecord, SessionRecord, now
from sessions.models import AuditEntry, Event, Execution, Quota, Session
from sessions.recorder import DatabaseRecorder
from sessions.states import AuditAction, EventType, ExecutionState, SessionState
from tests.locked import locked_database

pytestmark = pytest.mark.django_db(transaction=True)

# More rows than a statement takes.
MANY = recorder_module.ROWS_PER_STATEMENT + 1


@pytest.fixture
def told() -> list[dict[str, int]]:
    """What readers were told, commit by commit."""
    return []


@pytest.fixture
async def recorder(told) -> AsyncIterator[DatabaseRecorder]:
    recorder = DatabaseRecorder(told.append)
    await recorder.start(Claim(name="test", slots=1))
    yield recorder
    await recorder.stop()


def a_session(**more) -> SessionRecord:
    fields = {"identifier": "s", "owner_id": None, "kernel_name": "python3", "origin": "test"}
    return SessionRecord(**fields, host="test", idle_timeout_seconds=None, **more)


@pytest.fixture
async def session(recorder) -> SessionRecord:
    session = a_session()
    await recorder.create_session(session)
    return session


def stream(text: str) -> dict:
    return {"name": "stdout", "text": text}


async def texts() -> list[str]:
    return [event.data["text"] async for event in Event.objects.order_by("number")]


async def test_what_was_committed_is_in_the_rows(recorder, session):
    recorder.append(session, EventType.STREAM, stream("a"))
    await recorder.commit()

    assert await texts() == ["a"]
    assert (await Session.objects.aget()).last_event_number == 1


async def test_readers_are_told_after_the_commit_and_only_numbers(recorder, session, told):
    recorder.append(session, EventType.SESSION_STATE, {"state": "idle"})
    recorder.append(session, EventType.SESSION_STATE, {"state": "busy"})
    await recorder.commit()

    assert [numbers[str(session.id)] for numbers in told if str(session.id) in numbers] == [2]


async def test_nobody_waits_and_still_it_is_written(recorder, session, told):
    recorder.append(session, EventType.STREAM, stream("a"))

    async with asyncio.timeout(60):
        while not told:
            await asyncio.sleep(0.005)
    assert await texts() == ["a"]


async def test_unwritten_text_of_one_stream_grows_into_one_event(recorder, session):
    for text in ("a", "b", "c"):
        recorder.append(session, EventType.STREAM, stream(text))
    recorder.append(session, EventType.STREAM, {"name": "stderr", "text": "d"})
    recorder.append(session, EventType.STREAM, stream("e"))
    await recorder.commit()

    assert await texts() == ["abc", "d", "e"]


async def test_written_text_never_changes(recorder, session):
    recorder.append(session, EventType.STREAM, stream("a"))
    await recorder.commit()
    recorder.append(session, EventType.STREAM, stream("b"))
    await recorder.commit()

    assert await texts() == ["a", "b"]


async def test_a_live_name_can_be_taken_once_per_owner(recorder, session):
    with pytest.raises(Conflict):
        await recorder.create_session(a_session())

    session.state, session.ended_at = SessionState.CLOSED, now()
    recorder.changed(session)
    await recorder.commit()
    await recorder.create_session(a_session())


async def test_an_execution_is_created_once_and_then_updated(recorder, session):
    execution = ExecutionRecord(session_id=session.id, kind="code", code="1", origin="test")
    recorder.changed(execution)
    await recorder.commit()
    execution.state, execution.finished_at = ExecutionState.SUCCEEDED, now()
    recorder.changed(execution)
    await recorder.commit()

    assert (await Execution.objects.aget()).state == "succeeded"


async def test_rows_say_what_records_say(recorder, session):
    """The statements are worded by the recorder: each value must come to its own column."""
    execution = ExecutionRecord(
        **{"session_id": session.id, "kind": "command", "code": "%s 'é'", "origin": "test"},
        **{"cell": uuid4(), "client_id": "mine", "timeout_seconds": 1.5, "request": {"a": [1]}},
    )
    recorder.changed(execution)
    await recorder.commit()
    execution.state, execution.reason = ExecutionState.FAILED, "It was 50 % done."
    execution.exit_code, execution.execution_count = 3, 4
    execution.started_at, execution.finished_at = now(), now()
    event = recorder.append(session, EventType.EXECUTION_FINISHED, {"text": "\u2028"}, execution.id)
    execution.final_event_number = event["number"]
    recorder.changed(execution)
    session.state, session.reason, session.last_active_at = SessionState.DIED, "Why.", now()
    recorder.changed(session)
    await recorder.commit()

    assert (await Event.objects.aget()).to_wire() == event
    for record, row in (
        (execution, await Execution.objects.aget()),
        (session, await Session.objects.aget()),
    ):
        names = [each.name for each in fields(record)]
        assert {name: getattr(row, name) for name in names} == asdict(record)


async def test_an_execution_may_end_while_its_beginning_is_written(recorder, session):
    """A slow first transaction must not make the next one create the row again."""
    writing, go_on = threading.Event(), threading.Event()

    def wait_in_the_first(execute, sql, *arguments):
        if not writing.is_set() and "INSERT" in sql:
            writing.set()
            go_on.wait(10)
        return execute(sql, *arguments)

    await recorder._in_thread(lambda: connection.execute_wrappers.append(wait_in_the_first))
    execution = ExecutionRecord(session_id=session.id, kind="code", code="1", origin="test")
    recorder.changed(execution)
    first = asyncio.create_task(recorder.commit())
    await asyncio.to_thread(writing.wait, 10)
    execution.state, execution.finished_at = ExecutionState.SUCCEEDED, now()
    go_on.set()
    await first
    recorder.changed(execution)
    await recorder.commit()

    assert (await Execution.objects.aget()).state == "succeeded"


async def test_what_the_database_refuses_is_tried_again_in_order(
    recorder, session, told, monkeypatch
):
    monkeypatch.setattr(recorder_module, "RETRY_SECONDS", (0.01,))
    refusals = iter([True, True])

    def refuse(execute, *arguments):
        if next(refusals, False):
            raise OperationalError("the disk is full")
        return execute(*arguments)

    await recorder._in_thread(lambda: connection.execute_wrappers.append(refuse))
    recorder.append(session, EventType.STREAM, stream("a"))
    waiting = asyncio.create_task(recorder.commit())
    await asyncio.sleep(0)
    await waiting
    recorder.append(session, EventType.STREAM, stream("b"))
    await recorder.commit()
    await recorder._in_thread(connection.execute_wrappers.clear)

    assert await texts() == ["a", "b"]
    assert next(refusals, None) is None


async def test_a_session_deleted_under_us_does_not_stop_the_others(recorder, session):
    other = a_session()
    other.identifier = "other"
    await recorder.create_session(other)
    await Session.objects.filter(id=session.id).adelete()

    recorder.append(session, EventType.STREAM, stream("gone"))
    recorder.append(other, EventType.STREAM, stream("kept"))
    await recorder.commit()

    assert await texts() == ["kept"]


async def test_stop_writes_what_is_left(told):
    recorder = DatabaseRecorder(told.append)
    await recorder.start(Claim(name="test", slots=1))
    session = a_session()
    await recorder.create_session(session)
    recorder.append(session, EventType.STREAM, stream("last"))
    await recorder.stop()

    assert await texts() == ["last"]


async def test_what_no_database_can_hold_is_left_out_and_the_rest_is_written(recorder, session):
    record = ExecutionRecord(session_id=session.id, kind="code", code="1", origin="test")
    record.exit_code = 2**70
    recorder.changed(record)
    recorder.append(session, EventType.STREAM, stream("a"))

    async with asyncio.timeout(60):
        await recorder.commit()
        recorder.append(session, EventType.CLEAR_OUTPUT, {"wait": False})
        await recorder.commit()

    assert await Event.objects.acount() == 2


# --- Room -------------------------------------------------------------------------------------


async def test_output_has_to_wait_while_too_much_is_unwritten(recorder, session, monkeypatch):
    monkeypatch.setattr(recorder_module, "MAX_WAITING", 10_000)
    with locked_database():
        for number in range(200):
            recorder.append(session, EventType.STREAM, stream(f"{number}\n" + "x" * 500))
            if number == 2:
                assert recorder.flow.is_open
        assert not recorder.flow.is_open

    async with asyncio.timeout(60):
        await recorder.flow.opened()
        await recorder.commit()
    assert len("".join(await texts()).replace("x", "").split()) == 200


async def test_a_database_that_takes_nothing_is_told_in_a_sentence(recorder, session):
    with locked_database():
        await recorder._in_thread(give_up_soon)
        with pytest.raises(Unavailable, match="takes nothing"):
            await recorder.create_session(replace(a_session(), identifier="other"))

    await recorder.create_session(replace(a_session(), identifier="other"))


def give_up_soon() -> None:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout = 100")


# --- A connection that breaks between the commit and its answer -----------------------------------


@pytest.fixture
def lost_answer() -> Iterator[Callable[[], None]]:
    """Calls up one such failure, of the next session that is written."""
    waiting: list[bool] = []

    def lose_answer(sender: Any, **_: Any) -> None:
        if waiting:
            waiting.clear()
            transaction.on_commit(fail)

    def fail() -> None:
        raise OperationalError("the connection was lost")

    post_save.connect(lose_answer, sender=Session)
    yield lambda: waiting.append(True)
    post_save.disconnect(lose_answer, sender=Session)


async def test_a_session_that_was_refused_is_not_there(recorder, session, lost_answer):
    other = replace(a_session(), identifier="other")
    lost_answer()
    with pytest.raises(Unavailable):
        await recorder.create_session(other)

    await recorder.create_session(replace(a_session(), identifier="other", id=uuid4()))

    assert not await Session.objects.filter(id=other.id).aexists()
    assert await Session.objects.filter(identifier="other").acount() == 1


async def test_what_is_written_already_is_not_written_again(recorder, session, monkeypatch):
    execution = ExecutionRecord(session_id=session.id, kind="code", code="1", origin="test")
    failures = [OperationalError("the connection was lost")]

    @contextmanager
    def losing_the_answer() -> Iterator[None]:
        with transaction.atomic():
            yield
        if failures:
            raise failures.pop()

    monkeypatch.setattr(recorder_module, "transaction", SimpleNamespace(atomic=losing_the_answer))
    recorder.changed(execution)
    recorder.append(session, EventType.STREAM, stream("a"), execution.id)
    recorder.audit(AuditRecord.now(AuditAction.EXECUTION_ENDED, session_id=session.id))
    await recorder.commit()

    assert not failures
    assert await texts() == ["a"]
    assert await Execution.objects.acount() == 1
    assert await AuditEntry.objects.acount() == 1
    assert (await Session.objects.aget()).last_event_number == 1


async def test_many_rows_of_a_table_change_at_once(recorder):
    sessions = [replace(a_session(), identifier=f"s{n}", id=uuid4()) for n in range(MANY)]
    for each in sessions:
        await recorder.create_session(each)
    for number, each in enumerate(sessions):
        each.reason, each.last_event_number = f"reason {number}", number
        recorder.changed(each)
    await recorder.commit()

    rows = {row.id: row async for row in Session.objects.all()}
    assert [rows[each.id].reason for each in sessions] == [f"reason {n}" for n in range(MANY)]
    assert [rows[each.id].last_event_number for each in sessions] == list(range(MANY))


# --- What hosts ask of the rows ----------------------------------------------------------------


async def ran(recorder, session, *, state=ExecutionState.SUCCEEDED, ago=0.0, **more) -> None:
    """An execution of two seconds that ended so many hours ago, after its host had written it."""
    end = now() - timedelta(hours=ago)
    record = ExecutionRecord(session_id=session.id, kind="code", code="1", origin="test")
    recorder.changed(record)
    await recorder.commit()
    record.state, record.finished_at = state, end
    record.started_at, record.output_bytes = end - timedelta(seconds=2), 100
    for name, value in more.items():
        setattr(record, name, value)
    session.last_active_at = max(session.last_active_at, end)
    recorder.changed(record)
    recorder.changed(session)
    await recorder.commit()


async def test_what_ran_in_the_last_day_is_in_the_rows(recorder, session, django_user_model):
    ada = await django_user_model.objects.acreate(username="ada")
    hers = replace(a_session(), owner_id=ada.pk)
    await recorder.create_session(hers)
    await ran(recorder, session, ago=25)
    await ran(recorder, session, ago=23, output_bytes=7)
    await ran(recorder, session, state=ExecutionState.LOST)
    await ran(recorder, session, state=ExecutionState.CANCELLED, started_at=None)
    await ran(recorder, hers, state=ExecutionState.TIMED_OUT)

    spent = await recorder.spent(now() - timedelta(hours=24))

    assert sorted((each.owner_id or 0, each.output_bytes) for each in spent) == [
        (0, 7),
        (ada.pk, 100),
    ]
    assert {each.finished_at - each.started_at for each in spent} == {timedelta(seconds=2)}


async def test_what_was_run_before_output_was_counted_is_none(recorder, session):
    await ran(recorder, session)
    await Execution.objects.aupdate(output_bytes=None)

    (spent,) = await recorder.spent(now() - timedelta(hours=24))

    assert spent.output_bytes == 0


async def test_accounts_have_of_their_own_what_is_not_empty(recorder, django_user_model):
    ada, bob = [await django_user_model.objects.acreate(username=name) for name in ("a", "b")]
    await Quota.objects.acreate(account=ada, sessions=0, output_bytes=5)
    await Quota.objects.acreate(account=bob)

    assert await recorder.quotas() == {ada.pk: {"sessions": 0, "output_bytes": 5}, bob.pk: {}}
