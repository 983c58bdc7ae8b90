"""A host under attack: one session runs hostile programs, a neighbour must not notice.

The programs are files in tests/kernel/attacks, which any Python runs. Each prints one JSON object
at its end: what it tried, and what came of it. Whatever does not begin with "refused" is a hole.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import pytest

from sessions.kernels.host import Host
from sessions.kernels.limits import Limits
from sessions.kernels.workspace import Workspace, workspace_path
from sessions.outcomes import fold
from sessions.testing import MemoryRecorder
from tests.hosts import descendants, newcomers, run, started_host

ATTACKS = Path(__file__).parent / "kernel/attacks"
DOORS = ("kernel", "command", "bash")
ANSWER_SECONDS = 10.0  # for a neighbour on a busy machine with two processors
ATTACKER, NEIGHBOUR = "attacker", "neighbour"

NO_WALL = "no wall"  # what a bomb says when its own net caught it
MIB = 1024 * 1024
SMALL = Limits(
    memory_bytes=256 * MIB,
    processes=64,
    open_files=256,
    file_bytes=32 * MIB,
    workspace_bytes=64 * MIB,
    tmp_bytes=32 * MIB,
)

# It makes system calls by their numbers and runs machine code, to get round libraries and filters
# by name; what protects other machines is the same list, by their numbers.
needs_x86_64 = pytest.mark.skipif(
    platform.machine() != "x86_64", reason="the attack has numbers and code of x86_64"
)

_MOVE_IN = """
import subprocess
kept = {secret!r}
open("secret", "w").write(kept)
child = subprocess.Popen(["sleep", {sleep!r}])
"""
_STILL_THERE = "print(kept, open('secret').read(), child.poll())"

T = TypeVar("T")


class Siege:
    """A host with a quiet neighbour, from ``begin`` to ``end``."""

    def __init__(self, host: Host, directory: Path) -> None:
        self.host = host
        self.directory = directory
        self.secret = f"secret-{uuid4().hex}"
        # What stands on the command line of a process of the neighbour's.
        self.sleep = f"987654.{uuid4().int % 10**9:09}"
        self.neighbour_id = ""

    @classmethod
    async def begin(cls, directory: Path, **config: Any) -> Siege:
        """Start a host, with ``forks=True`` one whose kernels a zygote forks from the first on."""
        siege = cls(await started_host(directory, **{"preimport": (), **config}), directory)
        if config.get("forks"):
            zygote = siege.host._sessions._nursery.zygote("python3")
            assert zygote is not None
            async with asyncio.timeout(60):
                await zygote.ready()
        await siege.host.open_session(
            owner_id=None,
            identifier=NEIGHBOUR,
            origin="test",
            environment={"TOKEN": f"{'token' * 3}-{uuid4().hex}"},
        )
        code = _MOVE_IN.format(secret=siege.secret, sleep=siege.sleep)
        result = await run(siege.host, code, identifier=NEIGHBOUR)
        assert result["state"] == "succeeded", fold(result["events"]).error
        siege.neighbour_id = result["session_id"]
        return siege

    async def end(self) -> None:
        await self.host.stop()
        assert not processes_with(self.sleep)

    async def attack(self, code: str, **more: Any) -> dict[str, Any]:
        """Run code in the attacker's session, while the neighbour works and after it.

        Fails unless it ends within two minutes, in a named state.
        """
        return await self.meanwhile(run(self.host, code, identifier=ATTACKER, **more))

    async def bomb(self, code: str, door: str = "kernel", **more: Any) -> dict[str, Any]:
        """Run a bomb through a door; it must not end in its own net."""
        arguments: dict[str, Any] = {"timeout_seconds": 60, **more}
        if door == "command":
            arguments |= {"kind": "command", "command": ["python3", "-c", code]}
        result = await self.attack(code if door == "kernel" else "", **arguments)
        assert NO_WALL not in fold(result["events"]).stdout, result["state"]
        return result

    async def assert_usable(self) -> None:
        """The attacker's own session goes on, with the same kernel or a fresh one."""
        async with asyncio.timeout(20):
            result = await run(self.host, "print('usable')", identifier=ATTACKER)
        said = fold(result["events"]).stdout
        assert said == "usable\n", (result["state"], result["reason"])

    async def meanwhile(self, attack: Awaitable[T], seconds: float = 120) -> T:
        """Wait for an attack, while the neighbour works and after it."""
        running = asyncio.ensure_future(attack)
        try:
            async with asyncio.timeout(seconds):
                while not running.done():
                    await self.check()
                    await asyncio.wait({running}, timeout=0.3)
                await self.check()
        finally:
            running.cancel()
        return await running

    async def check(self) -> None:
        """The neighbour and the host answer, and nothing of theirs has changed."""
        async with asyncio.timeout(ANSWER_SECONDS):
            result = await run(self.host, _STILL_THERE, identifier=NEIGHBOUR)
            health = await self.host.health()
        assert result["state"] == "succeeded", (result["reason"], fold(result["events"]).error)
        assert fold(result["events"]).stdout == f"{self.secret} {self.secret} None\n"
        assert health["hosts"] == ["test"]

    async def outcomes(self, name: str, door: str, **given: Any) -> dict[str, str]:
        """What the attempts of a program in ATTACKS came to, through one of the DOORS."""
        result = await self.meanwhile(self._through(door, program(name, **given)))
        seen = fold(result["events"])
        assert result["state"] == "succeeded", (result["reason"], seen.error, seen.stderr)
        found: dict[str, str] = json.loads(seen.stdout.strip().splitlines()[-1])
        assert found
        return found

    async def _through(self, door: str, text: str) -> dict[str, Any]:
        named: dict[str, Any] = {"owner_id": None, "identifier": ATTACKER}
        kernel_name = "bash" if door == "bash" else "python3"
        session = await self.host.open_session(**named, origin="test", kernel_name=kernel_name)
        if door == "kernel":
            return await run(self.host, text, **named, timeout_seconds=60)
        workspace = Workspace(
            workspace_path(self.host.config.data_dir, session["id"]), max_bytes=None
        )
        await asyncio.to_thread(workspace.write, "attack.py", [text.encode()])
        if door == "bash":
            return await run(self.host, "python3 attack.py", **named, timeout_seconds=60)
        return await run(
            self.host, "", **named, kind="command", command=["python3", "attack.py"],
            timeout_seconds=60,
        )  # fmt: skip

    @property
    def recorder(self) -> MemoryRecorder:
        """What the host has recorded, of all sessions."""
        recorder = self.host.recorder
        assert isinstance(recorder, MemoryRecorder)
        return recorder

    async def event(self, type_: str, *, since: int, text: str = "") -> dict[str, Any]:
        """The first event of a type beyond the ``since`` first ones, as soon as it is there."""
        async with asyncio.timeout(30):
            while True:
                for event in self.recorder.events[since:]:
                    if event["type"] == type_ and text in str(event["data"]):
                        return dict(event)
                await asyncio.sleep(0.01)

    async def close_attacker(self) -> None:
        """End the attacker's session, if there is one, within a bounded time."""
        named = [each["identifier"] for each in await self.host.list_sessions(owner_id=None)]
        if ATTACKER in named:
            async with asyncio.timeout(30):
                await self.host.close_session(owner_id=None, identifier=ATTACKER)


@asynccontextmanager
async def besieged(directory: Path, **config: Any) -> AsyncIterator[Siege]:
    """A siege that must not leave processes behind."""
    before = descendants(os.getpid())
    siege = await Siege.begin(directory, **config)
    try:
        yield siege
    finally:
        await siege.end()
    assert not newcomers(before), "a process outlived its host"


def program(name: str, **given: Any) -> str:
    """The text of an attack, with what it may know in ``GIVEN``."""
    parts = [(ATTACKS / f"{each}.py").read_text() for each in ("common", name)]
    knowledge = f"GIVEN.update(json.loads({json.dumps(given)!r}))\n"
    return "\n".join([parts[0], knowledge, parts[1], "report()\n"])


def assert_refused(outcomes: dict[str, str]) -> None:
    """Fail with every attempt that was not refused."""
    holes = [f"{name}: {said}" for name, said in outcomes.items() if not said.startswith("refused")]
    if holes:
        pytest.fail("\n".join(holes), pytrace=False)


def processes_with(marker: str) -> list[int]:
    """The processes of the machine that have ``marker`` on their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if marker.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return [pid for pid in found if pid != os.getpid()]


def rss_bytes() -> int:
    """The memory that this process, and with it the host, has now."""
    resident = Path("/proc/self/statm").read_text().split()[1]
    return int(resident) * os.sysconf("SC_PAGE_SIZE")
