"""The Sandbox API: at the root, under /sandbox/, and under /sandbox/<identifier>/.

The contract has no sessions: the first two mean the session ``default``, the last gives it one
of its own. docs/contracts.md has the table.
"""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, unquote

from django.http import HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import URLPattern, URLResolver, include, path, re_path
from rest_framework.request import Request

from files import operations as files
from sessions import operations
from sessions.exceptions import FileExists, FileNotFound, PathInvalid, SessionNotFound
from sessions.kernels.workspace import MOUNT_POINTS
from sessions.operations import ExecutionInfo, SessionInfo, SessionRef
from sessions.states import EventType, ExecutionState, SessionState
from workbench.access.callers import is_open, owner_of
from workbench.dialects.backendai.versions import VERSION
from workbench.dialects.base import AsyncView, json_object, json_response
from workbench.dialects.downloads import download_response
from workbench.errors import Problem, Refused, Renderer

ORIGIN = "sandbox"
DEFAULT_IDENTIFIER = "default"
DEFAULT_TIMEOUT_SECONDS = 60.0
MAX_TIMEOUT_SECONDS = 7 * 24 * 3600.0  # longer ones are cut to this
# How often a path can be percent-encoded before we stop looking for what it hides.
_MAX_ENCODINGS = 5


def render_error(problem: Problem) -> HttpResponse:
    """The answer for an error: ``{"error": sentence}``."""
    status, message = problem.status, problem.message
    match problem.error:
        case FileExists():
            message = "file already exists"
        case FileNotFound():
            message = "file not found"
        case _ if problem.code == "wrong_file_type":
            status = HTTPStatus.BAD_REQUEST
    return json_response({"error": message}, status, problem.headers)


# --- Values ------------------------------------------------------------------------------------


def timestamp(at: datetime) -> str:
    """RFC 3339 in UTC, always with six digits of a second."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def workspace_path(given: str) -> str:
    """The path in the session that follows ``/-/``, below ``/mnt/data``.

    It is absolute in the session's own view, with or without its first slash: below a mount
    point it is what it says, and everything else is taken to be in the workspace, since there
    is nothing else that a client may touch. Raises PathInvalid.
    """
    _check_no_escape(given)
    parts = [part for part in given.split("/") if part not in ("", ".")]
    if "/".join(["", *parts[:2]]) in MOUNT_POINTS:
        parts = parts[2:]
    if not parts:
        raise PathInvalid("The path names no file.")
    return "/".join([MOUNT_POINTS[0], *parts])


def _check_no_escape(given: str) -> None:
    """Refuse a path that leads out, or would after one more decoding by somebody."""
    text = given
    for _ in range(_MAX_ENCODINGS):
        if ".." in text.split("/"):
            raise PathInvalid("The path may not contain '..'.")
        if "\0" in text:
            raise PathInvalid("The path may not contain a NUL character.")
        if (decoded := unquote(text)) == text:
            return
        text = decoded
    raise PathInvalid("The path is encoded too many times.")


def timeout_of(body: dict[str, Any]) -> float:
    """``timeout_secs``, in seconds; null counts as absent. Raises Refused."""
    value = body.get("timeout_secs")
    if value is None:
        return DEFAULT_TIMEOUT_SECONDS
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise _invalid("'timeout_secs' must be a number greater than 0.")
    return float(min(value, MAX_TIMEOUT_SECONDS))


def code_of(body: dict[str, Any]) -> str:
    """``code``. Raises Refused."""
    code = body.get("code")
    if not isinstance(code, str):
        raise _invalid("'code' is required, and must be a string.")
    return code


def _invalid(message: str) -> Refused:
    return Refused(HTTPStatus.BAD_REQUEST, "invalid", message)


# --- Results -----------------------------------------------------------------------------------


def result_of(execution: ExecutionInfo) -> dict[str, Any]:
    """The answer of ``/execute``; code that raised is ``ok``, with an ``error`` event.

    Raises Refused where the session, not the code, failed.
    """
    events = [event for each in execution.events if (event := _event(each))]
    if execution.state == ExecutionState.TIMED_OUT:
        return {"status": "timeout", "events": events}
    if not execution.was_run:
        sentence = execution.reason or f"The execution ended as {execution.state}."
        raise Refused(HTTPStatus.INTERNAL_SERVER_ERROR, "not_executed", sentence)
    return {"status": "ok", "events": events}


def _event(event: dict[str, Any]) -> dict[str, Any] | None:
    """An event in the contract's shape; None if it knows no such thing."""
    data, more = event["data"], {}
    match event["type"]:
        case EventType.STREAM:
            # Documented: data.name; the upstream server and tests: data.stream; the upstream
            # client: text beside data.
            more = {"text": data["text"]}
            shown = {"name": data["name"], "stream": data["name"], "text": data["text"]}
        case EventType.DISPLAY_DATA | EventType.EXECUTE_RESULT:
            shown = {"variants": data["data"]}
        case EventType.FILE:
            shown = {"path": data["path"], "size": data["size_bytes"]}
        case EventType.ERROR:
            shown = {name: data[name] for name in ("ename", "evalue", "traceback")}
        case _:
            return None
    type_ = EventType.DISPLAY_DATA if "variants" in shown else event["type"]
    at = timestamp(datetime.fromisoformat(event["at"]))
    return {"type": str(type_), "timestamp": at, **more, "data": shown}


# --- Views -------------------------------------------------------------------------------------


class SandboxView(AsyncView):
    """What the views of this contract share."""

    render_error: Renderer = staticmethod(render_error)

    async def session_ref(self, request: Request) -> SessionRef:
        """The session that the address means. Raises Refused."""
        identifier = self.kwargs.get("identifier", DEFAULT_IDENTIFIER)
        if identifier in (".", ".."):
            # Browsers and most clients take these for directions: nobody would find it again.
            raise _invalid("A session cannot be named '.' or '..'.")
        return SessionRef(owner_id=await owner_of(request._request), identifier=identifier)


class AliveView(SandboxView):
    """Whether the sandbox is alive; asking opens no session and does not count as activity."""

    more: dict[str, str] = {}

    async def get(self, request: Request, **where: Any) -> HttpResponse:
        """When it was last used; a sandbox nobody used yet is as old as the server."""
        ref = await self.session_ref(request)
        names = (ref.identifier, ref.identifier.lower())
        sessions = await self.sessions_of(ref.owner_id)
        meant = [each for each in sessions if each.identifier == ref.identifier]
        meant += [each for each in sessions if str(each.id) in names]
        if meant and meant[0].state == SessionState.DIED:
            raise Refused(HTTPStatus.INTERNAL_SERVER_ERROR, "died", "kernel is not alive")
        last = meant[0].last_active_at if meant else await operations.started_at()
        return json_response({"last_activity": timestamp(last), **self.more})

    async def sessions_of(self, owner_id: int | None) -> list[SessionInfo]:
        """The live sessions of who asks."""
        return await operations.list_sessions(owner_id)


class RootView(AliveView):
    """The server's own address: the sandbox, Backend.AI's version, and the way in for people."""

    takes_links = True
    is_public = True
    more = VERSION  # what Backend.AI's clients look for before anything else

    async def get(self, request: Request, **where: Any) -> HttpResponse:
        """A browser is sent to the workbench."""
        if "text/html" in request.headers.get("Accept", ""):
            return HttpResponseRedirect("/workbench/", headers={"Vary": "Accept"})
        response = await super().get(request, **where)
        response.headers["Vary"] = "Accept"
        return response

    async def sessions_of(self, owner_id: int | None) -> list[SessionInfo]:
        """None where the server is closed: nobody is asked here who they are."""
        return await super().sessions_of(owner_id) if is_open() else []


class ExecuteView(SandboxView):
    """``POST /execute``."""

    async def post(self, request: Request, **where: Any) -> HttpResponse:
        """Run code in the session, opened if need be."""
        body = json_object(request)
        code, timeout_seconds = code_of(body), timeout_of(body)
        execution = await operations.run_code(
            await self.session_ref(request),
            code,
            origin=ORIGIN,
            create=True,
            timeout_seconds=timeout_seconds,
            watch_files=True,
        )
        return json_response(result_of(execution))


class UploadView(SandboxView):
    """``POST /files/upload/-/…``: the body is the file, whatever its label says."""

    async def post(self, request: Request, *, rest: str, **where: Any) -> HttpResponse:
        """Write a new file, straight from where the server keeps the body."""
        target = workspace_path(rest)
        session = await operations.open_session(await self.session_ref(request), origin=ORIGIN)
        await files.save_file(session.id, target, request._request, origin=ORIGIN, overwrite=False)
        response = HttpResponse(status=HTTPStatus.CREATED)
        del response.headers["Content-Type"]
        return response


class DownloadView(SandboxView):
    """``GET /files/download/-/…``."""

    async def get(self, request: Request, *, rest: str, **where: Any) -> HttpResponseBase:
        """Send a file."""
        target = workspace_path(rest)
        try:
            session = await operations.find_session(await self.session_ref(request))
        except SessionNotFound:
            raise FileNotFound from None
        download = await files.open_file(session.id, target)
        disposition = f"attachment; filename*=UTF-8''{quote(download.info.name, safe='')}"
        response = download_response(request, download, disposition=disposition)
        if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return _out_of_range(response.headers["Content-Range"])
        return response


def _out_of_range(content_range: str) -> HttpResponse:
    message = "The file has nothing in the range that was asked for."
    status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
    return json_response({"error": message}, status, {"Content-Range": content_range})


class NothingView(SandboxView):
    """Every other address below /sandbox/."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse."""
        message = "There is nothing at this address."
        raise Refused(HTTPStatus.NOT_FOUND, "not_found", message)


_operations: list[URLPattern] = [
    path("execute", ExecuteView.as_view()),
    re_path(r"^files/upload/-/(?P<rest>(?s:.*))\Z", UploadView.as_view()),
    re_path(r"^files/download/-/(?P<rest>(?s:.*))\Z", DownloadView.as_view()),
]
_below: list[URLPattern | URLResolver] = [
    path("", AliveView.as_view()),
    *_operations,
    path("<str:identifier>", AliveView.as_view()),
    path("<str:identifier>/", include([path("", AliveView.as_view()), *_operations])),
    re_path(r"", NothingView.as_view()),
]
urlpatterns: list[URLPattern | URLResolver] = [
    path("", RootView.as_view()),
    *_operations,
    path("sandbox", AliveView.as_view()),
    path("sandbox/", include(_below)),
]
