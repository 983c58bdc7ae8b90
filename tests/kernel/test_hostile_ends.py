"""Nothing outlives its session: no process, no file, no mount, no group, whatever it tries."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from sessions.kernels.workspace import Workspace
from sessions.outcomes import fold
from tests.hostility import ATTACKER, Siege, besieged, processes_with
from tests.hosts import run, started_host

pytestmark = [pytest.mark.kernel, pytest.mark.asyncio(loop_scope="module")]

NAMED = {"owner_id": None, "identifier": ATTACKER}

# Leaves its parents, its process group, its terminal, and hears no signal it can ignore.
DAEMON = """
import os, signal, sys, time
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
for each in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
    try: signal.signal(each, signal.SIG_IGN)
    except OSError: pass
os.closerange(0, 1024)
os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(300)", sys.argv[1]])
"""
STARTS_IT = """
import subprocess, sys
subprocess.run([sys.executable, "-c", {daemon!r}, {marker!r}], check=True)
"""
KEEPS_BUSY = """
import os, signal, subprocess, sys, time
os.makedirs("a/b/c")
writer = '''
import os, sys, time
os.chdir("a/b/c")
held = open("held", "w")
print("in", flush=True)
number = 0
while True:
    number += 1
    os.makedirs(f"d{number % 50}", exist_ok=True)
    open(f"d{number % 50}/{os.getpid()}", "w").close()
'''
for _ in range(6):
    child = subprocess.Popen([sys.executable, "-c", writer, MARKER], start_new_session=True, stdout=subprocess.PIPE)
    child.stdout.readline()
os.chmod("a/b", 0)
os.chmod("a", 0)
"""
NESTS = """
import os
from ipykernel.kernelapp import IPKernelApp
for place in (".", os.path.dirname(IPKernelApp.instance().abs_connection_file)):
    os.chdir(place)
    for _ in range(1_500):
        os.mkdir("d")
        os.chdir("d")
    open("end", "w").close()
    os.chdir("/")
"""


@pytest_asyncio.fixture(loop_scope="module", scope="module", params=["forked", "spawned"])
async def siege(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Siege]:
    forks = request.param == "forked"
    async with besieged(tmp_path_factory.mktemp("ends"), forks=forks) as siege:
        yield siege


def new_marker() -> str:
    return f"marker-{uuid4().hex}"


async def appeared(marker: str) -> None:
    """Return when a process with the marker runs, and nothing else of it."""
    async with asyncio.timeout(20):
        while not processes_with(marker):
            await asyncio.sleep(0.02)


async def daemon_of_a_kernel(siege: Siege) -> str:
    """A daemon that has outlived its cell; what stands on its command line."""
    marker = new_marker()
    result = await siege.attack(STARTS_IT.format(daemon=DAEMON, marker=marker))
    assert result["state"] == "succeeded", fold(result["events"]).error
    await appeared(marker)
    return marker


async def test_a_daemon_ends_with_its_session(siege: Siege) -> None:
    marker = await daemon_of_a_kernel(siege)

    await siege.meanwhile(siege.host.close_session(**NAMED), seconds=30)

    assert not processes_with(marker)


async def test_a_daemon_ends_with_a_restart(siege: Siege) -> None:
    marker = await daemon_of_a_kernel(siege)

    await siege.meanwhile(siege.host.restart(**NAMED), seconds=30)

    assert not processes_with(marker)
    await siege.close_attacker()


LOCKS_ITSELF_OUT = """
import os
open("kept", "w").write("kept")
os.chmod("/mnt/data", 0)
"""


@pytest.mark.parametrize("end", ["", "os._exit(1)"], ids=["restarted", "died"])
async def test_a_session_that_locked_its_workspace_starts_again(siege: Siege, end: str) -> None:
    await siege.attack(LOCKS_ITSELF_OUT + end)

    if not end:
        await siege.host.restart(**NAMED)
    result = await siege.attack("print(open('kept').read()); open('new', 'w').close()")

    assert fold(result["events"]).stdout == "kept\n"
    assert result["state"] == "succeeded"
    await siege.close_attacker()


async def test_a_daemon_ends_with_the_death_of_its_kernel(siege: Siege) -> None:
    marker = await daemon_of_a_kernel(siege)

    await siege.attack("import os; os._exit(1)")
    await run(siege.host, "'the next kernel'", identifier=ATTACKER)

    assert not processes_with(marker)
    await siege.close_attacker()


async def test_a_daemon_of_a_command_ends_with_it(siege: Siege) -> None:
    marker = new_marker()
    code = STARTS_IT.format(daemon=DAEMON, marker=marker) + "import time; time.sleep(0.5)"

    result = await siege.attack("", kind="command", command=["python3", "-c", code])

    assert result["state"] == "succeeded"
    assert not processes_with(marker)
    await siege.close_attacker()


async def test_processes_that_keep_the_workspace_busy_delay_no_close(siege: Siege) -> None:
    marker = new_marker()
    result = await siege.attack(f"MARKER = {marker!r}\n{KEEPS_BUSY}")
    assert result["state"] == "succeeded", fold(result["events"]).error
    await appeared(marker)

    await siege.meanwhile(siege.host.close_session(**NAMED), seconds=30)

    assert not processes_with(marker)
    assert not traces_of(siege, result["session_id"])


@pytest.mark.parametrize("forks", [True, False], ids=["forked", "spawned"])
async def test_trees_too_deep_to_walk_are_removed_everywhere(
    tmp_path: Path, *, forks: bool
) -> None:
    siege = await Siege.begin(tmp_path, forks=forks)
    try:
        result = await siege.attack(NESTS)
        assert result["state"] == "succeeded", fold(result["events"]).error
        await siege.meanwhile(siege.host.restart(**NAMED), seconds=30)
        again = await run(siege.host, "1", identifier=ATTACKER)
        await siege.meanwhile(siege.host.close_session(**NAMED), seconds=30)
        left = traces_of(siege, result["session_id"])
    finally:
        await siege.end()
        remove(tmp_path)  # or pytest could not

    assert again["state"] == "succeeded"
    assert not left


async def test_what_a_crashed_host_left_keeps_no_other_from_starting(tmp_path: Path) -> None:
    """Sessions write where their sockets are, so they choose what a crash leaves there."""
    ended = uuid4()
    left = [tmp_path / "run/k/123456789abc/1", tmp_path / f"data/sessions/{ended}/files"]
    for directory in left:
        directory.mkdir(parents=True)
        nest(directory)
    try:
        host = await started_host(tmp_path)
        try:
            result = await run(host, "print(1)")
            async with asyncio.timeout(50):
                while names_in(tmp_path / "run", tmp_path / "data") & {"123456789abc", str(ended)}:
                    await asyncio.sleep(0.05)
            still = await run(host, "print(2)")
        finally:
            await host.stop()
    finally:
        remove(tmp_path)

    assert result["state"] == still["state"] == "succeeded"


async def test_a_closed_session_leaves_no_trace(siege: Siege) -> None:
    result = await siege.attack("import subprocess; subprocess.Popen(['sleep', '300'])")
    command = await siege.attack("", kind="command", command=["sh", "-c", "sleep 300 & exit 0"])
    assert command["state"] == "succeeded"
    assert traces_of(siege, result["session_id"])

    await siege.host.close_session(**NAMED)

    assert not traces_of(siege, result["session_id"])


def traces_of(siege: Siege, session_id: str) -> list[str]:
    """Whatever on the machine still names the session: directories, groups, mounts."""
    names = {session_id, session_id.replace("-", ""), session_id.replace("-", "")[:12]}
    config = siege.host.config
    found = []
    for top in (config.data_dir / "sessions", config.run_dir, Path("/sys/fs/cgroup")):
        for directory, below, _ in os.walk(top):
            found += [f"{directory}/{name}" for name in below if name in names]
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return found + [line for line in mounts if any(name in line for name in names)]


def names_in(*tops: Path) -> set[str]:
    """What there is in two levels of directories: what has been left is below them."""
    found: set[str] = set()
    for top in tops:
        for directory, below, files in os.walk(top):  # which passes over what is being removed
            depth = len(Path(directory).relative_to(top).parts)
            found.update([*below, *files] if depth else [])
            if depth == 2:
                below.clear()
    return found


def nest(directory: Path) -> None:
    """Make directories in a directory, deeper than functions can call themselves."""
    before = os.open(".", os.O_RDONLY)
    try:
        os.chdir(directory)
        for _ in range(1_500):
            os.mkdir("d")
            os.chdir("d")
    finally:
        os.fchdir(before)
        os.close(before)


def remove(directory: Path) -> None:
    """Delete a directory of any depth."""
    Workspace(directory, max_bytes=None).remove()
