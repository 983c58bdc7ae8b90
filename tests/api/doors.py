"""Every door there is: its addresses, how to knock, and what a refusal must look like.

Addresses and methods come from Django's own configuration: a new route is here once it is there.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from django.core.handlers.asgi import ASGIRequest
from django.urls import Resolver404, URLResolver, get_resolver, resolve
from django.utils.regex_helper import normalize

from workbench import errors
from workbench.api import errors as native
from workbench.asgi import application
from workbench.dialects import fastapi, sandbox
from workbench.dialects.azure import errors as azure
from workbench.dialects.backendai import errors as backendai

# --- Addresses ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Route:
    """One address of the configuration, such as ``session/%(name)s/logs``."""

    template: str
    parts: tuple[str, ...]
    view: Any

    @property
    def methods(self) -> list[str]:
        """What the view has handlers for."""
        view = getattr(self.view, "view_class", None)
        if view is None:
            return ["GET", "POST"]
        names = [name.upper() for name in view.http_method_names if hasattr(view, name)]
        return [name for name in names if name != "OPTIONS"] or ["GET"]


def routes(patterns: Any = None, before: str = "") -> Iterator[Route]:
    """Every address that is served."""
    for each in get_resolver().url_patterns if patterns is None else patterns:
        regex = before + each.pattern.regex.pattern.removeprefix("^")
        if isinstance(each, URLResolver):
            yield from routes(each.url_patterns, regex)
        else:
            for template, parts in normalize(regex):
                yield Route(template, tuple(parts), each.callback)


def renderer_of(route: Route) -> Any:
    """How the route's face words its errors; None for pages, which are for people."""
    return getattr(getattr(route.view, "view_class", None), "render_error", None)


# --- Requests ----------------------------------------------------------------------------------

Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True)
class Question:
    """One request, as a server hands it over. ``target`` is ASCII: nothing else comes through."""

    method: str
    target: str
    headers: Headers = ()
    body: bytes = b""

    @property
    def scope(self) -> dict[str, Any]:
        raw, _, query = self.target.partition("?")
        path, names = unquote(raw), [name for name, _ in self.headers]
        host = () if b"host" in names else ((b"host", b"localhost"),)
        length = ((b"content-length", str(len(self.body)).encode()),) if self.body else ()
        return {
            "type": "http",
            "http_version": "1.1",
            "method": self.method,
            "path": path,
            "raw_path": raw.encode(),
            "root_path": "",
            "scheme": "http",
            "query_string": query.encode(),
            "headers": [*host, *length, *self.headers],
            "client": ["127.0.0.1", 50000],
            "server": ["127.0.0.1", 8000],
        }


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, if it is JSON that everybody can read."""
        return json.loads(self.body.decode(), parse_constant=_no_json)


def _no_json(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


async def ask(question: Question) -> Answer:
    """The whole application's answer; of a stream without end, how it begins."""
    started: dict[str, Any] = {}
    pieces: list[bytes] = []
    bodies = iter([question.body])
    gone = asyncio.Event()

    async def receive() -> dict[str, Any]:
        for body in bodies:
            return {"type": "http.request", "body": body, "more_body": False}
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            started.update(message)
            if (b"Content-Type", b"text/event-stream") in message["headers"]:
                gone.set()
        else:
            pieces.append(message.get("body", b""))

    await application(question.scope, receive, send)
    headers = {name.decode().lower(): value.decode("latin1") for name, value in started["headers"]}
    return Answer(started["status"], headers, b"".join(pieces))


# --- Answers -----------------------------------------------------------------------------------


def _says(content: Any, *keys: str, maybe: tuple[str, ...] = ()) -> None:
    """Text under each of the keys, and under nothing else."""
    assert set(keys) <= content.keys() <= {*keys, *maybe}
    assert all(isinstance(value, str) and value for value in content.values())


def _is_generic(answer: Answer) -> None:
    body = answer.json()
    assert answer.headers["content-type"] == "application/json"
    assert body.keys() == {"error"}
    _says(body["error"], "code", "message")


def _is_azure(answer: Answer) -> None:
    body = answer.json()
    flat = {"code", "message", "target"} if answer.status == 429 else set()
    assert answer.headers["content-type"] == "application/json"
    assert {"error"} <= body.keys() <= {"error", *flat}
    _says(body["error"], "code", "message", maybe=("target",))
    assert answer.headers["x-ms-error-code"] == body["error"]["code"]
    assert answer.headers["api-supported-versions"]


def _is_rce(answer: Answer) -> None:
    body = answer.json()
    assert answer.headers["content-type"] == "application/json"
    if answer.status == 422:
        assert body.keys() == {"detail"}
        assert body["detail"]
        for flaw in body["detail"]:
            assert flaw.keys() == {"type", "loc", "msg"}
    elif body.keys() == {"session_id", "error"}:
        assert answer.status == 404
    else:
        _says(body, "detail")


def _is_sandbox(answer: Answer) -> None:
    assert answer.headers["content-type"] == "application/json"
    _says(answer.json(), "error")


def _is_backendai(answer: Answer) -> None:
    body = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert isinstance(body.pop("data", {}), dict)
    _says(body, "type", "title", "msg")


def _is_native(answer: Answer) -> None:
    body = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert body.pop("status") == answer.status
    _says(body, "type", "title", "detail", "code")


SHAPES: dict[Any, Callable[[Answer], None]] = {
    errors.render_problem: _is_generic,
    azure.render_error: _is_azure,
    fastapi.render_error: _is_rce,
    sandbox.render_error: _is_sandbox,
    backendai.render_error: _is_backendai,
    native.render_error: _is_native,
}


def shape_at(question: Question) -> Callable[[Answer], None] | None:
    """What an error at this address must look like; None on pages."""
    try:
        match = resolve(question.scope["path"])
    except Resolver404:
        return _is_generic
    view = match.func
    if hasattr(view, "view_for"):  # two contracts share it: workbench/urls.py
        view = view.view_for(ASGIRequest({**question.scope, "headers": []}, None))
    render_error = renderer_of(Route("", (), view))
    return SHAPES[render_error] if render_error else None
