"""Who serves a data directory: one supervisor, and what it has started."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sessions.engines import locks
from sessions.engines.assembly import make_run_dir, run_dir
from sessions.engines.lifetime import has_ended

LOCK_NAME = "server.lock"
LEAVING_SECONDS = 35.0  # for what a killed supervisor leaves behind to end
POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Claim:
    """A supervisor's word that it serves the data directory."""

    pid: int
    # Where its pages are.
    url: str


class ServedAlready(Exception):
    """Another supervisor serves the data directory; its text says where, and what to do."""

    def __init__(self, claim: Claim | None) -> None:
        where = f" at {claim.url} (process {claim.pid})" if claim else ""
        super().__init__(
            f"A workbench serves this data directory already{where}. "
            "End it with: python manage.py workbench stop; "
            "or start another with a WORKBENCH_DATA_DIR and a WORKBENCH_PORT of its own."
        )


@contextmanager
def claimed(url: str) -> Iterator[int]:
    """Serve the data directory at ``url``, alone. Raises ServedAlready.

    Gives a descriptor for the children, so that the claim ends with the last of them: if they
    outlive their supervisor for a moment, the next one waits for their end.
    """
    deadline = time.monotonic() + LEAVING_SECONDS
    while (claim := current()) and has_ended(claim.pid) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    try:
        with locks.holding(make_run_dir() / LOCK_NAME, f"{os.getpid()} {url}") as descriptor:
            yield descriptor
    except locks.Held as held:
        raise ServedAlready(_parsed(held.note)) from None


def current() -> Claim | None:
    """The claim on the data directory; None if there is none."""
    note = locks.holder(run_dir() / LOCK_NAME)
    return None if note is None else _parsed(note)


def _parsed(note: str) -> Claim | None:
    """None for one that is just being written."""
    pid, _, url = note.partition(" ")
    return Claim(int(pid), url) if url else None
