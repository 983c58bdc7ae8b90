"""``make bench``: the server against raw kernels and Jupyter Server, in turn, as ratios of medians.

Absolute times say more about the machine than about us; a ratio taken in one run, with the
sides in turn, says something.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import httpx

from tests.bench import browser, files, kernels, streams
from tests.bench.jupyter import JupyterServer, running_server
from tests.bench.raw import Kernel, RawKernel
from tests.running import RunningServer

ROUNDS = 150
# What is also measured with Jupyter Server.
COMPARED = {"round_trip", "kernels"}
SLEEPERS = 100
SLEEP_SECONDS = 3
EXECUTIONS = "/executions?api-version=2025-10-02-preview&identifier="


async def timed(work: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began


def report(
    name: str, value: float, unit: str, goal: str = "", *, jupyter: float | None = None
) -> None:
    """A line of the table; ``jupyter`` is the same of Jupyter Server, None if it has no such thing."""
    theirs = "-" if jupyter is None else f"{jupyter:.2f}"
    print(f"{name:<68}{value:>9.2f} {unit:<4}{theirs:>9}   {goal}", flush=True)


async def execute(client: httpx.AsyncClient, identifier: str, code: str) -> dict:
    response = await client.post(EXECUTIONS + identifier, json={"code": code})
    response.raise_for_status()
    answer = response.json()
    assert answer["status"] == "Succeeded", answer
    return answer


async def round_trip(
    server: RunningServer, client: httpx.AsyncClient, jupyter: JupyterServer | None
) -> None:
    """A synchronous execution over HTTP against the raw jupyter_client round trip."""
    others: dict[str, Kernel] = {"raw": await RawKernel.start()}
    if jupyter:
        others["jupyter"] = await jupyter.start()
    code = "print('hi')"
    ours: list[float] = []
    theirs: dict[str, list[float]] = {name: [] for name in others}
    await execute(client, "bench", code)
    for kernel in others.values():
        await kernel.run(code)
    cpu_before = server.cpu_seconds()
    for _ in range(ROUNDS):
        ours.append(await timed(lambda: execute(client, "bench", code)))
        for name, kernel in others.items():
            theirs[name].append(await timed(partial(kernel.run, code)))
    cpu = {name: used - cpu_before[name] for name, used in server.cpu_seconds().items()}
    for kernel in others.values():
        await kernel.stop()
    median = {name: statistics.median(times) for name, times in theirs.items()}
    raw, peer = median["raw"], median.get("jupyter")
    report("raw kernel round trip, median", raw * 1e3, "ms")
    report(
        "synchronous execution, median (HTTP; Jupyter's over its socket)",
        statistics.median(ours) * 1e3, "ms", jupyter=peer and peer * 1e3,
    )  # fmt: skip
    report(
        "synchronous execution / raw round trip",
        statistics.median(ours) / raw, "x", "goal: at most 2.0", jupyter=peer and peer / raw,
    )  # fmt: skip
    for name, used in cpu.items():
        report(f"CPU of the {name} process per request", used / ROUNDS * 1e3, "ms")


async def sleepers(server: RunningServer, client: httpx.AsyncClient) -> None:
    """Many sessions that wait at once through synchronous requests."""
    names = [f"sleeper-{number}" for number in range(SLEEPERS)]
    opening = time.perf_counter()
    await asyncio.gather(*(execute(client, name, "import time") for name in names))
    report(f"{SLEEPERS} new sessions at once, all answered", time.perf_counter() - opening, "s")
    code = f"time.sleep({SLEEP_SECONDS})"
    watcher = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.watcher", str(server.port)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    taken = await timed(lambda: asyncio.gather(*(execute(client, name, code) for name in names)))
    output, _ = await watcher.communicate(b"\n")
    slowest, median = map(float, output.split())
    report(
        f"{SLEEPERS} sessions in time.sleep({SLEEP_SECONDS}) at once / {SLEEP_SECONDS} s",
        taken / SLEEP_SECONDS,
        "x",
        "goal: at most 3",
    )
    report("/healthz meanwhile, median", median, "ms")
    report("/healthz meanwhile, slowest", slowest, "ms", "goal: at most 250")
    for name in names:
        await client.delete(f"/session?api-version=2025-10-02-preview&identifier={name}")


async def main() -> None:
    wanted = sys.argv[1:] or ["round_trip", "kernels", "sleepers", "streams", "files", "browser"]
    with (
        tempfile.TemporaryDirectory() as folder,
        RunningServer(Path(folder)) as server,
        running_server() if COMPARED.intersection(wanted) else nullcontext() as jupyter,
    ):
        limits = httpx.Limits(max_connections=SLEEPERS + 10)
        async with httpx.AsyncClient(
            base_url=server.url, timeout=120, limits=limits, trust_env=False
        ) as client:
            print(f"{'Jupyter Server':>91}")
            if "round_trip" in wanted:
                await round_trip(server, client, jupyter)
            if "kernels" in wanted:
                await kernels.measure(server, client, jupyter, report)
            if "sleepers" in wanted:
                await sleepers(server, client)
            if "streams" in wanted:
                await streams.measure(server, client, report)
            if "files" in wanted:
                await asyncio.to_thread(files.measure, report)
            if "browser" in wanted:
                await browser.measure(server, report)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
