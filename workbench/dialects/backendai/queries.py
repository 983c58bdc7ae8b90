"""What a client asks to be run: the query object and the batch execution query object; pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sessions.continuations import Step
from workbench.dialects.backendai.defaults import command_for
from workbench.dialects.backendai.errors import invalid

_MODES = ("query", "batch", "complete", "continue", "input")
_STEPS = ("clean", "build", "exec")
_MAX_RUN_ID_LENGTH = 200
# A command line is one argument of a shell, and Linux passes no longer one on.
_MAX_COMMAND_BYTES = 128 * 1024 - 1
# Programs that write to pipes hold their output back; Python is told not to. The rest is what
# Backend.AI's own runner gives to commands.
ENVIRONMENT = {"PYTHONUNBUFFERED": "1", "TERM": "xterm", "SHELL": "/bin/bash"}


@dataclass(frozen=True, kw_only=True)
class Query:
    """One call about a run."""

    mode: str
    code: str
    # Empty: the server invents one.
    run_id: str
    options: dict[str, Any]

    def steps(self, language: str) -> list[Step]:
        """What a query or a batch consists of. Raises Refused."""
        if self.mode == "query":
            return [Step(name="query", code=self.code)]
        return [
            Step(name=name, command=command_for(name, self._line(name), language))
            for name in _STEPS
        ]

    def _line(self, name: str) -> str | None:
        value = self.options.get(name)
        if value is not None and not isinstance(value, str):
            raise invalid("Input validation error", **{f"options.{name}": "value is not a string"})
        if value is not None:
            _check_text(value, f"options.{name}")
            if len(value.encode()) > _MAX_COMMAND_BYTES:
                rule = f"must have at most {_MAX_COMMAND_BYTES} bytes"
                raise invalid("Input validation error", **{f"options.{name}": rule})
        return value


def parse_query(body: dict[str, Any], modes: tuple[str, ...] = _MODES) -> Query:
    """Read a call. A run id may be absent: the documents allow what the servers refuse.

    Raises Refused.
    """
    mode = body.get("mode")
    if not mode or not isinstance(mode, str):
        raise invalid("mode is missing or empty!")
    if mode not in modes:
        raise invalid("mode has an invalid value.")
    run_id = _run_id(body.get("runId"))
    if mode in ("continue", "input") and not run_id:
        raise invalid("continuation requires explicit run ID")
    code = body.get("code")
    if code is not None and not isinstance(code, str):
        raise invalid("Input validation error", code="value is not a string")
    if mode == "query":
        _check_text(code or "", "code")
    return Query(mode=mode, code=code or "", run_id=run_id, options=_options(body.get("options")))


def _check_text(value: str, name: str) -> None:
    """Refuse what no program can be given. JSON inside of text or frames may hold it."""
    try:
        value.encode()
    except UnicodeEncodeError:
        rule = "has half of a surrogate pair"
        raise invalid("Input validation error", **{name: rule}) from None
    if "\0" in value:
        raise invalid("Input validation error", **{name: "has a NUL character"})


def _run_id(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > _MAX_RUN_ID_LENGTH or not value.isprintable():
        rule = f"must be text of at most {_MAX_RUN_ID_LENGTH} printable characters"
        raise invalid("Input validation error", runId=rule)
    return value


def _options(value: Any) -> dict[str, Any]:
    """The options; the documents show an object as text, so text with an object in it will do."""
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.strip() else None
        except (ValueError, RecursionError):
            raise invalid("Input validation error", options="value is not an object") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise invalid("Input validation error", options="value is not an object")
    return value
