"""What sessions/kernels/inside.py answers, checked: code in the kernel may answer in its place."""

from __future__ import annotations

from typing import Any

from sessions.exceptions import InvalidValue, KernelBusy
from sessions.kernels.outputs import clean

MAX_TEXT_LENGTH = 300  # characters of any one text; inside.py keeps to less
MAX_VARIABLES = 1_000
MAX_ROWS = 200
MAX_COLUMNS = 100

_INVALID = "The kernel's answer was not valid."


def variables_of(told: dict[str, Any]) -> dict[str, Any]:
    """An answer about variables: ``{"variables": […], "is_cut": bool}``. Raises KernelBusy."""
    result = _result(told)
    variables = _list(result.get("variables"), MAX_VARIABLES)
    return {
        "variables": [
            {
                "name": _text(each.get("name")),
                "type": _text(each.get("type")),
                "shape": _text(each.get("shape")),
                "size_bytes": _count(each.get("size_bytes")),
                "value": _text(each.get("value")),
                "is_table": each.get("is_table") is True,
            }
            for each in map(_object, variables)
        ],
        "is_cut": result.get("is_cut") is True,
    }


def table_of(told: dict[str, Any]) -> dict[str, Any]:
    """An answer about a table. Raises InvalidValue with the kernel's reason, KernelBusy."""
    result = _result(told)
    columns = map(_object, _list(result.get("columns"), MAX_COLUMNS))
    rows = _list(result.get("rows"), MAX_ROWS)
    return {
        "columns": [
            {
                "name": _text(each.get("name")),
                "type": _text(each.get("type")),
                "is_number": each.get("is_number") is True,
            }
            for each in columns
        ],
        "index": [_text(each) for each in _list(result.get("index"), MAX_ROWS)],
        "rows": [[_text(cell) for cell in _list(row, MAX_COLUMNS)] for row in rows],
        "total_columns": _count(result.get("total_columns")) or 0,
        "total_rows": _count(result.get("total_rows")) or 0,
        "offset": _count(result.get("offset")) or 0,
    }


def _result(told: dict[str, Any]) -> dict[str, Any]:
    told = clean(told)
    if isinstance(told.get("problem"), str):
        raise InvalidValue(_text(told["problem"]))
    if not isinstance(told.get("result"), dict):
        raise KernelBusy("The kernel could not answer. A restart helps.")
    return dict(told["result"])


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise KernelBusy(_INVALID)
    return value


def _list(value: Any, maximum: int) -> list[Any]:
    if not isinstance(value, list):
        raise KernelBusy(_INVALID)
    return value[:maximum]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise KernelBusy(_INVALID)
    return value[:MAX_TEXT_LENGTH]


def _count(value: Any) -> int | None:
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53
    return value if is_count else None
