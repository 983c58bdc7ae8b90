"""What processes take: CPU time, memory, descriptors. Everything from /proc."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from tests.running import children_of

_TICKS = os.sysconf("SC_CLK_TCK")
_GONE = (FileNotFoundError, ProcessLookupError)


def tree(pid: int) -> set[int]:
    """A process and all that descend from it."""
    return {pid}.union(*(tree(child) for child in children_of(pid)))


def cpu_seconds(pids: Iterable[int], *, with_ended: bool = False) -> float:
    """CPU time of processes; with that of their children that have ended and were waited for."""
    last = 17 if with_ended else 15
    ticks = 0
    for pid in pids:
        with suppress(*_GONE):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11 : last - 2]))
    return ticks / _TICKS


def memory(pids: Iterable[int]) -> dict[str, float]:
    """MiB of processes together: ``share`` (PSS), ``resident``."""
    kib = {"Pss": 0, "Rss": 0}
    for pid in pids:
        with suppress(*_GONE):
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            for name in kib:
                kib[name] += int(re.findall(rf"^{name}: +(\d+)", text, re.MULTILINE)[0])
    return {"share": kib["Pss"] / 1024, "resident": kib["Rss"] / 1024}


def descriptors(pids: Iterable[int]) -> int:
    """Open files of processes together."""
    count = 0
    for pid in pids:
        with suppress(*_GONE):
            count += len(os.listdir(f"/proc/{pid}/fd"))
    return count


def named(pids: Iterable[int], word: str) -> set[int]:
    """Those of them that have a word in their command."""
    found = set()
    for pid in pids:
        with suppress(*_GONE):
            if word.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.add(pid)
    return found
