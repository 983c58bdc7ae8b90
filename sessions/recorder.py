"""The only writer of sessions, executions and events: batches, in order, durable before visible.

Everything given to the recorder between two transactions goes into the next one. A transaction
begins when somebody waits for it, or after BATCH_SECONDS; while one is being written, the next
batch gathers. Only when it has committed are readers told.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, partial
from operator import attrgetter
from typing import Any, NamedTuple
from uuid import UUID

from django.db import DatabaseError, IntegrityError, connection, transaction
from django.db.models import (
    AutoField,
    CharField,
    FloatField,
    IntegerField,
    Model,
    TextField,
)

from sessions import models
from sessions.database import AWAY
from sessions.elsewhere import used_elsewhere
from sessions.exceptions import Conflict, HostUnavailable, Unavailable
from sessions.hosts import Claim, Superseded, session_row
from sessions.kernels.flow import Flow
from sessions.kernels.quotas import NAMES
from sessions.kernels.records import (
    AuditRecord,
    Elsewhere,
    Event,
    ExecutionRecord,
    SessionRecord,
    Spent,
    now,
    timestamp,
)
from sessions.states import (
    LIVE_SESSION_STATES,
    EventType,
    ExecutionState,
    SessionState,
)

logger = logging.getLogger(__name__)

BATCH_SECONDS = 0.02
ROWS_PER_STATEMENT = 100  # where a statement takes more than one
RETRY_SECONDS = (0.1, 0.5, 1.0, 2.0)  # between attempts at a batch the database refuses; then 2 s
# Characters of events that wait to be written, before the kernels have to wait. What they put out
# meanwhile stays with them.
MAX_WAITING = 32 * 1024 * 1024
EVENT_WEIGHT = 200  # of an event without its data
MERGED_STREAM_BYTES = 64 * 1024  # text of one stream grows into one event up to about this size

REPLACED = "Another kernel host has taken this one's place. Try again in a moment."

# A row's values, in the order of the columns they are for.
_Row = tuple[Any, ...]
_Translation = Callable[[Any, Any], Any]
Notify = Callable[[dict[str, int]], None]


def _nothing() -> None:
    pass


@dataclass
class _Batch:
    """What one transaction will write. Rows are copied when it is closed, not before."""

    sessions: dict[UUID, SessionRecord] = field(default_factory=dict)
    executions: dict[UUID, ExecutionRecord] = field(default_factory=dict)
    # (session id, execution id, event) in order.
    events: list[tuple[UUID, UUID | None, Event]] = field(default_factory=list)
    audited: list[AuditRecord] = field(default_factory=list)
    # By session: the stream event that more text may still be merged into.
    growing: dict[UUID, tuple[UUID | None, Event]] = field(default_factory=dict)
    # About how many characters its events have.
    weight: int = 0

    def __bool__(self) -> bool:
        return bool(self.sessions or self.executions or self.events or self.audited)


class DatabaseRecorder:
    """Writes to Django's database, in a thread of its own. See records.Recorder for the verbs.

    ``notify`` is called after each commit with the newest event number by topic: the session's
    id, and "sessions" for whoever lists them. ``superseded`` is called, and nothing written from
    then on, when another host has taken the name, or this one was given up: its kernels should
    end at once. ``start`` first, ``stop`` last.
    """

    def __init__(self, notify: Notify, superseded: Callable[[], None] = _nothing) -> None:
        self._notify = notify
        self._superseded = superseded
        # None before the start.
        self._claim: Claim | None = None
        self.flow = Flow()
        self.written: Counter[str] = Counter()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="recorder")
        self._batch = _Batch()
        self._dirty = asyncio.Event()
        self._urgent = asyncio.Event()
        # Resolved when the batch that gathers now is durable.
        self._committed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._writer: asyncio.Task[None] | None = None
        self._stopping = False
        # How often the list of sessions changed; the number readers of it are told.
        self._changes = 0
        # Resolved when the batch that is being written is durable; None between batches.
        self._writing: asyncio.Future[None] | None = None
        # Of that batch; 0 between batches.
        self._writing_weight = 0
        # What undoes writes whose callers were told that they failed. If the connection broke before
        # the answer came, the database has them all the same.
        self._doubtful: list[Callable[[], object]] = []

    async def start(self, claim: Claim) -> list[SessionRecord]:
        """Be the host of that name, make its rows true, then begin to write.

        Nothing that an earlier process of this host left running runs: its kernels ended with
        it. Its sessions are stopped, and returned: they are for the host to take back.
        """
        self._claim = claim
        kept: list[SessionRecord] = await self._in_thread(claim.take)
        self._writer = asyncio.create_task(self._write_batches(), name="recorder")
        return kept

    async def stop(self) -> None:
        """Write what is left and end."""
        self._stopping = True
        self._dirty.set()
        self._urgent.set()
        if self._writer:
            await self._writer
        if self._claim:
            await self._in_thread(self._leave, self._claim)
        self._thread.shutdown()

    # --- records.Recorder ---------------------------------------------------------------

    @property
    def waiting_characters(self) -> int:
        """See records.Recorder."""
        return self._batch.weight + self._writing_weight

    async def sessions_with_files(self) -> set[UUID]:
        """See records.Recorder."""
        found: set[UUID] = await self._in_thread(_sessions_with_files)
        return found

    async def create_session(self, session: SessionRecord) -> None:
        """Write a new session at once. Raises Conflict if the name is taken, Unavailable."""
        write, undo = partial(_create_session, session), partial(_delete_session, session.id)
        await self._write_at_once(write, undo, session.identifier, elsewhere=True)

    async def rename_session(self, session: SessionRecord, identifier: str) -> None:
        """Write a session's new name at once. Raises Conflict if it is taken, Unavailable."""
        write = partial(_rename_session, session.id, identifier)
        undo = partial(_rename_session, session.id, session.identifier)
        await self._write_at_once(write, undo, identifier)
        self._changes += 1
        self._notify({"sessions": self._changes})

    async def quotas(self) -> dict[int, dict[str, int]]:
        """See records.Recorder."""
        try:
            found: dict[int, dict[str, int]] = await self._in_thread(_quotas)
        except AWAY as error:
            raise await self._unavailable(error) from error
        return found

    async def is_draining(self) -> bool:
        """See records.Recorder."""
        assert self._claim is not None
        return bool(await self._in_thread(self._claim.is_draining))

    async def spent(self, since: datetime) -> list[Spent]:
        """See records.Recorder."""
        assert self._claim is not None
        found: list[Spent] = await self._in_thread(_spent, self._claim.name, since)
        return found

    async def elsewhere(self, since: datetime) -> dict[int | None, Elsewhere]:
        """See records.Recorder."""
        assert self._claim is not None
        try:
            found: dict[int | None, Elsewhere] = await self._in_thread(
                used_elsewhere, self._claim.name, since
            )
        except AWAY as error:
            raise await self._unavailable(error) from error
        return found

    def append(
        self,
        session: SessionRecord,
        type: EventType,
        data: dict[str, Any],
        execution_id: UUID | None = None,
    ) -> Event:
        """Number an event and write it soon."""
        self._batch.weight += EVENT_WEIGHT + _weight(data)
        if self.waiting_characters > MAX_WAITING:
            self.flow.close()
        if type == EventType.STREAM and (event := self._grown(session.id, execution_id, data)):
            return event
        session.last_event_number += 1
        event = {
            "number": session.last_event_number,
            "type": str(type),
            "execution": str(execution_id) if execution_id else None,
            "at": timestamp(now()),
            "data": data,
        }
        self._batch.sessions[session.id] = session
        self._batch.events.append((session.id, execution_id, event))
        if type == EventType.STREAM:
            self._batch.growing[session.id] = (execution_id, event)
        else:
            self._batch.growing.pop(session.id, None)
        self._dirty.set()
        return event

    def changed(self, record: SessionRecord | ExecutionRecord) -> None:
        """Write the record's present fields soon."""
        if isinstance(record, SessionRecord):
            self._batch.sessions[record.id] = record
        else:
            self._batch.executions[record.id] = record
        self._dirty.set()

    def audit(self, entry: AuditRecord) -> None:
        """Write who did what soon, in one transaction with what was given before and after."""
        self._batch.audited.append(entry)
        self._dirty.set()

    async def commit(self) -> None:
        """Return when everything given so far is durable."""
        if self._batch:
            committed = self._committed
            self._urgent.set()
            await asyncio.shield(committed)
        elif self._writing is not None:
            await asyncio.shield(self._writing)

    # --- Internal -----------------------------------------------------------------------

    def _grown(
        self, session_id: UUID, execution_id: UUID | None, data: dict[str, Any]
    ) -> Event | None:
        """The last unwritten event, grown by more text of the same stream; None if it cannot."""
        growing_execution, event = self._batch.growing.get(session_id, (None, None))
        if event is None or growing_execution != execution_id:
            return None
        grown = event["data"]
        if grown["name"] != data["name"] or len(grown["text"]) >= MERGED_STREAM_BYTES:
            return None
        grown["text"] += data["text"]
        return event

    async def _write_batches(self) -> None:
        """Writes batch after batch. Started by ``start``; ends when ``stop`` was called."""
        while not (self._stopping and not self._batch):
            await self._dirty.wait()
            if not self._urgent.is_set():
                try:
                    async with asyncio.timeout(BATCH_SECONDS):
                        await self._urgent.wait()
                except TimeoutError:
                    pass
            self._dirty.clear()
            self._urgent.clear()
            if not self._batch:
                continue
            batch, self._batch = self._batch, _Batch()
            self._writing, self._writing_weight = self._committed, batch.weight
            committed = self._committed
            self._committed = asyncio.get_running_loop().create_future()
            try:
                await self._write(_Rows.of(batch))
            except Superseded:
                return self._end(committed, self._committed)
            self._writing, self._writing_weight = None, 0
            committed.set_result(None)
            self.written.update(event["type"] for _, _, event in batch.events)
            self._tell(batch)
            if self._batch.weight <= MAX_WAITING // 2:
                self.flow.open()

    async def _write(self, rows: _Rows) -> None:
        """Write one batch, however long it takes: what the database refuses is tried again.

        Raises Superseded.
        """
        attempt, fits = 0, True
        while True:
            write = rows.write if fits else rows.write_what_fits
            try:
                await self._settle()
                await self._in_thread(partial(write, self._check, is_again=attempt > 0))
                return
            except Superseded:
                raise
            except AWAY:
                delay = RETRY_SECONDS[min(attempt, len(RETRY_SECONDS) - 1)]
                logger.warning("the database takes no batch; trying again in %s s", delay)
                await self._in_thread(_close_connection)
                attempt += 1
                await asyncio.sleep(delay)
            except Exception as error:  # also what no driver can send, such as too large a number
                logger.warning("a batch contradicts the rows (%s); writing what fits", error)
                if not fits:
                    raise
                fits = False

    def _check(self) -> None:
        """Within a transaction: nobody else writes for this host meanwhile. Raises Superseded.

        Of a SQLite database a lock on its directory sees to that, for less.
        """
        if self._claim and connection.vendor != "sqlite":
            self._claim.check()

    def _owned(self, write: Callable[[], object]) -> None:
        """Write something in a transaction of its own. Raises Superseded."""
        with transaction.atomic():
            self._check()
            write()

    def _end(self, *waited_for: asyncio.Future[None]) -> None:
        """Write nothing more; whoever waits for it hears so."""
        assert self._claim is not None
        logger.critical(
            "the kernel host %r was replaced or given up; it ends with all it has", self._claim.name
        )
        self.flow.close()
        for future in waited_for:
            future.set_exception(HostUnavailable(REPLACED))
            future.exception()  # there may be nobody to retrieve it
        self._superseded()

    def _leave(self, claim: Claim) -> None:
        try:
            claim.leave()
        except DatabaseError as error:
            logger.warning("the host's row does not say that it has ended: %s", error)
        _close_connection()

    async def _write_at_once(
        self,
        write: Callable[[], object],
        undo: Callable[[], object],
        name: str,
        **about: bool,
    ) -> None:
        """Write what takes a name. Raises Conflict, Unavailable; then nothing is written."""
        try:
            await self._settle()
            await self._in_thread(self._owned, write)
        except IntegrityError as error:
            raise Conflict(f"A session named {name!r} exists already.", **about) from error
        except Superseded:
            raise HostUnavailable(REPLACED) from None
        except AWAY as error:
            self._doubtful.append(undo)
            raise await self._unavailable(error) from error

    async def _settle(self) -> None:
        """Undo what nobody knows of, now that the database is back."""
        while self._doubtful:
            undo = self._doubtful.pop(0)
            try:
                await self._in_thread(self._owned, undo)
            except IntegrityError as error:  # somebody has the old name by now
                logger.warning("what was not known to be written cannot be undone: %s", error)
            except AWAY:
                self._doubtful.insert(0, undo)
                raise

    async def _unavailable(self, error: Exception) -> Unavailable:
        """What to say of a database that takes nothing; the next call connects to it anew."""
        logger.warning("the database takes nothing: %s", error)
        await self._in_thread(_close_connection)
        return Unavailable("The database takes nothing at the moment. Try again in a while.")

    def _tell(self, batch: _Batch) -> None:
        numbers = {str(session_id): event["number"] for session_id, _, event in batch.events}
        self._changes += 1
        self._notify({**numbers, "sessions": self._changes})

    async def _in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)


class _Table:
    """How rows of one model are written: as the ORM does it, but worded once.

    The ORM words the same few statements anew for every batch, which takes longer than to run
    them. A row is a tuple of values, made by ``new`` or ``changed``: a copy, which the model's
    fields translate for the database when it is written.
    """

    def __init__(self, model: type[Model], *changing: str, known_by: tuple[str, ...] = ()) -> None:
        meta: Any = model._meta
        self._rows, self._known_by = model._default_manager, known_by
        self.name = meta.verbose_name
        self._table, self._key = meta.db_table, meta.pk
        self._fields = [each for each in meta.concrete_fields if not isinstance(each, AutoField)]
        # What changes in a row after it was made.
        self._changing = [meta.get_field(name) for name in changing]
        self._new_values = [*map(_translation, self._fields)]
        self._changed_values = [*map(_translation, [*self._changing, self._key])]
        self.new = attrgetter(*(each.attname for each in self._fields))
        self.changed = attrgetter(*changing, self._key.attname)

    def insert(self, rows: list[_Row]) -> None:
        """Write new rows."""
        if not rows:
            return
        values = [_translated(self._new_values, row) for row in rows]
        with connection.cursor() as cursor:
            if connection.vendor == "sqlite":
                cursor.executemany(self._insert + self._new, values)
                return
            # A statement for each row would take its way to the server and back each time.
            for some in _portions(values):
                cursor.execute(self._insert + ", ".join([self._new] * len(some)), _flat(some))

    def update(self, rows: list[_Row]) -> None:
        """Write what has changed in rows. Raises DatabaseError if one of them is not there."""
        if not rows:
            return
        values = [_translated(self._changed_values, row) for row in rows]
        with connection.cursor() as cursor:
            if connection.vendor == "sqlite" or len(rows) == 1:
                for row in values:
                    cursor.execute(self._update, row)
                    self._check(cursor.rowcount, 1)
                return
            for some in _portions(values):
                # Each value with its type: there is no column to tell by.
                each = f"({', '.join(self._typed)})"
                cursor.execute(self._update_from.format(", ".join([each] * len(some))), _flat(some))
                self._check(cursor.rowcount, len(some))

    def has(self, row: _Row) -> bool:
        """Whether there is a row with what a new one is known by."""
        values = dict(zip((each.attname for each in self._fields), row, strict=True))
        return self._rows.filter(**{name: values[name] for name in self._known_by}).exists()

    def _check(self, found: int, wanted: int) -> None:
        if found != wanted:
            raise DatabaseError("The row that was to be changed is not there.")

    @cached_property
    def _insert(self) -> str:
        quote = connection.ops.quote_name
        columns = ", ".join(quote(each.column) for each in self._fields)
        return f"INSERT INTO {quote(self._table)} ({columns}) VALUES "  # noqa: S608  # Django's names

    @cached_property
    def _new(self) -> str:
        return f"({', '.join(['%s'] * len(self._fields))})"

    @cached_property
    def _typed(self) -> list[str]:
        return [f"%s::{each.db_type(connection)}" for each in [*self._changing, self._key]]

    @cached_property
    def _update_from(self) -> str:
        quote = connection.ops.quote_name
        names = [quote(each.column) for each in [*self._changing, self._key]]
        changes = ", ".join(f"{name} = new.{name}" for name in names[:-1])
        table = quote(self._table)
        source = f"(VALUES {{}}) AS new ({', '.join(names)})"
        return f"UPDATE {table} SET {changes} FROM {source} WHERE {table}.{names[-1]} = new.{names[-1]}"  # noqa: S608  # Django's names

    @cached_property
    def _update(self) -> str:
        quote = connection.ops.quote_name
        values = ", ".join(f"{quote(each.column)} = %s" for each in self._changing)
        table, key = quote(self._table), quote(self._key.column)
        return f"UPDATE {table} SET {values} WHERE {key} = %s"  # noqa: S608  # Django's names


def _translation(field: Any) -> _Translation | None:
    """How a field's values become what the database's driver takes; None: they are that already."""
    plain = (CharField, FloatField, IntegerField, TextField)
    return None if isinstance(field, plain) else field.get_db_prep_save


def _portions(values: list[list[Any]]) -> Iterator[list[list[Any]]]:
    for first in range(0, len(values), ROWS_PER_STATEMENT):
        yield values[first : first + ROWS_PER_STATEMENT]


def _flat(rows: list[list[Any]]) -> list[Any]:
    return [value for row in rows for value in row]


def _translated(how: list[_Translation | None], row: _Row) -> list[Any]:
    """The values as the database's driver takes them."""
    pairs = zip(how, row, strict=True)
    return [translate(value, connection) if translate else value for translate, value in pairs]


_SESSIONS = _Table(
    models.Session, "state", "reason", "last_active_at", "ended_at", "last_event_number"
)
_EXECUTIONS = _Table(
    models.Execution,
    *("state", "reason", "exit_code", "execution_count"),
    *("started_at", "finished_at", "final_event_number", "output_bytes"),
    known_by=("id",),
)
_EVENTS = _Table(models.Event, known_by=("session_id", "number"))
_AUDIT = _Table(models.AuditEntry, known_by=("at", "action", "session_id", "execution_id"))


class _NewEvent(NamedTuple):
    """An event as its row has it."""

    session_id: UUID
    execution_id: UUID | None
    number: int
    type: str
    data: dict[str, Any]
    at: datetime


@dataclass
class _Rows:
    """A closed batch as rows: a copy, so that the records can go on changing."""

    # New rows and changed ones, in order: an execution before its events.
    writes: list[tuple[_Table, list[_Row], list[_Row]]]

    @classmethod
    def of(cls, batch: _Batch) -> _Rows:
        """The batch's rows; the executions' records remember that they have one."""
        records = batch.executions.values()
        new = [_EXECUTIONS.new(record) for record in records if not record.has_row]
        known = [_EXECUTIONS.changed(record) for record in records if record.has_row]
        for record in records:
            record.has_row = True
        sessions = [_SESSIONS.changed(record) for record in batch.sessions.values()]
        events = [
            _NewEvent(
                session_id=session_id,
                execution_id=execution_id,
                number=event["number"],
                type=event["type"],
                data=event["data"],
                at=datetime.fromisoformat(event["at"]),
            )
            for session_id, execution_id, event in batch.events
        ]
        return cls(
            [
                (_EXECUTIONS, new, known),
                (_EVENTS, [_EVENTS.new(event) for event in events], []),
                (_SESSIONS, [], sessions),
                (_AUDIT, [_AUDIT.new(entry) for entry in batch.audited], []),
            ]
        )

    def write(self, check: Callable[[], None], *, is_again: bool) -> None:
        """Everything in one transaction; ``check`` may raise Superseded in it.

        ``is_again``: it was tried before, and the database may have it: its connection may have
        broken between the commit and the answer.
        """
        if is_again and self._is_written():
            return
        with transaction.atomic():
            check()
            for table, new, changed in self.writes:
                table.insert(new)
                table.update(changed)

    def write_what_fits(self, check: Callable[[], None], *, is_again: bool) -> None:
        """One row at a time; what contradicts the database (a deleted session) is left out."""
        for table, new, changed in self.writes:
            missing = [row for row in new if not (is_again and table.has(row))]
            for write, rows in ((table.insert, missing), (table.update, changed)):
                for row in rows:
                    self._write_if_it_fits(check, table, write, row)

    def _write_if_it_fits(
        self,
        check: Callable[[], None],
        table: _Table,
        write: Callable[[list[_Row]], None],
        row: _Row,
    ) -> None:
        try:
            with transaction.atomic():
                check()
                write([row])
        except (*AWAY, Superseded):
            raise  # the database is not there: not this row's fault
        except Exception as error:
            logger.warning("left out the %s %s: %s", table.name, row[:2], error)

    def _is_written(self) -> bool:
        """Whether the database has what is new; changes may be written twice."""
        first = next(((table, new[0]) for table, new, _ in self.writes if new), None)
        return first is not None and first[0].has(first[1])


def _weight(value: Any) -> int:
    """About how many characters some plain data has."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_weight, value.values()))
    if isinstance(value, list):
        return sum(map(_weight, value))
    return EVENT_WEIGHT // 10


def _close_connection() -> None:
    connection.close()  # of the thread this runs in


def _create_session(record: SessionRecord) -> None:
    session_row(record).save(force_insert=True)


def _delete_session(session_id: UUID) -> None:
    models.Session.objects.filter(id=session_id).delete()


def _rename_session(session_id: UUID, identifier: str) -> None:
    models.Session.objects.filter(id=session_id).update(identifier=identifier)


def _sessions_with_files() -> set[UUID]:
    states = [*LIVE_SESSION_STATES, SessionState.LOST]
    return set(models.Session.objects.filter(state__in=states).values_list("id", flat=True))


def _quotas() -> dict[int, dict[str, int]]:
    rows = models.Quota.objects.values("account_id", *NAMES)
    return {
        row["account_id"]: {name: row[name] for name in NAMES if row[name] is not None}
        for row in rows
    }


def _spent(host: str, since: datetime) -> list[Spent]:
    # By the sessions that were used since: an index leads from them to their executions.
    active = models.Session.objects.filter(host=host, last_active_at__gt=since)
    ended = models.Execution.objects.filter(session__in=active, finished_at__gt=since)
    # What was lost was lost with the host: its owner does not pay for it.
    ran = ended.filter(started_at__isnull=False).exclude(state=ExecutionState.LOST)
    columns = ("session__owner_id", "started_at", "finished_at", "output_bytes")
    return [
        Spent(owner_id, started_at, finished_at, output_bytes or 0)
        for owner_id, started_at, finished_at, output_bytes in ran.values_list(*columns).iterator()
    ]
