"""Messages of the Jupyter protocol, written and read: pure, no I/O.

On the wire a message is a list of frames: identities, a delimiter, a signature, four of JSON
(header, parent header, metadata, content), and buffers. https://jupyter-client.readthedocs.io
describes it. Who writes to us may be hostile: what comes out of ``read`` was signed with the
kernel's key, never came before, and has the outer shape that is promised.
"""

from __future__ import annotations

import hmac
import itertools
import json
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

VERSION = "5.4"  # of the protocol
DELIMITER = b"<IDS|MSG>"
SIGNED = 4  # frames after the signature that it covers
MAX_REMEMBERED = 4_096  # signatures that are told from new ones
# Of the JSON in a message: a list of a hundred million empty lists is a small message, that takes
# gigabytes and a minute to look through.
MAX_ELEMENTS = 500_000

# JSON has no NaN and no infinity: they become null, as in sessions/kernels/outputs.py.
_DECODER = json.JSONDecoder(parse_constant=lambda _: None)


class BadMessage(Exception):
    """What arrived is no message; says why, without what it holds."""


@dataclass(frozen=True)
class Message:
    """A message of a kernel, checked for its signature and outer shape."""

    type: str
    parent_id: str  # empty if it answers nothing
    content: dict[str, Any]
    metadata: dict[str, Any]
    buffers: list[bytes]
    # How many bytes the content and the metadata had, if they are empty because of MAX_ELEMENTS.
    left_out: int = 0


class MessageCodec:
    """Writes and reads the messages of one kernel, signed with ``key`` (HMAC, SHA-256).

    ``session`` is what we are called in the headers, and how our ids begin.
    """

    def __init__(self, key: bytes, session: str) -> None:
        self._signer = hmac.new(key, digestmod="sha256")
        self._session = session
        self._numbers = itertools.count()
        # The last signatures that were read, oldest first.
        self._seen: OrderedDict[bytes, None] = OrderedDict()

    def write(
        self,
        msg_type: str,
        content: dict[str, Any],
        *,
        metadata: dict[str, Any] | None = None,
        buffers: list[bytes] | None = None,
        header: dict[str, Any] | None = None,
    ) -> tuple[str, list[bytes]]:
        """A message's id and its frames. ``header`` goes into the header besides the usual."""
        msg_id = f"{self._session}_{next(self._numbers)}"
        whole_header = {
            "msg_id": msg_id,
            "msg_type": msg_type,
            "username": "username",
            "session": self._session,
            "date": datetime.now(UTC).isoformat(),
            "version": VERSION,
            **(header or {}),
        }
        parts = [_pack(whole_header), b"{}", _pack(metadata or {}), _pack(content)]
        return msg_id, [DELIMITER, self._sign(parts), *parts, *(buffers or [])]

    def read(self, frames: list[bytes]) -> Message:
        """The message that a kernel sent. Raises BadMessage.

        Bytes that are not UTF-8 become U+FFFD; half a character that JSON writes as an escape
        (a lone surrogate) is left, for whoever passes the text on.
        """
        if DELIMITER not in frames:
            raise BadMessage("it has no delimiter")
        signature, *parts = frames[frames.index(DELIMITER) + 1 :] or [b""]
        signed = parts[:SIGNED]
        if len(signed) < SIGNED:
            raise BadMessage("it has too few frames")
        if not hmac.compare_digest(signature, self._sign(signed)):
            raise BadMessage("its signature is wrong")
        self._remember(signature)
        if _has_many_elements(signed[:2]):
            raise BadMessage("its header has too many parts")
        left_out = 0
        if _has_many_elements(signed[2:]):
            left_out = sum(map(len, signed[2:]))
            signed = [*signed[:2], b"{}", b"{}"]
        header, parent, metadata, content = map(_unpack, signed)
        msg_type, parent_id = header.get("msg_type"), parent.get("msg_id", "")
        if not isinstance(msg_type, str) or not isinstance(parent_id, str):
            raise BadMessage("its type, or the id of its parent, is no text")
        return Message(msg_type, parent_id, content, metadata, parts[SIGNED:], left_out)

    def _sign(self, parts: list[bytes]) -> bytes:
        signer = self._signer.copy()
        for part in parts:
            signer.update(part)
        return signer.hexdigest().encode()

    def _remember(self, signature: bytes) -> None:
        if signature in self._seen:
            raise BadMessage("it came before")
        self._seen[signature] = None
        if len(self._seen) > MAX_REMEMBERED:
            self._seen.popitem(last=False)


def _has_many_elements(parts: list[bytes]) -> bool:
    """Whether JSON has more than MAX_ELEMENTS."""
    if _count(parts) <= MAX_ELEMENTS:  # also of those in its text, where they mean nothing
        return False
    return _count([_without_strings(part) for part in parts]) > MAX_ELEMENTS


def _without_strings(part: bytes) -> bytes:
    """JSON without its strings, up to where it is none, or has too many of them anyway."""
    ends = part.replace(rb"\\", b"").replace(rb"\"", b"").split(b'"', 4 * MAX_ELEMENTS)
    return b"".join(ends[::2])


def _count(parts: list[bytes]) -> int:
    """How many elements parts of JSON without strings have, about."""
    return sum(part.count(mark) for part in parts for mark in (b"[", b"{", b","))


def _pack(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode()


def _unpack(frame: bytes) -> dict[str, Any]:
    try:
        value = _DECODER.decode(frame.decode(errors="replace"))
    except (ValueError, RecursionError) as error:
        raise BadMessage(f"it is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadMessage("a part of it is no object")
    return value
