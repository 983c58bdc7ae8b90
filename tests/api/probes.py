"""Requests that mean a session, an execution or a file by its name, at every address there is.

As complete as their contracts want them: what is refused for its form never comes to the names.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

from tests.api.doors import Headers, Question, Route, renderer_of, routes
from workbench.api import errors as native
from workbench.api.operation import operation_of

# The same views once more, below another prefix.
_AGAIN = ("admin/", "backendai/", "kernel", "events/kernel", "rce", "sandbox/execute", "sandbox/f")
_EXECUTIONS, _FILES = ("execution", "execution_id"), ("rest",)
MULTIPART = b"multipart/form-data; boundary=b"
_UPLOAD = (
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="secret.txt"\r\n\r\n'
    b"mine\r\n--b--\r\n"
)
NEW = "another-name"


def addresses() -> list[Route]:
    """Each view once, with a pool's address and without."""
    found = [route for route in routes() if not route.template.startswith(_AGAIN)]
    return [
        route
        for route in found
        if not any(part.startswith("_") for part in route.parts)
        and not {"pool", "identifier"} <= set(route.parts)
    ]


def probes(
    route: Route,
    method: str,
    headers: Headers = (),
    *,
    session: str,
    execution: str = "x",
    file: str = "secret.txt",
    extra: dict[str, Any] | None = None,
) -> Iterator[Question]:
    """Requests with this method at an address; the body has what is ``extra``, too."""
    parts = dict.fromkeys(route.parts, session)
    parts |= dict.fromkeys(_EXECUTIONS, execution) | dict.fromkeys(_FILES, file)
    path = quote(route.template % {**parts, "pool": "p"})
    if renderer_of(route) is native.render_error:
        query, body = _native(route, method, session, file)
    else:
        query, body = _of_contracts(session, execution, file)
    target = f"/{path}?{urlencode(query)}"
    if method in ("GET", "HEAD", "DELETE"):
        yield Question(method, target, headers)
        return
    if isinstance(body, dict):
        in_json = json.dumps({**body, **(extra or {})}).encode()
        yield Question(method, target, ((b"content-type", b"application/json"), *headers), in_json)
    else:
        yield Question(method, target, headers, body)
    if renderer_of(route) is not native.render_error:
        yield Question(method, target, ((b"content-type", MULTIPART), *headers), _UPLOAD)


def _native(route: Route, method: str, session: str, file: str) -> tuple[dict[str, str], Any]:
    asked = operation_of(route.view.view_class, method)
    query = {"path": file, "since": "0", "limit": "10"}
    known = asked.query if asked else {}
    body: Any = {}
    if asked and asked.body:
        body = asked.body.example if isinstance(asked.body.example, dict) else b"mine"
        if asked.name == "open_session":
            body = {"identifier": NEW, "notebook_of": session}
        if asked.name == "import_notebook":
            body = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    return {name: value for name, value in query.items() if name in known}, body


def _of_contracts(session: str, execution: str, file: str) -> tuple[dict[str, str], dict[str, Any]]:
    """What all the others call a session, an execution and a file."""
    names = ("identifier", "id", "sessionName")
    query = dict.fromkeys(names, session) | {"name": NEW, "api-version": "2024-10-02-preview"}
    body = {
        "session_id": session,
        "session_ids": [session],
        "code": "1",
        "mode": "continue",
        "runId": execution,
        "options": {"row": 0, "col": 1},
        "name": session,
        "image": "python",
        "path": ".",
        "files": [file],
        "file": file,
    }
    return query | {"file": file, "files": file}, body
