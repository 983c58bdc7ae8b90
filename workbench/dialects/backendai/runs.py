"""Runs: begun by one call, followed by others, each answered within two seconds."""

from __future__ import annotations

from typing import Any

from sessions import continuations
from sessions.continuations import Progress
from sessions.exceptions import Conflict, ExecutionNotFound, InputNotRequested
from sessions.operations import SessionInfo, SessionRef
from workbench.dialects.backendai import ORIGIN
from workbench.dialects.backendai.completion import complete
from workbench.dialects.backendai.console import console_of
from workbench.dialects.backendai.errors import invalid
from workbench.dialects.backendai.queries import ENVIRONMENT, Query, parse_query
from workbench.dialects.backendai.views import language_in, ref_of
from workbench.errors import Refused

# From the beginning of a call to its answer, whether there is something to tell or not.
WAIT_SECONDS = 2.0


async def execute(session: SessionInfo, body: dict[str, Any]) -> dict[str, Any]:
    """One call about a run; the execution result object. Raises Refused."""
    query = parse_query(body)
    run_id = query.run_id
    match query.mode:
        case "complete":
            return {"runId": run_id, **await complete(ref_of(session), body)}
        case "query" | "batch":
            run_id = await start(session, query)
        case "input":
            await answer(session, run_id, query.code)
    return await next_result(ref_of(session), run_id)


async def last_result(ref: SessionRef, body: dict[str, Any]) -> dict[str, Any] | None:
    """The end of a run whose session is gone, told to a client that goes on with it.

    None if that is not what the body asks for, or if there is nothing to tell any more.
    """
    if body.get("mode") != "continue":
        return None
    try:
        return await next_result(ref, parse_query(body).run_id)
    except Refused:
        return None


async def next_result(ref: SessionRef, run_id: str) -> dict[str, Any]:
    """What is new in a run, within two seconds. Raises Refused for one that is over."""
    return {"runId": run_id, **await follow(ref, run_id, wait_seconds=WAIT_SECONDS)}


async def start(session: SessionInfo, query: Query) -> str:
    """Begin a run, and its id. Raises Refused."""
    steps = query.steps(await language_in(session))
    try:
        return await continuations.start_run(
            ref_of(session),
            steps,
            run_id=query.run_id,
            origin=ORIGIN,
            environment=ENVIRONMENT,
        )
    except Conflict as error:
        raise invalid(error.message, runId=query.run_id) from None


async def answer(session: SessionInfo, run_id: str, text: str) -> None:
    """Answer a run that waits for input. Raises Refused."""
    try:
        await continuations.answer_run(ref_of(session), run_id, text)
    except InputNotRequested as error:
        raise invalid(error.message, runId=run_id) from None
    except ExecutionNotFound:
        raise _unknown(run_id) from None


async def follow(ref: SessionRef, run_id: str, *, wait_seconds: float) -> dict[str, Any]:
    """What is new in a run, without its id. Raises Refused for one that is over."""
    try:
        progress = await continuations.follow_run(ref, run_id, wait_seconds=wait_seconds)
    except ExecutionNotFound:
        raise _unknown(run_id) from None
    return result_of(progress)


def result_of(progress: Progress) -> dict[str, Any]:
    """The execution result object of what one call learnt, without the run's id."""
    is_waiting = progress.status == "waiting-input"
    return {
        "status": _status(progress),
        "exitCode": progress.exit_code,
        "console": console_of(progress.events),
        "options": {"is_password": progress.is_password} if is_waiting else None,
        "files": [],
    }


def _status(progress: Progress) -> str:
    if progress.status != "step-finished":
        return progress.status
    if progress.is_last:
        return "finished"
    return f"{progress.step}-finished"


def _unknown(run_id: str) -> Exception:
    return invalid("There is no such run, or it is over.", runId=run_id)
