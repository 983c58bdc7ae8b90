"""The verbs. Every face calls these and nothing below them.

Each verb asks the engine, which reaches the host that owns the session; a verb that waits only
waits: cancelling it (a client that goes away) stops nothing. ``owner_id`` None stands for the
open door of a loopback server. Every verb may raise ``HostUnavailable``.
"""

from __future__ import annotations

import asyncio
import shlex
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q

from sessions.engines import ask, engine
from sessions.exceptions import (
    ExecutionFinished,
    ExecutionIdTaken,
    ExecutionNotFound,
    InvalidValue,
    NotFound,
    WorkbenchError,
)
from sessions.kernels import trace
from sessions.models import Execution, Session
from sessions.states import ExecutionState
from sessions.topics import files_topic

MAX_COMM_ID_LENGTH = 1_000
# Whoever has changed a file does not wait longer until others hear of it.
TELLING_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class SessionRef:
    """Whose session, and which: an identifier, or the session's own id as text."""

    owner_id: int | None
    identifier: str


@dataclass(frozen=True, kw_only=True)
class SessionInfo:
    """A live session, as its host sees it."""

    id: UUID
    identifier: str
    owner_id: int | None
    kernel_name: str
    origin: str
    state: str
    reason: str
    created_at: datetime
    last_active_at: datetime
    # None: it never expires.
    idle_timeout_seconds: int | None
    # What the face that opened it wanted to be remembered.
    request: dict[str, Any] = field(default_factory=dict)
    # What it may do: sessions/kernels/policy.py.
    policy: dict[str, Any] = field(default_factory=dict)
    # True if this call opened it.
    created: bool = False


@dataclass(frozen=True, kw_only=True)
class ExecutionInfo:
    """An execution, and (once it is finished) the events that count for its caller."""

    id: UUID
    public_id: str
    session_id: UUID
    kind: str
    origin: str
    code: str
    state: str
    reason: str
    exit_code: int | None
    execution_count: int | None
    queued_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    # What the face asked to be remembered of the request.
    request: dict[str, Any]
    # True if this call opened the execution's session; says nothing of the execution itself.
    session_created: bool = field(default=False, compare=False)
    # Events in the shape of ``Event.to_wire``; output only, in order.
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_finished(self) -> bool:
        return self.finished_at is not None

    @property
    def was_run(self) -> bool:
        """True if it came to an end of its own, however bad, or to that of an interrupt.

        False while it has not ended, if it never began, and if something else ended it: its
        timeout, its kernel's death, a restart; ``reason`` then says what, if there is more to say.
        """
        by_itself = self.state in (ExecutionState.FAILED, ExecutionState.INTERRUPTED)
        has_ended = self.state == ExecutionState.SUCCEEDED or (by_itself and not self.reason)
        return has_ended and self.started_at is not None

    @property
    def duration_seconds(self) -> float:
        """How long it ran; 0 if it never started or has not ended."""
        if self.started_at is None or self.finished_at is None:
            return 0.0
        return (self.finished_at - self.started_at).total_seconds()


async def open_session(
    ref: SessionRef,
    *,
    origin: str,
    kernel_name: str = "",
    idle_timeout_seconds: int | None = None,
    environment: dict[str, str] | None = None,
    request: dict[str, Any] | None = None,
    policy: dict[str, Any] | None = None,
) -> SessionInfo:
    """The live session ``ref`` names, opened if there is none. Does not wait for its kernel.

    ``origin`` is the face it is opened through; ``kernel_name`` an installed kernelspec, empty
    for the default one. ``environment`` is what its kernel and its commands find in theirs,
    beyond what all have; it is kept in memory only. ``request`` is what the face wants to
    remember. ``policy`` is what it may do, less than the operator's, and what it needs of its
    machine: ``{"network": "none" or "host", "limits": {…}, "gpus": 1, "labels": {"zone": "a"}}``,
    each optional; the names of limits are those of sessions/kernels/limits.py. All of these count
    only if this call opens it. Raises InvalidValue for a bad identifier, environment or policy,
    and for needs that no machine ever meets, KernelspecNotFound, SessionLimitReached.
    """
    session = _session(
        await ask(
            "open_session",
            owner_id=ref.owner_id,
            identifier=ref.identifier,
            origin=origin,
            kernel_name=kernel_name,
            idle_timeout_seconds=idle_timeout_seconds,
            environment=environment or {},
            request=request or {},
            policy=policy or {},
        )
    )
    trace.found(session.id)
    return session


async def find_session(ref: SessionRef) -> SessionInfo:
    """The live session ``ref`` names. Raises SessionNotFound."""
    session = _session(await ask("find_session", **_named(ref)))
    trace.found(session.id)
    return session


async def rename_session(ref: SessionRef, name: str) -> None:
    """Give a live session another identifier; the old one is free from then on.

    Raises SessionNotFound, InvalidValue for a bad identifier, Conflict if it is taken.
    """
    await ask("rename_session", **_named(ref), name=name)


async def list_sessions(owner_id: int | None) -> list[SessionInfo]:
    """The owner's live sessions, the oldest first."""
    return [_session(wire) for wire in await ask("list_sessions", owner_id=owner_id)]


async def submit(
    ref: SessionRef,
    code: str,
    *,
    origin: str,
    create: bool = False,
    client_id: str = "",
    timeout_seconds: float | None = None,
    allow_input: bool = False,
    request: dict[str, Any] | None = None,
    before: str = "",
    after: str = "",
    watch_files: bool = False,
    cell: UUID | str | None = None,
) -> ExecutionInfo:
    """Queue ``code`` in the session and return at once; the row is written by then.

    ``create`` opens the session if there is none, as ``open_session`` does; otherwise
    SessionNotFound is raised. ``client_id`` is the client's own name for the execution: a
    second submission of the same code under it returns the first execution, other code raises
    ExecutionIdTaken. ``timeout_seconds`` counts from the start, not from the queue; None: no
    limit. ``allow_input`` lets the code ask with ``input()``. ``before`` and ``after`` are code of
    ours, in the kernel's language, that it runs silently around the user's; if ``before`` fails,
    the user's code does not run. ``watch_files`` makes a ``file`` event of each file the code
    wrote. ``cell`` is the key of the notebook's cell it runs for; None: it becomes a cell itself.
    Raises QueueLimitReached, QuotaReached, WorkspaceFull, InvalidValue unless the cell's key is a
    UUID.
    """
    return await _execute(
        "submit",
        ref,
        create=create,
        kind="code",
        code=code,
        origin=origin,
        client_id=client_id,
        timeout_seconds=timeout_seconds,
        allow_input=allow_input,
        request=request or {},
        before=before,
        after=after,
        watch_files=watch_files,
        cell=str(cell or ""),
    )


async def run_code(
    ref: SessionRef,
    code: str,
    *,
    origin: str,
    create: bool = False,
    client_id: str = "",
    timeout_seconds: float | None = None,
    allow_input: bool = False,
    request: dict[str, Any] | None = None,
    before: str = "",
    after: str = "",
    watch_files: bool = False,
) -> ExecutionInfo:
    """``submit``, then wait for the end: the finished execution with its events.

    Cancelling the call stops the waiting, not the code.
    """
    return await _execute(
        "run",
        ref,
        create=create,
        kind="code",
        code=code,
        origin=origin,
        client_id=client_id,
        timeout_seconds=timeout_seconds,
        allow_input=allow_input,
        request=request or {},
        before=before,
        after=after,
        watch_files=watch_files,
    )


async def run_command(
    ref: SessionRef,
    command: list[str],
    *,
    origin: str,
    create: bool = False,
    client_id: str = "",
    timeout_seconds: float | None = None,
    stdin: str = "",
    request: dict[str, Any] | None = None,
) -> ExecutionInfo:
    """Run a program (its name and arguments) in the session's workspace, and wait for its end.

    It takes its turn in the session's queue like code does, sees what the kernel sees, and gets
    ``stdin`` as its standard input. Its output is events like any other; ``exit_code`` is its
    own, negative if a signal ended it. Otherwise as ``run_code``.
    """
    return await _execute(
        "run",
        ref,
        create=create,
        kind="command",
        code=shlex.join(command),
        command=command,
        stdin=stdin,
        origin=origin,
        client_id=client_id,
        timeout_seconds=timeout_seconds,
        allow_input=False,
        request=request or {},
    )


async def submit_command(
    ref: SessionRef,
    command: list[str],
    *,
    origin: str,
    create: bool = False,
    client_id: str = "",
    timeout_seconds: float | None = None,
    stdin: str = "",
    request: dict[str, Any] | None = None,
) -> ExecutionInfo:
    """Queue a program as ``run_command`` runs it, and return at once, as ``submit`` does."""
    return await _execute(
        "submit",
        ref,
        create=create,
        kind="command",
        code=shlex.join(command),
        command=command,
        stdin=stdin,
        origin=origin,
        client_id=client_id,
        timeout_seconds=timeout_seconds,
        allow_input=False,
        request=request or {},
    )


async def wait(
    ref: SessionRef, execution_id: str, *, timeout_seconds: float | None = None
) -> ExecutionInfo:
    """Wait until the execution has ended, or for ``timeout_seconds``; then what is known of it.

    ``execution_id`` is its id or the client's own name for it. Also finds executions of sessions
    that have ended. Raises ExecutionNotFound.
    """
    # It has ended, or its session has, or it did before this host started.
    with suppress(NotFound, ExecutionFinished):
        await engine().call(
            "wait", **_named(ref), execution_id=execution_id, timeout_seconds=timeout_seconds
        )
    return await get_execution(ref, execution_id)


async def get_execution(ref: SessionRef, execution_id: str) -> ExecutionInfo:
    """What is known of an execution now, with its events if it has ended; read from the rows.

    Sessions that have ended are searched as well, after the live one. Raises ExecutionNotFound.
    """
    sessions = Session.objects.visible_to(ref.owner_id).named(ref.identifier)
    matches = Q(client_id=execution_id)
    with suppress(ValueError):
        matches |= Q(id=UUID(execution_id))
    # The newest session that has it; ids are unique, client ids only within a session.
    async for session in sessions:
        # Newest first: that is what clients poll, and an index leads there.
        execution = await session.executions.filter(matches).order_by("-queued_at").afirst()
        if execution is not None:
            return await _execution_of(execution)
    raise ExecutionNotFound


async def interrupt(ref: SessionRef) -> None:
    """Interrupt what runs in the session; nothing happens if nothing runs.

    Raises SessionNotFound.
    """
    await ask("interrupt", **_named(ref))


async def cancel(ref: SessionRef, execution_id: str) -> None:
    """Take a queued execution out of the queue, or interrupt it if it runs.

    Raises ExecutionNotFound, ExecutionFinished.
    """
    await ask("cancel", **_named(ref), execution_id=execution_id)


async def restart(ref: SessionRef) -> None:
    """Give the session a fresh kernel; what ran is interrupted, what waits is cancelled.

    Returns when the new kernel is ready. Raises SessionNotFound, KernelStartFailed.
    """
    await engine().call("restart", **_named(ref))


async def answer_input(ref: SessionRef, text: str) -> None:
    """Answer the prompt of code that waits in ``input()``, or of a command that reads a line.

    Raises InputNotRequested.
    """
    await ask("answer_input", **_named(ref), text=text)


async def complete(ref: SessionRef, code: str, cursor: int) -> dict[str, Any]:
    """What could follow at ``cursor`` (in characters), also while code runs.

    Returns ``{"matches": [str], "cursor_start": int, "cursor_end": int, "metadata": {}}``.
    Raises SessionNotFound, KernelBusy.
    """
    arguments = {"code": code, "cursor": cursor}
    return dict(await ask("complete", **_named(ref), **arguments))


async def inspect(ref: SessionRef, code: str, cursor: int, *, detail: int = 0) -> dict[str, Any]:
    """What the name at ``cursor`` is, also while code runs.

    Returns ``{"found": bool, "data": mime bundle, "metadata": {}}``. Raises SessionNotFound,
    KernelBusy.
    """
    arguments = {"code": code, "cursor": cursor, "detail": detail}
    return dict(await ask("inspect", **_named(ref), **arguments))


async def list_variables(ref: SessionRef) -> dict[str, Any]:
    """The variables of a Python session, data first, also while code runs.

    Returns ``{"variables": […], "is_cut": bool}``; each has ``name``, ``type``, ``shape`` (text,
    empty if it has none), ``size_bytes`` (None if unknown), ``value`` (one short line) and
    ``is_table``. Raises SessionNotFound, NotSupported for other languages, KernelBusy.
    """
    return dict(await ask("list_variables", **_named(ref)))


async def read_table(
    ref: SessionRef,
    *,
    name: str,
    offset: int = 0,
    limit: int = 100,
    sort: str = "",
    descending: bool = False,
    search: str = "",
) -> dict[str, Any]:
    """Rows of the variable ``name`` (a data frame, an array, a list of dicts), as text.

    ``sort`` is a column's name, empty for its own order; ``search`` keeps rows in which it
    occurs. At most 200 rows and 100 columns come at a time, fewer if they are long. Returns
    ``name``, ``columns`` (``name``, ``type``, ``is_number``), ``total_columns``, ``index``,
    ``rows``, ``total_rows`` (those found), ``offset``. Raises SessionNotFound, InvalidValue if
    it is no table, NotSupported, KernelBusy.
    """
    asked = {"name": name, "offset": offset, "limit": limit}
    how = {"sort": sort, "descending": descending, "search": search}
    return dict(await ask("read_table", **_named(ref), **asked, **how))


async def send_comm(
    ref: SessionRef,
    *,
    kind: str,
    comm_id: str,
    target_name: str = "",
    data: dict[str, Any] | None = None,
    metadata: dict[str, Any] | None = None,
    buffers: list[bytes] | None = None,
) -> None:
    """Send a widget's message to the kernel; ``kind`` is open, msg or close.

    While code runs, it waits in the kernel. What it leads to is in the log, under the execution
    that opened the comm. Raises SessionNotFound, InvalidValue, KernelBusy, LimitReached.
    """
    if kind not in ("open", "msg", "close"):
        raise InvalidValue("A comm's kind must be open, msg or close.")
    if not 0 < len(comm_id) <= MAX_COMM_ID_LENGTH:
        raise InvalidValue(f"A comm's id has 1 to {MAX_COMM_ID_LENGTH} characters.")
    message = {
        "kind": kind,
        "comm_id": comm_id,
        "target_name": target_name,
        "data": data or {},
        "metadata": metadata or {},
    }
    await ask("send_comm", **_named(ref), message=message, buffers=buffers or [])


async def resources(ref: SessionRef) -> dict[str, Any]:
    """What the session has used lately: all its processes together.

    Returns ``{"samples": […], "memory_limit_bytes": int or None}``; the samples, oldest first,
    are about 2 s apart and go back 5 minutes: ``at``, ``memory_bytes``, ``cpu_percent`` (of one
    core, so that it may exceed 100), ``processes``. Raises SessionNotFound.
    """
    return dict(await ask("resources", **_named(ref)))


async def list_resources(owner_id: int | None) -> dict[str, dict[str, Any]]:
    """The memory of the owner's live sessions at a glance, by session id.

    Each is ``{"memory_bytes": int or None, "memory_spark": [int]}``, rounded: the last value and
    its course over 5 minutes, at most 30 points, oldest first.
    """
    return dict(await ask("list_resources", owner_id=owner_id))


async def survey() -> list[dict[str, Any]]:
    """What the hosts have at this moment, whosever it is: for operators.

    Each has ``host`` (its name), ``started_at``, ``slots`` (sessions that it may have),
    ``is_draining``, ``warm_kernels`` (how many wait for a session) and ``sessions``: of each live
    one ``id``, ``owner_id``, ``state``, ``reason``, ``running_since`` (None if nothing runs),
    ``waiting`` (executions), ``memory_bytes``, ``cpu_percent`` (of one core) and ``processes``,
    these three None while they are not known.
    """
    return list((await ask("survey"))["hosts"])


async def started_at() -> datetime:
    """Since when code can be run: when the oldest of the hosts was started."""
    return datetime.fromisoformat((await ask("health"))["started_at"])


async def usage(owner_id: int | None) -> dict[str, Any]:
    """What the owner uses, and may use.

    Returns ``{"period_seconds": int, "quotas": [{"name", "used", "most"}]}``: ``sessions``,
    ``executions`` and ``storage_bytes`` as they are now, ``execution_seconds`` and
    ``output_bytes`` of the last ``period_seconds``. ``most`` None: no limit.
    """
    return dict(await ask("usage", owner_id=owner_id))


async def room(session_id: UUID) -> dict[str, Any]:
    """What the files of a live session may take: ``{"most_bytes": int or None, "full": str}``.

    ``full`` is the sentence for what does not fit; empty: the session's own limit is the reason.
    Raises SessionNotFound.
    """
    return dict(await ask("room", session_id=str(session_id)))


async def tell_of_files(session_id: UUID, version: int) -> None:
    """Tell who watches a session that its files have changed.

    Raises nothing, and waits for no host that is silent: the version is in the session's row.
    """
    with suppress(WorkbenchError, TimeoutError):
        async with asyncio.timeout(TELLING_SECONDS):
            await ask("announce", topic=files_topic(session_id), number=version)


async def close_session(ref: SessionRef) -> None:
    """End the session: its kernel and its workspace go, its history stays.

    Returns when the kernel's processes have ended. Raises SessionNotFound.
    """
    await engine().call("close_session", **_named(ref))


async def kernelspecs() -> list[dict[str, Any]]:
    """The installed kernels: ``{"name", "display_name", "language", "version"}`` each.

    ``version`` is the kernel program's own and empty where unknown. The default comes first.
    """
    return list(await ask("kernelspecs"))


def _named(ref: SessionRef) -> dict[str, Any]:
    return {"owner_id": ref.owner_id, "identifier": ref.identifier}


async def _execute(verb: str, ref: SessionRef, **arguments: Any) -> ExecutionInfo:
    if arguments["client_id"] and (first := await _ended_under(ref, **arguments)):
        return first
    call = engine().call if verb == "run" else ask
    wire = await call(verb, **_named(ref), **arguments)
    if wire.keys() == {"id"}:
        # The client's own id led to an execution of before, which the rows know whole.
        return await get_execution(ref, wire["id"])
    execution = _execution(wire)
    trace.found(execution.session_id)
    return execution


async def _ended_under(
    ref: SessionRef, *, client_id: str, kind: str, code: str, **others: Any
) -> ExecutionInfo | None:
    """The execution that ended under the client's own name for it; None if none has.

    Its host knows those it ran, but not those of the host before it. Raises ExecutionIdTaken.
    """
    session = await Session.objects.visible_to(ref.owner_id).live().named(ref.identifier).afirst()
    if session is None:
        return None
    row = await session.executions.filter(client_id=client_id).afirst()
    if row is None or not row.is_finished:
        return None
    if (row.kind, row.code) != (kind, code):
        raise ExecutionIdTaken
    return await _execution_of(row)


_SESSION_TIMES = ("created_at", "last_active_at")
_EXECUTION_TIMES = ("queued_at", "started_at", "finished_at")


def _with_times(wire: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    times = {name: datetime.fromisoformat(wire[name]) for name in names if wire[name]}
    return {**wire, **times}


def _session(wire: dict[str, Any]) -> SessionInfo:
    return SessionInfo(**_with_times(wire, _SESSION_TIMES) | {"id": UUID(wire["id"])})


def _execution(wire: dict[str, Any]) -> ExecutionInfo:
    ids = {"id": UUID(wire["id"]), "session_id": UUID(wire["session_id"])}
    return ExecutionInfo(**_with_times(wire, _EXECUTION_TIMES) | ids)


async def _execution_of(row: Execution) -> ExecutionInfo:
    events: list[dict[str, Any]] = []
    if row.is_finished and row.final_event_number is not None:
        counting = row.events.filter(number__lte=row.final_event_number).order_by("number")
        events = [event.to_wire() async for event in counting]
    return ExecutionInfo(
        id=row.id,
        public_id=row.public_id,
        session_id=row.session_id,
        kind=row.kind,
        origin=row.origin,
        code=row.code,
        state=row.state,
        reason=row.reason,
        exit_code=row.exit_code,
        execution_count=row.execution_count,
        queued_at=row.queued_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        request=row.request,
        events=events,
    )
