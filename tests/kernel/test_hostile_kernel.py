"""A kernel that dies oddly, lies, or ends halfway: a named state, a sentence, and the next run."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from sessions.outcomes import fold
from tests.hostility import ATTACKER, ATTACKS, Siege, besieged
from tests.hosts import descendants, run

pytestmark = [pytest.mark.kernel, pytest.mark.asyncio(loop_scope="module")]

NAMED = {"owner_id": None, "identifier": ATTACKER}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def siege(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Siege]:
    async with besieged(tmp_path_factory.mktemp("kernel"), forks=True) as siege:
        yield siege


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def _one_attacker_after_the_other(siege: Siege) -> AsyncIterator[None]:
    yield
    await siege.close_attacker()


@pytest.fixture(autouse=True)
def _little_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sessions.kernels.runs.INTERRUPT_GRACE_SECONDS", 0.5)


async def assert_usable(siege: Siege) -> None:
    """The session goes on, and its kernel is one process that says what it is asked."""
    async with asyncio.timeout(30):
        first = await run(siege.host, "import os; print(os.getpid())", identifier=ATTACKER)
        again = await run(siege.host, "import os; print(os.getpid())", identifier=ATTACKER)
    assert first["state"] == again["state"] == "succeeded", first["reason"]
    assert fold(first["events"]).stdout == fold(again["events"]).stdout != ""


# --- Ends -------------------------------------------------------------------------------------

DEATHS = {
    "segfault": "import ctypes; ctypes.string_at(0)",
    "abort": "import os; os.abort()",
    "recursion": """
import sys
sys.setrecursionlimit(10 ** 9)
def deeper(_): return list(map(deeper, [0]))
deeper(0)
""",
    "own group": "import os; os.killpg(0, 9)",
    "illegal": "import os, signal; os.kill(os.getpid(), signal.SIGILL)",
}


async def test_every_death_has_a_sentence_and_leaves_no_core(siege: Siege) -> None:
    for name, code in DEATHS.items():
        result = await siege.attack(code, timeout_seconds=30)

        assert result["state"] == "failed", name
        assert result["reason"].startswith("The kernel was ended by signal"), name
    left = await run(siege.host, "import os; print(os.listdir('.'))", identifier=ATTACKER)
    assert fold(left["events"]).stdout == "[]\n"
    await assert_usable(siege)


# Each says when it obeys no more.
STOPS = {
    # What it has printed is on its way for a moment.
    "stopped": """
import os, signal, time
print('ready', flush=True)
time.sleep(0.3)
os.kill(os.getpid(), signal.SIGSTOP)
""",
    "all stopped": """
import os, signal, subprocess, time
subprocess.Popen(["sleep", "60"])
print('ready', flush=True)
time.sleep(0.3)
os.kill(-1, signal.SIGSTOP); os.kill(os.getpid(), signal.SIGSTOP)
""",
    "deaf": """
import signal, time
for each in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}: signal.signal(each, signal.SIG_IGN)
print('ready', flush=True)
time.sleep(60)
""",
    "stubborn": """
import time
while True:
    try: print('ready', flush=True); time.sleep(60)
    except KeyboardInterrupt: print('no')
""",
}


def any_is_stopped(siege: Siege) -> bool:
    """Whether one of the attacker's processes was stopped by a signal."""
    (first,) = siege.host._sessions.find(None, ATTACKER).process_ids
    statuses = [Path(f"/proc/{pid}/status") for pid in descendants(first)]
    return any("State:\tT" in status.read_text() for status in statuses if status.exists())


@pytest.mark.parametrize("name", STOPS)
async def test_what_does_not_obey_an_interrupt_is_replaced(siege: Siege, name: str) -> None:
    await run(siege.host, "1", identifier=ATTACKER)
    since = len(siege.host.recorder.events)
    running = asyncio.create_task(siege.attack(STOPS[name]))
    await siege.event("stream", since=since, text="ready")
    async with asyncio.timeout(30):
        while "stopped" in name and not any_is_stopped(siege):
            await asyncio.sleep(0.01)
        await siege.host.interrupt(**NAMED)
        result = await running

    assert result["state"] == "interrupted"
    assert "restarted" in result["reason"]
    await assert_usable(siege)


@pytest.mark.parametrize(
    "command",
    [
        ["sh", "-c", "kill -STOP $$"],
        ["sh", "-c", "trap '' INT TERM HUP; sleep 60 & wait; sleep 60"],
    ],
    ids=["stopped", "deaf"],
)
async def test_a_program_that_does_not_obey_is_ended(siege: Siege, command: list[str]) -> None:
    async with asyncio.timeout(20):
        result = await siege.attack("", kind="command", command=command, timeout_seconds=1)

    assert result["state"] == "timed_out"
    await assert_usable(siege)


TWINS = {
    "fork": "import os; child = os.fork(); print('forked')",
    "fork in a thread": """
import os, threading
threading.Thread(target=os.fork).start()
print('forked')
""",
    "parent gone": "import os\nif os.fork(): os._exit(0)\nprint('forked')",
}


@pytest.mark.parametrize("name", TWINS)
async def test_a_kernel_of_two_processes_is_one_or_none(siege: Siege, name: str) -> None:
    result = await siege.attack(TWINS[name], timeout_seconds=5)

    assert result["state"] in {"succeeded", "failed", "timed_out"}
    assert result["state"] != "failed" or result["reason"]
    await assert_usable(siege)


async def test_a_kernel_without_its_standard_streams_goes_on(siege: Siege) -> None:
    code = """
import os, sys
sys.stdin.close() if sys.stdin else None
for number in (0, 1, 2): os.close(number)
sys.stdin = sys.__stdin__ = sys.__stdout__ = sys.__stderr__ = None
sys.stdout = sys.stderr = object()
1 / 0
"""
    async with asyncio.timeout(60):
        result = await siege.attack(code, timeout_seconds=5)
        after = await run(siege.host, "1", identifier=ATTACKER, timeout_seconds=5)
        await siege.host.restart(**NAMED)

    assert result["state"] == "failed"
    assert after["state"] in {"succeeded", "failed", "timed_out"}
    await assert_usable(siege)


@pytest.mark.parametrize(
    "code",
    [
        "get_ipython().kernel.do_execute = lambda *a, **k: None",
        "import builtins; builtins.exec = builtins.compile = None",
        "import zmq; zmq.Context.instance().destroy(0)",
        "import asyncio; asyncio.get_running_loop().stop()",
        "import sys; sys.modules.clear()",
    ],
)
async def test_a_kernel_that_breaks_itself_can_be_restarted(siege: Siege, code: str) -> None:
    async with asyncio.timeout(60):
        broken = await siege.attack(code, timeout_seconds=1)
        after = await run(siege.host, "1", identifier=ATTACKER, timeout_seconds=1)
        await siege.host.restart(**NAMED)

    for result in (broken, after):
        assert result["state"] in {"succeeded", "failed", "timed_out"}
    await assert_usable(siege)


# --- Messages ---------------------------------------------------------------------------------


async def test_forged_messages_harm_nobody(siege: Siege) -> None:
    code = (ATTACKS / "forge.py").read_text()

    result = await siege.attack(code, allow_input=True, timeout_seconds=60)

    assert result["state"] == "succeeded", fold(result["events"]).error
    assert fold(result["events"]).stdout.endswith("forged\n")
    asked = [event for event in result["events"] if event["type"] == "input_request"]
    assert len(asked) <= 1
    await assert_usable(siege)


async def test_an_end_before_the_end_confuses_only_its_own_session(siege: Siege) -> None:
    code = """
from ipykernel.kernelapp import IPKernelApp
import time
app = IPKernelApp.instance()
parent = app.kernel.get_parent("shell")
app.session.send(app.shell_socket, "execute_reply", {"status": "ok", "execution_count": 1},
                 parent=parent, ident=app.session.bsession)
app.session.send(app.iopub_socket, "status", {"execution_state": "idle"}, parent=parent)
time.sleep(1)
print("late")
"""
    early = await siege.attack(code)
    async with asyncio.timeout(30):
        after = await run(siege.host, "print('after')", identifier=ATTACKER)

    assert early["state"] == "succeeded"
    assert fold(after["events"]).stdout == "after\n"
    await assert_usable(siege)


CLOSES_ITS_SOCKETS = """
import gc, glob, json, os, socket, threading, zmq
from ipykernel.kernelapp import IPKernelApp
info = json.load(open(IPKernelApp.instance().abs_connection_file))
paths = [f"{info['ip']}-{info[name]}" for name in ("shell_port", "iopub_port", "stdin_port", "control_port")]
for each in [o for o in gc.get_objects() if isinstance(o, zmq.Socket)]:
    each.close(0)
for path in paths:
    if os.path.lexists(path): os.unlink(path)
"""
SPEAKS_GARBAGE = """
def serve(path, greeting):
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()
    while True:
        client, _ = server.accept()
        try:
            client.sendall(greeting)
            while True: client.sendall(os.urandom(65536))
        except OSError:
            pass
zmtp = b"\\xff" + bytes(8) + b"\\x7f\\x03\\x01" + b"NULL".ljust(20, b"\\0") + bytes(32)
huge = zmtp + b"\\x02" + (2 ** 63 - 1).to_bytes(8, "big")
for path, greeting in zip(paths, (b"", zmtp, huge, b"\\0" * 100)):
    threading.Thread(target=serve, args=(path, greeting), daemon=True).start()
import time; time.sleep(60)
"""


async def test_garbage_where_the_kernels_sockets_were_harms_nobody(siege: Siege) -> None:
    async with asyncio.timeout(60):
        result = await siege.attack(CLOSES_ITS_SOCKETS + SPEAKS_GARBAGE, timeout_seconds=2)

    assert result["state"] in {"timed_out", "failed"}
    await assert_usable(siege)


HANDS_OVER = """
import array, os, socket, struct
with socket.create_server(("127.0.0.1", 0)) as listener:
    ours = socket.create_connection(listener.getsockname())
    theirs, _ = listener.accept()
refused, tried = [], 0
try:
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 30))
except PermissionError:
    refused.append("linger")
ours.setblocking(False)
try:
    while True: ours.send(bytes(65536))
except BlockingIOError:
    pass
for number in list(map(int, os.listdir("/proc/self/fd"))):
    try:
        each = socket.socket(fileno=os.dup(number))
    except OSError:
        continue
    if each.family != socket.AF_UNIX or not each.getsockname(): continue
    who = each.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 4)
    if int.from_bytes(who, "little") != 0: continue  # its own: the host's process is not seen here
    tried += 1
    handed_over = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [ours.fileno()]))]
    try:
        each.sendmsg([b"\x04"], handed_over)
    except PermissionError:
        refused.append("send")
if refused.count("send") == tried:  # or it would have to wait itself
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes(8))
ours.close()
print(tried, *refused)
"""


async def test_nobody_waits_for_a_descriptor_that_was_sent_to_the_host(siege: Siege) -> None:
    """Who reads a message closes what came with it, however long that takes."""
    result = await siege.attack(HANDS_OVER)

    tried, *refused = fold(result["events"]).stdout.split()
    assert int(tried) >= 4
    assert refused == ["send"] * int(tried) or "linger" in refused
    await assert_usable(siege)


@contextlib.contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        server.settimeout(0)
        yield server


async def test_the_host_is_not_led_to_other_sockets(siege: Siege) -> None:
    """The host connects where the kernel's sockets are, with more rights than the kernel has."""
    victim = siege.directory / "victim"
    code = f"""{CLOSES_ITS_SOCKETS}
for path in paths: os.symlink({str(victim)!r}, path)
import time; time.sleep(60)
"""
    with listening(victim) as server:
        async with asyncio.timeout(60):
            result = await siege.attack(code, timeout_seconds=2)
        reached = []
        with contextlib.suppress(BlockingIOError):
            reached.append(server.accept()[0])
    for connection in reached:
        connection.close()

    assert not reached
    assert result["state"] in {"timed_out", "failed"}
    await assert_usable(siege)


async def test_a_prompt_of_a_dead_kernel_cannot_be_answered(siege: Siege) -> None:
    code = """
import os, threading
threading.Timer(0.5, os._exit, (3,)).start()
input("? ")
"""
    await run(siege.host, "1", identifier=ATTACKER)
    since = len(siege.host.recorder.events)
    running = asyncio.create_task(siege.attack(code, allow_input=True))
    await siege.event("input_request", since=since)

    assert (await running)["reason"] == "The kernel exited with code 3."
    await assert_usable(siege)
