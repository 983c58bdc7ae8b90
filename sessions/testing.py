"""For tests and scripts: a recorder that keeps everything in memory."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any
from uuid import UUID

from sessions.exceptions import Conflict
from sessions.kernels.flow import Flow
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
from sessions.states import LIVE_SESSION_STATES, EventType, ExecutionState, SessionState


class MemoryRecorder:
    """The real interface of records.Recorder, without a database; everything is "durable" at once."""

    def __init__(self) -> None:
        self.flow = Flow()
        self.written: Counter[str] = Counter()
        self.waiting_characters = 0
        self.sessions: dict[UUID, SessionRecord] = {}
        self.executions: dict[UUID, ExecutionRecord] = {}
        self.events: list[Event] = []
        # What accounts have of their own, by owner and quota's name.
        self.own_quotas: dict[int, dict[str, int]] = {}
        self.audited: list[AuditRecord] = []
        self.drains = False
        self.used_elsewhere: dict[int | None, Elsewhere] = {}

    async def sessions_with_files(self) -> set[UUID]:
        """Those that have not ended, or are lost."""
        states = {*LIVE_SESSION_STATES, SessionState.LOST}
        return {id_ for id_, session in self.sessions.items() if session.state in states}

    async def create_session(self, session: SessionRecord) -> None:
        """Remember a session. Raises Conflict if its name is taken by one that has not ended."""
        self._check_free(session.owner_id, session.identifier)
        self.sessions[session.id] = session

    async def rename_session(self, session: SessionRecord, identifier: str) -> None:
        """Raises Conflict if the name is taken; there is no row to change."""
        self._check_free(session.owner_id, identifier)

    async def quotas(self) -> dict[int, dict[str, int]]:
        """What a test has put there."""
        return self.own_quotas

    async def elsewhere(self, since: datetime) -> dict[int | None, Elsewhere]:
        """What a test has put there."""
        return self.used_elsewhere

    async def is_draining(self) -> bool:
        """What a test has said."""
        return self.drains

    async def spent(self, since: datetime) -> list[Spent]:
        """By the records of executions that have ended, but for lost ones."""
        return [
            Spent(
                self.sessions[each.session_id].owner_id,
                each.started_at,
                each.finished_at,
                each.output_bytes,
            )
            for each in self.executions.values()
            if each.started_at and each.finished_at and each.finished_at > since
            if each.state != ExecutionState.LOST
        ]

    def append(
        self,
        session: SessionRecord,
        type: EventType,
        data: dict[str, Any],
        execution_id: UUID | None = None,
    ) -> Event:
        """Number an event and remember it."""
        session.last_event_number += 1
        event = {
            "number": session.last_event_number,
            "type": str(type),
            "execution": str(execution_id) if execution_id else None,
            "at": timestamp(now()),
            "data": data,
        }
        self.events.append(event)
        self.written[str(type)] += 1
        return event

    def changed(self, record: SessionRecord | ExecutionRecord) -> None:
        """Remember the record."""
        if isinstance(record, ExecutionRecord):
            self.executions[record.id] = record

    def audit(self, entry: AuditRecord) -> None:
        """Remember who did what."""
        self.audited.append(entry)

    async def commit(self) -> None:
        """Nothing is left to do."""

    def _check_free(self, owner_id: int | None, identifier: str) -> None:
        live = [each for each in self.sessions.values() if each.ended_at is None]
        if (owner_id, identifier) in {(each.owner_id, each.identifier) for each in live}:
            raise Conflict
