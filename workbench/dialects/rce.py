"""python_rce's session API, at the root and under /rce/; docs/contracts.md has the table."""

from __future__ import annotations

import unicodedata
from contextlib import suppress
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from django.http import HttpResponse
from django.urls import URLPattern, URLResolver, include, path, re_path
from rest_framework.request import Request

from sessions import operations, python_code
from sessions.exceptions import InvalidValue, SessionNotFound
from sessions.operations import ExecutionInfo, SessionRef
from sessions.outcomes import fold
from sessions.states import EventType, ExecutionState
from workbench.access.callers import owner_of
from workbench.dialects.base import AsyncView, json_response, without_colours
from workbench.dialects.fastapi import body_of, flaw, invalid, render_error, texts_of
from workbench.errors import Refused, Renderer

ORIGIN = "rce"
# The contract has no limit; without one, a client that gave up would leave a loop running.
TIMEOUT_SECONDS = 3600.0
# What kernels, and our own code in them, find by these names. A local variable would take their
# place, and deleting it would leave nothing: the session would never work again.
_KERNEL_NAMES = frozenset({"globals", "_ih", "_oh"})


# --- Bodies ------------------------------------------------------------------------------------


def variables_of(body: dict[str, Any], field: str) -> dict[str, Any]:
    """An optional object of a body, null counting as none. Raises Refused."""
    found = body.get(field)
    if found is not None and not isinstance(found, dict):
        raise invalid([flaw("dict_type", "Input should be a valid dictionary", field)])
    return found or {}


def silent_code_of(body: dict[str, Any]) -> tuple[str, str]:
    """What is to run before and after the client's code. Raises Refused."""
    environment = variables_of(body, "environment_variables")
    flaws = [
        flaw("string_type", "Input should be a valid string", "environment_variables", name)
        for name, value in environment.items()
        if not isinstance(value, str)
    ]
    if flaws:
        raise invalid(flaws)
    local = {
        _free(name): _value(name, value)
        for name, value in variables_of(body, "local_variables").items()
    }
    before = [
        _made("environment_variables", python_code.set_environment, environment),
        _made("local_variables", python_code.set_variables, local),
    ]
    after = _made("local_variables", python_code.delete_variables, local)
    return "\n".join(filter(None, before)), after


def _made(field: str, make: Any, variables: dict[str, Any]) -> str:
    try:
        return str(make(variables))
    except InvalidValue as error:
        raise invalid([flaw("value_error", error.message, field)]) from None


def _free(name: str) -> str:
    """The name of a local variable. Raises Refused for one that the kernel needs."""
    # As Python reads it: other spellings of a letter name the same variable.
    normal = unicodedata.normalize("NFKC", name)
    if normal in _KERNEL_NAMES or (normal.startswith("__") and normal.endswith("__")):
        message = "The kernel itself uses a variable of this name"
        raise invalid([flaw("value_error", message, "local_variables", name)])
    return name


def _value(name: str, value: Any) -> python_code.Value:
    """A local variable's value: plain, or a float boxed to keep it from becoming an integer."""
    if isinstance(value, str | bool | int | float):
        return value
    try:
        match value:
            case {"type": "float", "data": str(text), "precision": int() as places} if not (
                isinstance(places, bool)
            ):
                return float(text)
    except ValueError:
        pass
    message = "Input should be a string, a boolean, a number or a boxed float"
    raise invalid([flaw("value_error", message, "local_variables", name)])


# --- Results -----------------------------------------------------------------------------------


def result_of(execution: ExecutionInfo) -> dict[str, str]:
    """The contract's ExecutionResult: three strings.

    ``result`` is ``Success`` also for code that raised: it says whether the code was run to an
    end of its own, not whether it did well. ``error`` is empty only if nothing went wrong.
    """
    output = "".join(map(_text, execution.events))
    result = "Success" if execution.was_run else "Error"
    return {"result": result, "output": output, "error": _error(execution)}


def _error(execution: ExecutionInfo) -> str:
    """What went wrong, never empty if something did."""
    if execution.state == ExecutionState.SUCCEEDED:
        return ""
    if execution.state == ExecutionState.TIMED_OUT:
        return f"The execution timed out after {TIMEOUT_SECONDS:g} seconds."
    outcome = fold(execution.events)
    raised = outcome.error or {}
    # A magic that fails says so on stderr only.
    complaint = outcome.stderr.strip().rpartition("\n")[2] if execution.was_run else ""
    said = execution.reason or raised.get("evalue") or raised.get("ename") or complaint
    return said or f"The execution ended as {execution.state}."


def _text(event: dict[str, Any]) -> str:
    """What an event adds to ``output``: what IPython would have written to sys.stdout."""
    data = event["data"]
    match event["type"]:
        case EventType.STREAM if data["name"] == "stdout":
            return str(data["text"])
        case EventType.DISPLAY_DATA | EventType.EXECUTE_RESULT if "text/plain" in data["data"]:
            return f"{data['data']['text/plain']}\n"
        case EventType.ERROR:
            return without_colours("\n".join(data["traceback"])) + "\n"
    return ""


# --- Views -------------------------------------------------------------------------------------


class RceView(AsyncView):
    """What the views of this contract share."""

    render_error: Renderer = staticmethod(render_error)

    async def session_ref(self, request: Request, session_id: str) -> SessionRef:
        """The session of that id, among those of who is asking."""
        return SessionRef(owner_id=await owner_of(request._request), identifier=session_id)


class CreateView(RceView):
    """``POST /sessions/create``; whatever is in its body has no meaning."""

    async def post(self, request: Request) -> HttpResponse:
        """Open a session with a name of its own."""
        ref = await self.session_ref(request, str(uuid4()))
        session = await operations.open_session(ref, origin=ORIGIN)
        return json_response({"session_id": session.identifier})


class ListView(RceView):
    """``GET /sessions/list``."""

    async def get(self, request: Request) -> HttpResponse:
        """All live sessions, whichever door they were opened through."""
        sessions = await operations.list_sessions(await owner_of(request._request))
        return json_response({"sessions": [{"session_id": each.identifier} for each in sessions]})


class ExecuteView(RceView):
    """``POST /sessions/execute``."""

    async def post(self, request: Request) -> HttpResponse:
        """Run code; failing code is no failing request."""
        body = body_of(request)
        session_id, code = texts_of(body, "session_id", "code")
        before, after = silent_code_of(body)
        ref = await self.session_ref(request, session_id)
        try:
            execution = await operations.run_code(
                ref,
                code,
                origin=ORIGIN,
                timeout_seconds=TIMEOUT_SECONDS,
                before=before,
                after=after,
            )
        except SessionNotFound:
            raise no_session(session_id) from None
        return json_response(result_of(execution))


class CloseView(RceView):
    """``POST /sessions/close``."""

    async def post(self, request: Request) -> HttpResponse:
        """End a session."""
        (session_id,) = texts_of(body_of(request), "session_id")
        try:
            await operations.close_session(await self.session_ref(request, session_id))
        except SessionNotFound:
            raise no_session(session_id) from None
        return json_response({"message": "Session closed"})


class PingView(RceView):
    """``POST /sessions/ping``."""

    async def post(self, request: Request) -> HttpResponse:
        """Say that sessions are in use, and which of them exist."""
        ids = body_of(request).get("session_ids")
        if not isinstance(ids, list) or not all(isinstance(each, str) for each in ids):
            raise invalid([flaw("list_type", "Input should be a list of strings", "session_ids")])
        found = await self._found(request, ids)
        infos = [{"session_id": each} for each in ids if each in found]
        return json_response({"session_infos": infos})

    async def _found(self, request: Request, ids: list[str]) -> set[str]:
        """Those of the ids that are sessions, each looked up once, and only if it may exist."""
        live = await operations.list_sessions(await owner_of(request._request))
        names = {each.identifier for each in live} | {str(each.id) for each in live}
        found = set()
        # There can be millions of ids in a body, and hardly any of them a session's.
        for session_id in {each for each in ids if each in names or each.lower() in names}:
            with suppress(SessionNotFound):
                await operations.find_session(await self.session_ref(request, session_id))
                found.add(session_id)
        return found


class NothingView(RceView):
    """Every other address below /rce/ and /sessions/."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse."""
        raise Refused(HTTPStatus.NOT_FOUND, "not_found", "Not Found")


def no_session(session_id: str) -> Refused:
    """The refusal of a call on a session that is not there."""
    body = {"session_id": session_id, "error": "Session not found"}
    return Refused(HTTPStatus.NOT_FOUND, "session_not_found", "Session not found", body=body)


_operations: list[URLPattern] = [
    re_path(r"^sessions/create/?\Z", CreateView.as_view()),
    re_path(r"^sessions/list/?\Z", ListView.as_view()),
    re_path(r"^sessions/execute/?\Z", ExecuteView.as_view()),
    re_path(r"^sessions/close/?\Z", CloseView.as_view()),
    re_path(r"^sessions/ping/?\Z", PingView.as_view()),
    re_path(r"^sessions(/|\Z)", NothingView.as_view()),
]
urlpatterns: list[URLPattern | URLResolver] = [
    *_operations,
    path("rce", NothingView.as_view()),
    path("rce/", include([*_operations, re_path(r"", NothingView.as_view())])),
]
