"""Output without end is cut, and fills neither the host's memory nor its neighbours' time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from sessions.kernels.workspace import workspace_path
from sessions.outcomes import fold
from tests.hostility import ATTACKER, MIB, SMALL, Siege, besieged, rss_bytes
from tests.hosts import run

pytestmark = [pytest.mark.kernel, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def siege(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Siege]:
    async with besieged(tmp_path_factory.mktemp("output"), forks=True, limits=SMALL) as siege:
        yield siege


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def _one_attacker_after_the_other(siege: Siege) -> AsyncIterator[None]:
    yield
    await siege.close_attacker()


LINES = """
print("\\n".join(map(str, range(900_000))))
for number in range(100_000):
    print(number)
"""
# Each is more than the session's memory, if it is kept.
ONE_LINE = "import sys\nfor _ in range(500): _ = sys.stdout.write('x' * 1024 * 1024)"
AT_ONCE = "print('x' * 50_000_000)"
DISPLAYS = """
from IPython.display import display
for number in range(500):
    display({"text/plain": "x" * 1024 * 1024}, raw=True)
"""
UPDATES = """
from IPython.display import display
handle = display(0, display_id=True)
for number in range(5_000):
    handle.update(number)
"""
BOTH = "import sys\nfor _ in range(20_000): print('out'); print('err', file=sys.stderr)"


@pytest.mark.parametrize(
    "code",
    [LINES, ONE_LINE, AT_ONCE, DISPLAYS, UPDATES, BOTH],
    ids=["lines", "line", "at once", "displays", "updates", "both"],
)
async def test_an_output_bomb_is_cut_and_the_code_goes_on(siege: Siege, code: str) -> None:
    before = rss_bytes()
    result = await siege.bomb(code)

    assert result["state"] == "succeeded", result["reason"]
    assert len(fold(result["events"]).stdout) <= siege.host.config.max_output_bytes
    assert rss_bytes() - before < 200 * MIB
    await siege.assert_usable()


async def test_a_display_of_too_many_parts_is_left_out(siege: Siege) -> None:
    parts = "{'application/json': [0] * 1_000_000}"
    result = await siege.attack(f"for _ in range(10): get_ipython().display_pub.publish({parts})")

    assert result["state"] == "succeeded", result["reason"]
    dropped = [each["data"] for each in result["events"] if each["type"] == "truncated"]
    assert len(dropped) == 10
    assert all(each["dropped_bytes"] > 2_000_000 for each in dropped)


# Says so when its output has not moved for a while; all of it would not fit into the memory.
UNREAD = """
import threading, time
def watch():
    before = None
    while count != before:
        before = count
        time.sleep(0.5)
    open("waits", "w").close()
count = 0
threading.Thread(target=watch).start()
for count in range(500):
    PUT_OUT
"""


@pytest.mark.parametrize(
    "put_out",
    [
        "print('x' * 1024 * 1024)",
        "for _ in range(1024): print('x' * 1024)",
        "get_ipython().display_pub.publish({'text/plain': 'x' * 1024 * 1024})",
    ],
    ids=["line", "lines", "displays"],
)
async def test_code_waits_while_its_output_is_not_read(siege: Siege, put_out: str) -> None:
    first = await run(siege.host, "1", identifier=ATTACKER)
    workspace = workspace_path(siege.host.config.data_dir, first["session_id"])
    siege.recorder.flow.close()
    code = UNREAD.replace("PUT_OUT", put_out)
    attack = asyncio.create_task(run(siege.host, code, identifier=ATTACKER))
    while not (workspace / "waits").exists():
        assert not attack.done(), attack.result()["reason"]
        await asyncio.sleep(0.01)
    siege.recorder.flow.open()
    result = await attack

    assert result["state"] == "succeeded", result["reason"]
    await siege.assert_usable()


# What it has put out is on its way for a moment.
LAST_WORDS = """
import os, sys, time
for number in range(100): get_ipython().display_pub.publish({'text/plain': str(number)})
sys.stdout.flush()
time.sleep(0.3)
os._exit(1)
"""


async def test_what_a_kernel_said_before_its_death_is_recorded(
    siege: Siege, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sessions.kernels.kernel.LAST_WORDS_SECONDS", 60.0)
    await run(siege.host, "1", identifier=ATTACKER)
    session = siege.host._sessions.find(None, ATTACKER)
    siege.recorder.flow.close()
    attack = asyncio.create_task(run(siege.host, LAST_WORDS, identifier=ATTACKER))
    while session.process_ids:
        await asyncio.sleep(0.01)
    siege.recorder.flow.open()
    result = await attack

    assert result["state"] == "failed"
    shown = [each for each in result["events"] if each["type"] == "display_data"]
    assert [each["data"]["data"]["text/plain"] for each in shown] == list(map(str, range(100)))


@pytest.mark.parametrize("command", [["yes"], ["cat", "/dev/zero"]], ids=["yes", "zeros"])
async def test_a_program_without_end_is_ended_by_its_timeout(
    siege: Siege, command: list[str]
) -> None:
    before = rss_bytes()
    result = await siege.attack("", kind="command", command=command, timeout_seconds=2)

    assert result["state"] == "timed_out"
    assert rss_bytes() - before < 200 * MIB
    await siege.assert_usable()


async def test_a_flood_of_messages_does_not_fill_the_hosts_memory(siege: Siege) -> None:
    """They need no signature to be received, and are sent faster than signatures are checked."""
    code = """
from ipykernel.kernelapp import IPKernelApp
import time
app = IPKernelApp.instance()
socket = getattr(app.iopub_socket, "_socket", app.iopub_socket)
socket = getattr(app.iopub_thread, "socket", socket)
junk = bytes(1024 * 1024)
for _ in range(1000):
    time.sleep(0.001)  # so that they wait at the host, not here
    socket.send_multipart([b"x", b"<IDS|MSG>", b"0" * 64, junk, b"{}", b"{}", b"{}"])
"""
    before, most = rss_bytes(), 0
    attack = asyncio.create_task(siege.bomb(code))
    while not attack.done():
        most = max(most, rss_bytes() - before)
        await asyncio.wait({attack}, timeout=0.02)
    await attack

    assert most < 300 * MIB
    await siege.assert_usable()
