"""How soon a session is there, what it takes while nobody uses it, and many of them at work."""

from __future__ import annotations

import asyncio
import itertools
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from tests.bench.jupyter import JupyterServer
from tests.bench.raw import Kernel, RawKernel, Start
from tests.running import ROOT, RunningServer

ROUNDS = 7
AT_ONCE = 20
PLAIN = 4  # plain kernels whose memory is looked at
CROWD, EACH = 50, 20
REFILL_SECONDS = 2.0
IMPORTS = "import numpy, pandas, matplotlib.pyplot\nprint(numpy.arange(3).sum())"
EXECUTIONS = "/executions?api-version=2025-10-02-preview&identifier="
SESSION = "/session?api-version=2025-10-02-preview&identifier="

Report = Callable[..., None]


async def measure(
    server: RunningServer,
    client: httpx.AsyncClient,
    jupyter: JupyterServer | None,
    report: Report,
) -> None:
    """All of it, one after the other."""
    starts: dict[str, Start] = {"plain": RawKernel.start}
    if jupyter:
        starts["jupyter"] = jupyter.start
    plain = await _new_sessions(client, report, starts)
    names = await _twenty_at_once(client, report, starts, plain)
    await _memory(jupyter, report, names)
    for name in names:
        await client.delete(SESSION + name)
    await _crowd(client, report, starts)


async def _new_sessions(
    client: httpx.AsyncClient, report: Report, starts: dict[str, Start]
) -> float:
    """A new session's first result with the usual imports, in turn with a plain kernel's."""
    ours: list[float] = []
    theirs: dict[str, list[float]] = {name: [] for name in starts}
    for number in range(ROUNDS):
        await asyncio.sleep(REFILL_SECONDS)
        began = time.perf_counter()
        await _execute(client, f"new-{number}", IMPORTS)
        ours.append(time.perf_counter() - began)
        await client.delete(SESSION + f"new-{number}")
        for name, start in starts.items():
            began = time.perf_counter()
            kernel = await _with_imports(start)
            theirs[name].append(time.perf_counter() - began)
            await kernel.stop()
    median = {name: statistics.median(times) for name, times in theirs.items()}
    plain, peer, mine = median["plain"], median.get("jupyter"), statistics.median(ours)
    report("plain kernel: start to first result with imports, median", plain * 1e3, "ms")
    report("new session to the same, median", mine * 1e3, "ms", jupyter=peer and peer * 1e3)
    report(
        "new session / plain kernel", mine / plain, "x", "goal: at most 0.05",
        jupyter=peer and peer / plain,
    )  # fmt: skip
    return plain


async def _twenty_at_once(
    client: httpx.AsyncClient, report: Report, starts: dict[str, Start], plain: float
) -> list[str]:
    names = [f"once-{number}" for number in range(AT_ONCE)]

    async def one(name: str) -> float:
        began = time.perf_counter()
        await _execute(client, name, IMPORTS)
        return time.perf_counter() - began

    taken = await asyncio.gather(*(one(name) for name in names))
    last: dict[str, float] = {}
    for side, start in starts.items():
        began = time.perf_counter()
        found = await asyncio.gather(*(_with_imports(start) for _ in range(AT_ONCE)))
        last[side] = time.perf_counter() - began
        await asyncio.gather(*(kernel.stop() for kernel in found))
    plains, peer = last["plain"], last.get("jupyter")
    report(f"{AT_ONCE} new sessions at once, median", statistics.median(taken) * 1e3, "ms")
    report(
        f"{AT_ONCE} new sessions at once, the last", max(taken) * 1e3, "ms",
        jupyter=peer and peer * 1e3,
    )  # fmt: skip
    report(f"{AT_ONCE} plain kernels at once, the last", plains * 1e3, "ms")
    report(
        f"the last of {AT_ONCE} sessions / of {AT_ONCE} plain kernels", max(taken) / plains, "x",
        "goal: at most 0.25", jupyter=peer and peer / plains,
    )  # fmt: skip
    report(f"median of {AT_ONCE} / one plain kernel", statistics.median(taken) / plain, "x")
    return names


async def _memory(jupyter: JupyterServer | None, report: Report, names: list[str]) -> None:
    """Proportional shares (PSS) of idle sessions, the zygote and what waits included."""
    raws = [await _with_imports(RawKernel.start) for _ in range(PLAIN)]
    plain = statistics.median(_share(pid) for pid in _processes_with(b"ipykernel_launcher"))
    ours = sum(_share(pid) for pid in _processes_with(b"workbench_zygote"))
    waiting = 4
    for raw in raws:
        await raw.stop()
    each = ours / (len(names) + waiting)
    peer = await _share_at(jupyter) if jupyter else None
    report("plain kernel with imports, idle: PSS", plain / 2**20, "MiB")
    report(
        f"idle session of {len(names)} with imports: PSS", each / 2**20, "MiB",
        jupyter=peer and peer / 2**20,
    )  # fmt: skip
    report(
        "idle session / plain kernel", each / plain, "x", "goal: at most 0.25",
        jupyter=peer and peer / plain,
    )  # fmt: skip


async def _share_at(jupyter: JupyterServer) -> float:
    """The median share of an idle kernel there, in bytes."""
    kernels = [await _with_imports(jupyter.start) for _ in range(PLAIN)]
    share = statistics.median(map(_share, jupyter.kernel_processes()))
    for kernel in kernels:
        await kernel.stop()
    return share


async def _crowd(client: httpx.AsyncClient, report: Report, starts: dict[str, Start]) -> None:
    """Many sessions, each running one thing after the other, all at once."""
    names = [f"crowd-{number}" for number in range(CROWD)]
    await asyncio.gather(*(_execute(client, name, "1") for name in names))
    crowds = {side: [await start() for _ in range(CROWD)] for side, start in starts.items()}

    async def ours(name: str) -> None:
        for number in range(EACH):
            await _execute(client, name, f"print({number})")

    async def theirs(kernel: Kernel) -> None:
        for number in range(EACH):
            await kernel.run(f"print({number})")

    rates: dict[str, list[float]] = {side: [] for side in ("ours", *starts)}
    for _ in range(3):
        for side, measured in rates.items():
            work = map(ours, names) if side == "ours" else map(theirs, crowds[side])
            began = time.perf_counter()
            await asyncio.gather(*work)
            measured.append(CROWD * EACH / (time.perf_counter() - began))
    for kernel in itertools.chain.from_iterable(crowds.values()):
        await kernel.stop()
    rate = {side: statistics.median(values) for side, values in rates.items()}
    plain, peer = rate["plain"], rate.get("jupyter")
    report(f"{CROWD} raw kernels x {EACH} executions", plain, "/s")
    report(f"{CROWD} sessions x {EACH} executions, no errors", rate["ours"], "/s", jupyter=peer)
    report(
        "sessions / raw kernels", rate["ours"] / plain, "x", "goal: at least 0.4",
        jupyter=peer and peer / plain,
    )  # fmt: skip
    for name in names:
        await client.delete(SESSION + name)


async def _with_imports(start: Start) -> Kernel:
    kernel = await start()
    await kernel.run(IMPORTS)
    return kernel


async def _execute(client: httpx.AsyncClient, identifier: str, code: str) -> None:
    response = await client.post(EXECUTIONS + identifier, json={"code": code})
    response.raise_for_status()
    assert response.json()["status"] == "Succeeded", response.text


def _processes_with(word: bytes) -> list[int]:
    """The processes with a word in their command, of this directory's environments."""
    found, here = [], str(ROOT).encode()
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            line = (directory / "cmdline").read_bytes()
        except OSError:
            continue
        is_kernel = word in line and here in line and b"bwrap" not in line
        if is_kernel and int(directory.name) != os.getpid():
            found.append(int(directory.name))
    return found


def _share(pid: int) -> int:
    """A process's proportional share of memory, in bytes."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return 1024 * int(text.split("\nPss:")[1].split()[0])
