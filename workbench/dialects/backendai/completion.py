"""What could follow at a place in some code."""

from __future__ import annotations

from typing import Any

from sessions import operations
from sessions.operations import SessionRef
from workbench.dialects.backendai.errors import invalid
from workbench.dialects.backendai.views import object_field, text_field


async def complete(ref: SessionRef, body: dict[str, Any]) -> dict[str, Any]:
    """The completions at the row and column that ``options`` name, else at the end.

    Raises Refused.
    """
    code = text_field(body, "code") or ""
    cursor = cursor_in(code, object_field(body, "options"))
    answer = await operations.complete(ref, code, cursor)
    return {"status": "finished", "completions": answer["matches"]}


def cursor_in(code: str, options: dict[str, Any]) -> int:
    """The place in ``code``, in characters, of a row and a column, each from 0. Raises Refused."""
    row, column = _count(options, "row"), _count(options, "col")
    lines = code.split("\n")
    if row is None and column is None:
        return len(code)
    row = min(row or 0, len(lines) - 1)
    column = len(lines[row]) if column is None else min(column, len(lines[row]))
    return sum(len(line) + 1 for line in lines[:row]) + column


def _count(options: dict[str, Any], name: str) -> int | None:
    value = options.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise invalid("Input validation error", **{name: "must be a number, 0 or more"})
    return value
