"""What is said of one session: the states of its records, and the events in its log."""

from __future__ import annotations

from typing import Any

from sessions.kernels.executions import LiveExecution, Prompt
from sessions.kernels.flow import Flow
from sessions.kernels.outputs import Output, OutputLimit, clean, pieces, size_of
from sessions.kernels.quotas import Account
from sessions.kernels.records import AuditRecord, Event, Recorder, SessionRecord, now
from sessions.kernels.workspace import Entry
from sessions.states import (
    LIVE_SESSION_STATES,
    AuditAction,
    EventType,
    ExecutionState,
    SessionState,
)

MAX_REASON_LENGTH = 500  # characters, as in sessions/models.py
# What counts as output.
_OUTPUTS = frozenset(
    {
        EventType.STREAM,
        EventType.DISPLAY_DATA,
        EventType.UPDATE_DISPLAY_DATA,
        EventType.EXECUTE_RESULT,
        EventType.ERROR,
        EventType.CLEAR_OUTPUT,
        EventType.COMM,
    }
)


class Journal:
    """Changes a session's records and says so to the recorder, always both.

    What its executions use is counted in the ``account`` of its owner.
    """

    def __init__(
        self,
        record: SessionRecord,
        recorder: Recorder,
        max_output_bytes: int,
        account: Account | None = None,
    ) -> None:
        self.record = record
        self._recorder = recorder
        self._max_output_bytes = max_output_bytes
        self._account = account or Account()
        # For output that belongs to no execution, since the last one started.
        self._stray = self._stray_limit()

    @property
    def flow(self) -> Flow:
        """Whether more output can be taken."""
        return self._recorder.flow

    async def commit(self) -> None:
        """Return when everything said is durable."""
        await self._recorder.commit()

    def touch(self) -> None:
        """Somebody uses the session: it is not idle."""
        self.record.last_active_at = now()
        self._recorder.changed(self.record)

    def become(self, state: SessionState, reason: str = "") -> None:
        """Change the session's state; nothing happens once it has ended."""
        before, reason = self.record.state, _sentence(reason)
        if self.record.ended_at is not None or (state, reason) == (before, self.record.reason):
            return
        self.record.state, self.record.reason = state, reason
        self._recorder.changed(self.record)
        if {before, state} != {SessionState.IDLE, SessionState.BUSY}:
            self.say_state()  # between idle and busy, the executions' events say it

    def end(self, state: SessionState, reason: str) -> None:
        """The session has ended, or its host lets go of it: a live ``state`` says so."""
        self.become(state, reason)
        if state not in LIVE_SESSION_STATES:
            self.record.ended_at = now()
            self.audit(AuditAction.SESSION_ENDED, outcome=str(state))

    def audit(self, action: AuditAction, **more: Any) -> None:
        """Somebody did something to the session."""
        self._recorder.audit(AuditRecord.now(action, self.record, **more))

    def say_state(self) -> None:
        """An event with the session's state."""
        data = {"state": str(self.record.state), "reason": self.record.reason}
        self.say(EventType.SESSION_STATE, data)

    def queued(self, execution: LiveExecution, position: int) -> None:
        """An execution waits, or runs next; ``position`` counts those before it."""
        record = execution.record
        self._account.executions += 1
        self._recorder.changed(record)
        data = {
            "code": record.code,
            "kind": record.kind,
            "origin": record.origin,
            "client_id": record.client_id,
            "cell": str(record.cell) if record.cell else None,
            "position": position,
        }
        self.say(EventType.EXECUTION_QUEUED, data, execution)
        self.touch()

    def started(self, execution: LiveExecution) -> None:
        """An execution runs."""
        execution.record.state = ExecutionState.RUNNING
        execution.record.started_at = now()
        self._account.started(execution)
        self._recorder.changed(execution.record)
        self._stray = self._stray_limit()
        self.become(SessionState.BUSY)
        self.say(EventType.EXECUTION_STARTED, {}, execution)

    def finished(self, execution: LiveExecution, state: ExecutionState, reason: str) -> None:
        """An execution has ended: what counts for its caller is frozen from now on."""
        record = execution.record
        for type_, data in execution.limit.end():
            self.say(type_, data, execution)
        record.state, record.reason, record.finished_at = state, _sentence(reason), now()
        self._account.finished(execution)
        event = self.say(
            EventType.EXECUTION_FINISHED,
            {
                "state": str(state),
                "reason": record.reason,
                "exit_code": record.exit_code,
                "duration_seconds": record.duration_seconds,
                "execution_count": record.execution_count,
            },
            execution,
        )
        record.final_event_number = event["number"]
        self._recorder.changed(record)
        self._recorder.audit(AuditRecord.of_execution(self.record, record))
        execution.prompt = None
        execution.ended.set()
        execution.news.set()
        self.touch()

    def output(self, output: Output, execution: LiveExecution | None) -> None:
        """Output of an execution, or of none that is known."""
        limit = execution.limit if execution else self._stray
        for piece in pieces(output):
            for type_, data in limit.admit(piece):
                self.say(type_, data, execution)

    def asked(self, execution: LiveExecution, prompt: Any, *, password: bool) -> None:
        """An execution waits for input. What it printed before must be seen first."""
        for type_, data in execution.limit.rest():
            self.say(type_, data, execution)
        text = clean(prompt)[:1_000] if isinstance(prompt, str) else ""
        data = {"prompt": text, "password": password}
        event = self.say(EventType.INPUT_REQUEST, data, execution)
        execution.prompt = Prompt(event["number"], password)
        execution.news.set()
        self.touch()

    def wrote(self, execution: LiveExecution, entries: list[Entry]) -> None:
        """An execution wrote these files. What it printed before must be seen first."""
        for type_, data in execution.limit.rest() if entries else ():
            self.say(type_, data, execution)
        for entry in entries:
            data = {"path": entry.path, "size_bytes": entry.size_bytes}
            self.say(EventType.FILE, data, execution)

    def say(
        self, type_: EventType, data: dict[str, Any], execution: LiveExecution | None = None
    ) -> Event:
        """An event, kept for the caller too as long as it counts."""
        execution_id = execution.record.id if execution else None
        if type_ in _OUTPUTS:
            self._count(size_of((type_, data)), execution)
        event = self._recorder.append(self.record, type_, data, execution_id)
        counts = execution is not None and not execution.ended.is_set()
        kept = execution.events if execution and counts else None
        if kept is not None and not (kept and kept[-1] is event):  # not one that has grown
            kept.append(event)
        return event

    def _count(self, size: int, execution: LiveExecution | None) -> None:
        if execution is not None:
            execution.record.output_bytes += size
            if execution.ended.is_set():  # otherwise its end writes it
                self._recorder.changed(execution.record)
        self._account.put_out(size, execution)

    def _stray_limit(self) -> OutputLimit:
        limit = OutputLimit(self._max_output_bytes)
        limit.end()
        return limit


def _sentence(reason: str) -> str:
    return str(clean(reason))[:MAX_REASON_LENGTH]
