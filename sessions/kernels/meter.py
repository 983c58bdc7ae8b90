"""What sessions use: memory, processor, processes; measured from outside, by what /proc says."""

from __future__ import annotations

import os
import time
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from sessions.kernels.records import now, timestamp

SAMPLE_SECONDS = 2.0
KEPT_SECONDS = 300.0
SPARK_POINTS = 30

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")
# A process's share of memory is slow to ask for: only when it has grown or shrunk by this part.
_NOTABLE = 0.02
_LEAST_STEP_BYTES = 1024 * 1024  # memory at a glance is rounded to this, and to 1 in 32


@dataclass(frozen=True)
class _Process:
    parent: int
    ticks: int  # of processor time, its own
    resident_bytes: int
    started: int  # tells it from an earlier one of the same id


@dataclass(frozen=True)
class Sample:
    """One look at a session."""

    at: str
    seconds: float  # on the monotonic clock
    memory_bytes: int
    # Of one core since the sample before; 0 in the first.
    cpu_percent: float
    processes: int

    def to_wire(self) -> dict[str, Any]:
        """As plain data, without the clock that nobody else has."""
        return {
            "at": self.at,
            "memory_bytes": self.memory_bytes,
            "cpu_percent": self.cpu_percent,
            "processes": self.processes,
        }


class Meter:
    """The last five minutes of every session, sampled by ``sample``."""

    def __init__(self) -> None:
        kept = int(KEPT_SECONDS / SAMPLE_SECONDS)
        self._samples: defaultdict[UUID, deque[Sample]] = defaultdict(lambda: deque(maxlen=kept))
        self._before: dict[int, _Process] = {}
        # By process: its share of memory, and how much was resident when that was asked for.
        self._shares: dict[int, tuple[int, int]] = {}
        self._at = time.monotonic()

    def sample(self, sessions: Mapping[UUID, list[int]]) -> None:
        """Look at the processes of each session; others are forgotten. Blocks for some ms.

        ``sessions`` gives the processes that hold all others of a session, by its id.
        """
        processes = _processes() if any(sessions.values()) else {}
        at, elapsed = timestamp(now()) or "", time.monotonic() - self._at
        self._at += elapsed
        children = _children(processes)
        seen: set[int] = set()
        for session_id, roots in sessions.items():
            pids = _tree(roots, children, processes)
            seen |= pids
            ticks = sum(self._ticks(pid, processes[pid]) for pid in pids)
            memory = sum(self._memory(pid, processes[pid]) for pid in pids)
            cpu = round(100 * ticks / _TICKS / elapsed, 1) if self._samples[session_id] else 0.0
            self._samples[session_id].append(Sample(at, self._at, memory, cpu, len(pids)))
        self._before = {pid: processes[pid] for pid in seen}
        self._shares = {pid: share for pid, share in self._shares.items() if pid in seen}
        for gone in self._samples.keys() - sessions.keys():
            del self._samples[gone]

    def samples(self, session_id: UUID) -> list[dict[str, Any]]:
        """The session's samples, oldest first; empty if it is not known."""
        return [sample.to_wire() for sample in list(self._samples.get(session_id, ()))]

    def memory_bytes(self, session_id: UUID) -> int:
        """What it used when it was last looked at; 0 if it never was."""
        samples = self._samples.get(session_id)
        return samples[-1].memory_bytes if samples else 0

    def cpu_percent(self, session_id: UUID) -> float:
        """Its processor time when it was last looked at, of one core; 0 if it never was."""
        samples = self._samples.get(session_id)
        return samples[-1].cpu_percent if samples else 0.0

    def latest(self, session_id: UUID) -> dict[str, Any]:
        """The same, with its processes, as plain data; None for what is not known yet."""
        samples = self._samples.get(session_id)
        if not samples:
            return {"memory_bytes": None, "cpu_percent": None, "processes": None}
        last = samples[-1].to_wire()
        del last["at"]
        return last

    def totals(self) -> tuple[int, int]:
        """Memory in bytes and processes of all sessions, when they were last looked at."""
        latest = [samples[-1] for samples in list(self._samples.values()) if samples]
        return sum(each.memory_bytes for each in latest), sum(each.processes for each in latest)

    def glance(self, session_id: UUID) -> dict[str, Any]:
        """Its memory now (None if not known yet) and its course; rounded, to change seldom."""
        samples = list(self._samples.get(session_id, ()))
        # Fixed stretches of time: the course moves on once in ten seconds, not with each sample.
        stretches: dict[int, int] = {}
        for sample in samples:
            stretches[int(sample.seconds * SPARK_POINTS / KEPT_SECONDS)] = sample.memory_bytes
        spark = [_rounded(value) for value in stretches.values()][-SPARK_POINTS:]
        return {"memory_bytes": spark[-1] if spark else None, "memory_spark": spark}

    def _ticks(self, pid: int, process: _Process) -> int:
        """Processor time since the sample before; a process that is new counts whole."""
        before = self._before.get(pid)
        if before is None or before.started != process.started:
            return process.ticks
        return max(0, process.ticks - before.ticks)

    def _memory(self, pid: int, process: _Process) -> int:
        """Its share of memory in bytes: what several processes share is divided among them."""
        share, resident = self._shares.get(pid, (0, -1))
        if resident < 0 or abs(process.resident_bytes - resident) > _NOTABLE * resident:
            share = _share(pid, process.resident_bytes)
            self._shares[pid] = (share, process.resident_bytes)
        return share


def processes_below(roots: list[int]) -> set[int]:
    """The processes that these hold, and they themselves. Blocks for some ms."""
    processes = _processes()
    return _tree(roots, _children(processes), processes)


def _processes() -> dict[int, _Process]:
    """All processes of the machine that can be seen."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                stat = Path("/proc", name, "stat").read_text(errors="replace")
            except OSError:
                continue  # it has ended
            # The name before the last bracket may hold anything.
            fields = stat.rpartition(")")[2].split()
            found[int(name)] = _Process(
                parent=int(fields[1]),
                ticks=int(fields[11]) + int(fields[12]),
                resident_bytes=int(fields[21]) * _PAGE_BYTES,
                started=int(fields[19]),
            )
    return found


def _children(processes: Mapping[int, _Process]) -> Mapping[int, list[int]]:
    children = defaultdict(list)
    for pid, process in processes.items():
        children[process.parent].append(pid)
    return children


def _tree(
    roots: list[int], children: Mapping[int, list[int]], processes: Mapping[int, _Process]
) -> set[int]:
    found: set[int] = set()
    waiting = [pid for pid in roots if pid in processes]
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting += children.get(pid, [])
    return found


def _share(pid: int, resident_bytes: int) -> int:
    """What the system says is its share; what is resident, where it does not say."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return resident_bytes


def _rounded(memory_bytes: int) -> int:
    step = max(_LEAST_STEP_BYTES, 1 << max(0, memory_bytes.bit_length() - 5))
    return round(memory_bytes / step) * step
