"""What each contract calls its fields, and what they usually hold: requests that get past a door."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.api.odd_values import BOOLEANS, Json, as_json, objects, odd_objects, usual
from workbench.api import errors as native
from workbench.dialects import fastapi, sandbox
from workbench.dialects.azure import errors as azure
from workbench.dialects.backendai import errors as backendai

# The session that requests mean more often than any other; also what they mean without a name.
NAME = "default"

# --- Contracts ---------------------------------------------------------------------------------

# Nothing that takes time, ends the kernel, or writes a file.
CODES = usual("1", "print('\u00e9')", "def f(:", "raise ValueError('\\ud800')", "", "'\\x00'", "\0")
PATHS = usual("a", "d", "/mnt/data/a", "/home/work/a/", "..", "../a", "a/../b", "", ".", "a\0")
COMMANDS = usual("true", "exit 3", "", "echo \0", "x" * 131_072)
NAMES = usual(NAME, NAME, NAME, "other", "s p", "", "..", "x" * 300, "f" * 32)
VARIABLES = odd_objects({"A": usual("x", "\0", "y" * 140_000), "": usual("x"), "a=b": usual("x")})
RUN = {
    "code": CODES,
    "codeInputType": usual("Inline", "InlineText", "InlineBase64", "inline"),
    "executionType": usual("Synchronous", "asynchronous"),
    "timeoutInSeconds": usual(60, 10**9, 0),
    "outputStreamsMaxLength": usual(0, 10),
    "returnJupyterFormatExecutionResult": BOOLEANS,
    "useEmptyKernel": BOOLEANS,
    "networkStatus": usual("Enabled"),
    "identifier": NAMES,
}
COMMAND = {
    "shellCommand": COMMANDS,
    "stdin": usual("", "x", "\0"),
    "shellType": usual("bash", "sh", "cmd"),
}
ARGUMENTS = {
    "execCommandAndArgs": usual(["true"], ["nothing-there"], [], [""], ["a\0"], ["true", "\ud800"])
}
CELLS = odd_objects(
    {
        "cell_type": usual("code", "markdown", "raw", "odd"),
        "source": usual("1", ["1\n", "2"], "\ud800"),
        "metadata": usual({}, {"a": "\ud800"}),
        "outputs": usual([], [{"output_type": "stream", "name": "stdout", "text": "x"}], [{}]),
        "id": usual("a", "\0", ""),
        "execution_count": usual(None, 1, -1),
    }
).map(lambda cell: f"[{cell}]")
OPTIONS = odd_objects(
    {"row": usual(0, 3, -1), "col": usual(0, 99), "clean": COMMANDS, "build": COMMANDS}
    | {"exec": COMMANDS, "input": usual("x")}
)


@dataclass(frozen=True, eq=False)
class Face:
    """One contract: how it words errors, and what its bodies, queries and headers name."""

    name: str
    render_error: Any
    # The fields of each kind of body there is.
    bodies: list[dict[str, Json]]
    query: dict[str, list[str]]
    headers: dict[bytes, list[bytes]]


FACES = [
    Face(
        "azure",
        azure.render_error,
        [RUN, COMMAND, ARGUMENTS, {"properties": objects(RUN)}],
        {
            "api-version": ["2025-10-02-preview", "2024-02-02-preview", "2024-10-02-preview", "1"],
            "identifier": [NAME, NAME, NAME, "other", "s p", ".."],
            "path": ["", "d", "..", "/mnt/data", "a\0"],
            "recursive": ["true", "TRUE", "1"],
            "skip": ["0", "1", "9" * 30, "\u0663"],
        },
        {
            b"operation-id": [b"one", b"two", b"a b", b"\xe9", b"x" * 300],
            b"x-shell-type": [b"bash", b"\xff"],
        },
    ),
    Face(
        "rce",
        fastapi.render_error,
        [
            {"session_id": NAMES, "code": CODES},
            {
                "session_id": NAMES,
                "code": CODES,
                "environment_variables": VARIABLES,
                "local_variables": odd_objects(
                    {"a": usual(1, "x", 1.5, {"type": "float", "data": "1", "precision": 1})}
                    | {"globals": usual(1), "b c": usual(1), "d": usual("\0", "\u2028")}
                ),
            },
            {"session_ids": usual([NAME], [], [NAME, "\0"], ["x" * 300])},
        ],
        {},
        {},
    ),
    Face(
        "sandbox",
        sandbox.render_error,
        [{"code": CODES, "timeout_secs": usual(60, 99.5, 10**300)}],
        {},
        {},
    ),
    Face(
        "backendai",
        backendai.render_error,
        [
            {
                "name": NAMES,
                "image": usual("python", "c", "r:4", "nothing", "a/b/python:3@x"),
                "reuseIfExists": BOOLEANS,
                "config": objects({"environ": VARIABLES}),
            },
            {
                "mode": usual("query", "query", "batch", "complete", "continue", "input", "odd"),
                "runId": usual("one", "two", "", "\0", "x" * 300),
                "code": CODES,
                "options": OPTIONS | OPTIONS.map(as_json),
            },
            {"path": PATHS, "files": PATHS | usual(["a"], ["a"] * 6, []), "file": PATHS},
        ],
        {
            "id": [NAME, NAME[:2], "\0"],
            "name": [NAME, "create", "x", "a\0bc"],
            "path": ["a", "..", "a\0"],
            "files": ["a", ".", ".."],
            "file": ["a", ".", "a\0"],
            "sessionName": [NAME, "*", "other", "\0"],
            "scope": ["session", "odd"],
        },
        {
            b"x-backendai-version": [b"v5.20191215", b"v1.2", b"\xff"],
            b"user-agent": [b"Backend.AI Client"],
        },
    ),
    Face(
        "native",
        native.render_error,
        [
            {
                "identifier": NAMES,
                "kernel": usual("python3", "", "nothing"),
                "notebook_of": usual(NAME, "other", ""),
                "network": usual("none", "host"),
                "limits": odd_objects(
                    {"processes": usual(100, 10**9), "memory_bytes": usual(2**28)}
                ),
            },
            {"path": PATHS},
            {
                "code": CODES,
                "timeout_seconds": usual(60, 0.5, 0, 10**9, 10**400),
                "allow_input": BOOLEANS,
                "cell": usual("8e03978e-40d5-43e8-bc93-6894a57f9324", "first", ""),
            },
            {
                "command": usual(
                    ["true"], ["nothing-there"], [], [""], ["a\0"], ["true", "\ud800"]
                ),
                "stdin": usual("", "x", "\0"),
            },
            {"text": usual("x", "", "\0", "\ud800")},
            {
                "label": usual("x", "", "a\nb", "\ud800", "x" * 101),
                "scope": usual("run", "read", "admin"),
                "days": usual(1, 0.5, 0, 10**6, 10**400),
            },
            {
                "kind": usual("code", "markdown", "raw", "command"),
                "source": CODES,
                "metadata": odd_objects({"a": usual("\ud800", 1)}),
                "after": usual("8e03978e-40d5-43e8-bc93-6894a57f9324", None, "first", ""),
                "version": usual(0, 1, 2**53, 2**60, 1.0) | BOOLEANS,
            },
            {
                "cells": CELLS,
                "metadata": odd_objects({"kernelspec": usual({"name": "x"})}),
                "nbformat": usual(4, 4, 3, 5),
                "nbformat_minor": usual(5, 0),
            },
        ],
        {
            "path": ["a", "d", ".", "..", "a\0", ""],
            "recursive": ["1", "0", "yes"],
            "inline": ["1"],
            "overwrite": ["0"],
            "mode": ["append", "replace", "odd"],
            # What is waited for may never come.
            "wait": ["0", "1", "-1"],
            "since": ["0", "3", "9" * 15, "9" * 16],
            "limit": ["1", "200", "0"],
            "state": ["succeeded", "odd"],
            "cursor": ["8e03978e-40d5-43e8-bc93-6894a57f9324", "\0"],
            "format": ["sse", "json", "yaml"],
        },
        {
            b"sec-fetch-site": [b"same-origin"],
            b"idempotency-key": [b'"one"', b"two", b"\xe9", b"", b"x" * 300],
            b"prefer": [b"wait=0", b"respond-async, wait=1", b"wait=x", b"\xff;;,"],
            b"last-event-id": [b"0", b"3", b"\xff"],
            b"accept": [b"text/event-stream"],
        },
    ),
]
# Where no contract is: pages, and the health of the server.
PAGES = Face("pages", None, [{"a": CODES}], {"next": ["/", "//evil"], "q": ["a\0"]}, {})
