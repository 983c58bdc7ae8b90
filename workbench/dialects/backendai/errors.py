"""Errors in Backend.AI's words: RFC 7807 documents with its own types and titles."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from django.http import HttpResponse

from sessions import exceptions
from workbench.errors import Problem, Refused

_TYPES = "https://api.backend.ai/probs/"
# What a type is called, and the status it comes with.
_PROBLEMS: dict[str, tuple[HTTPStatus, str]] = {
    "invalid-api-params": (HTTPStatus.BAD_REQUEST, "Missing or invalid API parameters."),
    "generic-bad-request": (HTTPStatus.BAD_REQUEST, "Bad request."),
    "session-already-exists": (HTTPStatus.BAD_REQUEST, "The session already exists."),
    "auth-failed": (HTTPStatus.UNAUTHORIZED, "Credential/signature mismatch."),
    "generic-forbidden": (HTTPStatus.FORBIDDEN, "Forbidden operation."),
    "session-not-found": (HTTPStatus.NOT_FOUND, "No such session."),
    "image-not-found": (HTTPStatus.NOT_FOUND, "No such environment image."),
    "object-not-found": (HTTPStatus.NOT_FOUND, "No such object."),
    "generic-not-found": (HTTPStatus.NOT_FOUND, "Unknown URL path."),
    "method-not-allowed": (HTTPStatus.METHOD_NOT_ALLOWED, "HTTP Method Not Allowed."),
    "quota-exceeded": (HTTPStatus.PRECONDITION_FAILED, "You have reached your resource limit."),
    "rate-limit-exceeded": (
        HTTPStatus.TOO_MANY_REQUESTS,
        "You have reached your API query rate limit.",
    ),
    "service-unavailable": (HTTPStatus.SERVICE_UNAVAILABLE, "Service unavailable."),
    "internal-server-error": (HTTPStatus.INTERNAL_SERVER_ERROR, "Internal server error."),
}
# The type of a domain error; the nearest listed ancestor decides.
_SLUGS: dict[type[Exception], str] = {
    exceptions.InvalidValue: "invalid-api-params",
    exceptions.SessionNotFound: "session-not-found",
    exceptions.KernelspecNotFound: "image-not-found",
    # A run that is over or was never begun: the run id is what is wrong.
    exceptions.ExecutionNotFound: "invalid-api-params",
    exceptions.NotFound: "object-not-found",
    exceptions.Conflict: "invalid-api-params",
    exceptions.SessionLimitReached: "quota-exceeded",
    exceptions.QuotaReached: "quota-exceeded",
    exceptions.WorkspaceFull: "quota-exceeded",
    exceptions.FileTooLarge: "invalid-api-params",
    exceptions.LimitReached: "rate-limit-exceeded",
    exceptions.Unavailable: "service-unavailable",
}
# What Django or DRF refused before a view could say why.
_GENERIC: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: "auth-failed",
    HTTPStatus.FORBIDDEN: "generic-forbidden",
    HTTPStatus.TOO_MANY_REQUESTS: "rate-limit-exceeded",
    HTTPStatus.SERVICE_UNAVAILABLE: "service-unavailable",
    HTTPStatus.NOT_FOUND: "generic-not-found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method-not-allowed",
}


def refused(slug: str, message: str, /, **data: Any) -> Refused:
    """A refusal of one of the contract's types; ``data`` is what it says of the details."""
    refusal = Refused(_PROBLEMS[slug][0], slug, message)
    refusal.data = data  # whatever the fields are called
    return refusal


def invalid(message: str, /, **fields: str) -> Refused:
    """Wrong parameters; ``fields`` says what is wrong with each."""
    return refused("invalid-api-params", message, **fields)


def render_error(problem: Problem) -> HttpResponse:
    """The answer for an error."""
    slug = _slug_of(problem)
    status, title = _PROBLEMS[slug]
    if slug == "generic-bad-request" and problem.status >= HTTPStatus.BAD_REQUEST:
        status = HTTPStatus(problem.status)  # such as 413, which has no type of its own
    body: dict[str, Any] = {"type": _TYPES + slug, "title": title, "msg": problem.message}
    if isinstance(problem.error, Refused) and problem.data:
        body["data"] = problem.data
    text = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
    return HttpResponse(
        text, content_type="application/problem+json", status=status, headers=problem.headers
    )


def _slug_of(problem: Problem) -> str:
    if isinstance(problem.error, Refused):
        return problem.error.code
    for cls in type(problem.error).__mro__:
        if cls in _SLUGS:
            return _SLUGS[cls]
    if problem.status in _GENERIC:
        return _GENERIC[problem.status]
    is_ours = problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return "internal-server-error" if is_ours else "generic-bad-request"
