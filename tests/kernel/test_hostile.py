"""A kernel may send anything, and a client may ask for anything: nobody waits for ever."""

from __future__ import annotations

import asyncio
import json
import os

import pytest

from sessions.exceptions import InvalidValue, KernelspecNotFound
from sessions.kernels import channels
from sessions.outcomes import fold
from tests.hosts import (
    NAMED,
    ROOT,
    descendants,
    event_of_type,
    newcomers,
    run,
    started_host,
)

pytestmark = pytest.mark.kernel

LATE = """
import threading, time
def late():
    time.sleep(0.5)
    print({text}, end='', flush=True)
threading.Thread(target=late).start()
"""


async def test_a_kernels_name_is_no_path(host, tmp_path):
    spec = tmp_path / "spec"
    spec.mkdir()
    argv = ["python", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (spec / "kernel.json").write_text(
        json.dumps({"argv": argv, "display_name": "x", "language": "python"})
    )

    for name in (f"../../../../../../../../../../..{spec}", str(spec), ".", "..", "a/b", "x" * 101):
        with pytest.raises(KernelspecNotFound):
            await host.open_session(**NAMED, origin="test", kernel_name=name)


@pytest.mark.parametrize("code", ["a\ud800", "a\0b"])
async def test_code_that_is_no_text_is_refused(host, code):
    with pytest.raises(InvalidValue):
        await run(host, code)
    with pytest.raises(InvalidValue):
        await run(host, "1", client_id=code)
    assert (await run(host, "1"))["state"] == "succeeded"


@pytest.mark.parametrize("seconds", [-1, 10**18])
async def test_bad_idle_timeouts_open_nothing(host, seconds):
    with pytest.raises(InvalidValue):
        await host.open_session(**NAMED, origin="test", idle_timeout_seconds=seconds)


async def test_late_output_after_a_truncated_execution_is_recorded(tmp_path):
    host = await started_host(tmp_path, max_output_bytes=1000)
    try:
        result = await run(host, LATE.format(text="'late'") + "print('x' * 5000)")
        after = host.recorder.events[-1]["number"]
        event = await event_of_type(host, "stream", after=after)
    finally:
        await host.stop()

    assert result["state"] == "succeeded"
    assert event["data"]["text"] == "late"


async def test_late_output_is_limited_too(tmp_path):
    host = await started_host(tmp_path, max_output_bytes=1000)
    try:
        await run(host, LATE.format(text="'x' * 5000"))
        event = await event_of_type(host, "truncated")
    finally:
        await host.stop()

    assert event["data"]["dropped_bytes"] == 5000 - 500


async def test_output_of_nobody_is_limited(tmp_path):
    code = """
from ipykernel.kernelapp import IPKernelApp
app = IPKernelApp.instance()
for _ in range(100):
    app.session.send(app.iopub_socket, "stream", content={"name": "stdout", "text": "x" * 1000})
"""
    host = await started_host(tmp_path, max_output_bytes=10_000)
    try:
        result = await run(host, code)
        recorded = [e for e in host.recorder.events if e["type"] == "stream"]
    finally:
        await host.stop()

    assert result["state"] == "succeeded"
    assert sum(len(event["data"]["text"]) for event in recorded) <= 10_000


async def test_a_flood_of_one_session_does_not_stop_the_others(host):
    flood = "from IPython.display import display\nfor _ in range(30_000): display(1)"
    flooding = asyncio.create_task(run(host, flood))
    await event_of_type(host, "display_data")

    other = await run(host, "1", identifier="t")

    assert other["state"] == "succeeded"
    assert not flooding.done()
    await host.interrupt(**NAMED)
    await flooding


async def test_forged_prompts_ask_nothing(host):
    code = """
from ipykernel.kernelapp import IPKernelApp
app = IPKernelApp.instance()
for parent in ({}, app.kernel.get_parent("shell")):
    app.session.send(app.stdin_socket, "input_request", {"prompt": "?"}, parent=parent,
                     ident=app.session.bsession)
import time; time.sleep(0.2)
"""
    await run(host, code)

    assert not [e for e in host.recorder.events if e["type"] == "input_request"]


async def test_large_integers_and_odd_counts_end_as_json_everybody_reads(host):
    code = """
get_ipython().execution_count = 2 ** 70
from IPython.display import publish_display_data
publish_display_data({"application/json": {"n": 2 ** 70}})
"""
    result = await run(host, code)

    shown = next(e for e in result["events"] if e["type"] == "display_data")["data"]["data"]
    assert shown["application/json"]["n"] == float(2**70)
    assert result["execution_count"] is None


LARGE = "from IPython.display import display; display({'text/plain': 'x' * 3 * 2**20}, raw=True)"
CLOSED = """
import gc, zmq
for socket in [o for o in gc.get_objects() if isinstance(o, zmq.Socket)]:
    socket.close(0)
"""


@pytest.mark.parametrize("code", [LARGE, CLOSED], ids=["too large", "closed"])
async def test_a_kernel_whose_connection_is_cut_is_ended_and_told_so(host, monkeypatch, code):
    for channel in channels.MAX_BYTES:
        monkeypatch.setitem(channels.MAX_BYTES, channel, 2 * 2**20)
    monkeypatch.setattr("sessions.kernels.kernel.LOST_SECONDS", 0.5)

    async with asyncio.timeout(60):
        result = await run(host, f"{code}\nimport time; time.sleep(600)")
        after = await run(host, "print('next')")

    assert result["state"] == "failed"
    assert result["reason"].startswith("The kernel sent a message of more than 2 MiB, or closed")
    assert after["state"] == "succeeded"


async def test_a_kernel_that_closes_its_sockets_can_be_interrupted(host, monkeypatch):
    monkeypatch.setattr("sessions.kernels.runs.INTERRUPT_GRACE_SECONDS", 0.5)
    result = await run(host, CLOSED, timeout_seconds=2)

    assert result["state"] in {"timed_out", "failed"}
    assert (await run(host, "1"))["state"] == "succeeded"


async def test_kernels_and_commands_inherit_no_descriptor_of_the_server(host):
    inherited = os.open("/etc/hostname", os.O_RDONLY)
    os.set_inheritable(inherited, True)  # noqa: FBT003 - their signature
    code = "import os; print(*(os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd') if os.path.lexists(f'/proc/self/fd/{n}')), sep='\\n')"
    try:
        kernel = fold((await run(host, code))["events"]).stdout
        command = fold(
            (await run(host, "", kind="command", command=["ls", "-l", "/proc/self/fd"]))["events"]
        ).stdout
    finally:
        os.close(inherited)

    for seen in (kernel, command):
        assert "hostname" not in seen
        assert "host.lock" not in seen
        assert "memfd" not in seen
        assert "sqlite" not in seen


async def test_the_walls_are_no_part_of_the_command_line(host):
    await run(host, "1")

    lines = descendants(os.getpid()).values()

    assert any("ipykernel_launcher" in line for line in lines)
    assert not [line for line in lines if "--ro-bind" in line]


async def test_a_kernelspec_that_wants_interrupts_as_messages_gets_them(tmp_path):
    prefix = tmp_path / "prefix"
    spec = prefix / "share/jupyter/kernels/by-message"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text(
        json.dumps(
            {
                "argv": [
                    str(ROOT / ".venv-kernels/bin/python"),
                    *("-m", "ipykernel_launcher", "-f", "{connection_file}"),
                ],
                "display_name": "by message",
                "language": "python",
                "interrupt_mode": "message",
            }
        )
    )
    host = await started_host(tmp_path, prefixes=(ROOT / ".venv-kernels", prefix))
    try:
        await host.open_session(**NAMED, origin="test", kernel_name="by-message")
        await run(host, "kept = 1")
        running = asyncio.create_task(run(host, "import time; time.sleep(60)"))
        await event_of_type(host, "execution_started", after=host.recorder.events[-1]["number"])
        await host.interrupt(**NAMED)
        state = (await running)["state"]
        kept = fold((await run(host, "kept"))["events"]).result
    finally:
        await host.stop()

    assert (state, kept) == ("interrupted", {"text/plain": "1"})


@pytest.fixture
async def open_host(tmp_path, before):
    """A host without walls, for machines that cannot make them."""
    host = await started_host(tmp_path, contained=False)
    yield host
    await host.stop()
    assert not newcomers(before)


async def test_without_walls_code_runs_in_the_workspace_with_private_state(open_host, tmp_path):
    code = "import os; print(os.getcwd(), os.environ['HOME'], os.environ['XDG_CACHE_HOME'])"

    cwd, home, cache = fold((await run(open_host, code))["events"]).stdout.split()

    assert cwd == home
    assert cache.startswith(str(tmp_path))
    assert not cache.startswith(cwd)


async def test_without_walls_an_interrupt_reaches_the_code(open_host):
    await run(open_host, "kept = 1")
    running = asyncio.create_task(run(open_host, "import time; time.sleep(60)"))
    await event_of_type(
        open_host, "execution_started", after=open_host.recorder.events[-1]["number"]
    )
    await open_host.interrupt(**NAMED)

    assert (await running)["state"] == "interrupted"
    assert fold((await run(open_host, "kept"))["events"]).result == {"text/plain": "1"}


async def test_without_walls_a_commands_children_end_with_its_timeout(open_host):
    async with asyncio.timeout(20):
        result = await run(
            open_host, "", kind="command", command=["sh", "-c", "sleep 60 & exit 0"],
            timeout_seconds=1,
        )  # fmt: skip

    assert result["state"] == "timed_out"
