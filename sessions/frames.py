"""The frames a client may send on a socket, as tables; docs/events.md says what each does.

A table maps a frame's type to its fields. Every field is text; True means that it must be there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from sessions.exceptions import InvalidValue

Table = Mapping[str, Mapping[str, bool]]

SESSION_FRAMES: Table = {
    "execute": {"code": True, "client_id": False},
    "interrupt": {},
    "restart": {},
    "close": {},
    "input": {"text": True},
    "cancel": {"execution": True},
    "ping": {},
}
LIST_FRAMES: Table = {
    "open": {"identifier": True, "kernel": False},
    "interrupt": {"identifier": True},
    "restart": {"identifier": True},
    "close": {"identifier": True},
    "ping": {},
}


class Frame(NamedTuple):
    """A valid frame: its type, and the fields that its client sent."""

    type: str
    fields: dict[str, str]


def parse(text: str | None, table: Table) -> Frame:
    """The frame in ``text``; None stands for a binary message.

    Fields the table does not know are ignored. Raises InvalidValue, whose ``data`` says which
    type of frame it was (``in_reply_to``, None if that cannot be told).
    """
    content = _object(text)
    kind = content.get("type")
    if not isinstance(kind, str) or kind not in table:
        known = ", ".join(table)
        raise InvalidValue(f"A frame's type must be one of: {known}.", in_reply_to=None)
    fields = {}
    for name, is_required in table[kind].items():
        value = content.get(name)
        if value is None and not is_required:
            continue
        if not isinstance(value, str) or not _is_unicode(value):
            raise InvalidValue(f"The field “{name}” of “{kind}” must be text.", in_reply_to=kind)
        fields[name] = value
    return Frame(kind, fields)


def _object(text: str | None) -> dict[str, Any]:
    try:
        content = json.loads(text or "")
    except (ValueError, RecursionError):
        raise InvalidValue("A frame must be JSON, sent as text.", in_reply_to=None) from None
    if not isinstance(content, dict):
        raise InvalidValue("A frame must be a JSON object.", in_reply_to=None)
    return content


def _is_unicode(value: str) -> bool:
    """False for halves of surrogate pairs, which JSON can spell and nothing can store."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
