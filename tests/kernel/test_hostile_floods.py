"""Code that takes more than its share is stopped, told why, and nobody else notices.

The bombs have nets of their own: where a limit is missing they stop before the machine suffers,
say so, and the test fails.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from sessions.outcomes import fold
from tests.hostility import ATTACKER, SMALL, Siege, besieged
from tests.hosts import descendants, run

pytestmark = [pytest.mark.kernel, pytest.mark.asyncio(loop_scope="module")]

NAMED = {"owner_id": None, "identifier": ATTACKER}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def siege(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Siege]:
    async with besieged(tmp_path_factory.mktemp("floods"), forks=True, limits=SMALL) as siege:
        yield siege


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def _one_attacker_after_the_other(siege: Siege) -> AsyncIterator[None]:
    yield
    await siege.close_attacker()


# --- Processes, threads and processors --------------------------------------------------------

FORKS = """
import os, signal, sys
top = os.getpid()
for _ in range(9):  # each of them forks as well: 512, were there no wall
    try:
        if os.fork() == 0:
            signal.alarm(20)
    except OSError:
        pass
if os.getpid() != top:
    signal.pause()
    os._exit(0)
print("forked")
"""


@pytest.mark.parametrize("door", ["kernel", "command"])
async def test_a_fork_bomb_stays_small_and_ends_with_a_restart(siege: Siege, door: str) -> None:
    await run(siege.host, "1", identifier=ATTACKER)
    before = len(descendants(os.getpid()))

    attack = asyncio.create_task(siege.bomb(FORKS, door))
    most = 0
    while not attack.done():
        most = max(most, len(descendants(os.getpid())) - before)
        await asyncio.wait({attack}, timeout=0.05)
    await attack
    async with asyncio.timeout(20):
        await siege.host.restart(**NAMED)

    assert most <= SMALL.processes + 8
    assert len(descendants(os.getpid())) <= before + 8
    await siege.assert_usable()


async def test_a_thread_bomb_stays_small(siege: Siege) -> None:
    code = """
import threading
end = threading.Event()
threads = []
try:
    for _ in range(400):
        threads.append(threading.Thread(target=end.wait, args=(20,)))
        threads[-1].start()
    print("no wall")
finally:
    end.set()
"""
    result = await siege.bomb(code)

    assert result["state"] == "failed"
    assert fold(result["events"]).error["ename"] == "RuntimeError"
    await siege.assert_usable()


async def test_busy_processes_leave_the_neighbour_its_turn(siege: Siege) -> None:
    code = """
import os, signal, time
for _ in range(40):
    if os.fork() == 0:
        signal.alarm(4)
        while True:
            pass
time.sleep(3)
"""
    result = await siege.bomb(code)  # what it asks of the neighbour meanwhile is the test

    assert result["state"] == "succeeded"
    await siege.assert_usable()


async def test_descriptors_run_out_for_the_bomb_alone(siege: Siege) -> None:
    code = """
held = []
while len(held) < 3000:
    held.append(open("/dev/null"))
print("no wall")
"""
    result = await siege.bomb(code)
    async with asyncio.timeout(50):
        # A kernel without descriptors may die, or say nothing more until its time is up.
        await run(siege.host, "1", identifier=ATTACKER, timeout_seconds=5)
        await siege.host.restart(**NAMED)

    assert result["state"] == "failed"
    await siege.assert_usable()


# --- Memory -----------------------------------------------------------------------------------

ALLOCATES = """
held = []
for _ in range(48):  # 768 MiB
    held.append(bytearray(b"x") * (16 * 1024 * 1024))
print("no wall")
"""
IN_CHILDREN = """
import os, time
children = []
for _ in range(6):
    child = os.fork()
    if child == 0:
        held = bytearray(b"x") * (100 * 1024 * 1024)
        time.sleep(2)
        os._exit(0)
    children.append(child)
codes = [os.waitpid(child, 0)[1] for child in children]
print("stopped" if any(codes) else "no wall")
"""
IN_FILES = """
try:
    for number in range(12):
        with open(f"{place}/bomb-{number}", "wb") as file:
            for _ in range(31):
                file.write(bytes(1024 * 1024))
    print("no wall")
except OSError as error:
    print("stopped", error.errno)
"""
IN_ANONYMOUS_FILES = """
import os
held = []
for number in range(24):
    held.append(os.memfd_create("bomb"))
    for _ in range(31):
        os.write(held[-1], bytes(1024 * 1024))
print("no wall")
"""


@pytest.mark.parametrize("door", ["kernel", "command"])
@pytest.mark.parametrize("code", [ALLOCATES, IN_ANONYMOUS_FILES], ids=["memory", "memfd"])
async def test_who_uses_too_much_memory_is_ended_and_told_so(
    siege: Siege, code: str, door: str
) -> None:
    result = await siege.bomb(code, door)

    assert result["state"] == "failed"
    assert "memory" in result["reason"]
    assert "256 MiB" in result["reason"]
    await siege.assert_usable()


async def test_children_share_the_memory_of_their_session(siege: Siege) -> None:
    result = await siege.bomb(IN_CHILDREN)

    assert result["state"] in {"succeeded", "failed"}  # the system chooses whom it ends
    assert result["state"] == "succeeded" or "memory" in result["reason"]
    await siege.assert_usable()


@pytest.mark.parametrize("place", ["/tmp", "/dev/shm", "/dev"])
async def test_files_in_memory_are_limited(siege: Siege, place: str) -> None:
    result = await siege.bomb(f"place = {place!r}\n{IN_FILES}")

    assert result["state"] == "succeeded" or "memory" in result["reason"]
    await siege.assert_usable()


# --- The disk ---------------------------------------------------------------------------------

ONE_FILE = """
try:
    with open("large", "wb") as file:
        for _ in range(100):
            file.write(bytes(1024 * 1024))
    print("no wall")
finally:
    import os
    os.remove("large")
"""
SPARSE = (
    "import os; os.truncate(os.open('sparse', os.O_CREAT | os.O_RDWR), 2 ** 40); print('no wall')"
)
MANY_FILES = """
import time
for number in range(200):
    with open(f"{place}/many-{number}", "wb") as file:
        file.write(bytes(1024 * 1024))
time.sleep(12)
print("no wall")
"""
FILES_WITHOUT_NAMES = """
import os, time
held = []
for number in range(8):
    held.append(os.open("gone", os.O_CREAT | os.O_RDWR))
    os.unlink("gone")
    for _ in range(31):
        os.write(held[-1], bytes(1024 * 1024))
time.sleep(12)
print("no wall")
"""
SOCKETS = """
from ipykernel.kernelapp import IPKernelApp
import os
place = os.path.dirname(IPKernelApp.instance().abs_connection_file)
"""


@pytest.mark.parametrize("code", [ONE_FILE, SPARSE], ids=["large", "sparse"])
async def test_a_single_file_is_limited(siege: Siege, code: str) -> None:
    result = await siege.bomb(code)

    assert result["state"] == "failed"
    assert fold(result["events"]).error["ename"] == "OSError"
    await siege.assert_usable()


@pytest.mark.parametrize(
    "code",
    [f"place = '.'\n{MANY_FILES}", FILES_WITHOUT_NAMES, f"{SOCKETS}\n{MANY_FILES}"],
    ids=["many", "deleted", "beside the sockets"],
)
async def test_who_fills_the_disk_is_interrupted_and_told_so(siege: Siege, code: str) -> None:
    result = await siege.bomb(code)

    assert result["state"] == "failed"
    assert "64 MiB" in result["reason"] or "space" in str(fold(result["events"]).error)
    # Whose workspace is full must be able to make room.
    await run(
        siege.host,
        "import glob, os; [os.remove(f) for f in glob.glob('many-*')]",
        identifier=ATTACKER,
    )
    await siege.assert_usable()


async def test_a_command_that_fills_the_disk_is_ended_and_told_so(siege: Siege) -> None:
    result = await siege.bomb(f"place = '.'\n{MANY_FILES}", "command")

    assert result["state"] == "failed"
    assert "64 MiB" in result["reason"]
    await siege.assert_usable()
