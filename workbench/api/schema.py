"""The native API in OpenAPI 3.1, made from the operations of its views.

drf-spectacular finds the views, makes JSON Schema of the shapes, and checks the whole
(``manage.py spectacular --validate``). It is imported by nobody but who wants the schema.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from typing import Any, Literal, cast

from drf_spectacular.generators import EndpointEnumerator, SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ComponentRegistry
from drf_spectacular.renderers import OpenApiYamlRenderer
from rest_framework.serializers import Serializer

from workbench.access.callers import is_open
from workbench.api import shapes
from workbench.api.base import ApiView
from workbench.api.errors import CONTENT_TYPE
from workbench.api.operation import (
    Answer,
    Body,
    Failure,
    Failures,
    Operation,
    Parameter,
    Shape,
    failure_of,
    operation_of,
)

Direction = Literal["request", "response"]

IDENTIFIER = {
    "name": "identifier",
    "in": "path",
    "required": True,
    "description": (
        "A session's id, or its identifier; of several with the same, the live one, or else the "
        "newest. Slashes in it may be encoded or not."
    ),
    "schema": {"type": "string", "pattern": r"^\S+$"},
    "example": "demo",
}


def _id(name: str, about: str, schema: dict[str, str], **more: Any) -> dict[str, Any]:
    place = {"name": name, "in": "path", "required": True}
    return {**place, "description": about, "schema": {"type": "string", **schema}, **more}


EXECUTION = _id("execution", "An execution's id.", {"format": "uuid"})
CELL = _id("cell", "A cell's id.", {"format": "uuid"})
KEY = _id("key", "A key's id.", {"pattern": "^[A-Z0-9]{1,64}$"}, example="ABCDEFGHJKLMNPQR")
SHARE = _id("share", "A link's id.", {"pattern": "^[A-Z2-9]+$"})
# The parts of addresses, by their names.
PARTS = {part["name"]: part for part in (IDENTIFIER, EXECUTION, CELL, KEY, SHARE)}
WHO_ASKS = {"WWW-Authenticate": "How to say who you are."}
RETRY_AFTER = {"Retry-After": "Seconds until it is worth another try."}


def as_json() -> bytes:
    """The schema in JSON, made once."""
    return _as_json(is_open=is_open())


def as_yaml() -> bytes:
    """The schema in YAML, made once."""
    return _as_yaml(is_open=is_open())


@cache
def _as_json(*, is_open: bool) -> bytes:
    document = Generator().get_schema(public=True)
    return json.dumps(document, ensure_ascii=False, indent=2).encode()


@cache
def _as_yaml(*, is_open: bool) -> bytes:
    document = json.loads(_as_json(is_open=is_open))
    content: bytes = OpenApiYamlRenderer().render(document, renderer_context={})
    return content


class NativeEndpoints(EndpointEnumerator):
    """The addresses of the native API, and none of the other contracts'."""

    def should_include_endpoint(self, path: str, callback: Any) -> bool:
        """Whether a view is one of ours."""
        view = getattr(callback, "cls", None)
        return isinstance(view, type) and issubclass(view, ApiView)


class Generator(SchemaGenerator):
    """drf-spectacular's, for the native API: its command uses it as well."""

    endpoint_inspector_cls = NativeEndpoints

    def get_schema(self, request: Any = None, public: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002  # drf-spectacular's signature
        """The document. A key may be sent with each request; only a closed server needs it."""
        document: dict[str, Any] = super().get_schema(request, public)
        return {**document, "security": [*([{}] if is_open() else []), {"key": []}]}

    def create_view(self, callback: Any, method: str, request: Any = None) -> Any:
        """A view, to be described by its operations."""
        view = super().create_view(callback, method, request)
        view.schema = Described()
        return view


class Described(AutoSchema):
    """Words an operation in OpenAPI."""

    def get_operation(
        self,
        path: str,
        path_regex: str,
        path_prefix: str,
        method: str,
        registry: ComponentRegistry,
    ) -> dict[str, Any] | None:
        """The operation behind a method; None if it has none, so that it is left out."""
        self.registry = registry
        view = cast(ApiView, self.view)
        operation = operation_of(view, method)
        if operation is None:
            return None
        told = inspect.getdoc(getattr(view, method.lower())) or ""
        summary, _, description = told.partition("\n")
        parameters = [part for name, part in PARTS.items() if f"{{{name}}}" in path]
        parameters += [_parameter(each, "query") for each in operation.query.values()]
        parameters += [_parameter(each, "header") for each in operation.headers]
        return {
            "operationId": operation.name,
            "summary": summary.removesuffix("."),
            "description": description.strip(),
            "tags": [view.tag],
            **({"parameters": parameters} if parameters else {}),
            **({"requestBody": self._body(operation.body)} if operation.body else {}),
            "responses": self._responses(operation, (*view.failures, *operation.failures)),
        }

    def _body(self, body: Body) -> dict[str, Any]:
        content = {"schema": self._schema(body.shape, "request")}
        if body.example is not None:
            content["example"] = body.example
        return {
            **({"description": body.about} if body.about else {}),
            "required": True,
            "content": {body.content_type: content},
        }

    def _responses(self, operation: Operation, errors: Failures) -> dict[str, Any]:
        failures: dict[HTTPStatus, list[Failure]] = {}
        for failure in map(failure_of, errors):
            failures.setdefault(failure.status, []).append(failure)
        answers = {
            str(int(status)): self._answer(each) for status, each in operation.answers.items()
        }
        problems = {
            str(int(status)): self._problem(failures[status]) for status in sorted(failures)
        }
        return answers | problems

    def _answer(self, answer: Answer) -> dict[str, Any]:
        content = {}
        if answer.shape is not None:
            kinds = dict.fromkeys(answer.content_types, answer.shape) | dict(answer.others)
            schemas = {each: self._schema(shape, "response") for each, shape in kinds.items()}
            content = {"content": {each: {"schema": shape} for each, shape in schemas.items()}}
        return {"description": answer.about, **_headers(answer.headers), **content}

    def _problem(self, failures: list[Failure]) -> dict[str, Any]:
        """The answer for ways to fail that have one status."""
        codes = {failure.code: failure.message for failure in failures}
        shape = next((each.shape for each in failures if each.shape), shapes.Problem)
        schema = {
            "allOf": [
                self._schema(shape, "response"),
                {"properties": {"code": {"enum": list(codes)}}},
            ]
        }
        headers = {
            HTTPStatus.TOO_MANY_REQUESTS: RETRY_AFTER,
            HTTPStatus.UNAUTHORIZED: WHO_ASKS,
        }.get(failures[0].status, {})
        return {
            "description": "\n".join(f"- `{code}`: {text}" for code, text in codes.items()),
            **_headers(headers),
            "content": {CONTENT_TYPE: {"schema": schema}},
        }

    def _schema(self, shape: Shape, direction: Direction) -> dict[str, Any]:
        if isinstance(shape, tuple):
            return {"oneOf": [self._schema(each, direction) for each in shape]}
        if isinstance(shape, Mapping):
            return dict(shape)
        reference: dict[str, Any] = self.resolve_serializer(shape, direction).ref
        return reference

    def _map_serializer(
        self,
        serializer: Serializer,
        direction: Direction,
        bypass_extensions: bool = False,  # noqa: FBT001, FBT002  # drf-spectacular's signature
    ) -> dict[str, Any]:
        schema: dict[str, Any] = super()._map_serializer(serializer, direction, bypass_extensions)
        if direction == "request":
            schema["additionalProperties"] = False  # refused: see workbench.api.base
            schema |= getattr(serializer, "besides", {})
        for name, each in serializer.fields.items():
            if isinstance(each, shapes.MoreThanZero):
                schema["properties"][name] |= {"exclusiveMinimum": 0}
        return schema


def _parameter(parameter: Parameter, place: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    default: str | int | None = parameter.default
    if parameter.bounds is not None:
        least, most = parameter.bounds
        schema = {"type": "integer", "minimum": least, "maximum": most}
        default = None if default is None else int(default)
    if parameter.choices:
        schema["enum"] = list(parameter.choices)
    if default is not None:
        schema["default"] = default
    if parameter.is_uuid:
        schema["format"] = "uuid"
    if parameter.is_required:
        schema["minLength"] = 1
    return {
        "name": parameter.name,
        "in": place,
        **({"required": True} if parameter.is_required else {}),
        "description": parameter.about,
        "schema": schema,
        **({"example": parameter.example} if parameter.example else {}),
    }


def _headers(said: Mapping[str, str]) -> dict[str, Any]:
    headers = {
        name: {"description": about, "schema": {"type": "string"}} for name, about in said.items()
    }
    return {"headers": headers} if headers else {}
