"""Code that takes more than its share is stopped, told why, and nobody else notices.

The bombs have nets of their own: where a limit is missing they stop before the machine suffers,
say so, and the test fails.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
import pytest_asyncio

from sessions.exceptions import WorkspaceFull
from sessions.kernels.workspace import Workspace, workspace_path
from sessions.outcomes import fold
from sessions.states import SessionState
from tests.hostility import ATTACKER, MIB, SMALL, Siege, besieged
from tests.hosts import descendants, run, run_arguments

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
EMPTY_ONES = """
import os, time
for made in range(2_000):
    open(f"file-{made}", "w").close()
    os.symlink("x" * 50, f"link-{made}")
    os.mkdir(f"directory-{made}")
time.sleep(50)
print("no wall")
"""
# What is allocated takes room without being written.
ALLOCATES_FILES = """
import os
for number in range(3):
    file = os.open(f"file-{number}", os.O_CREAT | os.O_RDWR)
    os.posix_fallocate(file, 0, 30 * 1024 * 1024)
    os.close(file)
"""
STAYS = """
import subprocess, sys
code = '''
import os, time
for number in range(1024):
    file = os.open(f"slow-{number}", os.O_CREAT | os.O_RDWR)
    os.posix_fallocate(file, 0, 1024 * 1024)
    os.close(file)
    time.sleep(0.05)
'''
subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
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
    await make_room(siege, result["session_id"])
    await siege.assert_usable()


async def test_a_command_that_fills_the_disk_is_ended_and_told_so(siege: Siege) -> None:
    result = await siege.bomb(f"place = '.'\n{MANY_FILES}", "command")

    assert result["state"] == "failed"
    assert "64 MiB" in result["reason"]
    await make_room(siege, result["session_id"])
    await siege.assert_usable()


async def test_empty_files_fill_the_disk_as_well(siege: Siege) -> None:
    await siege.host.open_session(
        **NAMED, origin="test", policy={"limits": {"workspace_bytes": 8 * MIB}}
    )
    result = await siege.bomb(EMPTY_ONES)

    assert result["state"] == "failed"
    assert "8 MiB" in result["reason"]


async def test_with_too_many_files_nothing_runs_until_some_are_deleted(siege: Siege) -> None:
    first = await siege.attack(f"mark = 'kept'\n{ALLOCATES_FILES}")
    why = await refusal(siege)
    with pytest.raises(WorkspaceFull):
        await run(siege.host, "", **NAMED, kind="command", command=["true"])
    workspace_of(siege, first["session_id"]).delete("file-0")

    again = await run(siege.host, "print(mark)", **NAMED)

    assert why == (
        "The session keeps 90 MiB of files, more than its 64 MiB. Delete some, then run code again."
    )
    assert fold(again["events"]).stdout == "kept\n", "it loses nothing but its files"


async def test_what_waits_behind_what_fills_the_disk_does_not_run(siege: Siege) -> None:
    code = f"{ALLOCATES_FILES}\nimport time\ntime.sleep(50)"
    first = await siege.host.submit(**run_arguments(code, **NAMED))
    behind = await run(siege.host, "print('ran')", **NAMED)
    before = siege.recorder.executions[UUID(first["id"])]

    assert before.state == "failed"
    assert "more than 64 MiB" in before.reason
    assert behind["state"] == "failed"
    assert behind["reason"].endswith("Delete some, then run code again.")
    assert fold(behind["events"]).stdout == ""


async def test_a_daemon_fills_no_disk_while_its_kernel_idles(siege: Siege) -> None:
    result = await siege.attack(STAYS)
    session = siege.host._sessions.find(None, ATTACKER)
    async with asyncio.timeout(60):
        while session.record.state != SessionState.DIED:
            await asyncio.sleep(0.05)
    size = workspace_of(siege, result["session_id"]).size_bytes()
    why = await refusal(siege)
    await make_room(siege, result["session_id"])
    await siege.assert_usable()

    assert size < 1024 * MIB, "it wrote all that it wanted"
    assert "more than its 64 MiB" in why


async def refusal(siege: Siege) -> str:
    """Why the attacker's session runs nothing, as soon as it does not."""
    async with asyncio.timeout(60):
        while True:
            try:
                await run(siege.host, "", **NAMED)
            except WorkspaceFull as error:
                return error.message
            await asyncio.sleep(0.05)


async def make_room(siege: Siege, session_id: str) -> None:
    """Delete the session's files, as its users can whatever state it is in."""
    workspace = workspace_of(siege, session_id)
    for entry in await asyncio.to_thread(workspace.entries):
        await asyncio.to_thread(workspace.delete, entry.path, recursive=True)


def workspace_of(siege: Siege, session_id: str) -> Workspace:
    return Workspace(workspace_path(siege.host.config.data_dir, UUID(session_id)), max_bytes=None)
