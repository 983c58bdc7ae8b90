"""What befalls a server: real signals, real locks, a disk that is really full."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from tests.running import RunningServer

DATABASE = "workbench.sqlite3"
BALLAST_BYTES = 1024 * 1024

Fault = Callable[[RunningServer, random.Random], Awaitable[None]]


async def nothing(server: RunningServer, rng: random.Random) -> None:
    """All rounds are not bad."""


async def kill_web(server: RunningServer, rng: random.Random) -> None:
    """The web process dies."""
    _signal(_child(server, "web"), signal.SIGKILL)


async def end_web(server: RunningServer, rng: random.Random) -> None:
    """The web process is redeployed."""
    _signal(_child(server, "web"), signal.SIGTERM)


async def kill_host(server: RunningServer, rng: random.Random) -> None:
    """The host dies, and with it all kernels."""
    _signal(_child(server, "host"), signal.SIGKILL)


async def kill_kernel(server: RunningServer, rng: random.Random) -> None:
    """A kernel dies; any process below the host's zygote, its keepers as well."""
    kernels = [pid for pid in _processes(server) if b"workbench_zygote" in _command(pid)]
    if kernels:
        _signal(rng.choice(kernels), signal.SIGKILL)


async def kill_zygote(server: RunningServer, rng: random.Random) -> None:
    """The process dies that forks kernels; those it has forked do not."""
    host = _child(server, "host")
    if zygotes := [pid for pid in _children(host) if b"workbench_zygote" in _command(pid)]:
        _signal(rng.choice(zygotes), signal.SIGKILL)


async def stop_host(server: RunningServer, rng: random.Random) -> None:
    """The host does not answer for a while."""
    host = _child(server, "host")
    _signal(host, signal.SIGSTOP)
    try:
        await asyncio.sleep(rng.uniform(0.1, 2.0))
    finally:
        _signal(host, signal.SIGCONT)


async def lock_database(server: RunningServer, rng: random.Random) -> None:
    """Somebody else writes, and takes long."""
    lock = sqlite3.connect(server.data_dir / DATABASE, timeout=30, isolation_level=None)
    try:
        lock.execute("begin immediate")
        await asyncio.sleep(rng.uniform(0.1, 3.0))
        lock.execute("rollback")
    finally:
        lock.close()


async def fill_disk(server: RunningServer, rng: random.Random) -> None:
    """No block is free for a while. Only where the data directory is a small disk of its own."""
    ballast = server.data_dir / "ballast"
    try:
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(BALLAST_BYTES))
        with suppress(OSError), ballast.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(512))
        await asyncio.sleep(rng.uniform(0.1, 3.0))
    finally:
        ballast.unlink(missing_ok=True)


FAULTS: tuple[Fault, ...] = (
    nothing,
    kill_web,
    end_web,
    kill_host,
    kill_kernel,
    kill_kernel,
    kill_zygote,
    stop_host,
    lock_database,
)


def has_own_disk(server: RunningServer) -> bool:
    """Whether the disk can be filled without harm to others."""
    return os.path.ismount(server.data_dir)


# --- Processes ----------------------------------------------------------------------------------


def left_behind(data_dir: Path) -> list[str]:
    """What lives of a server that has ended: processes that know its directory, mounts in it."""
    known = os.fsencode(str(data_dir))
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        if int(directory.name) == os.getpid():
            continue
        with suppress(OSError):
            command = (directory / "cmdline").read_bytes()
            if known in command or known in (directory / "environ").read_bytes():
                found.append(
                    f"process {directory.name}: {command.replace(bytes(1), b' ').decode()}"
                )
    below = f" {data_dir}/"
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return found + [f"mount: {line}" for line in mounts if below in line]


def _child(server: RunningServer, action: str) -> int:
    """Its process id; 0 while it is being replaced."""
    try:
        return server.child(action)
    except (LookupError, OSError):
        return 0


def _processes(server: RunningServer) -> list[int]:
    """All that have the server's directory in one of their mounts: walls are built of such."""
    known = str(server.data_dir)
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if known in (directory / "mountinfo").read_text():
                found.append(int(directory.name))
    return found


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        return [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    return []


def _command(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def _signal(pid: int, signum: signal.Signals) -> None:
    if pid:
        with suppress(ProcessLookupError):
            os.kill(pid, signum)
