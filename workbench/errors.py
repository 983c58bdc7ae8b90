"""What went wrong, as HTTP: a status and facts here, and each face renders them its own way.

A view class names its renderer in ``render_error``; DRF calls ``exception_handler`` for every
error of a view. Unknown errors are bugs: logged with their traceback, answered without it.
"""

from __future__ import annotations

import html
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from django.core.exceptions import (
    DisallowedHost,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
    TooManyFieldsSent,
)
from django.db import DataError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.http.request import UnreadablePostError
from django.urls import Resolver404, resolve
from rest_framework.exceptions import APIException

from sessions import exceptions
from sessions.database import AWAY, NO_DATABASE
from workbench.measures import metrics

logger = logging.getLogger(__name__)

STATUS: dict[type[exceptions.WorkbenchError], HTTPStatus] = {
    exceptions.InvalidValue: HTTPStatus.BAD_REQUEST,
    exceptions.NotAllowed: HTTPStatus.FORBIDDEN,
    exceptions.NotFound: HTTPStatus.NOT_FOUND,
    exceptions.Conflict: HTTPStatus.CONFLICT,
    exceptions.LimitReached: HTTPStatus.TOO_MANY_REQUESTS,
    exceptions.FileTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    exceptions.NotebookFull: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    exceptions.WorkspaceFull: HTTPStatus.INSUFFICIENT_STORAGE,
    exceptions.Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    exceptions.WorkbenchError: HTTPStatus.INTERNAL_SERVER_ERROR,
}
FOREIGN_HOST = (
    "This server does not answer to the name in the request's Host header. "
    "If it should, add the name to WORKBENCH_ALLOWED_HOSTS."
)
# When to try again if there is too much of something; nobody knows who will end what, and when.
RETRY_SECONDS = 30
REALM = 'Bearer realm="workbench"'
NOTHING_HERE = "There is nothing at this address."
BODY_TOO_LARGE = "The request body is too large."
UNREADABLE = "The request cannot be read."
BUG_MESSAGE = "Something went wrong in the server. Its log says what."


class Refused(Exception):
    """A face's own refusal, for rules of its protocol that the domain does not know.

    ``code`` is the protocol's word; ``data`` are facts its renderer may use.
    """

    def __init__(self, status: HTTPStatus, code: str, message: str, **data: Any) -> None:
        self.status, self.code, self.message, self.data = status, code, message, data
        super().__init__(message)


@dataclass(frozen=True, kw_only=True)
class Problem:
    """An error as a renderer needs it."""

    status: int
    code: str
    message: str
    data: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    # What was raised; None for pages that no view answered.
    error: Exception | None = None


Renderer = Callable[[Problem], HttpResponse]


def status_of(error: exceptions.WorkbenchError) -> HTTPStatus:
    """The HTTP status of a domain error; the nearest listed ancestor decides."""
    return next(STATUS[cls] for cls in type(error).__mro__ if cls in STATUS)


def problem_of(error: Exception) -> Problem:
    """What to tell a client about ``error``."""
    match error:
        case Refused():
            status, code, message, data = error.status, error.code, error.message, error.data
        case exceptions.WorkbenchError():
            status, code, message, data = status_of(error), error.code, error.message, error.data
        case APIException():
            status, code, data = HTTPStatus(error.status_code), error.default_code, {}
            message = str(error.detail)
        case _:
            status, code, message = _of_django(error)
            data = {}
    return Problem(
        status=status,
        code=code,
        message=message,
        data=data,
        headers=_headers_of(status, data),
        error=error,
    )


def _headers_of(status: HTTPStatus, data: dict[str, Any]) -> dict[str, str]:
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return {"Retry-After": str(data.get("retry_seconds", RETRY_SECONDS))}
    return {"WWW-Authenticate": REALM} if status == HTTPStatus.UNAUTHORIZED else {}


def _of_django(error: Exception) -> tuple[HTTPStatus, str, str]:
    if isinstance(error, AWAY):
        logger.warning("the database does not answer: %s", error)
        return HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", NO_DATABASE
    if isinstance(error, DataError):
        # NUL in a text, or too large a number: SQLite takes them, and finds nothing.
        logger.warning("the database cannot take what a request holds: %s", error)
        return HTTPStatus.BAD_REQUEST, "bad_request", UNREADABLE
    match error:
        case Http404():
            return HTTPStatus.NOT_FOUND, "not_found", NOTHING_HERE
        case PermissionDenied():
            return HTTPStatus.FORBIDDEN, "forbidden", "This is not allowed."
        case RequestDataTooBig():
            status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            return status, "request_too_large", BODY_TOO_LARGE
        case SuspiciousOperation() | UnreadablePostError():
            return HTTPStatus.BAD_REQUEST, "bad_request", UNREADABLE
    logger.error("unexpected error in a request", exc_info=error)
    return HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", BUG_MESSAGE


def render_problem(problem: Problem) -> HttpResponse:
    """The shape of faces without one of their own: ``{"error": {"code", "message"}}``."""
    body = {"error": {"code": problem.code, "message": problem.message}}
    return JsonResponse(body, status=problem.status, headers=problem.headers)


def exception_handler(error: Exception, context: dict[str, Any]) -> HttpResponse:
    """DRF's ``EXCEPTION_HANDLER``: the view's own renderer answers."""
    view = context["view"]
    problem = problem_of(error)
    if isinstance(error, exceptions.WorkbenchError):
        metrics.refused(error.code)
    if problem.status == HTTPStatus.METHOD_NOT_ALLOWED:
        problem.headers["Allow"] = ", ".join(view.allowed_methods)
    render: Renderer = getattr(view, "render_error", render_problem)
    return _coded(render(problem), problem.code)


# --- Where no view answers: handler400, 403, 404 and 500 of workbench.urls ---------------------


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """A request that was refused before any view, such as one for another host's name."""
    match exception:
        case DisallowedHost():
            message = FOREIGN_HOST
        case UnicodeDecodeError():
            message = "The query of the address is not UTF-8."
        case TooManyFieldsSent():
            message = "The query of the address has too many parameters."
        case ValueError() | LookupError():
            message = "The header Content-Type cannot be read."
        case _:
            message = "The request is not valid."
    return _page(request, HTTPStatus.BAD_REQUEST, "bad_request", message)


def refuse(request: HttpRequest, error: Exception) -> HttpResponse:
    """The answer to who got no further than the door, in the words of the contract there."""
    problem = problem_of(error)
    answer = _page(request, HTTPStatus(problem.status), problem.code, problem.message)
    return _coded(answer, problem.code)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """A request that some view or middleware forbids."""
    return _page(request, HTTPStatus.FORBIDDEN, "forbidden", "This is not allowed.")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """An address that nothing serves."""
    message = NOTHING_HERE
    return _page(request, HTTPStatus.NOT_FOUND, "not_found", message)


def server_error(request: HttpRequest) -> HttpResponse:
    """A bug outside of the faces, which Django logs; or a page whose database does not answer."""
    error = sys.exc_info()[1]
    if isinstance(error, (*AWAY, DataError)):
        response = refuse(request, error)
        response._has_been_logged = True  # type: ignore[attr-defined]  # where Django looks
        return response
    return _page(request, HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", BUG_MESSAGE)


def _coded(response: HttpResponse, code: str) -> HttpResponse:
    """An answer that tells the audit why it refuses, in a word."""
    response.code = code  # type: ignore[attr-defined]
    return response


def _page(request: HttpRequest, status: HTTPStatus, code: str, message: str) -> HttpResponse:
    if "text/html" not in request.headers.get("Accept", ""):
        headers = _headers_of(status, {})
        return _renderer_at(request)(
            Problem(status=status, code=code, message=message, headers=headers)
        )
    title = html.escape(f"{status.value} {status.phrase}")
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        f"<title>{title}</title><h1>{title}</h1><p>{html.escape(message)}</p>"
        '<p><a href="/workbench/">To the workbench</a></p></html>'
    )
    return HttpResponse(page, status=status)


def _renderer_at(request: HttpRequest) -> Renderer:
    """How the face at this address words errors, which it had no chance to do itself."""
    try:
        view = resolve(request.path_info).func
    except Resolver404:
        return render_problem
    if view_for := getattr(view, "view_for", None):  # the address of several faces
        view = view_for(request)
    return getattr(getattr(view, "view_class", None), "render_error", render_problem)
