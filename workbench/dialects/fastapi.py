"""Bodies and errors as FastAPI has them: JSON objects in, lists of flaws out."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django.http import HttpResponse
from rest_framework.request import Request

from sessions.exceptions import InvalidValue
from workbench.dialects.base import json_object, json_response
from workbench.errors import Problem, Refused

_JSON_TYPES = ("", "application/json", "application/x-www-form-urlencoded")  # the last is curl's


def flaw(kind: str, message: str, *where: str | int) -> dict[str, Any]:
    """One item of a 422: what is wrong in the body, and where."""
    return {"type": kind, "loc": ["body", *where], "msg": message}


def invalid(flaws: list[dict[str, Any]]) -> Refused:
    """The refusal of a body."""
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    return Refused(status, "invalid", "The body is not valid.", body={"detail": flaws})


def render_error(problem: Problem) -> HttpResponse:
    """The answer for an error. A 422 is always a list of flaws: clients accept nothing else."""
    body, status = problem.data.get("body"), problem.status
    if body is None and isinstance(problem.error, InvalidValue):
        status = HTTPStatus.UNPROCESSABLE_ENTITY
        body = {"detail": [flaw("value_error", problem.message)]}
    elif body is None:
        own = status in (HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_FOUND)
        body = {"detail": HTTPStatus(status).phrase if own else problem.message}
    return json_response(body, status, problem.headers)


def body_of(request: Request) -> dict[str, Any]:
    """The JSON object in the body. Raises Refused."""
    label = (request.content_type or "").partition(";")[0].strip().lower()
    try:
        body = json_object(request)
    except InvalidValue as error:
        if error.data.get("is_empty"):
            raise invalid([flaw("missing", "Field required")]) from None
        if error.__cause__ is None:
            raise invalid([flaw("model_attributes_type", error.message)]) from None
        at = getattr(error.__cause__, "pos", 0)
        raise invalid([flaw("json_invalid", error.message, at)]) from None
    if label not in _JSON_TYPES and not label.endswith("+json"):
        raise invalid([flaw("model_attributes_type", "Input should be labelled as JSON")])
    return body


def texts_of(body: dict[str, Any], *names: str) -> list[str]:
    """The required strings of a body. Raises Refused, with all their flaws at once."""
    flaws = [flaw("missing", "Field required", name) for name in names if name not in body]
    flaws += [
        flaw("string_type", "Input should be a valid string", name)
        for name in names
        if name in body and not isinstance(body[name], str)
    ]
    if flaws:
        raise invalid(flaws)
    return [body[name] for name in names]
