"""A large file up and down: through the web process's own disk, and through the host."""

from __future__ import annotations

import os
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx

from tests.running import RunningServer

ROUNDS = 7
MIB = 1024 * 1024
SIZE_MIB = 256
PIECE = os.urandom(MIB)
ADDRESS = "/api/v1/sessions/files/files/content?path=large"

Report = Callable[..., None]


class Side:
    """One server, and how long it took."""

    def __init__(self, server: RunningServer) -> None:
        self._server = server
        self._client = httpx.Client(base_url=server.url, timeout=120, trust_env=False)
        self._client.post("/api/v1/sessions", json={"identifier": "files"}).raise_for_status()
        self._client.put(ADDRESS, content=PIECE).raise_for_status()
        self._before = self._peak_mib()
        self.up: list[float] = []
        self.down: list[float] = []

    def measure(self) -> None:
        """A file in, and out again."""
        began = time.perf_counter()
        length = {"Content-Length": str(SIZE_MIB * MIB)}
        self._client.put(ADDRESS, content=_pieces(), headers=length).raise_for_status()
        self.up.append(time.perf_counter() - began)
        began = time.perf_counter()
        with self._client.stream("GET", ADDRESS) as response:
            assert sum(map(len, response.iter_raw())) == SIZE_MIB * MIB
        self.down.append(time.perf_counter() - began)

    def growth_mib(self) -> dict[str, float]:
        """By how much each process's peak has grown meanwhile."""
        return {name: peak - self._before[name] for name, peak in self._peak_mib().items()}

    def _peak_mib(self) -> dict[str, float]:
        return {name: _peak_mib(self._server.child(name)) for name in ("web", "host")}


def measure(report: Report) -> None:
    """Both, in turn."""
    with ExitStack() as stack:
        sides = []
        for through_host in "01":
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            server = RunningServer(
                Path(folder),
                WORKBENCH_MAX_UPLOAD_BYTES="300m",
                WORKBENCH_FILES_THROUGH_HOST=through_host,
            )
            sides.append(Side(stack.enter_context(server)))
        for _ in range(ROUNDS):
            for side in sides:
                side.measure()
        disk, host = sides
        grown = host.growth_mib()
    for name, here, there in (("upload", disk.up, host.up), ("download", disk.down, host.down)):
        report(f"{name} of 256 MiB, own disk", statistics.median(here), "s")
        report(f"{name} of 256 MiB, through the host", statistics.median(there), "s")
    for name, by in grown.items():
        report(f"peak memory meanwhile, through the host: {name} process grew by", by, "MiB")


def _pieces() -> Iterator[bytes]:
    for _ in range(SIZE_MIB):
        yield PIECE


def _peak_mib(pid: int) -> float:
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) / 1024
