"""Jupyter messages to outputs: pure, no I/O.

A kernel runs other people's code and may send anything. What comes out of here has the shapes of
docs/events.md, holds only JSON that every database and wire can carry, and is bounded in depth.
"""

from __future__ import annotations

import base64
import json
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sessions.states import EventType

Data = dict[str, Any]
Output = tuple[EventType, Data]

MAX_DEPTH = 64  # levels of nesting kept in a mime bundle; deeper values become "…"
STREAM_PIECE_LENGTH = 64 * 1024  # characters of a stream in one event
HELD_PIECE_BYTES = 16 * 1024  # of a stream held back, so that it can be dropped bit by bit
MAX_COUNT = 2**31 - 1  # what the databases hold of an execution count
MAX_NAME_LENGTH = 1_000  # characters of an exception's name, or a display's id

_BOKEH_LIBRARY = "application/vnd.bokehjs_load.v0+json"
_SURROGATES = re.compile("[\ud800-\udfff]")


def output_of(msg_type: str, content: Any, metadata: Any, buffers: list[bytes]) -> Output | None:
    """What an iopub message says; None if it is no output, or not what the protocol allows."""
    reader = _READERS.get(msg_type)
    if reader is None or not isinstance(content, dict):
        return None
    try:
        return reader(content, metadata, buffers)
    except (KeyError, TypeError, ValueError):
        return None


def left_out(msg_type: str, size: int) -> Output | None:
    """What is said of an output of ``size`` bytes that nobody looked at; None if it is no output."""
    return (EventType.TRUNCATED, {"dropped_bytes": size}) if msg_type in _READERS else None


def pieces(output: Output) -> list[Output]:
    """The output, a long piece of a stream cut so that each part makes an event of fair size."""
    type_, data = output
    if type_ != EventType.STREAM or len(data["text"]) <= STREAM_PIECE_LENGTH:
        return [output]
    text = data["text"]
    cuts = range(0, len(text), STREAM_PIECE_LENGTH)
    return [(type_, {**data, "text": text[at : at + STREAM_PIECE_LENGTH]}) for at in cuts]


def size_of(output: Output) -> int:
    """How many bytes an output takes, about: text counts as it is, the rest as JSON."""
    type_, data = output
    if type_ == EventType.STREAM:
        return len(data["text"])
    return len(json.dumps(data))


def clean(value: Any, depth: int = 0) -> Any:
    """``value`` with text that UTF-8 and databases can hold, and nesting cut at MAX_DEPTH.

    Lone surrogates and NUL become U+FFFD; integers of more than 64 bits become floats, as in
    JavaScript, because the wire has no others. Raises TypeError for what JSON cannot say.
    """
    if isinstance(value, str):
        return _clean_text(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else _as_float(value)
    if isinstance(value, float):
        return value if value - value == 0 else None  # JSON has no NaN or infinity
    if depth >= MAX_DEPTH:
        return "…"
    if isinstance(value, dict):
        return {_clean_text(key): clean(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [clean(item, depth + 1) for item in value]
    raise TypeError(f"not JSON: {type(value).__name__}")


def count_of(value: Any) -> int | None:
    """A kernel's execution count, if it is one."""
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT
    return value if is_count else None


def _as_float(value: int) -> float | None:
    try:
        return float(value)
    except OverflowError:
        return None


def _clean_text(text: str) -> str:
    if not isinstance(text, str):
        raise TypeError("not text")
    try:
        text.encode()
    except UnicodeEncodeError:
        text = _SURROGATES.sub("\ufffd", text)
    return text.replace("\0", "\ufffd")


def _short(text: Any) -> str:
    return _clean_text(text)[:MAX_NAME_LENGTH]


def _mapping(value: Any) -> Data:
    return clean(value) if isinstance(value, dict) else {}


def _bundle(value: Any) -> Data:
    """A mime bundle; text that came as a list of lines (as in notebooks) is joined."""
    if not isinstance(value, dict):
        raise TypeError("not a mime bundle")
    bundle = {_short(mime): _joined(mime, data) for mime, data in clean(value).items()}
    if _BOKEH_LIBRARY in bundle:
        # The same 4 MB again, for a program that is no more; together they exceed the limit.
        bundle.pop("application/javascript", None)
    return bundle


def _joined(mime: str, data: Any) -> Any:
    lines = isinstance(data, list) and not mime.endswith("json")
    return "".join(data) if lines and all(isinstance(line, str) for line in data) else data


def _display_id(content: Data) -> str | None:
    transient = content.get("transient")
    display_id = transient.get("display_id") if isinstance(transient, dict) else None
    return _short(display_id) if isinstance(display_id, str) else None


def _stream(content: Data, metadata: Any, buffers: list[bytes]) -> Output | None:
    if content["name"] not in ("stdout", "stderr") or not content["text"]:
        return None
    return EventType.STREAM, {"name": content["name"], "text": _clean_text(content["text"])}


def _display_data(content: Data, metadata: Any, buffers: list[bytes]) -> Output:
    return EventType.DISPLAY_DATA, {
        "data": _bundle(content["data"]),
        "metadata": _mapping(content.get("metadata")),
        "display_id": _display_id(content),
    }


def _update_display_data(content: Data, metadata: Any, buffers: list[bytes]) -> Output | None:
    _, data = _display_data(content, metadata, buffers)
    return (EventType.UPDATE_DISPLAY_DATA, data) if data["display_id"] else None


def _execute_result(content: Data, metadata: Any, buffers: list[bytes]) -> Output:
    return EventType.EXECUTE_RESULT, {
        "data": _bundle(content["data"]),
        "metadata": _mapping(content.get("metadata")),
        "execution_count": count_of(content.get("execution_count")),
    }


def _error(content: Data, metadata: Any, buffers: list[bytes]) -> Output:
    traceback = content.get("traceback")
    lines = traceback if isinstance(traceback, list) else []
    return EventType.ERROR, {
        "ename": _short(content["ename"]),
        "evalue": _clean_text(content["evalue"]),
        "traceback": [_clean_text(line) for line in lines if isinstance(line, str)],
    }


def _clear_output(content: Data, metadata: Any, buffers: list[bytes]) -> Output:
    return EventType.CLEAR_OUTPUT, {"wait": bool(content.get("wait"))}


def _comm(kind: str) -> Any:
    def read(content: Data, metadata: Any, buffers: list[bytes]) -> Output:
        return EventType.COMM, {
            "kind": kind,
            "comm_id": _short(content["comm_id"]),
            "target_name": _short(content.get("target_name", "")),
            "data": _mapping(content.get("data")),
            "metadata": _mapping(metadata),
            "buffers": [base64.b64encode(buffer).decode() for buffer in buffers],
        }

    return read


_READERS: dict[str, Callable[[Data, Any, list[bytes]], Output | None]] = {
    "stream": _stream,
    "display_data": _display_data,
    "update_display_data": _update_display_data,
    "execute_result": _execute_result,
    "error": _error,
    "clear_output": _clear_output,
    "comm_open": _comm("open"),
    "comm_msg": _comm("msg"),
    "comm_close": _comm("close"),
}


@dataclass
class OutputLimit:
    """Keeps the first and the last half of ``max_bytes`` of one execution's output.

    ``admit`` says what to record now; ``rest`` what was held back. After ``end`` nothing is held
    back any more: of what still comes, as much again as half of ``max_bytes`` is recorded.
    """

    max_bytes: int
    _head_bytes: int = 0
    _tail: deque[tuple[Output, int]] = field(default_factory=deque)
    _tail_bytes: int = 0
    _dropped_bytes: int = 0
    _has_ended: bool = False

    def admit(self, output: Output) -> list[Output]:
        """The outputs to record now: this one, the part of it that fits, or none."""
        if self._has_ended:
            return self._admit_late(output)
        size = size_of(output)
        room = self.max_bytes // 2 - self._head_bytes
        if not self._tail and size <= room:
            self._head_bytes += size
            return [output]
        admitted: list[Output] = []
        if not self._tail and output[0] == EventType.STREAM and room > 0:
            head, output = _split(output, room)
            admitted, size = [head], size - room
            self._head_bytes += room
        self._hold(output, size)
        return admitted

    def rest(self) -> list[Output]:
        """The tail, after a ``truncated`` if anything was dropped; empty from then on."""
        held = [output for output, _ in self._tail]
        if self._dropped_bytes:
            held.insert(0, (EventType.TRUNCATED, {"dropped_bytes": self._dropped_bytes}))
        self._tail.clear()
        self._tail_bytes = self._dropped_bytes = 0
        return held

    def end(self) -> list[Output]:
        """``rest``, and from then on nothing is held back."""
        rest = self.rest()
        self._has_ended, self._head_bytes = True, 0
        return rest

    def renew_late(self) -> None:
        """After ``end``: as much again may come, because somebody asked for it."""
        if self._has_ended:
            self._head_bytes = 0

    def _admit_late(self, output: Output) -> list[Output]:
        size, room = size_of(output), self.max_bytes // 2 - self._head_bytes
        if room < 0:
            return []
        self._head_bytes += size
        if size <= room:
            return [output]
        # The first that does not fit, and the last that is spoken of.
        is_stream = output[0] == EventType.STREAM and room > 0
        kept = [_split(output, room)[0]] if is_stream else []
        dropped = size - room if is_stream else size
        return [*kept, (EventType.TRUNCATED, {"dropped_bytes": dropped})]

    def _hold(self, output: Output, size: int) -> None:
        self._tail_bytes += size
        if self._tail and _continues(*self._tail[-1], output):
            (type_, data), held_size = self._tail.pop()
            output = type_, {**data, "text": data["text"] + output[1]["text"]}
            size += held_size
        self._tail.append((output, size))
        while self._tail_bytes > self.max_bytes // 2:
            excess = self._tail_bytes - self.max_bytes // 2
            oldest, oldest_size = self._tail.popleft()
            if oldest[0] == EventType.STREAM and oldest_size > excess:
                _, kept = _split(oldest, excess)
                self._tail.appendleft((kept, oldest_size - excess))
                dropped = excess
            else:
                dropped = oldest_size
            self._tail_bytes -= dropped
            self._dropped_bytes += dropped


def _continues(held: Output, held_size: int, output: Output) -> bool:
    """Whether ``output`` is more of the same stream; held pieces stay small, to be dropped."""
    is_stream = held[0] == output[0] == EventType.STREAM
    return is_stream and held[1]["name"] == output[1]["name"] and held_size < HELD_PIECE_BYTES


def _split(output: Output, at: int) -> tuple[Output, Output]:
    type_, data = output
    text = data["text"]
    return (type_, {**data, "text": text[:at]}), (type_, {**data, "text": text[at:]})
