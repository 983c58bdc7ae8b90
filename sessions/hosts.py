"""The rows of kernel hosts: which life of a host may write, and what becomes of what it had.

A host claims its name when it starts, under a new life. From then on no other life of that name
can write: each transaction of a recorder begins with ``check``, which fails once the row has
another life, or says that the host was given up. So a host that was cut off, and comes back when
its sessions are lost already, writes nothing more, and nothing is recorded twice.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any
from uuid import UUID, uuid4

from django.db import connection, transaction

from sessions import models
from sessions.kernels.records import (
    KEPT,
    AuditRecord,
    ExecutionRecord,
    SessionRecord,
    now,
)
from sessions.states import (
    LIVE_SESSION_STATES,
    UNFINISHED_EXECUTION_STATES,
    AuditAction,
    EventType,
    ExecutionState,
    HostState,
    SessionState,
)

HOST_LOST = "The kernel host ended while this ran or waited."
# Why a session is stopped whose host ended without a word.
HOST_ENDED = f"The kernel host ended. {KEPT}"
# Why a session is lost whose host was given up.
HOST_GONE = "The machine that it ran on is gone."
# Of a session's row, what is written here; the rest may change meanwhile.
_SAVED = ("state", "reason", "ended_at", "last_event_number")


class Superseded(Exception):
    """This life of the host may not write any more."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A host as it starts, and what it offers. See sessions/models.py for the fields."""

    name: str
    slots: int
    node: str = ""
    address: str = ""
    gpus: int = 0
    labels: dict[str, str] = field(default_factory=dict)
    life: UUID = field(default_factory=uuid4)

    def take(self) -> list[SessionRecord]:
        """Be the host of this name; its sessions, stopped, for it to take back.

        What an earlier life left running does not run any more: its kernels ended with it.
        """
        with transaction.atomic():
            about = {"state": HostState.UP, "started_at": now(), "ended_at": None}
            models.Host.objects.update_or_create(name=self.name, defaults={**asdict(self), **about})
        sessions = _live_sessions(self.name)
        for session in sessions:
            with transaction.atomic():
                _end_executions(session)
                if session.state != SessionState.STOPPED:
                    _set_state(session, SessionState.STOPPED, HOST_ENDED)
                session.save(update_fields=_SAVED)
        return [session_record(session) for session in sessions]

    def check(self) -> None:
        """Hold the row until the transaction ends. Raises Superseded if it is not ours."""
        with connection.cursor() as cursor:
            life = models.Host._meta.get_field("life").get_db_prep_value(self.life, connection)
            cursor.execute(_check(), [self.name, life])
            if cursor.fetchone() is None:
                raise Superseded(self.name)

    def is_draining(self) -> bool:
        """Whether somebody wants this host to open no sessions any more."""
        return models.Host.objects.filter(name=self.name, is_draining=True).exists()

    def leave(self) -> None:
        """The host has ended in order."""
        mine = models.Host.objects.filter(name=self.name, life=self.life)
        mine.update(state=HostState.STOPPED, ended_at=now())


def node_of(name: str) -> str:
    """The node of the host that has a name now; empty if none has."""
    up = models.Host.objects.filter(name=name, state=HostState.UP)
    return up.values_list("node", flat=True).first() or ""


def drain(name: str, *, is_draining: bool) -> bool:
    """Have a host open no sessions any more, or open them again; False if there is none.

    It stays so when the host is started anew.
    """
    there = models.Host.objects.filter(name=name).exclude(state=HostState.GONE)
    return bool(there.update(is_draining=is_draining))


def give_up(name: str, life: UUID) -> dict[str, int] | None:
    """A host is gone for good: its sessions are lost, and what ran there.

    Returns the newest event's number of each session. Does nothing, and returns None, if the host
    has another life by now, or was given up before: of many that call this at once, one does it.
    """
    told: dict[str, int] = {}
    with transaction.atomic():
        rows = models.Host.objects.select_for_update().filter(name=name, life=life)
        row = rows.exclude(state=HostState.GONE).first()
        if row is None:
            return None
        row.state, row.ended_at = HostState.GONE, now()
        row.save()
        for session in _live_sessions(name):
            _end_executions(session)
            session.ended_at = now()
            _set_state(session, SessionState.LOST, HOST_GONE)
            session.save(update_fields=_SAVED)
            _audit_end(session)
            told[str(session.pk)] = session.last_event_number
    return told


def session_row(record: SessionRecord) -> models.Session:
    """A session's row."""
    return models.Session(**{each.name: getattr(record, each.name) for each in fields(record)})


def session_record(row: models.Session) -> SessionRecord:
    """What the kernel side knows of a session."""
    values = {each.name: getattr(row, each.name) for each in fields(SessionRecord)}
    return SessionRecord(**{**values, "state": SessionState(row.state)})


def _check() -> str:
    quote = connection.ops.quote_name
    table = quote(models.Host._meta.db_table)
    lock = " FOR NO KEY UPDATE" if connection.features.has_select_for_update else ""
    return (
        f"SELECT 1 FROM {table} WHERE {quote('name')} = %s AND {quote('life')} = %s "  # noqa: S608
        f"AND {quote('state')} <> '{HostState.GONE}'{lock}"
    )


def _live_sessions(host: str) -> list[models.Session]:
    left = models.Session.objects.filter(host=host, state__in=LIVE_SESSION_STATES)
    return list(left.order_by("created_at"))


def _execution_record(row: models.Execution) -> ExecutionRecord:
    values = {each.name: getattr(row, each.name) for each in fields(ExecutionRecord)}
    return ExecutionRecord(**{**values, "state": ExecutionState(row.state)})


def _set_state(session: models.Session, state: SessionState, reason: str) -> None:
    session.state, session.reason = state, reason
    _append_row(session, EventType.SESSION_STATE, {"state": str(state), "reason": reason})


def _audit_end(session: models.Session) -> None:
    """Nobody wanted it: it is the server's own entry."""
    about = {"session_id": session.pk, "identifier": session.identifier}
    models.AuditEntry.objects.create(
        action=AuditAction.SESSION_ENDED, at=now(), outcome=session.state, **about
    )


def _end_executions(session: models.Session) -> None:
    unfinished = session.executions.filter(state__in=UNFINISHED_EXECUTION_STATES)
    for execution in unfinished.order_by("queued_at"):
        _lose_execution(session, execution)


def _lose_execution(session: models.Session, execution: models.Execution) -> None:
    execution.state, execution.reason = ExecutionState.LOST, HOST_LOST
    execution.finished_at = now()
    data = {
        "state": str(execution.state),
        "reason": execution.reason,
        "exit_code": None,
        "duration_seconds": None,
        "execution_count": None,
    }
    _append_row(session, EventType.EXECUTION_FINISHED, data, execution)
    execution.final_event_number = session.last_event_number
    execution.save()
    lost = AuditRecord.of_execution(session_record(session), _execution_record(execution))
    models.AuditEntry.objects.create(**asdict(lost))


def _append_row(
    session: models.Session,
    type: EventType,
    data: dict[str, Any],
    execution: models.Execution | None = None,
) -> None:
    session.last_event_number += 1
    models.Event.objects.create(
        session=session,
        execution=execution,
        number=session.last_event_number,
        type=type,
        data=data,
        at=now(),
    )
