"""Errors in Azure's words: ``{"error": {"code", "message", "target"?}}`` and x-ms-error-code."""

from __future__ import annotations

from http import HTTPStatus

from django.http import HttpResponse

from sessions import exceptions
from workbench.dialects.azure.versions import SUPPORTED
from workbench.dialects.base import json_response
from workbench.errors import Problem, Refused

# Azure's code for a domain error; the nearest listed ancestor decides.
_CODES: dict[type[Exception], str] = {
    exceptions.InvalidValue: "SessionRequestValidationFailed",
    exceptions.PathInvalid: "FilePathInvalid",
    exceptions.WrongFileType: "FilePathInvalid",
    exceptions.SessionNotFound: "NoSessionFoundError",
    exceptions.ExecutionNotFound: "ExecutionNotFound",
    exceptions.FileNotFound: "FileNotFound",
    exceptions.KernelspecNotFound: "SessionRequestNotSupported",
    exceptions.ExecutionIdTaken: "OperationIdConflict",
    exceptions.SessionLimitReached: "SessionsCountExceedsLimit",
    exceptions.QueueLimitReached: "TooManyRequests",
    exceptions.QuotaReached: "TooManyRequests",
    exceptions.FileTooLarge: "FileTooLarge",
    exceptions.WorkspaceFull: "SessionStorageFull",
    exceptions.Unavailable: "ServiceUnavailable",
    exceptions.WorkbenchError: "RequestFailed",
}
# Azure documents 400 where our domain sees a conflict or a missing thing.
_STATUS: dict[type[Exception], HTTPStatus] = {
    exceptions.WrongFileType: HTTPStatus.BAD_REQUEST,
    exceptions.KernelspecNotFound: HTTPStatus.BAD_REQUEST,
}


def invalid(message: str, target: str) -> Refused:
    """A field, parameter or header with a value it may not have."""
    code = "SessionRequestValidationFailed"
    return Refused(HTTPStatus.BAD_REQUEST, code, message, target=target)


def missing(message: str) -> Refused:
    """A body without what is to be run."""
    return Refused(HTTPStatus.BAD_REQUEST, "SessionPropertiesMissing", message)


def unsupported(message: str, target: str) -> Refused:
    """Something Azure knows and this server, or this version, does not do."""
    code = "SessionRequestNotSupported"
    return Refused(HTTPStatus.BAD_REQUEST, code, message, target=target)


def render_error(problem: Problem) -> HttpResponse:
    """The answer for an error."""
    code, status = _code_and_status(problem)
    error = {"code": code, "message": problem.message}
    if target := problem.data.get("target"):
        error["target"] = target
    body: dict[str, object] = {"error": error}
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        # Seen flat in the cloud, where clients look for it to wait and try again.
        body |= error
    headers = {"x-ms-error-code": code, "api-supported-versions": SUPPORTED}
    return json_response(body, status, problem.headers | headers)


def _code_and_status(problem: Problem) -> tuple[str, int]:
    if isinstance(problem.error, exceptions.WorkbenchError):
        ancestors = type(problem.error).__mro__
        code = next(_CODES[cls] for cls in ancestors if cls in _CODES)
        return code, next((_STATUS[cls] for cls in ancestors if cls in _STATUS), problem.status)
    if isinstance(problem.error, Refused):
        return problem.code, problem.status
    return "".join(word.capitalize() for word in problem.code.split("_")), problem.status
