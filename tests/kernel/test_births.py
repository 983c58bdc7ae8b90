"""What a zygote is asked and answers, when something goes wrong meanwhile."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from sessions.exceptions import KernelStartFailed
from sessions.kernels import zygotes
from sessions.kernels.cgroups import ControlGroup
from sessions.kernels.forked import ForkedProcess
from sessions.kernels.host import Host
from sessions.kernels.workspace import workspace_path
from sessions.kernels.zygotes import Zygote
from sessions.outcomes import fold
from tests.hosts import ROOT, descendants, forked_kernels, needs_walls, run, started_host

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(400), needs_walls]

PATIENCE_SECONDS = 150

Starter = Callable[..., Awaitable[Host]]


def zygote_of(host: Host) -> Zygote:
    zygote = host._sessions._nursery.zygote("python3")
    assert zygote is not None
    return zygote


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is about something else, no zygote is replaced because the machine is busy."""
    monkeypatch.setattr(zygotes, "BIRTH_SECONDS", 2 * PATIENCE_SECONDS)


@pytest.fixture
async def host_with_zygote(tmp_path: Path) -> AsyncIterator[Starter]:
    """Start a host whose zygote is ready; nothing outlives it."""
    before = set(descendants(os.getpid()))
    hosts: list[Host] = []

    async def start(*, is_ready: bool = True, **config: Any) -> Host:
        hosts.append(await started_host(tmp_path, forks=True, warm_kernels=0, **config))
        if is_ready:
            await until(lambda: zygote_of(hosts[0]).is_ready)
        return hosts[0]

    yield start
    for host in hosts:
        await host.stop()
        after = set(descendants(os.getpid())) | forked_kernels(host)
        assert after <= before, "a process outlived its host"


async def printed(host: Host, code: str, **more: Any) -> str:
    result = await run(host, code, **more)
    seen = fold(result["events"])
    assert result["state"] == "succeeded", (result["reason"], seen.error)
    return seen.stdout.strip()


def zygote_process(host: Host) -> int:
    """The process that forks, below bubblewrap's."""
    life = zygote_of(host)._life
    assert life is not None
    (pid,) = descendants(life._process.pid)
    return pid


def process_of(host: Host, identifier: str) -> Any:
    kernel = host._sessions.find(None, identifier)._slot.running()
    return kernel._manager.provisioner.process


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not is_so():
            await asyncio.sleep(0.02)


async def test_the_answer_to_a_start_that_was_cancelled_is_nobody_elses(host_with_zygote: Starter):
    """Sessions once ran in the control group of another, or in none."""
    host = await host_with_zygote()
    life = zygote_of(host)._life
    assert life is not None
    forking = zygote_process(host)
    os.kill(forking, signal.SIGSTOP)
    for number in range(3):
        name = f"gone-{number}"
        asked = asyncio.create_task(run(host, "1", identifier=name))
        await until(lambda: bool(life._births))
        await host.close_session(owner_id=None, identifier=name)
        await asyncio.gather(asked, return_exceptions=True)
        assert not life._births
    starting = asyncio.create_task(printed(host, "open('mine', 'w').close(); print('mine')"))
    await until(lambda: bool(life._births))
    os.kill(forking, signal.SIGCONT)

    assert await starting == "mine"
    session = host._sessions.find(None, "s")
    process = process_of(host, "s")
    premises = host._sessions._premises[session.record.id]
    assert isinstance(process, ForkedProcess)
    assert session.process_ids == [process.pid]
    assert (workspace_path(host.config.data_dir, session.record.id) / "mine").exists()
    if premises.group:
        inside = {process.pid, *descendants(process.pid)}
        assert set(premises.group.processes()) == inside
        assert os.getpid() not in inside
    mine = {process.pid, *descendants(process.pid)}
    await until(lambda: forked_kernels(host) <= mine | {forking})


async def test_a_zygote_that_does_not_answer_is_replaced(
    host_with_zygote: Starter, monkeypatch: pytest.MonkeyPatch
):
    host = await host_with_zygote()
    zygote = zygote_of(host)
    stopped = zygote_process(host)
    os.kill(stopped, signal.SIGSTOP)

    with monkeypatch.context() as patch:
        patch.setattr(zygotes, "BIRTH_SECONDS", 0.5)
        assert await printed(host, "print(1)") == "1"  # it was started by itself
    await until(lambda: zygote.is_ready)

    assert zygote_process(host) != stopped
    assert zygote.generation == 1
    assert await printed(host, "print(2)", identifier="after") == "2"
    assert isinstance(process_of(host, "after"), ForkedProcess)


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory from which zygotes import."""
    path = tmp_path / "modules"
    path.mkdir()
    usual = zygotes._outer_wall

    def with_modules(config: zygotes.ZygoteConfig) -> list[str]:
        *wall, end = usual(config)
        at = wall.index("--remount-ro")
        given = ["--ro-bind", str(path), str(path)]
        return [*wall[:at], *given, *wall[at:], end, "env", f"PYTHONPATH={path}"]

    monkeypatch.setattr(zygotes, "_outer_wall", with_modules)
    return path


# What each does when it is imported.
BROKEN = {"ends": "import os; os._exit(3)", "hangs": "import time; time.sleep(100000)"}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_module_that_is_no_good_for_zygotes_is_done_without(
    host_with_zygote: Starter,
    modules: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    name: str,
):
    (modules / f"{name}_always.py").write_text(BROKEN[name])
    (modules / "is_fine.py").write_text("found = 'found'")
    given = ("colorsys", f"{name}_always", "is_fine")
    host = await host_with_zygote(is_ready=False, preimport=given)
    zygote = zygote_of(host)
    if name == "hangs":
        await until(lambda: zygote._life is not None and zygote._life.importing == "hangs_always")
        assert zygote._life
        with monkeypatch.context() as patch:  # as if so much time had passed
            patch.setattr(zygotes, "IMPORT_SECONDS", 0.0)
            zygote._life._heard.set()
            await until(lambda: bool(zygote._without))
    await until(lambda: zygote.is_ready)

    assert zygote._without == {f"{name}_always"}
    sentences = [each for each in caplog.messages if f"{name}_always" in each]
    assert len(sentences) == 1
    assert sentences[0].startswith(f"kernels of python3 start without {name}_always: ")
    code = "import sys; print('colorsys' in sys.modules, sys.modules['is_fine'].found)"
    assert await printed(host, code) == "True found"
    assert isinstance(process_of(host, "s"), ForkedProcess)


async def test_where_preparing_a_kernel_fails_forks_make_it_themselves(
    host_with_zygote: Starter, modules: Path, caplog: pytest.LogCaptureFixture
):
    (modules / "breaks_it.py").write_text("import linecache\nlinecache.clearcache = None")
    host = await host_with_zygote(preimport=("breaks_it",))

    assert zygote_of(host)._without == {zygotes.PREPARED}
    assert len([each for each in caplog.messages if zygotes.PREPARED in each]) == 1
    assert await printed(host, "print(get_ipython().kernel.shell is get_ipython())") == "True"
    assert isinstance(process_of(host, "s"), ForkedProcess)


async def test_an_ipython_that_is_made_in_another_way_is_not_prepared(
    host_with_zygote: Starter, modules: Path, caplog: pytest.LogCaptureFixture
):
    other = "from ipykernel.kernelapp import IPKernelApp as App\nusual = App.init_io\n"
    other += "def init_io(self):\n    usual(self)\n\nApp.init_io = init_io\n"
    (modules / "other_way.py").write_text(other)
    host = await host_with_zygote(preimport=("other_way",))

    assert len([each for each in caplog.messages if "are not prepared" in each]) == 1
    assert await printed(host, "print(1)") == "1"
    assert isinstance(process_of(host, "s"), ForkedProcess)


def test_a_zygote_whose_host_is_killed_in_a_birth_ends_in_peace():
    """Forks that could not tell the host of their kernels once went on as zygotes, and broke."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    serving = f"from workbench_zygote import main; main.serve({theirs.fileno()})"
    zygote = subprocess.Popen(
        [ROOT / ".venv-kernels/bin/python", "-c", serving],
        env={"PYTHONPATH": str(zygotes.PACKAGE.parent), "PYDEVD_DISABLE_FILE_VALIDATION": "1"},
        pass_fds=(theirs.fileno(),),
        stderr=subprocess.PIPE,
    )
    theirs.close()
    with ours, open(os.devnull) as nothing, tempfile.TemporaryFile("w+") as about:
        ours.send(json.dumps({"modules": [], "prepare": ""}).encode())
        while "missing" not in json.loads(ours.recv(zygotes.MAX_MESSAGE_BYTES)):
            pass
        json.dump({"network": True}, about)
        about.flush()
        for number in range(3):
            about.seek(0)
            socket.send_fds(ours, [str(number).encode()], [about.fileno(), *[nothing.fileno()] * 3])

    _, complaints = zygote.communicate(timeout=PATIENCE_SECONDS)  # until its forks have ended, too

    assert complaints.decode() == ""
    assert zygote.returncode == 0


def test_a_process_that_has_ended_is_no_kernel():
    """Its number would be 0: to a control group that is who writes it, to kill one's own group."""
    process = subprocess.Popen(["true"])
    descriptor = os.pidfd_open(process.pid)
    process.wait()
    lifeline_end, lifeline = os.pipe()
    status, status_end = os.pipe()
    try:
        with pytest.raises(KernelStartFailed):
            ForkedProcess(descriptor, lifeline, status)
    finally:
        os.close(lifeline_end)
        os.close(status_end)

    for taken in (descriptor, lifeline, status):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(taken)


def test_nobody_is_put_into_a_group_by_the_number_0(tmp_path: Path):
    (tmp_path / "cgroup.procs").write_text("")

    with pytest.raises(ProcessLookupError):
        ControlGroup({"": tmp_path}, is_v2=True).add(0)

    assert (tmp_path / "cgroup.procs").read_text() == ""


async def test_what_is_told_to_one_process_reaches_no_other(host_with_zygote: Starter):
    """Numbers are given away again: what has ended may not be signalled by its own."""
    host = await host_with_zygote()
    await printed(host, "1")
    process = process_of(host, "s")
    assert not process.has_ended
    process.kill()
    assert await process.ended() == -signal.SIGKILL
    process.pid = os.getpid()  # as if this process had its number now

    process.send_signal(signal.SIGTERM)
    process.kill()

    assert process.has_ended


async def test_many_that_come_while_it_imports_wait_for_it(
    host_with_zygote: Starter, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(zygotes, "SOON_SECONDS", PATIENCE_SECONDS)
    host = await host_with_zygote(is_ready=False)
    names = [f"s{number}" for number in range(6)]

    said = await asyncio.gather(*(printed(host, "print(1)", identifier=name) for name in names))

    assert said == ["1"] * 6
    forked = [isinstance(process_of(host, name), ForkedProcess) for name in names]
    assert forked.count(False) <= zygotes.MOST_IMPATIENT
