"""How much a kernel may say on its comms. No I/O.

An execution's output limit would hold messages back and then drop some, which a widget does not
survive: its later messages build on the earlier ones. So comms have an allowance of their own.
"""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sessions.kernels.executions import LiveExecution
from sessions.states import EventType

MAX_HELD_BYTES = 1024 * 1024  # of updates that wait, for all comms of a session
REFILL_SECONDS = 3600.0  # in which a spent allowance grows back whole

Data = dict[str, Any]
Say = Callable[[EventType, Data, LiveExecution | None], Any]


@dataclass
class CommTraffic:
    """Passes on messages of about ``max_bytes``, and again as much after each ``renew``.

    Beyond that, updates of a widget's state wait and become one, the latest; other messages are
    left out, and a ``truncated`` event says so once. What waits is passed on as the allowance
    grows back, slowly, and whole by ``renew`` and ``settle``.
    """

    max_bytes: int
    say: Say
    clock: Callable[[], float] = time.monotonic
    # By comm id: the update that waits, whose it is, and its size.
    _held: OrderedDict[str, tuple[Data, LiveExecution | None, int]] = field(
        default_factory=OrderedDict
    )
    _is_told: bool = False

    def __post_init__(self) -> None:
        self._room: float = self.max_bytes
        self._at = self.clock()

    def renew(self) -> None:
        """Somebody wants more of it: an execution starts, or a person uses a widget."""
        self.settle()
        self._room, self._is_told = self.max_bytes, False

    def settle(self) -> None:
        """Pass on all that waits."""
        while self._held:
            self._release()

    def pass_on(self, data: Data, execution: LiveExecution | None) -> None:
        """One message of the kernel, in the shape of a ``comm`` event's data."""
        self._refill()
        while self._held and self._room >= next(iter(self._held.values()))[2]:
            self._release()
        size, held = _size(data), self._held.get(data["comm_id"])
        if held is not None:
            self._hold(_merged(held[0], data), data, execution)
        elif size <= self._room:
            self._room -= size
            self.say(EventType.COMM, data, execution)
        else:
            self._hold(data if _is_update(data) else None, data, execution)

    def _hold(self, update: Data | None, data: Data, execution: LiveExecution | None) -> None:
        """Let ``update`` wait, in which ``data`` has gone into; None: it cannot."""
        known = self._held.get(data["comm_id"])
        others = sum(size for _, _, size in self._held.values()) - (known[2] if known else 0)
        if update is not None and others + (size := _size(update)) <= MAX_HELD_BYTES:
            self._held[data["comm_id"]] = (update, execution, size)
        elif not self._is_told:
            self._is_told = True
            self.say(EventType.TRUNCATED, {"dropped_bytes": _size(data)}, execution)

    def _release(self) -> None:
        _, (data, execution, size) = self._held.popitem(last=False)
        self._room -= size
        self.say(EventType.COMM, data, execution)

    def _refill(self) -> None:
        now = self.clock()
        grown = self.max_bytes * (now - self._at) / REFILL_SECONDS
        self._room, self._at = min(self.max_bytes, self._room + grown), now


def _is_update(data: Data) -> bool:
    content = data["data"]
    return (
        data["kind"] == "msg"
        and content.get("method") == "update"
        and isinstance(content.get("state"), dict)
    )


def _merged(held: Data, data: Data) -> Data | None:
    """Two updates of one comm as one; None if they cannot be."""
    if not _is_update(data):
        return None
    before, after = held["data"]["state"], data["data"]["state"]
    if before.keys() <= after.keys():
        return data
    if held["buffers"] or data["buffers"]:
        return None  # what they belong to is said by place
    return {**data, "data": {**data["data"], "state": {**before, **after}}}


def _size(data: Data) -> int:
    return len(json.dumps(data))
