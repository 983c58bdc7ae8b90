"""How long the history of sessions is kept, and how it is truly deleted.

A session that has ended keeps its rows: its executions, its log, its notebook. After
WORKBENCH_HISTORY_DAYS nobody wants them any more. The audit outlives them: its entries are
deleted WORKBENCH_AUDIT_DAYS after what they say. What is deleted is gone from the disk as well:
SQLite would keep the text in pages that it marks as free, and in its write-ahead log.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from sessions.models import AuditEntry, Cell, Event, Execution, Notebook, Session

logger = logging.getLogger(__name__)

LOOK_SECONDS = 3600.0  # between two looks for what is old
# Events, or entries of the audit, deleted in one transaction: hosts that write wait for it.
EVENTS_AT_ONCE = 5_000
PAGES_AT_ONCE = 1_000  # of SQLite, given back in one transaction


@dataclass
class Pruned:
    """What was deleted."""

    sessions: int = 0
    executions: int = 0
    events: int = 0

    def __bool__(self) -> bool:
        return self.sessions > 0

    def __str__(self) -> str:
        counts = {"session": self.sessions, "execution": self.executions, "event": self.events}
        parts = [f"{count:,} {name}{'s' * (count != 1)}" for name, count in counts.items()]
        return f"{parts[0]}, {parts[1]} and {parts[2]}"


@dataclass
class PrunedAudit:
    """What was deleted of the audit."""

    entries: int = 0

    def __bool__(self) -> bool:
        return self.entries > 0

    def __str__(self) -> str:
        return f"{self.entries:,} entr{'y' if self.entries == 1 else 'ies'} of the audit"


_Prune = Callable[[float], Pruned | PrunedAudit]


def ended_before(moment: datetime) -> list[UUID]:
    """The sessions that ended before a moment, the oldest first."""
    old = Session.objects.filter(ended_at__lt=moment).order_by("ended_at")
    return list(old.values_list("id", flat=True))


def delete_history(
    sessions: Iterable[UUID], on_deleted: Callable[[Pruned], None] = lambda _: None
) -> Pruned:
    """Delete ended sessions, with all that is known of them; live ones are left alone.

    ``on_deleted`` is told how far it is. Cut off in the middle, some sessions are whole, some
    gone, and one may have lost the beginning of its log: another call goes on with it.
    """
    pruned = Pruned()
    with _overwriting():
        for session_id in sessions:
            _delete(session_id, pruned)
            on_deleted(pruned)
        if pruned.sessions:
            _give_back()
    return pruned


def prune(days: float) -> Pruned:
    """Delete the history of sessions that ended more than ``days`` ago."""
    return delete_history(ended_before(timezone.now() - timedelta(days=days)))


def prune_audit(days: float) -> PrunedAudit:
    """Delete the audit's entries that are older than ``days``."""
    pruned = PrunedAudit()
    old = AuditEntry.objects.filter(at__lt=timezone.now() - timedelta(days=days)).order_by("at")
    with _overwriting():
        while moments := list(old.values_list("at", flat=True)[:EVENTS_AT_ONCE]):
            pruned.entries += _count(old.filter(at__lte=moments[-1]).delete())
        if pruned.entries:
            _give_back()
    return pruned


@asynccontextmanager
async def history_kept(days: float, audit_days: float = 0) -> AsyncIterator[None]:
    """While this is open, what is older is deleted now and then; 0: never."""
    wanted: list[tuple[_Prune, float]] = [(prune, days), (prune_audit, audit_days)]
    pruning = [
        asyncio.create_task(_prune_again_and_again(work, days), name="prune")
        for work, days in wanted
        if days
    ]
    try:
        yield
    finally:
        for task in pruning:
            task.cancel()
        await asyncio.gather(*pruning, return_exceptions=True)


# --- Internal -----------------------------------------------------------------------------------


async def _prune_again_and_again(work: _Prune, days: float) -> None:
    while True:
        try:
            pruned = await asyncio.to_thread(_prune_in_thread, work, days)
            if pruned:
                logger.info("deleted what is older than %g days: %s", days, pruned)
        except DatabaseError as error:
            logger.warning("old history could not be deleted (%s); trying again later", error)
        await asyncio.sleep(LOOK_SECONDS)


def _prune_in_thread(work: _Prune, days: float) -> Pruned | PrunedAudit:
    try:
        return work(days)
    finally:
        connection.close()  # of this thread, which may be another one the next time


def _delete(session_id: UUID, pruned: Pruned) -> None:
    events = Event.objects.filter(session_id=session_id)
    session = Session.objects.filter(id=session_id, ended_at__isnull=False)
    while (last := session.values_list("last_event_number", flat=True).first()) is not None:
        first = events.order_by("number").values_list("number", flat=True).first()
        if first is None or first + EVENTS_AT_ONCE > last:
            break
        pruned.events += _count(events.filter(number__lt=first + EVENTS_AT_ONCE).delete())
    with transaction.atomic():
        if not session.exists():
            return
        pruned.events += _count(events.delete())
        # One table after the other: what refers to these is gone by then, and is not loaded.
        Cell.objects.filter(session_id=session_id).delete()
        Notebook.objects.filter(session_id=session_id).delete()
        executions = Execution.objects.filter(session_id=session_id)
        pruned.executions += _count(executions.only("id").delete())
        session.delete()
    pruned.sessions += 1


def _count(deleted: tuple[int, dict[str, int]]) -> int:
    return deleted[0]


@contextmanager
def _overwriting() -> Iterator[None]:
    """While this is open, this connection overwrites what it deletes."""
    _pragma("secure_delete = ON")
    try:
        yield
    finally:
        _pragma("secure_delete = OFF")


def _give_back() -> None:
    """Let SQLite's file shrink, in steps, and empty its write-ahead log."""
    free = _pragma("freelist_count")
    while free:
        _pragma(f"incremental_vacuum({PAGES_AT_ONCE})")
        before, free = free, _pragma("freelist_count")
        if free >= before:
            break  # the database is older than this, and keeps its size
    _pragma("wal_checkpoint(TRUNCATE)")


def _pragma(text: str) -> int:
    """What SQLite answers first; 0 if it says nothing, or is not there: others look after that."""
    if connection.vendor != "sqlite":
        return 0
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA {text}")
        rows = cursor.fetchall()
    return int(rows[0][0]) if rows else 0
