"""Lock files: a process holds one while it lives, and says in it who it is.

The system lets go of a lock when the last process that has its descriptor ends, however it ends.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MAX_NOTE_BYTES = 4096
ATTEMPTS = 10
ATTEMPT_SECONDS = 0.02  # between two: who looks at a lock holds it for a moment


class Held(Exception):
    """Somebody else holds the lock; ``note`` is what they wrote into it."""

    def __init__(self, note: str) -> None:
        self.note = note
        super().__init__(note)


@contextmanager
def holding(path: Path, note: str) -> Iterator[int]:
    """Hold a lock, with ``note`` in it. Raises Held.

    Gives the lock's descriptor: a child that inherits it holds the lock as well.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        for attempt in range(ATTEMPTS):
            if _lock(descriptor, fcntl.LOCK_EX):
                break
            if attempt + 1 < ATTEMPTS:
                time.sleep(ATTEMPT_SECONDS)
        else:
            raise Held(_note(descriptor))
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, note.encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def holder(path: Path) -> str | None:
    """The note of whoever holds a lock; None if nobody does."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        return None if _lock(descriptor, fcntl.LOCK_SH) else _note(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _note(descriptor: int) -> str:
    return os.pread(descriptor, MAX_NOTE_BYTES, 0).decode(errors="replace")
