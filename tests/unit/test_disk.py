"""When a session keeps too much on the disk, and what is found of what hides there."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sessions.exceptions import WorkspaceFull
from sessions.kernels.disk import (
    IDLE_LOOK_SECONDS,
    IDLE_LOOK_SHARE,
    LOOK_SHARE,
    DiskWatch,
    Kept,
    nameless_bytes,
)
from sessions.kernels.limits import Limits
from sessions.kernels.meter import processes_below
from sessions.kernels.quotas import Account, Quota

MIB = 1024 * 1024
LIMIT = 80 * MIB
NOTHING = Kept(0, 0)


class Disk:
    """A disk that says what it is told to, and what the watch has done about it."""

    def __init__(self, limits: Limits, account: Account | None = None) -> None:
        self.kept = NOTHING
        self.look_seconds = 0.0
        self.looks = 0
        self.now = 0.0
        self.said: list[tuple[str, str]] = []
        self.is_running = False
        self.watch = DiskWatch(
            limits,
            self._measure,
            interrupt=self._interrupt,
            end=lambda why: self.said.append(("ended", why)),
            account=account,
            clock=lambda: self.now,
        )

    async def look(self, files: float, hidden: float = 0) -> list[str]:
        """What is done when it keeps so much."""
        self.kept, self.said = Kept(files, hidden), []
        await self.watch.look()
        return [what for what, _ in self.said]

    def _interrupt(self, why: str) -> bool:
        if self.is_running:
            self.said.append(("interrupted", why))
        return self.is_running

    def _measure(self) -> Kept:
        self.looks += 1
        self.now += self.look_seconds
        return self.kept


@pytest.fixture
def disk() -> Disk:
    return Disk(Limits(workspace_bytes=LIMIT))


async def test_what_is_allowed_is_not_touched(disk: Disk) -> None:
    assert await disk.look(LIMIT) == []

    await disk.watch.check()

    assert disk.looks == 1, "code that may run waits for no look"


async def test_too_many_files_stop_what_runs_and_refuse_what_comes(disk: Disk) -> None:
    disk.is_running = True
    assert await disk.look(LIMIT * 1.5) == ["interrupted"]

    with pytest.raises(WorkspaceFull) as refusal:
        await disk.watch.check()

    assert refusal.value.message == (
        "The session keeps 120 MiB of files, more than its 80 MiB. Delete some, then run code again."
    )
    assert "more than 80 MiB" in disk.said[0][1]


async def test_before_it_refuses_it_looks_whether_files_were_deleted(disk: Disk) -> None:
    await disk.look(2 * LIMIT)
    disk.now += 1
    disk.kept = Kept(LIMIT, 0)

    await disk.watch.check()

    assert disk.watch.refusal == ""


async def test_who_keeps_too_much_loses_no_kernel_unless_it_grows(disk: Disk) -> None:
    disk.is_running = True
    running = [await disk.look(LIMIT + MIB), await disk.look(2 * LIMIT)]
    disk.is_running = False
    still = [await disk.look(2 * LIMIT), await disk.look(2 * LIMIT + 10 * MIB)]
    grown = await disk.look(2 * LIMIT + 11 * MIB)
    after = await disk.look(2 * LIMIT + 11 * MIB)

    assert running == [["interrupted"], ["interrupted"]]
    assert still == [[], []]
    assert grown == ["ended"]
    assert after == [], "a kernel that was started since may stay"


async def test_what_goes_with_the_processes_ends_them_and_refuses_nothing(disk: Disk) -> None:
    assert await disk.look(LIMIT // 2, LIMIT) == ["ended"]

    await disk.watch.check()

    assert "deleted ones that are still in use" in disk.said[0][1]


async def test_what_cannot_be_counted_is_too_much(disk: Disk) -> None:
    assert await disk.look(math.inf) == ["ended"]
    assert await disk.look(0, math.inf) == ["ended"]
    assert await disk.look(math.inf, math.inf) == ["ended"]

    with pytest.raises(WorkspaceFull, match="too deep, to be counted"):
        await disk.watch.check()


async def test_looks_take_a_tenth_of_the_time_at_most(disk: Disk) -> None:
    disk.look_seconds = 1.0
    await disk.look(0)
    due = []
    for seconds in (LOOK_SHARE - 0.1, LOOK_SHARE, IDLE_LOOK_SHARE - 0.1, IDLE_LOOK_SHARE):
        disk.now = seconds
        due.append((disk.watch.is_due(is_active=True), disk.watch.is_due(is_active=False)))

    assert due == [(False, False), (True, False), (True, False), (True, True)]


async def test_what_has_run_since_is_looked_at_soon(disk: Disk) -> None:
    await disk.look(0)
    disk.now += IDLE_LOOK_SECONDS / 2

    before = disk.watch.is_due(is_active=False)
    disk.watch.stir()

    assert (before, disk.watch.is_due(is_active=False)) == (False, True)


def test_without_a_limit_nobody_looks() -> None:
    assert not Disk(Limits.none()).watch.is_due(is_active=True)


# --- Files without names ----------------------------------------------------------------------

WRITES = """
import ctypes, mmap, os, sys, threading
file = os.open("gone", os.O_CREAT | os.O_RDWR)
os.unlink("gone")
os.write(file, bytes(3 * 1024 * 1024))
os.fsync(file)
"""
HELD = {
    "open": "",
    "twice": "again = os.dup(file)",
    "mapped": "view = mmap.mmap(file, mmap.PAGESIZE)\nos.close(file)",
    "in a table of its own": """
ready, end = threading.Event(), threading.Event()
def hold():
    assert ctypes.CDLL(None).unshare(0x400) == 0  # CLONE_FILES
    ready.set()
    end.wait()
threading.Thread(target=hold, daemon=True).start()
ready.wait()
os.close(file)
""",
}
WAITS = "print('ready', flush=True)\nsys.stdin.read()\n"


@contextmanager
def holding(code: str, directory: Path) -> Iterator[int]:
    """A process that has done so, until the end of the block."""
    with subprocess.Popen(
        [sys.executable, "-c", f"{WRITES}\n{code}\n{WAITS}"],
        cwd=directory,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # pytest's is a file without a name, too
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process.pid


@pytest.mark.parametrize("how", HELD)
def test_files_without_names_are_found_with_who_holds_them(how: str, tmp_path: Path) -> None:
    device = os.stat(tmp_path).st_dev

    with holding(HELD[how], tmp_path) as pid:
        found = nameless_bytes([pid, pid], {device})
        elsewhere = nameless_bytes([pid], {None})

        below = processes_below([os.getpid()])

    assert {pid, os.getpid()} <= below
    least = 4096 if how == "mapped" and os.geteuid() else 3 * MIB
    assert least <= found < 4 * MIB
    assert elsewhere == 0
    assert nameless_bytes([pid], {device}) == 0


# --- Of an owner -------------------------------------------------------------------------------


@pytest.fixture
def owned() -> tuple[Disk, Disk]:
    """Two disks of one owner, who may keep LIMIT on both together."""
    account = Account(quota=Quota(storage_bytes=LIMIT))
    disks = Disk(Limits.none(), account), Disk(Limits.none(), account)
    account.disks |= {each.watch for each in disks}
    return disks


async def test_what_writes_is_stopped_when_the_owner_keeps_too_much(owned) -> None:
    first, second = owned
    first.is_running = second.is_running = True
    looks = [await first.look(LIMIT // 2), await second.look(LIMIT // 2)]

    grown = await first.look(LIMIT // 2 + MIB)
    still = await second.look(LIMIT // 2)

    assert looks == [[], []]
    assert grown == ["interrupted"]
    assert still == [], "what does not write goes on"
    assert first.watch.why_full == second.watch.why_full != ""


async def test_what_goes_on_to_write_for_an_owner_is_ended_though_no_code_runs(owned) -> None:
    disk, _ = owned
    looks = [await disk.look(LIMIT + n * MIB) for n in (1, 2, 11, 12, 13)]

    assert looks == [[], [], [], ["ended"], []]
    assert disk.watch.refusal == "", "the session itself may keep as much as it likes"


async def test_who_has_deleted_files_elsewhere_runs_code_again(owned) -> None:
    first, second = owned
    await first.look(LIMIT)
    await second.look(MIB)
    first.now += 1
    second.now += 1
    with pytest.raises(WorkspaceFull):
        await second.watch.check()

    first.now += 1
    second.now += 1
    first.kept = NOTHING
    await second.watch.check()


def test_an_owners_quota_is_reason_enough_to_look(owned) -> None:
    assert owned[0].watch.is_due(is_active=False)
    assert not Disk(Limits.none()).watch.is_due(is_active=True)
