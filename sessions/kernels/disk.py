"""What a session keeps on the disk, looked at now and then, and whether it may run code with that.

A look reads the whole workspace, so it takes a thread, and its share of the time is bounded.
"""

from __future__ import annotations

import asyncio
import math
import os
import stat
import time
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sessions.exceptions import WorkspaceFull
from sessions.kernels.limits import Limits

LOOK_SHARE = 10  # a tenth of the time, at most, is spent on looking at a session's files
IDLE_LOOK_SHARE = 50  # while nothing seems to happen in it
IDLE_LOOK_SECONDS = 10.0  # and not more often than so
SLACK = 8  # what is too large may still grow by an eighth of the limit: buffers are written


@dataclass(frozen=True)
class Kept:
    """What a session keeps on the disk, in bytes. Infinite: so much that it cannot be counted."""

    # In its workspace: somebody has to delete them.
    files: float
    # What goes with its processes: deleted files that they hold, files beside their sockets.
    hidden: float


class DiskWatch:
    """One session's disk, as ``look`` last found it.

    ``measure`` says what the session keeps; it is called in a thread. ``interrupt`` and ``end``
    are called with a sentence when it is too much: to stop the code that runs (False: none does),
    or all processes.
    """

    def __init__(
        self,
        limits: Limits,
        measure: Callable[[], Kept],
        *,
        interrupt: Callable[[str], bool],
        end: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._measure = measure
        self._interrupt = interrupt
        self._end = end
        self._clock = clock
        # Why no code may run, a sentence; empty if it may.
        self.refusal = ""
        # What it kept when it was found to be too much and no code ran; None while it is not.
        self._first: float | None = None
        self._began = -math.inf  # the last look, on the monotonic clock
        self._took = 0.0
        self._is_stirred = True
        self._looking: asyncio.Task[None] | None = None

    def stir(self) -> None:
        """Something has run since the last look."""
        self._is_stirred = True

    def is_due(self, *, is_active: bool) -> bool:
        """Whether it is time for a look; rarer while nothing goes on in the session."""
        if self._limits.workspace_bytes is None:
            return False
        pause = LOOK_SHARE * self._took
        if not (is_active or self._is_stirred):
            pause = max(IDLE_LOOK_SECONDS, IDLE_LOOK_SHARE * self._took)
        return self._clock() >= self._began + pause

    async def look(self) -> None:
        """Look now, or wait for a look that has begun. Raises what ``measure`` does."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look(), name="look at a session's files")
        await asyncio.shield(self._looking)

    async def check(self) -> None:
        """Return if code may run. Before it refuses, it looks once more.

        Raises WorkspaceFull.
        """
        asked = self._clock()
        while self.refusal and self._began < asked:
            await asyncio.sleep(self._began + LOOK_SHARE * self._took - self._clock())
            await self.look()
        if self.refusal:
            raise WorkspaceFull(self.refusal)

    async def close(self) -> None:
        """Wait for the look that goes on, if one does: a thread cannot be stopped."""
        if self._looking:
            await asyncio.wait({self._looking})

    async def _look(self) -> None:
        self._is_stirred = False
        self._began = self._clock()
        try:
            kept = await asyncio.to_thread(self._measure)
        finally:
            self._took = self._clock() - self._began
        self._judge(kept)

    def _judge(self, kept: Kept) -> None:
        limits, total = self._limits, kept.files + kept.hidden
        self.refusal = limits.files_refusal(kept.files)
        if not (why := limits.workspace_exceeded(total)):
            self._first = None
            return
        # What hides is let go of only when those who hold it end.
        may_stay = self.refusal and not math.isinf(total)
        if may_stay and self._interrupt(why):
            return  # what does not heed that is ended for it
        if self._first is None:
            self._first = total
        if not may_stay or total > self._first + (limits.workspace_bytes or 0) / SLACK:
            self._first = total
            self._end(limits.workspace_exceeded(total, ended=True))


def nameless_bytes(processes: Iterable[int], devices: Container[int | None]) -> int:
    """What files of these devices take that have no name any more, but that these processes hold."""
    found: dict[int, int] = {}
    for process in processes:
        for inode, size in _nameless(Path("/proc", str(process)), devices):
            found[inode] = max(size, found.get(inode, 0))
    return sum(found.values())


def _nameless(process: Path, devices: Container[int | None]) -> Iterator[tuple[int, int]]:
    """(inode, bytes) of each deleted file that one of its threads has open, or that it has mapped.

    What may not be seen, or has just been let go of, is left out.
    """
    with suppress(OSError):  # it has ended
        for thread in os.scandir(process / "task"):  # each may have its own table of open files
            with suppress(OSError):
                for descriptor in os.scandir(Path(thread.path, "fd")):
                    with suppress(OSError):
                        if _is_nameless(info := descriptor.stat(), devices):
                            yield info.st_ino, info.st_blocks * 512
    with suppress(OSError), (process / "maps").open("rb") as maps:
        for line in maps:
            if line.endswith(b" (deleted)\n"):
                yield from _mapped(process, line, devices)


def _mapped(
    process: Path, line: bytes, devices: Container[int | None]
) -> Iterator[tuple[int, int]]:
    """The same of what a line of its "maps" tells of."""
    addresses, _, _, number, inode, *_ = line.split()
    first, last = (int(each, 16) for each in addresses.split(b"-"))
    with suppress(FileNotFoundError):
        try:
            info = (process / "map_files" / f"{first:x}-{last:x}").stat()
        except PermissionError:  # only root may; then as much as is mapped
            major, minor = (int(each, 16) for each in number.split(b":"))
            if os.makedev(major, minor) in devices:
                yield int(inode), last - first
        else:
            if _is_nameless(info, devices):
                yield info.st_ino, info.st_blocks * 512


def _is_nameless(info: os.stat_result, devices: Container[int | None]) -> bool:
    return info.st_dev in devices and info.st_nlink == 0 and stat.S_ISREG(info.st_mode)
