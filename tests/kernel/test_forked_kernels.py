"""Kernels that a zygote forks, and those that wait for a session: like any other, only sooner."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sessions.kernels.forked import ForkedProcess
from sessions.kernels.host import Host
from sessions.kernels.workspace import workspace_path
from sessions.kernels.zygotes import Zygote
from sessions.outcomes import fold
from tests.hosts import (
    NAMED,
    descendants,
    event_of_type,
    forked_kernels,
    newcomers,
    run,
    started_host,
)

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


# What IPython is in a kernel, down to the values of all its traits. Not asked: what is random, and
# what tells the time or the process.
SHELL_PORTRAIT = r"""
import builtins, comm, gc, json, logging, os, re, signal, sys, threading
from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp
from ipykernel.zmqshell import ZMQInteractiveShell
app, shell = IPKernelApp.instance(), get_ipython()
kernel = shell.kernel
def kind(thing): return type(thing).__module__ + "." + type(thing).__qualname__
def shown(thing):
    if isinstance(thing, (str, bytes, int, float, type(None), type)):
        return re.sub(r"/[^\s']*/k/[^\s']*/|[0-9a-f]{8}-[0-9a-f-]+", "…", repr(thing))
    if isinstance(thing, dict):
        return {shown(name): shown(each) for name, each in thing.items()}
    if isinstance(thing, (list, tuple)):
        return [shown(each) for each in thing]
    if isinstance(thing, (set, frozenset)):
        return sorted(map(str, map(shown, thing)))
    if callable(getattr(thing, "__call__", None)) and hasattr(thing, "__qualname__"):
        return thing.__qualname__
    return kind(thing)
def value(thing, name):
    try: return shown(getattr(thing, name))
    except Exception as error: return type(error).__name__  # some have no value
def traits(thing):
    return {name: value(thing, name) for name in thing.trait_names()
            if name not in {"bsession", "key", "pid", "digest_history", "type_printers", "singleton_printers"}}
parts = {"app": app, "kernel": kernel, "shell": shell, "session": app.session, "profile": app.profile_dir,
         "comms": comm.get_comm_manager(), **shell.display_formatter.formatters}
for name in ("history_manager", "display_formatter", "displayhook", "display_pub", "magics_manager",
             "prefilter_manager", "alias_manager", "extension_manager", "payload_manager", "Completer",
             "inspector", "builtin_trap", "display_trap"):
    parts[name] = getattr(shell, name)
print(json.dumps({
    "kinds": {name: kind(part) for name, part in parts.items()},
    "traits": {name: traits(part) for name, part in parts.items() if hasattr(part, "trait_names")},
    "attributes": {name: sorted(vars(part)) for name, part in parts.items()},
    "are one": [
        shell is kernel.shell is app.shell is ZMQInteractiveShell.instance(), kernel is app.kernel is IPythonKernel.instance(),
        app is kernel.parent, kernel is shell.parent, kernel.config is app.config, shell.config is app.config,
        app.session is kernel.session, app.session is shell.displayhook.session is shell.display_pub.session,
        app.session is sys.displayhook.session, app.session is sys.stdout.session, app.session is kernel.debugger.session,
        kernel.iopub_socket is shell.displayhook.pub_socket is shell.display_pub.pub_socket is app.iopub_socket,
        kernel.debug_shell_socket is kernel.debugger.shell_socket, kernel.debugpy_stream is kernel.debugger.debugpy_client.debugpy_stream,
        kernel._stdout is sys.stdout, kernel._stderr is sys.stderr, comm.get_comm_manager() is kernel.comm_manager,
        sys.modules["__main__"] is shell.user_module, vars(shell.user_module) is shell.user_ns is globals(),
        In is shell.history_manager.input_hist_parsed, _dh is shell.history_manager.dir_hist, _oh is Out,
        kernel.shell_channel_thread.parent_thread is threading.main_thread(), shell.displayhook.topic == kernel._topic("execute_result"),
        app.displayhook is sys.displayhook or shell.displayhook is sys.displayhook,
    ],
    "configuration": [shown(each) for each in (app.config, app.cli_config, app.argv, sys.argv[1:], app._loaded_config_files)],
    "configurables": [kind(each) for each in shell.configurables],
    "events": {name: [each.__qualname__ for each in each] for name, each in shell.events.callbacks.items()},
    "hooks": sorted(shell.hooks), "aliases": shell.alias_manager.aliases,
    "magics": {kind_: sorted(each) for kind_, each in shell.magics_manager.magics.items()},
    "printers": {name: sorted(each for each in map(str, [*f.type_printers, *f.deferred_printers]) if "numpy" not in each)
                 for name, f in shell.display_formatter.formatters.items()},
    "names": [sorted(shell.user_ns), sorted(shell.user_ns_hidden), shown(In[:1]), shown(_dh)],
    "handlers": [sorted(kernel.shell_handlers), sorted(kernel.control_handlers), sorted(vars(kernel.debugger))],
    "streams": [kind(each) for each in (sys.stdout, sys.stderr, sys.stdin, sys.__stdout__, sys.displayhook)],
    "saved": [shell.sys_excepthook.__qualname__, {name: kind(each) for name, each in shell._orig_sys_module_state.items()}],
    "hook": [sys.excepthook.__qualname__, sys.ps1, sys.ps2, sys.ps3],
    "builtins": [__IPYTHON__, display.__module__, [name for name in ("get_ipython", "exit", "quit", "input", "open") if hasattr(builtins, name)]],
    "main": [__name__, __doc__, shell._orig_sys_modules_main_name],
    "threads": sorted(each.name for each in threading.enumerate() if not each.name.startswith("Thread-")),
    "logging": [[kind(each) for each in logging.getLogger(name).handlers] for name in (None, "tornado", app.log.name)],
    "interrupts": str(signal.getsignal(signal.SIGINT)), "collects": [gc.isenabled(), gc.get_threshold()],
    "profile": sorted(os.listdir(app.profile_dir.location)) + sorted(os.listdir(app.profile_dir.startup_dir)),
    "zygote": [name for name in shell._sys_modules_keys if "zygote" in name],
}, sort_keys=True, default=str))
"""


async def test_ipython_is_the_same_in_both(host: Host):
    """A zygote makes most of it before the fork."""
    life = zygote_of(host)._life
    assert life is not None
    assert life.unprepared == ""  # see workbench_zygote/prepared.py if IPython is a new one

    forked = json.loads(await printed(host, SHELL_PORTRAIT))
    other = await started_host(host.config.data_dir.parent / "other", forks=False)
    started = json.loads(await printed(other, SHELL_PORTRAIT))
    await other.stop()

    assert forked == started


async def test_forks_are_told_apart(host: Host):
    code = "k = get_ipython().kernel; print(k.ident, k.session.session, k.session.key, k.shell.displayhook.topic)"
    first = await printed(host, code)
    second = await printed(host, code, identifier="other")

    assert not set(first.split()) & set(second.split())


CONFIGURED = """
import os
where = os.environ["IPYTHONDIR"] + "/profile_default"
os.makedirs(where + "/startup")
open(where + "/ipython_kernel_config.py", "w").write("c.InteractiveShell.ast_node_interactivity = 'all'")
open(where + "/startup/first.py", "w").write("began = 'began'")
"""


async def test_a_profile_with_a_configuration_is_obeyed(host: Host):
    """What is made before the fork cannot know of it: such a kernel is started, where it is."""
    variables = {"IPYTHONDIR": "/mnt/data/.ipython"}
    await host.open_session(**NAMED, origin="test", environment=variables)
    await printed(host, CONFIGURED)
    await host.restart(**NAMED)

    code = "import os; print(get_ipython().ast_node_interactivity, began, os.getcwd(), os.getpid())"
    seen = await printed(host, code)
    kernel = host._sessions.find(None, "s")._slot.running()

    assert seen == "all began /mnt/data 2"
    assert isinstance(kernel._manager.provisioner.process, ForkedProcess)
    other = await started_host(host.config.data_dir.parent / "other", forks=False)
    started = await printed(
        other, SELF_PORTRAIT.replace("SOCKETS", repr(str(other.config.run_dir)))
    )
    await other.stop()
    own = SELF_PORTRAIT.replace("SOCKETS", repr(str(host.config.run_dir)))
    found = json.loads(await printed(host, own))
    found["environment"].pop("IPYTHONDIR")
    expected = json.loads(started)
    expected["environment"].pop("IPYTHONDIR")
    assert found == expected


async def test_startup_files_run(host: Host):
    variables = {"PYTHONSTARTUP": "/mnt/data/startup.py"}
    await host.open_session(**NAMED, origin="test", environment=variables)
    await printed(host, "open('startup.py', 'w').write('began = 1')")
    await host.restart(**NAMED)

    assert await printed(host, "print(began)") == "1"


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


async def test_questions_input_and_the_debugger_work_in_it(host: Host):
    asking = asyncio.create_task(run(host, "print(input('who? '))", allow_input=True))
    await event_of_type(host, "input_request")
    meanwhile = await host.complete(**NAMED, code="impor", cursor=5)
    await host.answer_input(**NAMED, text="Ada")
    said = fold((await asking)["events"]).stdout
    kernel = host._sessions.find(None, "s")._slot.running()
    debugger = {"type": "request", "seq": 1, "command": "initialize", "arguments": {}}
    reply = await kernel._request("control", "debug_request", debugger)
    debugger = {"type": "request", "seq": 2, "command": "debugInfo"}
    told = await kernel._request("control", "debug_request", debugger)

    assert said == "Ada\n"
    assert "import" in meanwhile["matches"]
    assert reply["success"] is True
    assert told["body"]["isStarted"] is True


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
