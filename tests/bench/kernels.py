"""How soon a session is there, what it takes while nobody uses it, and many of them at work."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from tests.bench.raw import RawKernel
from tests.running import RunningServer

ROUNDS = 7
AT_ONCE = 20
PLAIN = 4  # plain kernels whose memory is looked at
CROWD, EACH = 50, 20
REFILL_SECONDS = 2.0
IMPORTS = "import numpy, pandas, matplotlib.pyplot\nprint(numpy.arange(3).sum())"
EXECUTIONS = "/executions?api-version=2025-10-02-preview&identifier="
SESSION = "/session?api-version=2025-10-02-preview&identifier="

Report = Callable[..., None]


async def measure(server: RunningServer, client: httpx.AsyncClient, report: Report) -> None:
    """All of it, one after the other."""
    plain = await _new_sessions(client, report)
    names = await _twenty_at_once(client, report, plain)
    await _memory(server, report, names)
    for name in names:
        await client.delete(SESSION + name)
    await _crowd(client, report)


async def _new_sessions(client: httpx.AsyncClient, report: Report) -> float:
    """A new session's first result with the usual imports, in turn with a plain kernel's."""
    ours: list[float] = []
    theirs: list[float] = []
    for number in range(ROUNDS):
        await asyncio.sleep(REFILL_SECONDS)
        began = time.perf_counter()
        await _execute(client, f"new-{number}", IMPORTS)
        ours.append(time.perf_counter() - began)
        await client.delete(SESSION + f"new-{number}")
        began = time.perf_counter()
        raw = await RawKernel.start()
        await raw.run(IMPORTS)
        theirs.append(time.perf_counter() - began)
        await raw.stop()
    plain = statistics.median(theirs)
    report("plain kernel: start to first result with imports, median", plain * 1e3, "ms")
    report("new session to the same, median", statistics.median(ours) * 1e3, "ms")
    report("new session / plain kernel", statistics.median(ours) / plain, "x", "goal: at most 0.05")
    return plain


async def _twenty_at_once(client: httpx.AsyncClient, report: Report, plain: float) -> list[str]:
    names = [f"once-{number}" for number in range(AT_ONCE)]

    async def one(name: str) -> float:
        began = time.perf_counter()
        await _execute(client, name, IMPORTS)
        return time.perf_counter() - began

    taken = await asyncio.gather(*(one(name) for name in names))
    began = time.perf_counter()
    raws = await asyncio.gather(*(_plain() for _ in range(AT_ONCE)))
    theirs = time.perf_counter() - began
    await asyncio.gather(*(raw.stop() for raw in raws))
    report(f"{AT_ONCE} new sessions at once, median", statistics.median(taken) * 1e3, "ms")
    report(f"{AT_ONCE} new sessions at once, the last", max(taken) * 1e3, "ms")
    report(f"{AT_ONCE} plain kernels at once, the last", theirs * 1e3, "ms")
    report(
        f"the last of {AT_ONCE} sessions / of {AT_ONCE} plain kernels", max(taken) / theirs, "x",
        "goal: at most 0.25",
    )  # fmt: skip
    report(f"median of {AT_ONCE} / one plain kernel", statistics.median(taken) / plain, "x")
    return names


async def _memory(server: RunningServer, report: Report, names: list[str]) -> None:
    """Proportional shares (PSS) of idle sessions, the zygote and what waits included."""
    raws = [await _plain() for _ in range(PLAIN)]
    plain = statistics.median(_share(pid) for pid in _processes_with(b"ipykernel_launcher"))
    ours = sum(_share(pid) for pid in _processes_with(b"workbench_zygote"))
    waiting = 4
    for raw in raws:
        await raw.stop()
    each = ours / (len(names) + waiting)
    report("plain kernel with imports, idle: PSS", plain / 2**20, "MiB")
    report(f"idle session of {len(names)} with imports: PSS", each / 2**20, "MiB")
    report("idle session / plain kernel", each / plain, "x", "goal: at most 0.25")


async def _crowd(client: httpx.AsyncClient, report: Report) -> None:
    """Many sessions, each running one thing after the other, all at once."""
    names = [f"crowd-{number}" for number in range(CROWD)]
    await asyncio.gather(*(_execute(client, name, "1") for name in names))
    raws = [await RawKernel.start() for _ in range(CROWD)]

    async def ours(name: str) -> None:
        for number in range(EACH):
            await _execute(client, name, f"print({number})")

    async def theirs(raw: RawKernel) -> None:
        for number in range(EACH):
            await raw.run(f"print({number})")

    rates: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(3):
        for side, work in (
            ("ours", [ours(name) for name in names]),
            ("theirs", [theirs(raw) for raw in raws]),
        ):
            began = time.perf_counter()
            await asyncio.gather(*work)
            rates[side].append(CROWD * EACH / (time.perf_counter() - began))
    for raw in raws:
        await raw.stop()
    rate = {side: statistics.median(values) for side, values in rates.items()}
    report(f"{CROWD} raw kernels x {EACH} executions", rate["theirs"], "/s")
    report(f"{CROWD} sessions x {EACH} executions, no errors", rate["ours"], "/s")
    report("sessions / raw kernels", rate["ours"] / rate["theirs"], "x", "goal: at least 0.4")
    for name in names:
        await client.delete(SESSION + name)


async def _plain() -> RawKernel:
    raw = await RawKernel.start()
    await raw.run(IMPORTS)
    return raw


async def _execute(client: httpx.AsyncClient, identifier: str, code: str) -> None:
    response = await client.post(EXECUTIONS + identifier, json={"code": code})
    response.raise_for_status()
    assert response.json()["status"] == "Succeeded", response.text


def _processes_with(word: bytes) -> list[int]:
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            line = (directory / "cmdline").read_bytes()
        except OSError:
            continue
        if word in line and b"bwrap" not in line and int(directory.name) != os.getpid():
            found.append(int(directory.name))
    return found


def _share(pid: int) -> int:
    """A process's proportional share of memory, in bytes."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return 1024 * int(text.split("\nPss:")[1].split()[0])
