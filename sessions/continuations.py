"""The verbs of continued runs: several steps under one run id, followed call by call.

A run is a client's view of executions that follow each other in the session's queue. Whoever
follows it learns one thing a call: that a step has finished, that one waits for input, or that
it goes on; together with the output since the call before. Every verb may raise
``HostUnavailable``.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import asdict, dataclass, field
from typing import Any

from sessions.engines import ask, engine
from sessions.models import Event
from sessions.operations import SessionRef
from sessions.states import EventType

# What a follower gets to see of the log: output, and the prompts of input().
_TOLD = (
    EventType.STREAM,
    EventType.DISPLAY_DATA,
    EventType.UPDATE_DISPLAY_DATA,
    EventType.EXECUTE_RESULT,
    EventType.ERROR,
    EventType.CLEAR_OUTPUT,
    EventType.INPUT_REQUEST,
    EventType.TRUNCATED,
)


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a run: a command (a program and its arguments), or code for the kernel.

    With neither, it is skipped: it is told as finished with exit code 0, in its turn.
    """

    name: str  # "clean" | "build" | "exec" | "query"
    command: list[str] | None = None
    code: str | None = None


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What one call of ``follow_run`` learnt."""

    run_id: str
    status: str  # "continued" | "waiting-input" | "step-finished"
    # The step that has finished; None unless the status says so.
    step: str | None = None
    # The run is over, and unknown from now on.
    is_last: bool = False
    # Of the step that has finished, 128 + n if signal n ended it; None unless the status says so.
    exit_code: int | None = None
    # The prompt asks for a password; False unless the status is "waiting-input".
    is_password: bool = False
    # The run's events since the answer before, in the shape of ``Event.to_wire`` and in order:
    # output, and ``input_request`` with the prompt's text (which is not in the output).
    events: list[dict[str, Any]] = field(default_factory=list)


async def start_run(
    ref: SessionRef,
    steps: list[Step],
    *,
    run_id: str = "",
    origin: str,
    environment: dict[str, str] | None = None,
) -> str:
    """Queue the steps in the session, one execution each, and return the run's id.

    They follow each other without anything in between; a step without command and code costs
    nothing. ``run_id`` is invented if empty. Each execution's ``client_id`` is
    ``"<run id>/<step>"`` unless that is taken, its ``request`` ``{"run": …, "step": …}``.
    ``environment`` is added to the commands' own. If "build" ends with another exit code than
    0, "exec" is not run and ends with 127. Only "exec" can read its standard input; the others
    find it empty. Code may use ``input()``.

    Raises SessionNotFound, InvalidValue, Conflict if a run of that id is under way, and
    QueueLimitReached, QuotaReached; then nothing is queued.
    """
    run_id = run_id or uuid.uuid4().hex
    await ask(
        "start_run",
        **_named(ref),
        run_id=run_id,
        steps=[asdict(step) for step in steps],
        origin=origin,
        environment=environment or {},
    )
    return run_id


async def follow_run(ref: SessionRef, run_id: str, *, wait_seconds: float) -> Progress:
    """The next thing to know of a run: a finished step, a prompt, or after a while neither.

    Returns at once if something is there that was not told yet, and otherwise when
    ``wait_seconds`` are over, with status "continued". Each finished step and each prompt is
    told once, in order. A run whose session was closed or restarted meanwhile ends with exit
    code 130.

    Of concurrent calls for one run, each thing is told to one. It counts as told only when its
    events have been read and nothing is left to do but to return: a call that is cancelled
    while it waits or reads loses nothing, and the next one gets the same. Raises
    ExecutionNotFound for a run that is unknown, over, or was not followed for ten minutes
    after its end.
    """
    deadline = time.monotonic() + wait_seconds
    while True:
        left = max(0.0, deadline - time.monotonic())
        call = {**_named(ref), "run_id": run_id}
        answer = await engine().call("follow_run", **call, wait_seconds=left)
        events = await _events(answer["executions"], answer["after"], answer["until"])
        if await ask("told_run", **call, answer=answer):
            return _progress(run_id, answer, events)
        # Somebody else who follows the same run had this; the next thing is ours.


async def answer_run(ref: SessionRef, run_id: str, text: str) -> None:
    """Answer the prompt of a run, with one line of text; the line's end is added to it.

    Raises InputNotRequested unless this run waits for input, ExecutionNotFound for an unknown
    run.
    """
    await ask("answer_run", **_named(ref), run_id=run_id, text=text)


def _progress(run_id: str, answer: dict[str, Any], events: list[dict[str, Any]]) -> Progress:
    return Progress(
        run_id=run_id,
        status=answer["status"],
        step=answer["step"],
        is_last=answer["is_last"],
        exit_code=answer["exit_code"],
        is_password=answer["is_password"],
        events=events,
    )


async def _events(executions: list[str], after: int, until: int) -> list[dict[str, Any]]:
    """The events of the executions with numbers above ``after``, up to ``until``."""
    rows = Event.objects.filter(
        execution__in=[uuid.UUID(id_) for id_ in executions],
        number__gt=after,
        number__lte=until,
        type__in=_TOLD,
    )
    return [event.to_wire() async for event in rows.order_by("number")]


def _named(ref: SessionRef) -> dict[str, Any]:
    return {"owner_id": ref.owner_id, "identifier": ref.identifier}
