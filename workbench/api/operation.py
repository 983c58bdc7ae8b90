"""What a request of the native API takes and what it answers, said once.

A handler carries its ``Operation``: its view refuses parameters and fields that are not in it, and
the schema (workbench.api.schema) shows it. Summary and description are the handler's docstring.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, TypeVar

from rest_framework.serializers import Serializer

from sessions.exceptions import WorkbenchError
from workbench.errors import Refused, status_of

JSON = "application/json"
# The JSON of a body: a description with fields, one of several, or words of JSON Schema.
Shape = type[Serializer] | tuple[type[Serializer], ...] | Mapping[str, Any]

_YES_OR_NO = {"0": False, "1": True, "false": False, "true": True}
_Handler = TypeVar("_Handler", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A parameter of a query, or a header; all of them are text, also those that are numbers."""

    name: str
    about: str
    # What it may be; empty: any text.
    choices: tuple[str, ...] = ()
    # For a whole number: the least and the most it may be; None for text.
    bounds: tuple[int, int] | None = None
    # What it is if it is absent; None: nothing.
    default: str | None = None
    example: str | None = None
    is_required: bool = False
    is_uuid: bool = False


def flag(name: str, about: str, *, default: bool) -> Parameter:
    """A parameter that says yes or no."""
    return Parameter(
        name=name, about=about, choices=tuple(_YES_OR_NO), default="1" if default else "0"
    )


def number(
    name: str, about: str, *, least: int = 0, most: int, default: int | None = None
) -> Parameter:
    """A parameter that is a whole number."""
    text = None if default is None else str(default)
    return Parameter(name=name, about=about, bounds=(least, most), default=text)


def is_set(text: str) -> bool:
    """What the text of a flag says. Raises KeyError for any that is none of its choices."""
    return _YES_OR_NO[text]


@dataclass(frozen=True, kw_only=True)
class Body:
    """What a request brings along."""

    shape: Shape
    about: str = ""
    content_type: str = JSON
    example: Any = None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What comes back if all went well."""

    about: str
    # None: nothing but headers.
    shape: Shape | None = None
    content_types: tuple[str, ...] = (JSON,)
    # What has another shape, by content types.
    others: Mapping[str, Shape] = field(default_factory=dict)
    # What further headers say, by their names.
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Failure:
    """A way to fail that the domain does not know."""

    status: HTTPStatus
    code: str
    message: str
    # Of a problem with further members.
    shape: type[Serializer] | None = None

    def refusal(self, **members: Any) -> Refused:
        """The error to raise, with further members of its problem."""
        return Refused(self.status, self.code, self.message, members=members)


Failures = Sequence[Failure | type[WorkbenchError]]


@dataclass(frozen=True, kw_only=True)
class Operation:
    """What one method does at one address."""

    # For programs that are made from the schema; unique.
    name: str
    answers: Mapping[HTTPStatus, Answer]
    query: Mapping[str, Parameter]
    # Beyond those that HTTP has for every request.
    headers: Sequence[Parameter]
    body: Body | None
    # Those of the view are not among them.
    failures: Failures


def operation(
    name: str,
    *,
    answers: Mapping[HTTPStatus, Answer],
    query: Sequence[Parameter] = (),
    headers: Sequence[Parameter] = (),
    body: Body | None = None,
    failures: Failures = (),
) -> Callable[[_Handler], _Handler]:
    """Say of a handler what it takes and answers."""
    found = Operation(
        name=name,
        answers=answers,
        query={parameter.name: parameter for parameter in query},
        headers=headers,
        body=body,
        failures=failures,
    )

    def decorate(handler: _Handler) -> _Handler:
        handler.operation = found  # type: ignore[attr-defined]  # read by operation_of
        return handler

    return decorate


def operation_of(view: object, method: str | None) -> Operation | None:
    """What a view does for a method; None if it does not know that method."""
    found: object = getattr(getattr(view, (method or "").lower(), None), "operation", None)
    return found if isinstance(found, Operation) else None


def failure_of(error: Failure | type[WorkbenchError]) -> Failure:
    """An error of the domain as clients of this API see it."""
    if isinstance(error, Failure):
        return error
    example = error()
    return Failure(status_of(example), example.code, example.message)
