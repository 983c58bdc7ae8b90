"""What a session takes: memory, processes, descriptors, control groups, disk, and its start."""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path

from sessions.kernels.cgroups import NOTE
from tests.running import RunningServer
from tests.scale.clients import client_of, execute, open_session
from tests.scale.figures import Figure
from tests.scale.processes import cpu_seconds, descriptors, memory, named, tree

PART = "sessions"
COUNT = 30
STARTS = 20
SETTLE_SECONDS = 3.0  # for the pool of waiting kernels to be full again
QUIET_SECONDS = 8.0  # for zygotes to have imported everything
IDLE_SECONDS = 20.0
FORKED = "workbench_zygote"
# What "in use" means here: the usual imports, a table of 100,000 rows, a sum of it and a picture.
IN_USE = """
import io, numpy, pandas, matplotlib.pyplot as plt
frame = pandas.DataFrame(numpy.random.default_rng(1).random((100_000, 4)), columns=list("abcd"))
sums = frame.groupby((frame.a * 10).astype(int)).sum()
sums.plot(); plt.savefig(io.BytesIO()); plt.close()
print(len(sums))
"""


async def measure() -> dict[str, Figure]:
    """All of it."""
    found = await _what_they_take()
    for way, settings in {
        "warm": {},
        "forked": {"WORKBENCH_WARM_KERNELS": "0"},
        "started": {"WORKBENCH_WARM_KERNELS": "0", "WORKBENCH_FORK_KERNELS": "0"},
    }.items():
        found |= await _starts(way, settings)
    return found


async def _what_they_take() -> dict[str, Figure]:
    with tempfile.TemporaryDirectory() as folder, RunningServer(Path(folder)) as server:
        assert server.process is not None
        async with client_of(server) as client:
            await execute(client, "first", "1")
            await client.delete("/session?api-version=2025-10-02-preview&identifier=first")
            await asyncio.sleep(QUIET_SECONDS)
            host = server.child("host")
            before = _State(server, host, Path(folder))
            alone = await _idle_cpu(server)
            for number in range(COUNT):
                await open_session(client, f"idle-{number}")
            await asyncio.sleep(SETTLE_SECONDS)
            idle = _State(server, host, Path(folder))
            await asyncio.sleep(QUIET_SECONDS)
            cpu = await _idle_cpu(server)
            for number in range(COUNT):
                await execute(client, f"idle-{number}", IN_USE)
            used = _State(server, host, Path(folder))
    each = {name: (idle.of[name] - before.of[name]) / COUNT for name in idle.of}
    more = {name: (used.of[name] - idle.of[name]) / COUNT for name in idle.of}
    return {
        "session_idle_share": Figure(each["share"], "MiB", f"memory that an idle session adds to all kernels' processes (PSS; {COUNT} sessions)", PART),
        "session_used_share": Figure(each["share"] + more["share"], "MiB", "the same of one in use: numpy, pandas, matplotlib, a table of 100,000 x 4 and a picture", PART),
        "host_memory": Figure(before.of["host"], "MiB", "memory of a host process without sessions (resident)", PART),
        "zygote_memory": Figure(before.of["zygote"], "MiB", "memory (PSS) of zygotes and waiting kernels before the first session", PART),
        "session_host_memory": Figure(each["host"], "MiB", "memory that an idle session adds to the host process", PART),
        "session_processes": Figure(round(each["processes"]), "", "processes of an idle session", PART),
        "session_host_descriptors": Figure(round(each["host_files"]), "", "open files that a session adds to the host process", PART),
        "session_own_descriptors": Figure(round(each["own_files"]), "", "open files of its own processes", PART),
        "session_groups": Figure(round(each["groups"]), "", "directories of control groups (version 1 here: one in each controller's tree; 1 with version 2)", PART),
        "session_disk": Figure(each["disk"] / 1024, "KiB", "disk of an empty session: workspace and sockets", PART),
        "host_idle_cpu": Figure(alone["host"] * 1e3, "ms/s", "CPU of a host process without sessions (it looks at all processes of the machine)", PART),
        "session_idle_cpu": Figure((cpu["all"] - alone["all"]) / COUNT * 1e3, "ms/s", "CPU that an idle session adds, the looking after it included", PART),
        "session_idle_host_cpu": Figure((cpu["host"] - alone["host"]) / COUNT * 1e3, "ms/s", "of that, the host process", PART),
    }  # fmt: skip


class _State:
    """What a server takes at a moment."""

    def __init__(self, server: RunningServer, host: int, folder: Path) -> None:
        assert server.process is not None
        everything = tree(server.process.pid)
        kernels = named(everything, FORKED)
        taken = memory(kernels)
        self.of = {
            "share": taken["share"],
            "zygote": taken["share"],
            "host": memory([host])["resident"],
            "processes": len(everything),
            "host_files": descriptors([host]),
            "own_files": descriptors(kernels),
            "groups": _groups(folder),
            "disk": sum(_size(folder / name) for name in ("workspaces", "run")),
        }


def _groups(folder: Path) -> int:
    """Directories of control groups, of the hosts of a data directory."""
    parents = [
        Path(line.rpartition("=")[2])
        for note in folder.rglob(NOTE)
        for line in note.read_text().splitlines()
        if line.strip()
    ]
    return sum(each.is_dir() for parent in set(parents) for each in parent.glob("*"))


def _size(folder: Path) -> int:
    """What a folder takes of the disk, in bytes."""
    if not folder.exists():
        return 0
    found = [folder, *folder.rglob("*")]
    return sum(os.lstat(path).st_blocks * 512 for path in found)


async def _starts(way: str, settings: dict[str, str]) -> dict[str, Figure]:
    """Sessions opened one after the other, each when everything is quiet again."""
    taken: list[float] = []
    with tempfile.TemporaryDirectory() as folder, RunningServer(Path(folder), **settings) as server:
        assert server.process is not None
        async with client_of(server) as client:
            await execute(client, "first", "1")
            await asyncio.sleep(QUIET_SECONDS)
            cpu, began = _cpu(server), time.monotonic()
            for number in range(STARTS):
                start = time.perf_counter()
                await open_session(client, f"new-{number}")
                await execute(client, f"new-{number}", "1")
                taken.append(time.perf_counter() - start)
                await asyncio.sleep(0.3)
            await asyncio.sleep(SETTLE_SECONDS)
            after, seconds = _cpu(server), time.monotonic() - began
            await asyncio.sleep(QUIET_SECONDS)
            idle = {
                name: (value - after[name]) / QUIET_SECONDS for name, value in _cpu(server).items()
            }
    # Looking after the sessions that are there already costs, too: half of the last's on average.
    used = {name: after[name] - cpu[name] - idle[name] * seconds / 2 for name in cpu}
    per = {name: value / STARTS * 1e3 for name, value in used.items()}
    words = {
        "warm": "from the pool of waiting kernels, which is filled again",
        "forked": "its kernel forked for it (no pool)",
        "started": "its kernel started by itself (no zygote)",
    }[way]
    return {
        f"start_{way}_seconds": Figure(statistics.median(taken), "s", f"opening a session to its first result, {words}", PART),
        f"start_{way}_cpu": Figure(per["all"], "ms", "CPU of that, all processes together, what was idle left out", PART),
        f"start_{way}_host_cpu": Figure(per["host"], "ms", "of that, the host process", PART),
    }  # fmt: skip


async def _idle_cpu(server: RunningServer) -> dict[str, float]:
    """Seconds of CPU in a second while nobody asks for anything."""
    before = _cpu(server)
    await asyncio.sleep(IDLE_SECONDS)
    return {name: (value - before[name]) / IDLE_SECONDS for name, value in _cpu(server).items()}


def _cpu(server: RunningServer) -> dict[str, float]:
    assert server.process is not None
    return {
        "all": cpu_seconds(tree(server.process.pid), with_ended=True),
        **server.cpu_seconds(),
    }
