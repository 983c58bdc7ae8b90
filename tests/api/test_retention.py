"""What is known of sessions that ended long ago is deleted: from the tables, and from the disk."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from files.models import SessionFile
from sessions import retention
from sessions.models import Cell, Event, Execution, Notebook, Session
from sessions.retention import delete_history, ended_before, history_kept, prune

NOW = timezone.now()
SECRET = "a sentence that nobody should find again"
MODELS = (Session, Execution, Event, Notebook, Cell, SessionFile)


def seed(identifier: str, *, days: float | None, events: int = 3, text: str = "x") -> Session:
    """A session that ended so many days ago, or lives (None), with rows of every kind."""
    at = NOW - timedelta(days=days or 0)
    session = Session.objects.create(
        identifier=identifier,
        kernel_name="python3",
        origin="azure",
        state="idle" if days is None else "closed",
        host="here",
        last_event_number=events,
        created_at=at,
        last_active_at=at,
        ended_at=None if days is None else at,
    )
    execution = Execution.objects.create(
        session=session,
        code=text,
        origin="azure",
        state="succeeded",
        queued_at=at,
        started_at=at,
        finished_at=at,
    )
    Event.objects.bulk_create(
        Event(
            session=session,
            execution=execution,
            number=number,
            type="stream",
            data={"name": "stdout", "text": f"{text} {number}"},
            at=at,
        )
        for number in range(1, events + 1)
    )
    Notebook.objects.create(session=session, metadata={"title": text})
    Cell.objects.create(
        session=session, key=execution.id, source=text, position="a", version=1, source_version=1
    )
    SessionFile.objects.create(
        session=session, path=text, path_digest="d", size_bytes=1, modified_at=at
    )
    return session


def rows_of(session: Session) -> list[int]:
    """How many rows of each model are left of a session."""
    counts = [model.objects.filter(session_id=session.pk).count() for model in MODELS[1:]]
    return [Session.objects.filter(pk=session.pk).count(), *counts]


def files_of_database() -> list[Path]:
    path = Path(connection.settings_dict["NAME"])
    return [each for each in path.parent.glob(f"{path.name}*") if each.is_file()]


def test_what_ended_before_goes_with_all_its_rows_and_the_rest_stays(transactional_db):
    old, newer, live = seed("old", days=31), seed("newer", days=29), seed("live", days=None)
    Session.objects.filter(pk=live.pk).update(last_active_at=NOW - timedelta(days=400))

    pruned = prune(30)

    assert rows_of(old) == [0, 0, 0, 0, 0, 0]
    assert rows_of(newer) == rows_of(live) == [1, 1, 3, 1, 1, 1]
    assert (pruned.sessions, pruned.executions, pruned.events) == (1, 1, 3)
    assert str(pruned) == "1 session, 1 execution and 3 events"


def test_a_live_session_is_never_deleted(transactional_db):
    live = seed("live", days=None)

    delete_history([live.pk])

    assert rows_of(live) == [1, 1, 3, 1, 1, 1]


def test_nothing_that_was_deleted_is_left_on_the_disk(transactional_db):
    # PostgreSQL's vacuum decides when; it has no file of ours to look into.
    if connection.vendor != "sqlite":
        pytest.skip("other databases overwrite in their own time")
    count = 2 * retention.EVENTS_AT_ONCE + 500
    old = seed("old", days=31, events=count, text=SECRET)
    assert any(SECRET.encode() in each.read_bytes() for each in files_of_database())
    before = sum(each.stat().st_size for each in files_of_database())

    pruned = delete_history(ended_before(NOW))

    assert pruned.events == count
    assert rows_of(old) == [0, 0, 0, 0, 0, 0]
    assert not any(SECRET.encode() in each.read_bytes() for each in files_of_database())
    assert sum(each.stat().st_size for each in files_of_database()) < before / 2


def test_what_was_cut_off_is_finished_by_the_next_call(transactional_db, monkeypatch):
    monkeypatch.setattr(retention, "EVENTS_AT_ONCE", 2)
    old = seed("old", days=31, events=7)
    Event.objects.filter(session=old, number__lte=4).delete()  # as far as it came

    assert delete_history([old.pk]).events == 3

    assert rows_of(old) == [0, 0, 0, 0, 0, 0]


async def test_a_host_deletes_what_is_old_by_itself(transactional_db):
    old = await asyncio.to_thread(seed, "old", days=2)

    async with history_kept(1), asyncio.timeout(30):
        while await Session.objects.filter(pk=old.pk).aexists():
            await asyncio.sleep(0.01)

    assert not await Event.objects.aexists()


async def test_a_host_keeps_everything_if_it_is_told_to(transactional_db):
    old = await asyncio.to_thread(seed, "old", days=10_000)

    async with history_kept(0):
        assert not [task for task in asyncio.all_tasks() if task.get_name() == "prune"]

    assert await Session.objects.filter(pk=old.pk).aexists()


def command(*arguments: str) -> str:
    told = StringIO()
    call_command("workbench", "prune", *arguments, stdout=told)
    return told.getvalue().strip()


def test_the_command_says_what_it_would_delete_and_what_it_has_deleted(transactional_db, settings):
    settings.WORKBENCH_HISTORY_DAYS = 90
    old, newer = seed("old", days=91), seed("newer", days=89)

    assert command("--dry-run") == "Would delete the history of 1 session."
    assert rows_of(old)[0] == 1
    assert command() == "Deleted 1 session, 1 execution and 3 events."
    assert command("--days", "0") == "Deleted 1 session, 1 execution and 3 events."
    assert rows_of(newer)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "days", "said"),
    [
        (["prune"], 0, "kept for ever"),
        (["prune", "--days", "-1"], 90, "--days takes"),
        (["prune", "--days", "99999999"], 90, "--days takes"),
        (["status", "--dry-run"], 90, "belongs to prune"),
    ],
)
def test_the_command_refuses_what_it_cannot_mean(db, settings, arguments, days, said):
    settings.WORKBENCH_HISTORY_DAYS = days
    old = seed("old", days=1_000)

    with pytest.raises(CommandError, match=said):
        call_command("workbench", *arguments)

    assert rows_of(old)[0] == 1


def test_an_operator_deletes_what_has_ended_and_is_asked_first(transactional_db, admin_client):
    ended, live = seed("ended", days=1), seed("live", days=None)
    where = reverse("admin:workbench_sessions_session_changelist")
    data = {"action": "delete_history", "_selected_action": [str(ended.pk), str(live.pk)]}

    question = admin_client.post(where, data)

    assert "cannot be brought back" in question.text
    assert rows_of(ended)[0] == 1

    told = admin_client.post(where, {**data, "confirmed": "yes"}, follow=True)

    messages = {str(message) for message in told.context["messages"]}
    assert "Deleted 1 session, 1 execution and 3 events." in messages
    assert "live is live: close it, then delete its history." in messages
    assert rows_of(ended)[0] == 0
    assert rows_of(live)[0] == 1
