"""Events to console items, what a client shows of a run; pure.

An item is ``["stdout" | "stderr" | "html", text]`` or ``["media", [mime type, data]]``. Text is
as the program wrote it; adjacent items of one stream are one, so the order is kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from sessions.states import EventType

# Characters of one stream in one answer; what is beyond is dropped, as documented.
MAX_STREAM_CHARACTERS = 524_288
# Which form of a value is shown, the best first.
_PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp")

Item = list[Any]


def console_of(events: Iterable[dict[str, Any]]) -> list[Item]:
    """The items of some events (in the shape of ``Event.to_wire``, in order)."""
    return _cut(_merged(item for event in events for item in _items(event)))


def _items(event: dict[str, Any]) -> Iterator[Item]:
    data = event["data"]
    match event["type"]:
        case EventType.STREAM:
            yield [data["name"], data["text"]]
        case EventType.ERROR:
            yield ["stderr", _traceback(data)]
        case EventType.DISPLAY_DATA | EventType.UPDATE_DISPLAY_DATA | EventType.EXECUTE_RESULT:
            yield from _shown(data["data"])
        case EventType.INPUT_REQUEST if data["prompt"]:
            yield ["stdout", data["prompt"]]
        case EventType.TRUNCATED:
            yield ["stderr", f"[{data['dropped_bytes']} bytes of output were left out here]\n"]


def _traceback(error: dict[str, Any]) -> str:
    lines = error["traceback"] or [f"{error['ename']}: {error['evalue']}"]
    return _line("\n".join(lines))


def _shown(bundle: dict[str, Any]) -> Iterator[Item]:
    """The best form of a mime bundle that the contract has an item for."""
    for mime in _PICTURES:
        if isinstance(data := bundle.get(mime), str):
            yield ["media", [mime, f"data:{mime};base64,{''.join(data.split())}"]]
            return
    if isinstance(bundle.get("image/svg+xml"), str):
        yield ["media", ["image/svg+xml", bundle["image/svg+xml"]]]
    elif isinstance(bundle.get("text/html"), str):
        yield ["html", bundle["text/html"]]
    elif isinstance(bundle.get("text/plain"), str):
        yield ["stdout", _line(bundle["text/plain"])]
    else:
        yield from (["media", [mime, _text(data)]] for mime, data in [*bundle.items()][:1])


def _text(data: Any) -> str:
    return data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)


def _line(text: str) -> str:
    """With an end of line, so that what follows does not stick to it."""
    return text if text.endswith("\n") else text + "\n"


def _merged(items: Iterable[Item]) -> Iterator[Item]:
    pending: tuple[str, list[str]] | None = None
    for kind, data in items:
        if pending and pending[0] == kind:
            pending[1].append(data)
            continue
        if pending:
            yield [pending[0], "".join(pending[1])]
        is_stream = kind in ("stdout", "stderr")
        pending = (kind, [data]) if is_stream else None
        if not is_stream:
            yield [kind, data]
    if pending:
        yield [pending[0], "".join(pending[1])]


def _cut(items: Iterable[Item]) -> list[Item]:
    room = {"stdout": MAX_STREAM_CHARACTERS, "stderr": MAX_STREAM_CHARACTERS}
    kept = []
    for kind, data in items:
        if kind in room:
            data = data[: room[kind]]
            room[kind] -= len(data)
        if data:
            kept.append([kind, data])
    return kept
