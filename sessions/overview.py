"""What is seen of sessions at a glance: a session as plain data, and the lists of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import (
    Case,
    Count,
    Min,
    OuterRef,
    Q,
    Subquery,
    TextField,
    Value,
    When,
)
from django.db.models.fields.json import KT
from django.db.models.functions import Coalesce, Concat, Left, Right

from sessions import operations
from sessions.exceptions import HostUnavailable, SessionNotFound
from sessions.models import Event, Execution, Session
from sessions.states import UNFINISHED_EXECUTION_STATES, EventType, ExecutionState

# What a list of sessions may be asked for besides the states there are.
LIVE, ENDED = "live", "ended"
# Ended sessions that the list still shows, the newest.
ENDED_SHOWN = 50
# Characters read of the newest output, to find its last line in; and shown of that line.
OUTPUT_READ = 2_000
LINE_SHOWN = 200

# Escape sequences, and control characters that mean nothing in one line of text.
_ESCAPES = re.compile(
    r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x08\x0b-\x1f\x7f]"
)


def describe(session: Session) -> dict[str, Any]:
    """One session as plain data; times in ISO 8601, ``ended_at`` None while it is live."""
    return {
        "id": str(session.id),
        "identifier": session.identifier,
        "state": session.state,
        "reason": session.reason,
        "is_live": session.is_live,
        "origin": session.origin,
        "kernel": session.kernel_name,
        "created_at": _time(session.created_at),
        "last_active_at": _time(session.last_active_at),
        "ended_at": _time(session.ended_at),
        "last_event_number": session.last_event_number,
        "files_version": session.files_version,
    }


@dataclass(frozen=True)
class SessionPage:
    """Some of an owner's sessions, the newest first. ``is_last``: there are no older ones."""

    sessions: Sequence[Session]
    is_last: bool


async def list_sessions(
    owner_id: int | None, *, limit: int, before: UUID | None = None, state: str = ""
) -> SessionPage:
    """The owner's newest sessions, or those older than the one with the id ``before``.

    ``state`` is LIVE, ENDED, a session's state, or empty for all. Raises SessionNotFound if
    the owner has no session with this id.
    """
    mine = found = Session.objects.visible_to(owner_id)
    if state in (LIVE, ENDED):
        found = found.filter(ended_at__isnull=state == LIVE)
    elif state:
        found = found.filter(state=state)
    if before is not None:
        at = await mine.filter(id=before).values_list("created_at", flat=True).afirst()
        if at is None:
            raise SessionNotFound("You have no session to go on from with this id.")
        found = found.filter(Q(created_at__lt=at) | Q(created_at=at, id__lt=before))
    rows = [row async for row in found.order_by("-created_at", "-id")[: limit + 1]]
    return SessionPage(rows[:limit], is_last=len(rows) <= limit)


async def list_overview(owner_id: int | None) -> list[dict[str, Any]]:
    """The owner's live sessions and the last ended ones, the latest activity first.

    Each is ``describe`` and, besides, ``executions`` (``{"total", "failed", "waiting"}``, the
    last being those that run or wait to), ``last_line`` of output, empty if there is none,
    ``running_since`` (when what runs was started; None if nothing runs), ``asks`` (whether it
    waits for somebody's input) and ``owner`` (a username; None for the open door).
    """
    mine = Session.objects.visible_to(owner_id)
    ended = mine.filter(ended_at__isnull=False).order_by("-ended_at")[:ENDED_SHOWN]
    shown = mine.filter(Q(ended_at=None) | Q(id__in=[row.id async for row in ended.only("id")]))
    rows = _with_numbers(shown).select_related("owner").order_by("-last_active_at", "-created_at")
    return [_line(session) async for session in rows]


async def with_memory(rows: list[dict[str, Any]], owner_id: int | None) -> list[dict[str, Any]]:
    """The rows with ``memory_bytes`` and ``memory_spark``, as ``operations.list_resources`` says.

    None and empty for sessions that have ended, and while the host is away. The rows given are
    left as they were.
    """
    try:
        used = await operations.list_resources(owner_id)
    except HostUnavailable:
        used = {}
    unknown: dict[str, Any] = {"memory_bytes": None, "memory_spark": []}
    return [{**row, **used.get(row["id"], unknown)} for row in rows]


def _with_numbers(sessions: Any) -> Any:
    newest_output = (
        Event.objects.filter(
            session=OuterRef("pk"),
            type__in=[EventType.STREAM, EventType.EXECUTE_RESULT, EventType.ERROR],
        )
        .order_by("-number")
        .annotate(
            # The end of a stream, and the beginning of what else has text: never a whole output.
            line=Case(
                When(type=EventType.STREAM, then=Right(KT("data__text"), OUTPUT_READ)),
                When(
                    type=EventType.ERROR,
                    then=Left(
                        Concat(
                            KT("data__ename"),
                            Value(": "),
                            KT("data__evalue"),
                            output_field=TextField(),
                        ),
                        OUTPUT_READ,
                    ),
                ),
                default=Left(KT("data__data__text/plain"), OUTPUT_READ),
                output_field=TextField(),
            )
        )
    )
    runs = Execution.objects.filter(session=OuterRef(OuterRef("pk")), state=ExecutionState.RUNNING)
    # While code waits for an answer it says nothing else.
    newest_of_running = Event.objects.filter(execution=Subquery(runs.values("pk")[:1]))
    unfinished = Q(executions__state__in=UNFINISHED_EXECUTION_STATES)
    failed = Q(executions__state=ExecutionState.FAILED)
    running = Q(executions__state=ExecutionState.RUNNING)
    return sessions.annotate(
        execution_total=Count("executions"),
        execution_failed=Count("executions", filter=failed),
        execution_waiting=Count("executions", filter=unfinished),
        running_since=Min("executions__started_at", filter=running),
        newest_type=Subquery(newest_of_running.order_by("-number").values("type")[:1]),
        output=Coalesce(
            Subquery(newest_output.values("line")[:1]), Value(""), output_field=TextField()
        ),
    )


def _line(session: Any) -> dict[str, Any]:
    return {
        **describe(session),
        "executions": {
            "total": session.execution_total,
            "failed": session.execution_failed,
            "waiting": session.execution_waiting,
        },
        "last_line": last_line(session.output),
        "running_since": _time(session.running_since),
        "asks": session.newest_type == EventType.INPUT_REQUEST,
        "owner": session.owner.get_username() if session.owner else None,
    }


def last_line(text: str) -> str:
    """The last line of ``text`` that is not blank, as a terminal would show it, and cut."""
    for line in reversed(text.splitlines()):
        if shown := _ESCAPES.sub("", line.rsplit("\r", 1)[-1]).strip():
            return shown[:LINE_SHOWN]
    return ""


def _time(at: datetime | None) -> str | None:
    return at.isoformat().replace("+00:00", "Z") if at else None
