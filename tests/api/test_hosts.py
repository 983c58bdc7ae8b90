"""Rows of hosts: who may write, and what is true of what a host had when it is gone."""

from __future__ import annotations

import threading
from datetime import timedelta
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, transaction

from sessions import hosts
from sessions.exceptions import HostUnavailable
from sessions.hosts import Claim, Superseded
from sessions.kernels.records import ExecutionRecord, SessionRecord, now
from sessions.models import AuditEntry, Event, Execution, Host, Session
from sessions.recorder import DatabaseRecorder
from sessions.states import AuditAction, EventType, ExecutionState, HostState, SessionState

pytestmark = pytest.mark.django_db(transaction=True)


def claim(**more) -> Claim:
    return Claim(**{"name": "h", "slots": 4, **more})


def session_of(host: str = "h", identifier: str = "s") -> SessionRecord:
    return SessionRecord(
        identifier=identifier,
        owner_id=None,
        kernel_name="python3",
        origin="api",
        host=host,
        idle_timeout_seconds=None,
    )


async def busy_session(recorder: DatabaseRecorder, **named: str) -> SessionRecord:
    """A session of a recorder's, in which something runs and something waits."""
    session = session_of(**named)
    await recorder.create_session(session)
    for state in (ExecutionState.RUNNING, ExecutionState.QUEUED):
        execution = ExecutionRecord(session_id=session.id, kind="code", code="1", origin="api")
        execution.state = state
        recorder.changed(execution)
        recorder.append(session, EventType.EXECUTION_QUEUED, {}, execution.id)
    await recorder.commit()
    return session


def check(claimed: Claim) -> None:
    with transaction.atomic():
        claimed.check()


def numbers() -> list[int]:
    return list(Event.objects.order_by("number").values_list("number", flat=True))


def test_only_the_newest_life_of_a_host_may_write():
    first, second = claim(), claim()
    first.take()
    check(first)

    second.take()

    check(second)
    with pytest.raises(Superseded):
        check(first)


def test_a_host_that_was_given_up_may_not_write_until_it_claims_its_name_again():
    given_up = claim()
    given_up.take()
    hosts.give_up("h", given_up.life)

    with pytest.raises(Superseded):
        check(given_up)
    back = claim()
    back.take()
    check(back)
    assert Host.objects.get().state == HostState.UP


def test_the_lives_of_other_hosts_do_not_matter():
    one, other = claim(), claim(name="other")
    one.take()
    other.take()
    hosts.give_up("other", other.life)

    check(one)


async def test_what_was_on_a_host_that_is_given_up_is_lost():
    recorder, claimed = DatabaseRecorder(lambda _: None), claim()
    await recorder.start(claimed)
    session = await busy_session(recorder)

    told = await sync_to_async(hosts.give_up)("h", claimed.life)

    row = await Session.objects.aget()
    assert (row.state, bool(row.ended_at)) == (SessionState.LOST, True)
    assert row.reason == "The machine that it ran on is gone."
    states = [each.state async for each in Execution.objects.all()]
    assert states == [ExecutionState.LOST] * 2
    assert told == {str(session.id): row.last_event_number}
    assert await sync_to_async(numbers)() == [*range(1, row.last_event_number + 1)]
    last = await Event.objects.alatest("number")
    assert (last.type, last.data["state"]) == (EventType.SESSION_STATE, SessionState.LOST)
    ended = AuditEntry.objects.filter(action=AuditAction.SESSION_ENDED, outcome="lost")
    assert await ended.acount() == 1
    await recorder.stop()


async def test_a_host_is_given_up_once_however_many_want_it():
    recorder, claimed = DatabaseRecorder(lambda _: None), claim()
    await recorder.start(claimed)
    await busy_session(recorder)
    told: list[dict[str, int] | None] = []

    def give_up() -> None:
        told.append(hosts.give_up("h", claimed.life))
        connection.close()

    threads = [threading.Thread(target=give_up) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        await sync_to_async(thread.join)()

    assert sum(each is not None for each in told) == 1
    lost = Event.objects.filter(type=EventType.SESSION_STATE)
    assert await lost.acount() == 1
    await recorder.stop()


def test_another_life_than_the_one_seen_is_not_given_up():
    seen, back = claim(), claim()
    seen.take()
    back.take()

    assert hosts.give_up("h", seen.life) is None
    check(back)


async def test_a_host_that_comes_back_in_time_has_its_sessions_stopped():
    recorder = DatabaseRecorder(lambda _: None)
    await recorder.start(claim())
    session = await busy_session(recorder)

    (kept,) = await sync_to_async(claim().take)()

    assert (kept.id, kept.state) == (session.id, SessionState.STOPPED)
    assert not await Execution.objects.exclude(state=ExecutionState.LOST).aexists()


async def test_a_replaced_host_writes_nothing_and_hears_of_it(monkeypatch):
    # Of SQLite the lock on the data directory sees to it.
    monkeypatch.setattr(DatabaseRecorder, "_check", lambda self: self._claim.check())
    heard: list[bool] = []
    recorder = DatabaseRecorder(lambda _: None, lambda: heard.append(True))
    await recorder.start(claim())
    session = await busy_session(recorder)
    before = await sync_to_async(numbers)()
    await sync_to_async(claim().take)()
    taken = await sync_to_async(numbers)()
    recorder.append(session, EventType.STREAM, {"name": "stdout", "text": "late"})

    with pytest.raises(HostUnavailable):
        await recorder.create_session(session_of(identifier="late"))

    with pytest.raises(HostUnavailable):
        await recorder.commit()
    assert heard
    await recorder.stop()
    assert await sync_to_async(numbers)() == taken
    assert len(taken) > len(before)
    assert await Session.objects.acount() == 1


def test_who_is_drained_stays_so_when_it_starts_anew():
    claim().take()

    assert hosts.drain("h", is_draining=True)
    claim().take()

    assert Host.objects.get().is_draining
    assert hosts.drain("h", is_draining=False)
    assert not Host.objects.get().is_draining


def test_only_who_is_there_can_be_drained():
    gone = claim()
    gone.take()
    hosts.give_up("h", gone.life)

    assert not hosts.drain("h", is_draining=True)
    assert not hosts.drain("nobody", is_draining=True)


def test_who_ends_in_order_says_so_unless_another_is_there_already():
    first, second = claim(), claim()
    first.take()
    first.leave()
    assert Host.objects.get().state == HostState.STOPPED

    second.take()
    first.leave()

    assert Host.objects.get().state == HostState.UP


def test_nobody_unknown_may_write():
    with pytest.raises(Superseded):
        check(claim(life=uuid4()))


# --- Quotas of all hosts together ---------------------------------------------------------------


async def test_what_owners_use_on_other_hosts_is_read_from_the_rows():
    here, other = DatabaseRecorder(lambda _: None), DatabaseRecorder(lambda _: None)
    await here.start(claim(name="here"))
    await other.start(claim(name="other"))
    session = await busy_session(other, host="other", identifier="there")
    mine = await busy_session(here, host="here", identifier="here")
    started = now() - timedelta(seconds=30)
    for state, finished_at in ((ExecutionState.SUCCEEDED, now()), (ExecutionState.LOST, now())):
        execution = ExecutionRecord(session_id=session.id, kind="code", code="1", origin="api")
        execution.state, execution.output_bytes = state, 500
        execution.started_at, execution.finished_at = started, finished_at
        other.changed(execution)
    await other.commit()

    since = now() - timedelta(hours=24)
    used = (await here.elsewhere(since))[None]

    assert (used.sessions, used.executions, used.output_bytes) == (1, 2, 500)
    assert used.execution_seconds == pytest.approx(30, abs=5)
    assert {each.owner_id for each in await here.spent(since)} == set()
    assert (await other.elsewhere(since))[None].sessions == 1
    assert mine.id != session.id
    await here.stop()
    await other.stop()


async def test_on_a_server_of_one_host_nothing_is_elsewhere():
    recorder = DatabaseRecorder(lambda _: None)
    await recorder.start(claim())
    await busy_session(recorder)

    assert await recorder.elsewhere(now() - timedelta(hours=24)) == {}
    await recorder.stop()
