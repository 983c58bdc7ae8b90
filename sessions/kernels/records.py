"""What the kernel side knows of sessions and executions, and who writes it down.

The dataclasses mirror the rows of sessions/models.py field by field; the host owns and changes
them, a ``Recorder`` makes them durable. No Django here: a script can bring its own recorder.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID, uuid4

from sessions.kernels import trace
from sessions.kernels.flow import Flow
from sessions.states import AuditAction, EventType, ExecutionState, SessionState

# What is said besides of a session that is stopped.
KEPT = "The files are kept; the next run starts a new kernel."

# One event as every face sends it; docs/events.md.
Event = dict[str, Any]


def now() -> datetime:
    """The time now, in UTC."""
    return datetime.now(UTC)


def timestamp(at: datetime | None) -> str | None:
    """A time as RFC 3339 text with a Z; None stays None."""
    return at.isoformat().replace("+00:00", "Z") if at else None


@dataclass(kw_only=True)
class SessionRecord:
    """One session. See sessions/models.py for what the fields mean."""

    identifier: str
    owner_id: int | None
    kernel_name: str
    origin: str
    host: str
    idle_timeout_seconds: int | None
    request: dict[str, Any] = field(default_factory=dict)
    policy: dict[str, Any] = field(default_factory=dict)
    # May hold secrets: not in ``to_wire``.
    environment: dict[str, str] = field(default_factory=dict)
    id: UUID = field(default_factory=uuid4)
    state: SessionState = SessionState.STARTING
    reason: str = ""
    last_event_number: int = 0
    created_at: datetime = field(default_factory=now)
    last_active_at: datetime = field(default_factory=now)
    ended_at: datetime | None = None

    def to_wire(self) -> dict[str, Any]:
        """The session as plain data, in the shape of ``operations.SessionInfo``."""
        return {
            "id": str(self.id),
            "identifier": self.identifier,
            "owner_id": self.owner_id,
            "kernel_name": self.kernel_name,
            "origin": self.origin,
            "state": str(self.state),
            "reason": self.reason,
            "created_at": timestamp(self.created_at),
            "last_active_at": timestamp(self.last_active_at),
            "idle_timeout_seconds": self.idle_timeout_seconds,
            "request": self.request,
            "policy": self.policy,
        }


@dataclass(kw_only=True)
class ExecutionRecord:
    """One execution. See sessions/models.py for what the fields mean."""

    session_id: UUID
    kind: str
    code: str
    origin: str
    cell: UUID | None = None
    client_id: str = ""
    timeout_seconds: float | None = None
    request: dict[str, Any] = field(default_factory=dict)
    # Who asks at the moment this is made: account, key_id, address, request_id.
    asked_by: dict[str, str] = field(default_factory=trace.asked_by)
    id: UUID = field(default_factory=uuid4)
    state: ExecutionState = ExecutionState.QUEUED
    reason: str = ""
    exit_code: int | None = None
    execution_count: int | None = None
    queued_at: datetime = field(default_factory=now)
    started_at: datetime | None = None
    finished_at: datetime | None = None
    final_event_number: int | None = None
    output_bytes: int = 0

    # No field of the row: whether a recorder has made one.
    has_row = False

    def to_wire(self) -> dict[str, Any]:
        """The execution as plain data, in the shape of ``operations.ExecutionInfo``."""
        return {
            "id": str(self.id),
            "public_id": self.client_id or str(self.id),
            "session_id": str(self.session_id),
            "kind": self.kind,
            "origin": self.origin,
            "code": self.code,
            "state": str(self.state),
            "reason": self.reason,
            "exit_code": self.exit_code,
            "execution_count": self.execution_count,
            "queued_at": timestamp(self.queued_at),
            "started_at": timestamp(self.started_at),
            "finished_at": timestamp(self.finished_at),
            "request": self.request,
        }

    @property
    def duration_seconds(self) -> float | None:
        """How long it ran; None if it never started or has not ended."""
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()


@dataclass(frozen=True)
class Spent:
    """What an execution that has ended used of its owner's quotas."""

    owner_id: int | None
    started_at: datetime
    finished_at: datetime
    output_bytes: int


@dataclass(frozen=True, kw_only=True)
class Elsewhere:
    """What an owner uses of their quotas on other hosts: now, and in the last 24 hours."""

    sessions: int = 0
    executions: int = 0
    storage_bytes: int = 0
    execution_seconds: float = 0.0
    output_bytes: int = 0


MAX_AUDITED = 1_000  # characters of code, or of what else somebody did
CUT = " …(cut)"


@dataclass(frozen=True, kw_only=True)
class AuditRecord:
    """Who did what, as the audit keeps it. See sessions/models.py for what the fields mean."""

    action: AuditAction
    at: datetime = field(default_factory=now)
    account: str = ""
    key_id: str = ""
    address: str = ""
    door: str = ""
    session_id: UUID | None = None
    identifier: str = ""
    execution_id: UUID | None = None
    what: str = ""
    outcome: str = ""
    duration_seconds: float | None = None
    request_id: str = ""

    @classmethod
    def now(
        cls, action: AuditAction, session: SessionRecord | None = None, **more: Any
    ) -> AuditRecord:
        """What is done now, by whoever asks for it."""
        about = {"session_id": session.id, "identifier": session.identifier} if session else {}
        who = {**trace.asker.get()._asdict(), "request_id": trace.request_id.get()}
        return cls(action=action, **{**who, **about, **more})

    @classmethod
    def of_execution(cls, session: SessionRecord, execution: ExecutionRecord) -> AuditRecord:
        """An execution that has ended, by whoever asked for it."""
        who = execution.asked_by
        return cls(
            action=AuditAction.EXECUTION_ENDED,
            door=execution.origin,
            session_id=session.id,
            identifier=session.identifier,
            execution_id=execution.id,
            what=shortened(execution.code),
            outcome=str(execution.state),
            duration_seconds=execution.duration_seconds,
            account=who.get("account", ""),
            key_id=who.get("key_id", ""),
            address=who.get("address", ""),
            request_id=who.get("request_id", ""),
        )


def shortened(text: str) -> str:
    """A text as the audit keeps it; says so if it is cut."""
    return text if len(text) <= MAX_AUDITED else text[:MAX_AUDITED] + CUT


class Recorder(Protocol):
    """Makes sessions, executions and events durable, in the order they are given.

    The only writer of what its host owns. ``append`` and ``changed`` return at once; what they
    were given is written within about 20 ms, or when somebody waits in ``commit``.
    """

    # Closed while more waits to be written than may. Who reads output heeds it; the few events
    # that are no output are taken all the same.
    flow: Flow
    # How many events are durable, by type, since the recorder was made.
    written: Counter[str]

    @property
    def waiting_characters(self) -> int:
        """About how many characters of events wait to be written."""

    async def sessions_with_files(self) -> set[UUID]:
        """Those whose files stay, also other hosts' sessions: they have not ended, or are lost.

        Nobody chose the end of a lost one: its files are there for an operator to rescue.
        """

    async def create_session(self, session: SessionRecord) -> None:
        """Write a new session; it is durable on return.

        Raises Conflict if the name is taken; if by another host's session, it is ``elsewhere``.
        """

    async def rename_session(self, session: SessionRecord, identifier: str) -> None:
        """Write a session's new name, durable on return; the record keeps the old one.

        Raises Conflict if the name is taken.
        """

    async def quotas(self) -> dict[int, dict[str, int]]:
        """What accounts have of their own, by owner and quota's name; 0: no limit."""

    async def is_draining(self) -> bool:
        """Whether somebody wants the host to open no sessions any more."""

    async def spent(self, since: datetime) -> list[Spent]:
        """What this host's executions used that have ended since then; not those that were lost."""

    async def elsewhere(self, since: datetime) -> dict[int | None, Elsewhere]:
        """What owners use on other hosts, by owner; spent since then. Those who use nothing are
        left out, and on a server of one host that is everybody.
        """

    def append(
        self,
        session: SessionRecord,
        type: EventType,
        data: dict[str, Any],
        execution_id: UUID | None = None,
    ) -> Event:
        """Number an event and write it soon.

        Text of the same stream that is still unwritten is merged: the event returned may be one
        that was returned before, grown.
        """

    def changed(self, record: SessionRecord | ExecutionRecord) -> None:
        """Write the record's present fields soon; the first call for an execution creates it."""

    def audit(self, entry: AuditRecord) -> None:
        """Write who did what soon, together with what was given before and after."""

    async def commit(self) -> None:
        """Return when everything given so far is durable, and its readers have been told."""
