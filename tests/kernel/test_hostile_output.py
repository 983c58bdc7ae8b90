"""Output without end is cut, and fills neither the host's memory nor its neighbours' time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from sessions.outcomes import fold
from tests.hostility import MIB, SMALL, Siege, besieged, rss_bytes

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
ONE_LINE = "import sys\nfor _ in range(100): _ = sys.stdout.write('x' * 1024 * 1024)"
UPDATES = """
from IPython.display import display
handle = display(0, display_id=True)
for number in range(5_000):
    handle.update(number)
"""
BOTH = "import sys\nfor _ in range(20_000): print('out'); print('err', file=sys.stderr)"


@pytest.mark.parametrize(
    "code", [LINES, ONE_LINE, UPDATES, BOTH], ids=["lines", "line", "updates", "both"]
)
async def test_an_output_bomb_is_cut_and_the_code_goes_on(siege: Siege, code: str) -> None:
    before = rss_bytes()
    result = await siege.bomb(code)

    # A kernel that talks faster than it is heard keeps what it says in its own memory.
    assert result["state"] == "succeeded" or "memory" in result["reason"]
    assert len(fold(result["events"]).stdout) <= siege.host.config.max_output_bytes
    assert rss_bytes() - before < 200 * MIB
    await siege.assert_usable()


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
