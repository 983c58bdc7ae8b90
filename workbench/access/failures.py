"""How often somebody was wrong lately."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict, deque

from workbench.access.shared import shared_numbers

MOST_REMEMBERED = 10_000  # the oldest go
# What all processes count together is counted in so many parts of the time that matters.
PARTS = 10


class Failures:
    """Counts failures by whom they came from: in this process, and with all others if it can.

    Its methods may wait for Redis, in a thread of their own.
    """

    def __init__(self, *, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self._lock = threading.Lock()
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def add(self, name: str) -> bool:
        """Count one more; whether that is too many."""
        with self._lock:
            times = self._times.setdefault(name, deque(maxlen=self._most + 1))
            self._times.move_to_end(name)
            times.append(time.monotonic())
            if len(self._times) > MOST_REMEMBERED:
                self._times.popitem(last=False)
        shared_numbers().count(self._parts(name)[0], seconds=self._seconds + self._part)
        return self.is_too_many(name)

    def is_too_many(self, name: str) -> bool:
        """Whether there were too many lately."""
        since = time.monotonic() - self._seconds
        with self._lock:
            ours = sum(at > since for at in self._times.get(name, ()))
        return ours > self._most or shared_numbers().total(self._parts(name)) > self._most

    def forget(self, name: str) -> None:
        """Begin anew: they were right."""
        with self._lock:
            self._times.pop(name, None)
        shared_numbers().forget(self._parts(name))

    @property
    def _part(self) -> float:
        return self._seconds / PARTS

    def _parts(self, name: str) -> list[str]:
        """Where what counts for somebody is counted by all, the present part first."""
        # Names are what people type, and nobody's business in Redis.
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
        now = int(time.time() / self._part)
        return [f"failures:{self._seconds:g}:{digest}:{now - age}" for age in range(PARTS)]
