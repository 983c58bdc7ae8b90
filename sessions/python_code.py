"""Python that sets variables in a kernel; pure. Names and values come from outside.

Values travel as one JSON text inside one string literal, so that no quote in them can end it.
"""

from __future__ import annotations

import json
import keyword
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from sessions.exceptions import InvalidValue

# What a local variable may hold.
Value = str | bool | int | float


def set_environment(variables: Mapping[str, str]) -> str:
    """Code that sets environment variables; empty for none. Raises InvalidValue."""
    if not variables:
        return ""
    for name, value in variables.items():
        _checked(name)
        if "\0" in value:
            raise InvalidValue(f"The environment variable {name} holds a NUL character.")
    return f"__import__('os').environ.update({_loaded(variables)})"


def set_variables(variables: Mapping[str, Value]) -> str:
    """Code that sets global variables; empty for none. Raises InvalidValue."""
    checked = {_checked(name): value for name, value in variables.items()}
    return f"globals().update({_loaded(checked)})" if checked else ""


def delete_variables(names: Iterable[str]) -> str:
    """Code that deletes global variables, those that are there; empty for none.

    Raises InvalidValue.
    """
    checked = [_checked(name) for name in names]
    return f"[globals().pop(name, None) for name in {_loaded(checked)}]" if checked else ""


def _checked(name: str) -> str:
    """The name as Python itself reads it."""
    normal = unicodedata.normalize("NFKC", name)
    if not normal.isidentifier() or keyword.iskeyword(normal):
        raise InvalidValue(f"{name[:100]!r} cannot be the name of a variable.")
    return normal


def _loaded(value: Any) -> str:
    # JSON escapes what is not ASCII, so the literal is one line of plain characters.
    return f"__import__('json').loads({json.dumps(value)!r})"
