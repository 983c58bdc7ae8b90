"""How often somebody was wrong lately."""

from __future__ import annotations

import time
from collections import OrderedDict, deque

MOST_REMEMBERED = 10_000  # the oldest go


class Failures:
    """Counts failures by whom they came from; in this process only."""

    def __init__(self, *, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def add(self, name: str) -> bool:
        """Count one more; whether that is too many."""
        times = self._times.setdefault(name, deque(maxlen=self._most + 1))
        self._times.move_to_end(name)
        times.append(time.monotonic())
        if len(self._times) > MOST_REMEMBERED:
            self._times.popitem(last=False)
        return self.is_too_many(name)

    def is_too_many(self, name: str) -> bool:
        """Whether there were too many lately."""
        since = time.monotonic() - self._seconds
        return sum(at > since for at in self._times.get(name, ())) > self._most

    def forget(self, name: str) -> None:
        """Begin anew: they were right."""
        self._times.pop(name, None)
