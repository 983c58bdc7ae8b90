"""What runs in a session: ``/api/v1/sessions/<identifier>/executions…``, and what stops it."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict
from datetime import datetime
from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.urls import URLPattern, path
from rest_framework.request import Request

from sessions import history, operations
from sessions.exceptions import (
    CellNotFound,
    ExecutionFinished,
    ExecutionIdTaken,
    ExecutionNotFound,
    HostUnavailable,
    InputNotRequested,
    InvalidValue,
    KernelStartFailed,
    QueueLimitReached,
    QuotaReached,
    WorkspaceFull,
)
from sessions.kernels.executions import MAX_TIMEOUT_SECONDS
from sessions.models import Execution, Session
from sessions.notebook_cells import read_cell
from sessions.operations import ExecutionInfo
from sessions.outcomes import fold
from sessions.states import ExecutionState
from workbench.api import shapes
from workbench.api.base import (
    CURSOR,
    LIMIT,
    NOT_JSON,
    SESSION_ENDED,
    TOO_LARGE,
    SessionView,
    json_body,
    no_content,
    origin_of,
    parse_number,
    parse_uuid,
    read_choice,
    read_cursor,
    read_number,
    ref_to,
    refuse_body,
)
from workbench.api.operation import Answer, Body, Failure, Parameter, number, operation
from workbench.dialects.base import json_response

# How long a request may wait; connections of people and of programs in between break later.
MAX_WAIT_SECONDS = 60
KEY_REUSED = Failure(
    HTTPStatus.UNPROCESSABLE_ENTITY,
    "idempotency_key_reused",
    "This Idempotency-Key came with another request before. A new request needs a new key.",
)
WAIT = number(
    "wait",
    "Seconds to wait for the end, before the answer says what is so far.",
    most=MAX_WAIT_SECONDS,
)
PREFER = Parameter(
    name="Prefer",
    about=f"The same as `wait`, as RFC 7240 has it; more than {MAX_WAIT_SECONDS} counts as that.",
    example="wait=10",
)
KEY = Parameter(
    name="Idempotency-Key",
    about=(
        "The client's own name for what it wants to run, 1 to 256 printable ASCII characters, in "
        "quotes or not. Sent again with the same body it leads to what was run the first time, as "
        "long as the session lives; with another body it is refused."
    ),
    example='"8e03978e-40d5-43e8-bc93-6894a57f9324"',
)
STATE = Parameter(
    name="state",
    about="Only those in this state.",
    choices=tuple(str(state) for state in ExecutionState),
)
LOCATION = {"Location": "The execution's address."}
_WAIT_IN_PREFER = re.compile(r"wait\s*=\s*\"?([0-9]{1,9})\"?", re.IGNORECASE)
_KEY = re.compile(r"[!-~]([ -~]{0,254}[!-~])?")


class ExecutionsView(SessionView):
    """``…/executions``."""

    tag = "Executions"

    @operation(
        "submit_execution",
        query=[WAIT],
        headers=[PREFER, KEY],
        body=Body(shape=shapes.NewExecution, example={"code": "print(6 * 7)"}),
        answers={
            HTTPStatus.ACCEPTED: Answer(
                about="It will run, or does.", shape=shapes.Execution, headers=LOCATION
            ),
            HTTPStatus.OK: Answer(
                about="It has ended already.", shape=shapes.Execution, headers=LOCATION
            ),
        },
        failures=[
            NOT_JSON,
            TOO_LARGE,
            SESSION_ENDED,
            KEY_REUSED,
            CellNotFound,
            QueueLimitReached,
            QuotaReached,
            WorkspaceFull,
            HostUnavailable,
        ],
    )
    async def post(self, request: Request, **where: Any) -> HttpResponse:
        """Run code, or a command.

        It takes its turn in the session's queue, and runs to its end whatever becomes of the
        client.
        """
        body = json_body(request, shapes.NewExecution)
        wanted, key, seconds = _wanted(body), _key(request), _wait_of(request)
        session = await self.live_session(request)
        if "cell" in wanted and not (key and await _ran_already(session, key)):
            await read_cell(session, UUID(wanted["cell"]))
        fingerprint = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        wanted |= {"client_id": key, "request": {"fingerprint": fingerprint} if key else {}}
        submit = operations.submit_command if "command" in wanted else operations.submit
        ref = ref_to(session)
        try:
            execution = await submit(ref, origin=origin_of(request), **wanted)
        except ExecutionIdTaken:
            raise KEY_REUSED.refusal() from None
        if key and execution.request.get("fingerprint") != fingerprint:
            raise KEY_REUSED.refusal()
        if seconds and not execution.is_finished:
            waited = await operations.wait(ref, str(execution.id), timeout_seconds=seconds)
            execution = waited
            await self.check_still_in(request, session)
        where_it_is = f"/api/v1/sessions/{session.id}/executions/{execution.id}"
        return json_response(
            _on_the_wire(execution),
            HTTPStatus.OK if execution.is_finished else HTTPStatus.ACCEPTED,
            {"Location": where_it_is},
        )

    @operation(
        "list_executions",
        query=[STATE, LIMIT, CURSOR],
        answers={HTTPStatus.OK: Answer(about="A page of them.", shape=shapes.Executions)},
        failures=[ExecutionNotFound],
    )
    async def get(self, request: Request, **where: Any) -> HttpResponse:
        """List what ran, runs or waits.

        The newest first, also of a session that has ended, whichever door it came through.
        """
        state = read_choice(request, STATE) if STATE.name in request.query_params else ""
        limit = read_number(request, LIMIT) or 1
        cursor = read_cursor(request)
        session = await self.session_of(request)
        page = await history.list_executions(session, limit=limit, before=cursor, state=state)
        last = None if page.is_last else str(page.executions[-1].id)
        listed = [_listed(execution) for execution in page.executions]
        return json_response({"executions": listed, "next_cursor": last})


class ExecutionView(SessionView):
    """``…/executions/<execution>`` and below."""

    tag = "Executions"
    failures = (*SessionView.failures, ExecutionNotFound)

    async def execution_of(self, session: Session) -> ExecutionInfo:
        """The execution in the address. Raises ExecutionNotFound."""
        id_ = parse_uuid(self.kwargs["execution"])
        if id_ is None:
            raise ExecutionNotFound
        return await operations.get_execution(ref_to(session), str(id_))


class OneView(ExecutionView):
    """``…/executions/<execution>``."""

    @operation(
        "read_execution",
        query=[WAIT],
        headers=[PREFER],
        answers={HTTPStatus.OK: Answer(about="It, as it is now.", shape=shapes.Execution)},
        failures=[HostUnavailable],
    )
    async def get(self, request: Request, **where: Any) -> HttpResponse:
        """Look at an execution.

        Once it has ended, with what came out of it. Also of a session that has ended.
        """
        seconds = _wait_of(request)
        session = await self.session_of(request)
        execution = await self.execution_of(session)
        if seconds and not execution.is_finished:
            id_ = str(execution.id)
            execution = await operations.wait(ref_to(session), id_, timeout_seconds=seconds)
            await self.check_still_in(request, session)
        return json_response(_on_the_wire(execution))


class CancelView(ExecutionView):
    """``…/executions/<execution>/cancel``."""

    @operation(
        "cancel_execution",
        answers={HTTPStatus.OK: Answer(about="It, as it is now.", shape=shapes.Execution)},
        failures=[SESSION_ENDED, ExecutionFinished, HostUnavailable],
    )
    async def post(self, request: Request, **where: Any) -> HttpResponse:
        """Cancel an execution.

        Taken out of the queue if it waits, interrupted if it runs: then it ends a little later.
        """
        refuse_body(request)
        session = await self.session_of(request)
        execution = await self.execution_of(session)
        if not session.is_live:
            raise SESSION_ENDED.refusal()
        if execution.is_finished:
            raise ExecutionFinished
        await operations.cancel(ref_to(session), str(execution.id))
        return json_response(_on_the_wire(await self.execution_of(session)))


class InterruptView(SessionView):
    """``…/interrupt``."""

    tag = "Executions"

    @operation(
        "interrupt_session",
        answers={HTTPStatus.NO_CONTENT: Answer(about="What runs is told to stop.")},
        failures=[SESSION_ENDED, HostUnavailable],
    )
    async def post(self, request: Request, **where: Any) -> HttpResponse:
        """Interrupt what runs.

        Nothing happens if nothing runs. What waits goes on waiting for its turn.
        """
        refuse_body(request)
        await operations.interrupt(ref_to(await self.live_session(request)))
        return no_content()


class RestartView(SessionView):
    """``…/restart``."""

    tag = "Executions"

    @operation(
        "restart_session",
        answers={HTTPStatus.NO_CONTENT: Answer(about="The new kernel is ready.")},
        failures=[SESSION_ENDED, HostUnavailable, KernelStartFailed],
    )
    async def post(self, request: Request, **where: Any) -> HttpResponse:
        """Give the session a fresh kernel.

        What runs is interrupted, what waits is cancelled; variables are gone, files are not.
        """
        refuse_body(request)
        await operations.restart(ref_to(await self.live_session(request)))
        return no_content()


class InputView(SessionView):
    """``…/input``."""

    tag = "Executions"

    @operation(
        "answer_input",
        body=Body(shape=shapes.Input, example={"text": "yes"}),
        answers={HTTPStatus.NO_CONTENT: Answer(about="The code goes on.")},
        failures=[NOT_JSON, TOO_LARGE, SESSION_ENDED, InputNotRequested, HostUnavailable],
    )
    async def post(self, request: Request, **where: Any) -> HttpResponse:
        """Answer what asks.

        Code that waits in `input()`, as its `input_request` event says, or a command that reads
        its standard input.
        """
        text = json_body(request, shapes.Input).get("text")
        if not isinstance(text, str):
            raise InvalidValue("“text” must be text.")
        await operations.answer_input(ref_to(await self.live_session(request)), text)
        return no_content()


async def _ran_already(session: Session, key: str) -> bool:
    """Whether a request came before, so that it leads to what was run, cell or no cell."""
    return await session.executions.filter(client_id=key).aexists()


# --- Requests ----------------------------------------------------------------------------------


def _wanted(body: dict[str, Any]) -> dict[str, Any]:
    """What a body asks to run, in the words of the verbs. Raises InvalidValue."""
    given = {name: value for name, value in body.items() if value is not None}
    if ("code" in given) == ("command" in given):
        raise InvalidValue("The body needs either “code” or “command”.")
    _check(given, "code", str, "text")
    _check(given, "stdin", str, "text")
    _check(given, "allow_input", bool, "true or false")
    _check(given, "cell", str, "a UUID")
    kind, others = ("code", ("allow_input", "cell")) if "code" in given else ("command", ("stdin",))
    for name in given:
        if name not in (kind, "timeout_seconds", *others):
            raise InvalidValue(f"“{name}” does not go with “{kind}”.")
    if "cell" in given and parse_uuid(given["cell"]) is None:
        raise InvalidValue("“cell” must be a UUID.")
    if kind == "command" and not _is_command(given["command"]):
        raise InvalidValue("“command” must be a list of texts that is not empty.")
    _check_timeout(given.get("timeout_seconds"))
    return given


def _check(given: dict[str, Any], name: str, type_: type, words: str) -> None:
    if name in given and not isinstance(given[name], type_):
        raise InvalidValue(f"“{name}” must be {words}.")


def _is_command(value: Any) -> bool:
    is_list = isinstance(value, list) and len(value) > 0
    return is_list and all(isinstance(argument, str) for argument in value)


def _check_timeout(seconds: Any) -> None:
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if seconds is not None and not (is_number and 0 < seconds <= MAX_TIMEOUT_SECONDS):
        most = f"{MAX_TIMEOUT_SECONDS:.0f}"
        raise InvalidValue(f"“timeout_seconds” must be a number, more than 0 and up to {most}.")


def _key(request: Request) -> str:
    """The client's own name for the execution; empty if it gave none. Raises InvalidValue."""
    given = request.headers.get(KEY.name)
    if given is None:
        return ""
    key = given.strip()
    if len(key) > 1 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not _KEY.fullmatch(key):
        raise InvalidValue(f"“{KEY.name}” must be 1 to 256 printable ASCII characters.")
    return key


def _wait_of(request: Request) -> int:
    """How long to wait for the end. Raises InvalidValue for a wrong ``wait``.

    What a client prefers and we do not understand counts as nothing: RFC 7240.
    """
    asked = read_number(request, WAIT)
    if asked is not None:
        return asked
    for preference in request.headers.get(PREFER.name, "").split(","):
        if match := _WAIT_IN_PREFER.fullmatch(preference.partition(";")[0].strip()):
            return parse_number(str(min(int(match[1]), MAX_WAIT_SECONDS)), WAIT)
    return 0


# --- Answers -----------------------------------------------------------------------------------


def _on_the_wire(execution: ExecutionInfo) -> dict[str, Any]:
    id_ = str(execution.id)
    return {
        "id": id_,
        "session": str(execution.session_id),
        "kind": execution.kind,
        "code": execution.code,
        "idempotency_key": None if execution.public_id == id_ else execution.public_id,
        **_course(execution),
        "outputs": asdict(fold(execution.events)) if execution.is_finished else None,
    }


def _listed(execution: Any) -> dict[str, Any]:
    """A row of ``history.list_executions``."""
    return {
        "id": str(execution.id),
        "session": str(execution.session_id),
        "kind": execution.kind,
        "code": execution.code_shown,
        "code_length": execution.code_length,
        "idempotency_key": execution.client_id or None,
        **_course(execution),
    }


def _course(execution: ExecutionInfo | Execution) -> dict[str, Any]:
    """What became of an execution."""
    started, finished = execution.started_at, execution.finished_at
    duration = (finished - started).total_seconds() if started and finished else None
    return {
        "origin": execution.origin,
        "state": str(execution.state),
        "reason": execution.reason,
        "exit_code": execution.exit_code,
        "execution_count": execution.execution_count,
        "queued_at": _time(execution.queued_at),
        "started_at": _time(started),
        "finished_at": _time(finished),
        "duration_seconds": duration,
    }


def _time(at: datetime | None) -> str | None:
    return at.isoformat().replace("+00:00", "Z") if at else None


urlpatterns: list[URLPattern] = [
    path("sessions/<path:identifier>/executions", ExecutionsView.as_view()),
    path("sessions/<path:identifier>/executions/<str:execution>", OneView.as_view()),
    path("sessions/<path:identifier>/executions/<str:execution>/cancel", CancelView.as_view()),
    path("sessions/<path:identifier>/interrupt", InterruptView.as_view()),
    path("sessions/<path:identifier>/restart", RestartView.as_view()),
    path("sessions/<path:identifier>/input", InputView.as_view()),
]
