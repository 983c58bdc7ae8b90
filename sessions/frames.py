"""The frames a client may send on a socket, as tables; docs/events.md says what each does.

A table maps a frame's type to its fields, and each field to what it holds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from sessions.exceptions import InvalidValue

MAX_WHOLE = 2**53 - 1  # the largest whole number that JavaScript is sure of


class Field(NamedTuple):
    """What a field holds, in words and as a check, and whether it must be there."""

    words: str
    is_valid: Callable[[Any], bool]
    is_required: bool = True

    @property
    def optional(self) -> Field:
        """The same, but it may be left out, or be null."""
        return self._replace(is_required=False)


Table = Mapping[str, Mapping[str, Field]]


def _is_text(value: Any) -> bool:
    """Not for halves of surrogate pairs, which JSON can spell and nothing can store."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_WHOLE


TEXT = Field("text", _is_text)
WHOLE = Field("a whole number", _is_whole)
YES_OR_NO = Field("true or false", lambda value: isinstance(value, bool))
OBJECT = Field("an object", lambda value: isinstance(value, dict))
TEXTS = Field(
    "a list of texts", lambda value: isinstance(value, list) and all(map(_is_text, value))
)
OBJECTS = Field(
    "a list of objects",
    lambda value: isinstance(value, list) and all(isinstance(item, dict) for item in value),
)

# Questions: their answers carry the client's own name for the question, and so do their errors.
QUESTION_FRAMES: Table = {
    "complete": {"question": TEXT, "code": TEXT, "cursor": WHOLE},
    "inspect": {"question": TEXT, "code": TEXT, "cursor": WHOLE, "detail": WHOLE.optional},
    "variables": {"question": TEXT},
    "table": {
        "question": TEXT,
        "name": TEXT,
        "offset": WHOLE.optional,
        "limit": WHOLE.optional,
        "sort": TEXT.optional,
        "descending": YES_OR_NO.optional,
        "search": TEXT.optional,
    },
    "resources": {"question": TEXT},
}
SESSION_FRAMES: Table = {
    "execute": {"code": TEXT, "client_id": TEXT.optional, "cell": TEXT.optional},
    "interrupt": {},
    "restart": {},
    "close": {},
    "input": {"text": TEXT},
    "cancel": {"execution": TEXT},
    "comm": {
        "kind": TEXT,
        "comm_id": TEXT,
        "target_name": TEXT.optional,
        "data": OBJECT.optional,
        "metadata": OBJECT.optional,
        "buffers": TEXTS.optional,
    },
    **QUESTION_FRAMES,
    "ping": {},
}
LIST_FRAMES: Table = {
    "open": {"identifier": TEXT, "kernel": TEXT.optional},
    "interrupt": {"identifier": TEXT},
    "restart": {"identifier": TEXT},
    "close": {"identifier": TEXT},
    "ping": {},
}


class Frame(NamedTuple):
    """A valid frame: its type, and the fields that its client sent."""

    type: str
    fields: dict[str, Any]


def parse(text: str | None, table: Table) -> Frame:
    """The frame in ``text``; None stands for a binary message.

    Fields the table does not know are ignored. Raises InvalidValue, whose ``data`` says which
    type of frame it was (``in_reply_to``, None if that cannot be told) and which ``question``,
    if it was one.
    """
    content = _object(text)
    kind = content.get("type")
    if not isinstance(kind, str) or kind not in table:
        known = ", ".join(table)
        raise InvalidValue(f"A frame's type must be one of: {known}.", in_reply_to=None)
    fields = {}
    for name, field in table[kind].items():
        value = content.get(name)
        if value is None and not field.is_required:
            continue
        if not field.is_valid(value):
            sentence = f"The field “{name}” of “{kind}” must be {field.words}."
            raise InvalidValue(sentence, in_reply_to=kind, **_question_of(content, table[kind]))
        fields[name] = value
    return Frame(kind, fields)


def _question_of(content: dict[str, Any], fields: Mapping[str, Field]) -> dict[str, Any]:
    question = content.get("question")
    return {"question": question} if "question" in fields and _is_text(question) else {}


def _object(text: str | None) -> dict[str, Any]:
    try:
        content = json.loads(text or "")
    except (ValueError, RecursionError):
        raise InvalidValue("A frame must be JSON, sent as text.", in_reply_to=None) from None
    if not isinstance(content, dict):
        raise InvalidValue("A frame must be a JSON object.", in_reply_to=None)
    return content
