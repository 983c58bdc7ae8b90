"""Signatures that have counted, and shall not count once more."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

from workbench.access.shared import shared_numbers
from workbench.access.signatures import MOST_SKEW

# The oldest go; each takes some 200 bytes.
MOST_REMEMBERED = 100_000
# A date may lie in the future by as much as in the past.
REMEMBERED_SECONDS = 2 * MOST_SKEW.total_seconds()


class Replays:
    """Remembers signatures for as long as their dates are good: here, and with all others if it can.

    May wait for Redis, in a thread of its own.
    """

    def __init__(self, *, most: int = MOST_REMEMBERED) -> None:
        self._most = most
        self._lock = threading.Lock()  # requests are in threads of their own here
        self._counted: OrderedDict[bytes, float] = OrderedDict()

    def is_one(self, signature: str) -> bool:
        """Whether a signature, in hexadecimal digits, has counted before; from now on it has."""
        key, now = bytes.fromhex(signature), time.monotonic()
        with self._lock:
            while self._counted and self._is_over(next(iter(self._counted.values())), now):
                self._counted.popitem(last=False)
            if key in self._counted:
                return True
            self._counted[key] = now
            if len(self._counted) > self._most:
                self._counted.popitem(last=False)
        name = f"signature:{signature.lower()}"
        return not shared_numbers().is_first(name, seconds=REMEMBERED_SECONDS)

    def __len__(self) -> int:
        return len(self._counted)

    @staticmethod
    def _is_over(counted_at: float, now: float) -> bool:
        return now - counted_at > REMEMBERED_SECONDS
