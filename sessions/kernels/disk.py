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
from sessions.kernels.quotas import Account

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
    or all processes. What is too much, the session's limits say, and its owner's ``account``.
    """

    def __init__(
        self,
        limits: Limits,
        measure: Callable[[], Kept],
        *,
        interrupt: Callable[[str], bool],
        end: Callable[[str], None],
        account: Account | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._account = account or Account()
        self._measure = measure
        self._interrupt = interrupt
        self._end = end
        self._clock = clock
        # Why no code may run, a sentence; empty if it may.
        self.refusal = ""
        # What its files take; 0 before the first look.
        self.files = 0.0
        # What they took when they were found to be too much for the owner and no code ran.
        self._first_files: float | None = None
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
        if self._limits.workspace_bytes is None and self._account.quota.storage_bytes is None:
            return False
        pause = LOOK_SHARE * self._took
        if not (is_active or self._is_stirred):
            pause = max(IDLE_LOOK_SECONDS, IDLE_LOOK_SHARE * self._took)
        return self._clock() >= self._began + pause

    async def glance(self) -> None:
        """Look now, unless that would take more than its share of the time."""
        if self._clock() >= self._began + LOOK_SHARE * self._took:
            await self.look()

    async def look(self) -> None:
        """Look now, or wait for a look that has begun. Raises what ``measure`` does."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look(), name="look at a session's files")
        await asyncio.shield(self._looking)

    async def check(self) -> None:
        """Return if code may run. Before it refuses, it looks once more.

        Raises WorkspaceFull.
        """
        if self.refusal:
            await self.renew()
        if self.refusal:
            raise WorkspaceFull(self.refusal)
        await self._account.check_storage()

    @property
    def why_full(self) -> str:
        """Why no code may run, as far as is known; empty if it may."""
        return self.refusal or self._account.storage_refusal()

    async def renew(self) -> None:
        """Look once more, as soon as its share of the time allows it."""
        asked = self._clock()
        while self._began < asked:
            await asyncio.sleep(self._began + LOOK_SHARE * self._took - self._clock())
            await self.look()

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
        has_grown, self.files = kept.files > self.files, kept.files
        self._judge(kept)
        if has_grown:
            self._judge_for_owner()

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

    def _judge_for_owner(self) -> None:
        """Stop what writes, if the files of all the owner's sessions take too much."""
        if not (why := self._account.storage_refusal()):
            self._first_files = None
        elif self._interrupt(f"It was interrupted. {why}"):
            self._account.reached("storage_bytes")
        else:
            # What goes on to write though nothing runs, such as a process left behind.
            first, most = self._first_files, self._account.quota.storage_bytes or 0
            self._first_files = self.files if first is None else first
            if first is not None and self.files > first + most / SLACK:
                self._first_files = None
                self._end(f"It was ended. {why}")


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
