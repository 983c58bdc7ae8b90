"""The value of the last expression, from Jupyter's text to Azure's JSON; pure.

Nothing here evaluates the text: it comes from untrusted code and may be of any size.
"""

from __future__ import annotations

import math
import re
from typing import Any

Value = bool | int | float | str | dict[str, Any] | None

_INT = re.compile(r"-?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_NOT_FINITE = frozenset({"nan", "inf", "-inf"})
# A double holds no integer with more digits: such a one stays text. (Reading and writing huge
# integers is also slow enough to hold up everybody else.)
_MAX_INT_DIGITS = 308
# One literal as repr() writes it: the other quote may stand bare, a newline may not. Possessive,
# so that megabytes of it need no memory to back up.
_QUOTED = re.compile(r"""'(?:[^'\\\n]++|\\.)*+'|"(?:[^"\\\n]++|\\.)*+\"""")
_ESCAPE = re.compile(r"\\(x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}|.)")
_SIMPLE_ESCAPES = {
    "\\": "\\",
    "'": "'",
    '"': '"',
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
}


def value_of(text: str | None) -> Value:
    """The JSON value for Jupyter's ``text/plain``; ``text`` None (no value) gives ``""``.

    Booleans and numbers become themselves, the repr of a string the string, everything else
    stays text. NaN and infinities, which JSON lacks, become None.
    """
    if text is None:
        return ""
    if text in ("True", "False"):
        return text == "True"
    if text in _NOT_FINITE:
        return None
    if _INT.fullmatch(text):
        return int(text) if len(text) <= _MAX_INT_DIGITS else text
    if len(text) <= _MAX_INT_DIGITS and _FLOAT.fullmatch(text):
        number = float(text)
        return number if math.isfinite(number) else text
    return _unquoted(text)


def jupyter_value_of(text: str | None) -> Value:
    """The value where the client asked for Jupyter's format: its text, or None."""
    return text


def image_of(base64_png: str) -> dict[str, Any]:
    """A picture as the value of an execution."""
    return {"type": "image", "format": "png", "base64_data": base64_png.strip()}


def _unquoted(text: str) -> str:
    """The string whose repr ``text`` is; ``text`` itself if it is no such repr."""
    if text[:1] not in ("'", '"') or not _QUOTED.fullmatch(text):
        return text
    try:
        plain = _ESCAPE.sub(_character, text[1:-1])
        plain.encode("utf-8")
    except ValueError:
        return text  # an escape repr() never writes, or half of a surrogate pair
    return plain


def _character(escape: re.Match[str]) -> str:
    name = escape[1]
    if len(name) > 1:
        return chr(int(name[1:], 16))
    if name not in _SIMPLE_ESCAPES:
        raise ValueError(name)
    return _SIMPLE_ESCAPES[name]
