"""Whether a program waits for its standard input: what the system says of its processes."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator
from pathlib import Path

MAX_LOOKED_AT = 200  # processes of one program; one with more is not watched closer

# The number of read(2), where we know it.
_READ = {"x86_64": "0", "aarch64": "63"}.get(platform.machine())
_BLOCKED_IN_READ_OF_0 = re.compile(rf"{_READ} 0x0 ")


def can_be_watched() -> bool:
    """Whether this machine tells in which system call a process waits."""
    try:
        return _READ is not None and bool(Path("/proc/self/syscall").read_text())
    except OSError:
        return False


def is_awaited(pid: int, inode: int) -> bool | None:
    """Whether a process below ``pid`` waits in read(2) for its standard input, the pipe ``inode``.

    None if no process there could be looked at.
    """
    seen = None
    for process in _below(pid):
        try:
            if process.joinpath("fd/0").readlink() != Path(f"pipe:[{inode}]"):
                seen = False
                continue
            # Any of its threads may read.
            calls = [call.read_text() for call in process.glob("task/*/syscall")]
        except OSError:
            continue  # it has ended, or is not ours to look at
        seen = False
        if any(_BLOCKED_IN_READ_OF_0.match(call) for call in calls):
            return True
    return seen


def _below(pid: int) -> Iterator[Path]:
    """The directories in /proc of the processes started by ``pid``, and by those."""
    waiting, looked_at = [pid], 0
    while waiting and looked_at < MAX_LOOKED_AT:
        looked_at += 1
        parent = Path(f"/proc/{waiting.pop()}")
        try:
            # Each thread has children of its own.
            lists = [children.read_text() for children in parent.glob("task/*/children")]
        except OSError:
            continue
        for child in " ".join(lists).split():
            waiting.append(int(child))
            yield Path(f"/proc/{child}")
