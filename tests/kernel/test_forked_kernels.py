"""Kernels that a zygote forks, and those that wait for a session: like any other, only sooner."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sessions.kernels.host import Host
from sessions.kernels.workspace import workspace_path
from sessions.kernels.zygotes import Zygote
from sessions.outcomes import fold
from tests.hosts import NAMED, descendants, forked_kernels, newcomers, run, started_host

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(120)]

WARM = 1


@pytest.fixture
async def host(tmp_path: Path, before: dict[int, str]) -> AsyncIterator[Host]:
    """A host whose zygote is ready, with a kernel that waits; nothing outlives it."""
    host = await started_host(tmp_path, forks=True, warm_kernels=WARM, preimport=("numpy",))
    await is_filled(host)
    yield host
    await host.stop()
    assert not newcomers(before), "a process outlived its host"
    assert not forked_kernels(host), "a kernel outlived its host"


def zygote_of(host: Host) -> Zygote:
    zygote = host._sessions._nursery.zygote("python3")
    assert zygote is not None
    return zygote


async def is_filled(host: Host) -> None:
    pool = host._sessions._nursery._pool
    assert pool is not None
    async with asyncio.timeout(60):
        while len(pool) < WARM:
            await asyncio.sleep(0.01)


async def printed(host: Host, code: str, **more: Any) -> str:
    result = await run(host, code, **more)
    seen = fold(result["events"])
    assert result["state"] == "succeeded", (result["reason"], seen.error)
    return seen.stdout.strip()


# What a kernel is to the code in it: the same, however it was started. Where they may differ is
# not asked: process ids, the hash seed, names of sockets.
SELF_PORTRAIT = """
import io, json, multiprocessing, os, resource, signal, subprocess, sys, threading
def shell(command): return subprocess.run(command, shell=True, capture_output=True, text=True).stdout
def status(field): return next(l for l in open("/proc/self/status") if l.startswith(field)).split()[1:]
print(json.dumps({
    "python": [sys.executable, sys.prefix, sys.path, sys.flags[:], sys.argv[0], __name__],
    "environment": dict(os.environ, JPY_SESSION_NAME="", JPY_PARENT_PID=""),
    "where": [os.getcwd(), sorted(os.listdir("/")), sorted(os.listdir("/dev")), os.listdir("/tmp/.state/matplotlib")],
    "mounts": sorted({(l.split()[1], "ro" in l.split()[3].split(",")) for l in open("/proc/mounts")
                      if not l.split()[1].startswith(("/proc/", SOCKETS))}),
    "who": [os.getresuid()[0] > 0, shell("whoami"), os.getgroups() == [os.getgid()] or os.getgroups(), os.umask(0o022)],
    "powers": [status(name) for name in ("CapEff:", "CapPrm:", "CapBnd:", "CapAmb:", "NoNewPrivs:", "Seccomp:")],
    "limits": {name: resource.getrlimit(getattr(resource, name)) for name in sorted(dir(resource)) if name.startswith("RLIMIT_")},
    "signals": [str(signal.getsignal(each)) for each in (signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE, signal.SIGUSR1)],
    "threads": threading.active_count(),
    "network": shell("cat /proc/net/dev | tail -n +3 | cut -d: -f1").split(),
    "modules": [name for name in sys.modules if "zygote" in name],
    "oom": open("/proc/self/oom_score_adj").read(),
}, sort_keys=True, default=str))
"""


async def test_a_forked_kernel_is_like_a_started_one(host: Host):
    code = SELF_PORTRAIT.replace("SOCKETS", repr(str(host.config.run_dir)))
    forked = await printed(host, code)
    other = await started_host(host.config.data_dir.parent / "other", forks=False)
    started = await printed(
        other, SELF_PORTRAIT.replace("SOCKETS", repr(str(other.config.run_dir)))
    )
    await other.stop()

    assert forked == started


async def test_what_people_do_works_in_it(host: Host):
    figure = await run(host, "import matplotlib.pyplot as plt\n_ = plt.plot([1, 3])")
    types = [
        set(each["data"]["data"]) for each in figure["events"] if each["type"] == "display_data"
    ]
    completion = await host.complete(**NAMED, code="import os; os.path.jo", cursor=21)
    child = await printed(
        host,
        "import subprocess, sys\nprint(subprocess.run([sys.executable, '-c', 'import numpy; print(1)'], capture_output=True, text=True).stdout)",
    )
    pool = await printed(
        host,
        "import multiprocessing as m\nwith m.get_context('fork').Pool(2) as p: print(p.map(abs, [-1, 2]))",
    )
    slow = asyncio.create_task(run(host, "import time\nprint('on', flush=True)\ntime.sleep(60)"))
    await asyncio.sleep(0)
    while not host._sessions.find(None, "s")._queue.current:
        await asyncio.sleep(0.01)
    await host.interrupt(**NAMED)

    assert "image/png" in types[0]
    assert completion["matches"] == ["join"] or "os.path.join" in completion["matches"]
    assert (child, pool) == ("1", "[1, 2]")
    assert (await slow)["state"] == "interrupted"


async def test_sessions_do_not_draw_the_same_numbers(host: Host):
    code = "import numpy, random, uuid; print(numpy.random.rand(), random.random(), uuid.uuid4())"
    first = await printed(host, code)
    second = await printed(host, code, identifier="other")

    assert not set(first.split()) & set(second.split())


async def test_what_is_forked_can_be_counted(host: Host):
    """Otherwise nobody would see what outlives its host."""
    (waiting,) = host._sessions._nursery._pool._waiting

    assert waiting.kernel.pid in forked_kernels(host)


async def test_a_session_takes_the_kernel_that_waits(host: Host):
    pool = host._sessions._nursery._pool
    assert pool is not None
    (waiting,) = pool._waiting
    process = waiting.kernel.pid
    await host.open_session(**NAMED, origin="test", environment={"TZ": "Asia/Kolkata", "A": "é'\n"})

    seen = await printed(
        host,
        "import os, time; print(time.tzname[0], ascii(os.environ['A']))\nopen('f', 'w').write('1')",
    )
    session = host._sessions.find(None, "s")

    assert session.process_ids == [process]
    assert seen == "IST " + ascii("é'\n")
    assert (workspace_path(host.config.data_dir, session.record.id) / "f").read_text() == "1"
    assert await printed(host, "print(dir().count('variables'))") == "0"
    await is_filled(host)  # there is another one for the next


async def test_a_session_that_restarts_as_it_opens_has_one_kernel(host: Host):
    pool = host._sessions._nursery._pool
    assert pool is not None
    (waiting,) = pool._waiting
    await host.open_session(**NAMED, origin="test", environment={"A": "1"})

    await host.restart(**NAMED)

    assert await printed(host, "import os; print(os.environ['A'])") == "1"
    assert waiting.kernel.death.done()
    assert host._sessions.find(None, "s").process_ids != [waiting.kernel.pid]


async def test_a_restart_keeps_the_files_and_the_user(host: Host):
    before = await printed(host, "import os; open('f', 'w').write('1'); print(os.getuid())")
    await host.restart(**NAMED)

    assert (
        await printed(host, "import os; print(os.getuid() if open('f').read() else '')") == before
    )


async def test_what_has_died_is_never_handed_out(host: Host):
    pool = host._sessions._nursery._pool
    assert pool is not None
    (waiting,) = pool._waiting
    assert waiting.kernel.pid
    os.kill(waiting.kernel.pid, signal.SIGKILL)
    await waiting.kernel.death

    assert pool.take() is None
    assert await printed(host, "print(1)") == "1"


async def test_kernels_outlive_their_zygote_and_there_is_a_new_one(host: Host):
    zygote = zygote_of(host)
    await printed(host, "kept = 'kept'")
    generation = zygote.generation
    assert zygote._life
    zygote._life._process.kill()
    async with asyncio.timeout(30):
        while zygote.generation == generation:
            await asyncio.sleep(0.01)

    assert await printed(host, "print(kept)") == "kept"
    assert await printed(host, "print(2)", identifier="meanwhile") == "2"
    await zygote.ready()
    await is_filled(host)
    assert await printed(host, "print(3)", identifier="after") == "3"


async def test_what_is_out_of_date_is_never_handed_out(host: Host, tmp_path: Path):
    pool = host._sessions._nursery._pool
    assert pool is not None
    (waiting,) = pool._waiting
    zygote = zygote_of(host)
    zygote._imported = [*zygote._imported, 1]  # as if something had been installed since

    assert await printed(host, "print(1)") == "1"

    assert host._sessions.find(None, "s").process_ids != [waiting.kernel.pid]
    await waiting.kernel.death


async def test_what_is_inside_ends_with_the_host(host: Host):
    """A host that crashes closes its descriptors, and nothing else."""
    await printed(
        host, "import subprocess\n_ = subprocess.Popen(['sleep', '1000'], start_new_session=True)"
    )
    process = host._sessions.find(None, "s")._slot.running()._manager.provisioner.process
    inside = descendants(process.pid)
    assert len(inside) >= 2

    os.close(os.dup(process._lifeline))
    os.dup2(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC), process._lifeline)

    assert await process.ended() is not None
    assert not any(Path(f"/proc/{pid}").exists() for pid in inside)


async def test_a_closed_session_leaves_nothing(host: Host):
    await printed(host, "import os; os.makedirs('a/b'); os.mkfifo('a/fifo')")
    premises = host._sessions._premises[host._sessions.find(None, "s").record.id]
    await host.close_session(**NAMED)

    left = [premises.workspace.root.parent, premises.private]
    if premises.group:
        left += premises.group.directories.values()
    assert [path for path in left if path.exists()] == []


async def test_a_start_removes_what_a_crash_left(tmp_path: Path):
    host = await started_host(tmp_path)
    await printed(host, "1")
    premises = host._sessions._premises[host._sessions.find(None, "s").record.id]
    waiting = host.config.data_dir / "waiting" / "x" / "files"
    waiting.mkdir(parents=True)

    estate = host._sessions._estate
    estate._identities and estate._identities.close()  # as the system does at a crash
    second = await started_host(tmp_path)

    assert not waiting.exists()
    assert premises.group is None or not premises.group.processes()
    assert not premises.private.exists()
    await second.stop()
    await host.stop()
