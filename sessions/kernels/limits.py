"""What one session may use of its machine, and the sentences for when it wants more.

Pure values: who enforces them is elsewhere (control groups in cgroups.py, resource limits and
sizes in sandbox.py, the host's meter where there is neither).
"""

from __future__ import annotations

import math
import os
import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Protocol

from sessions.exceptions import InvalidValue

NORMAL_WEIGHT = 100
MAX_WEIGHT = 10_000

_KIB, _MIB, _GIB = 1024, 1024**2, 1024**3
_UNITS = {"": 1, "k": _KIB, "m": _MIB, "g": _GIB, "t": 1024 * _GIB}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)

# A kernel does not start with less.
LEAST = {
    "memory_bytes": 64 * _MIB,
    "processes": 16,
    "open_files": 64,
    "file_bytes": _MIB,
    "workspace_bytes": _MIB,
    "tmp_bytes": _MIB,
    "cpu_weight": 1,
}
_SETTINGS = {
    "memory_bytes": "WORKBENCH_SESSION_MEMORY",
    "processes": "WORKBENCH_SESSION_PROCESSES",
    "open_files": "WORKBENCH_SESSION_OPEN_FILES",
    "file_bytes": "WORKBENCH_SESSION_FILE_SIZE",
    "workspace_bytes": "WORKBENCH_SESSION_WORKSPACE",
    "tmp_bytes": "WORKBENCH_SESSION_TMP",
    "cpu_weight": "WORKBENCH_SESSION_CPU_WEIGHT",
}


class CountsKills(Protocol):
    """What ``why_it_ended`` needs of a control group."""

    def oom_kills(self) -> int:
        """How many processes the system has ended for want of memory, so far."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one session may use. None: no limit. Sizes in bytes."""

    # Of all its processes together, with what they keep in /tmp and /dev/shm.
    memory_bytes: int | None = None
    # Threads count as well.
    processes: int | None = None
    # Per process.
    open_files: int | None = None
    # Of any one file it writes.
    file_bytes: int | None = None
    workspace_bytes: int | None = None
    # Of /tmp and of /dev/shm, each. They are memory.
    tmp_bytes: int | None = None
    # Its share of the processors when others want them too: 1 to 10000, 100 is normal.
    cpu_weight: int = NORMAL_WEIGHT

    @classmethod
    def none(cls) -> Limits:
        """No limits at all."""
        return cls()

    def check(self) -> None:
        """Raise InvalidValue if a session could not live with these limits."""
        anything = replace(Limits.none(), cpu_weight=MAX_WEIGHT)
        given = {name: value for name, value in self.to_wire().items() if value is not None}
        anything.within(given)

    def within(self, asked: Mapping[str, object]) -> Limits:
        """These limits, lowered to what a session asks for: {a field's name: a number}.

        Raises InvalidValue for an unknown name, for what is no number, for more than these
        limits allow, and for less than a kernel can start with.
        """
        unknown = asked.keys() - LEAST.keys()
        if unknown:
            names = ", ".join(LEAST)
            raise InvalidValue(f"There is no limit named {min(unknown)!r}; there are: {names}.")
        return replace(self, **{name: self._checked(name, asked[name]) for name in asked})

    def again(self, granted: Mapping[str, Any]) -> Limits:
        """These limits, lowered to what was granted before (``to_wire``) where that is less."""
        lower = {
            name: value
            for name, value in granted.items()
            if value is not None and value < (getattr(self, name) or math.inf)
        }
        return replace(self, **lower)

    def to_wire(self) -> dict[str, int | None]:
        """The limits as plain data."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def rlimits(self, *, counts_processes: bool, measures_memory: bool) -> dict[str, int]:
        """What each process is limited to: {the name of a resource as prlimit(1) has it: value}.

        ``counts_processes`` says that the session's user has no other processes than the
        session's own, for that is what the system counts. ``measures_memory`` says that there is
        a control group for memory; without, what one process may allocate is limited instead,
        loosely, because what it allocates is more than what it uses.
        """
        values = {
            "core": 0,
            "nofile": self.open_files,
            "fsize": self.file_bytes,
            "nproc": self.processes if counts_processes else None,
            "data": 2 * self.memory_bytes if self.memory_bytes and not measures_memory else None,
        }
        return {name: value for name, value in values.items() if value is not None}

    def memory_exceeded(self, used_bytes: int) -> str:
        """The sentence for a session that uses so much memory; empty if it may."""
        if self.memory_bytes is None or used_bytes <= self.memory_bytes:
            return ""
        return self.memory_sentence()

    def workspace_exceeded(self, used_bytes: float, *, ended: bool = False) -> str:
        """The sentence for a session whose files take so much of the disk; empty if they may.

        ``ended`` says that what ran was not interrupted, but ended.
        """
        if self.workspace_bytes is None or used_bytes <= self.workspace_bytes:
            return ""
        files = "files, and deleted ones that are still in use," if ended else "files"
        return (
            f"The session's {files} take more than {size_text(self.workspace_bytes)}, so what ran "
            f"was {'ended' if ended else 'interrupted'}. Delete some, or ask the operator for "
            f"{_SETTINGS['workspace_bytes']} to be raised."
        )

    def files_refusal(self, used_bytes: float) -> str:
        """Why no code runs in a session whose workspace takes so much; empty if it does.

        Infinite: it could not be counted.
        """
        if self.workspace_bytes is None or used_bytes <= self.workspace_bytes:
            return ""
        if math.isinf(used_bytes):
            kept = "files that are too many, or too deep, to be counted"
        else:
            used, allowed = size_text(int(used_bytes)), size_text(self.workspace_bytes)
            kept = f"{used} of files, more than its {allowed}"
            if used == allowed:
                kept = f"a little more than its {allowed} of files"
        return f"The session keeps {kept}. Delete some, then run code again."

    def memory_sentence(self, what: str = "its kernel") -> str:
        """What to say when ``what`` was ended because the session's memory was used up."""
        allowed = f"its {size_text(self.memory_bytes)} of memory" if self.memory_bytes else "memory"
        return (
            f"The session used more than {allowed}, so {what} was ended. Use less at once, "
            f"or ask the operator for {_SETTINGS['memory_bytes']} to be raised."
        )

    def why_it_ended(
        self,
        group: CountsKills | None,
        exit_code: int | None,
        *,
        kills_before: int = 0,
        what: str = "its kernel",
    ) -> str:
        """Why a process of the session ended, if its limits were the reason; otherwise empty.

        ``exit_code`` is negative or above 128 if a signal ended it; None: not known.
        ``kills_before`` is what ``group.oom_kills()`` said when the process was started;
        ``what`` is the process in the sentence.
        """
        signum = _signal_of(exit_code)
        # Without the group's word, SIGKILL may have come from anybody.
        if signum == signal.SIGKILL and group is not None and group.oom_kills() > kills_before:
            return self.memory_sentence(what)
        if signum == signal.SIGXFSZ and self.file_bytes is not None:
            return (
                f"A file grew larger than {size_text(self.file_bytes)}, so {what} was ended. "
                f"Write smaller files, or ask the operator for {_SETTINGS['file_bytes']} to be "
                "raised."
            )
        return ""

    def _checked(self, name: str, value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise InvalidValue(f"The limit {name} must be a whole number.")
        most, least = getattr(self, name), LEAST[name]
        if value < least or (most is not None and value > most):
            text = str if name in ("processes", "open_files", "cpu_weight") else size_text
            bounds = f"{text(least)} or more" if most is None else f"{text(least)} to {text(most)}"
            raise InvalidValue(
                f"The limit {name} may be {bounds}. The operator sets it with {_SETTINGS[name]}."
            )
        return value


def parse_size(text: str) -> int | None:
    """The bytes that "512m", "2g", "1.5 GiB" or "4096" mean; None (no limit) for "none" and "0".

    Units are powers of 1024. Raises InvalidValue.
    """
    text = text.strip()
    if text.lower() == "none":
        return None
    match = _SIZE.fullmatch(text)
    if match is None:
        raise InvalidValue(f"{text!r} is no size; write it like 512m, 2g or none.")
    return int(float(match[1]) * _UNITS[match[2].lower()]) or None


def parse_count(text: str) -> int | None:
    """The number that the text means; None (no limit) for "none" and "0". Raises InvalidValue."""
    text = text.strip()
    if text.lower() == "none":
        return None
    if not (text.isascii() and text.isdigit()):
        raise InvalidValue(f"{text!r} is no number; write it like 256 or none.")
    return int(text) or None


def size_text(size: int | None) -> str:
    """A size for people: "2 GiB", "1.5 MiB", "700 bytes"; "no limit" for None."""
    if size is None:
        return "no limit"
    for unit, name in ((_GIB, "GiB"), (_MIB, "MiB"), (_KIB, "KiB")):
        if size >= unit:
            return f"{size / unit:.1f}".removesuffix(".0") + f" {name}"
    return f"{size} bytes"


def machine_memory_bytes() -> int:
    """What the machine has, or what a control group that holds us leaves of it."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(path).read_text().strip()
        except OSError:
            continue
        if text.isdigit():
            total = min(total, int(text))
    return total


def default_memory_bytes() -> int:
    """2 GiB, or half of what the machine has if that is less."""
    return max(min(2 * _GIB, machine_memory_bytes() // 2), LEAST["memory_bytes"])


def _signal_of(exit_code: int | None) -> int | None:
    if exit_code is None or exit_code == 0:
        return None
    return -exit_code if exit_code < 0 else exit_code - 128 if exit_code > 128 else None
