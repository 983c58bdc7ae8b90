"""Questions of a socket's client about its session; docs/events.md describes them.

A question changes nothing and leaves nothing in the log: its answer goes to who asked.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from sessions import frames, operations
from sessions.exceptions import InvalidValue
from sessions.frames import Frame
from sessions.operations import SessionRef

# A question's type -> the type of the frame that answers it.
ANSWERS = {
    "complete": "completion",
    "inspect": "inspection",
    "variables": "variables",
    "table": "table",
    "resources": "resources",
}


def is_question(frame: Frame) -> bool:
    """Whether the frame wants an answer."""
    return frame.type in frames.QUESTION_FRAMES


async def answer(ref: SessionRef, frame: Frame) -> dict[str, Any]:
    """The frame that answers a question. Raises the errors of the verbs."""
    asked = dict(frame.fields)
    question = asked.pop("question")
    known = await _known(ref, frame.type, asked)
    return {**known, "type": ANSWERS[frame.type], "question": question}


def decoded(buffers: list[str]) -> list[bytes]:
    """The buffers of a ``comm`` frame. Raises InvalidValue."""
    try:
        return [base64.b64decode(buffer, validate=True) for buffer in buffers]
    except (binascii.Error, ValueError) as error:
        raise InvalidValue("The buffers of a comm must be base64.") from error


async def _known(ref: SessionRef, kind: str, asked: dict[str, Any]) -> dict[str, Any]:
    match kind:
        case "complete":
            return await operations.complete(ref, asked["code"], asked["cursor"])
        case "inspect":
            detail = min(asked.get("detail", 0), 1)
            return await operations.inspect(ref, asked["code"], asked["cursor"], detail=detail)
        case "variables":
            return await operations.list_variables(ref)
        case "table":
            return await operations.read_table(ref, **asked)
        case _:
            return await operations.resources(ref)
