"""A host by itself, for tests: no Django, no database, real kernels."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from sessions.engines.lifetime import has_ended
from sessions.kernels.host import Host, HostConfig
from sessions.kernels.sandbox import why_not_contained
from sessions.testing import MemoryRecorder
from tests.running import SERVERS, children_of, command_of

ROOT = Path(__file__).parents[1]
# Some machines let nobody make namespaces. Where only bubblewrap is missing the tests fail: it is
# make test that installs it.
needs_walls = pytest.mark.skipif(
    bool(shutil.which("bwrap") and why_not_contained()), reason=why_not_contained()
)
NAMED: dict[str, Any] = {"owner_id": None, "identifier": "s"}


def descendants(pid: int) -> dict[int, str]:
    """What lives of what ``pid`` has started, and of what that has: {process: its command}.

    No servers that other tests share, and no zombies: those do nothing any more, and whoever
    started them may be about to wait for them.
    """
    found: dict[int, str] = {}
    for child in children_of(pid) - SERVERS:
        if not has_ended(child):
            found |= {child: command_of(child)} | descendants(child)
    return found


def newcomers(before: Collection[int]) -> dict[int, str]:
    """What lives of what this process has started, but for what did ``before``."""
    return {pid: command for pid, command in descendants(os.getpid()).items() if pid not in before}


def forked_kernels(host: Host) -> set[int]:
    """The processes a host's zygotes have forked: nobody's children, but they see its sockets."""
    found = set()
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            is_forked = b"workbench_zygote" in (directory / "cmdline").read_bytes()
            if is_forked and str(host.config.run_dir) in (directory / "mountinfo").read_text():
                found.add(int(directory.name))
        except (OSError, ProcessLookupError):  # it has ended; reading of one that ends is EINVAL
            pass
    return found


async def started_host(tmp_path: Path, **config: Any) -> Host:
    """A started host; its sessions live below ``tmp_path``."""
    given = {"prefixes": (ROOT / ".venv-kernels",), "forks": False, **config}
    host = Host(
        HostConfig(name="test", data_dir=tmp_path / "data", run_dir=tmp_path / "run", **given),
        MemoryRecorder(),
    )
    await host.start()
    return host


def run_arguments(code: str, **more: Any) -> dict[str, Any]:
    """What Host.run and Host.submit want, with defaults."""
    return {
        **NAMED,
        "create": True,
        "kind": "code",
        "code": code,
        "origin": "test",
        "client_id": "",
        "timeout_seconds": None,
        "allow_input": False,
        "request": {},
        **more,
    }


async def run(host: Host, code: str, **more: Any) -> dict[str, Any]:
    """Run code in the session NAMED."""
    return await host.run(**run_arguments(code, **more))


async def event_of_type(host: Host, type_: str, after: int = 0) -> dict[str, Any]:
    """The first event of a type, as soon as it is there."""
    async with asyncio.timeout(30):
        while True:
            for event in host.recorder.events:
                if event["type"] == type_ and event["number"] > after:
                    return event
            await asyncio.sleep(0.01)
