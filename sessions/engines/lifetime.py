"""What a process of the server has to do with the ends of processes, its own and others'."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
from collections.abc import Container
from contextlib import suppress
from pathlib import Path

LOOK_SECONDS = 5.0  # between two looks of a host for children that nobody waits for

_PR_SET_CHILD_SUBREAPER = 36


def ending_signals() -> list[signal.Signals]:
    """What ends a process of the server in order; SIGHUP unless it was started to survive it."""
    survives = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN  # nohup
    return [signal.SIGTERM, signal.SIGINT, *([] if survives else [signal.SIGHUP])]


def let_interrupts_through() -> None:
    """Have programs that are started from now on hear of SIGINT; they inherit what this one does.

    Ray's workers block it. They ignore it as well if Ray was started in the background of a script.
    To be called before there are other threads: these inherit what is blocked.
    """
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # Python's own way is for the main thread, which is Ray's.
        libc = ctypes.CDLL(None)
        libc.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
        libc.signal(signal.SIGINT, int(signal.SIG_DFL))


def adopt_orphans() -> None:
    """Become the parent of all below this process whose own parents end.

    Otherwise they are process 1's, which in many containers waits for nobody: each kernel that
    was forked would stay there as a zombie. Whoever calls this has to reap them.
    """
    # Should the system refuse, orphans go where they always did.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reap_orphans(ours: Container[int] = ()) -> bool:
    """Wait for the children that have ended, but for ``ours``; whether any child is left.

    Those are waited for by whoever started them. While one of them has ended and that has not
    happened yet, others may have to wait too.
    """
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT | os.WNOHANG)
        except ChildProcessError:
            return False
        if ended is None or ended.si_pid in ours:
            return True
        os.waitpid(ended.si_pid, 0)


async def keep_reaping() -> None:
    """Reap what a host has adopted; runs until it is cancelled.

    What the host itself has started is waited for as soon as it ends, by many hands. So whatever
    is still a zombie at the third look is nobody's.
    """
    last: set[int] = set()
    before: set[int] = set()
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        ended = _ended_children()
        for pid in ended & last & before:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)  # noqa: ASYNC222 - it has ended
        last, before = ended, last


def _ended_children() -> set[int]:
    found: set[int] = set()
    for children in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):  # a thread that has ended
            found.update(pid for pid in map(int, children.read_text().split()) if has_ended(pid))
    return found


def has_ended(pid: int) -> bool:
    """Whether a process is gone, or is only a zombie any more."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(")")[2].split()[0] in "ZX"
