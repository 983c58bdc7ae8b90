"""Code that reaches for the server, for other sessions and for the machine gets nothing."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from sessions.outcomes import fold
from tests.hostility import (
    ATTACKER,
    DOORS,
    Siege,
    assert_refused,
    besieged,
    needs_x86_64,
    processes_with,
)
from tests.hosts import ROOT, run

# Kernels that a zygote forks, and what bubblewrap starts.
through_every_door = pytest.mark.parametrize(
    ("siege", "door"),
    [("forked", "kernel"), *(("spawned", door) for door in DOORS)],
    indirect=["siege"],
)
of_both_kinds = pytest.mark.parametrize("siege", ["forked", "spawned"], indirect=True)
# Ordinary users' sessions share that user, each in a user namespace: there is nothing to compare.
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root gives sessions users of their own")
pytestmark = [pytest.mark.kernel, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def siege(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Siege]:
    forks = request.param == "forked"
    async with besieged(tmp_path_factory.mktemp("reach"), forks=forks) as siege:
        yield siege
        await siege.check()


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def _one_attacker_after_the_other(siege: Siege) -> AsyncIterator[None]:
    yield
    await siege.close_attacker()


def neighbours_sockets(siege: Siege) -> list[str]:
    """Called while the neighbour is alone, or its sockets could be the attacker's."""
    return [str(path) for path in siege.host.config.run_dir.rglob("*") if path.is_socket()]


@through_every_door
async def test_nothing_outside_can_be_seen_or_touched(siege: Siege, door: str) -> None:
    sockets = neighbours_sockets(siege)
    (neighbours_sleep,) = processes_with(siege.sleep)
    run_dir = siege.host.config.run_dir
    data_dir = siege.host.config.data_dir

    found = await siege.outcomes(
        "reach",
        door,
        secrets=[
            siege.secret,
            siege.sleep,
            siege.neighbour_id,
            siege.neighbour_id.replace("-", "")[:12],
        ],
        paths=[
            f"{data_dir}/sessions/{siege.neighbour_id}",
            f"{data_dir}/sessions",
            *{str(Path(path).parent) for path in sockets},
            f"{ROOT}/manage.py",
            f"{ROOT}/sessions",
            f"{Path.home()}/.bashrc",
            f"{Path.home()}/.ssh",
        ],
        sockets=sockets,
        readable=[f"{ROOT}/.venv-kernels/bin", f"{ROOT}/.venv-kernels/pyvenv.cfg"],
        own=[str(run_dir)],
        is_root=os.getuid() == 0,
        pids=[os.getpid(), neighbours_sleep],
    )

    assert sockets
    assert_refused(found)
    assert processes_with(siege.sleep) == [neighbours_sleep]


@through_every_door
async def test_no_socket_leads_anywhere(siege: Siege, door: str) -> None:
    abstract = f"workbench-{uuid4().hex}"
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        socket.socket(socket.AF_UNIX) as unnamed,
    ):
        port = tcp.getsockname()[1]
        udp.bind(("0.0.0.0", port))
        udp.settimeout(0)
        unnamed.bind("\0" + abstract)
        unnamed.listen()

        found = await siege.outcomes(
            "network", door, port=port, address=address_of_machine(), abstract=abstract
        )

        with pytest.raises(BlockingIOError):
            udp.recv(100)
    assert_refused(found)


@needs_x86_64
@through_every_door
async def test_no_right_can_be_got(siege: Siege, door: str) -> None:
    found = await siege.outcomes("privileges", door, is_root=os.getuid() == 0)

    assert_refused(found)


@as_root
@of_both_kinds
async def test_sessions_have_users_of_their_own(siege: Siege) -> None:
    """What one user may hold on the machine (processes, pipes, watches) is then each one's own."""
    sleep = f"123456.{uuid4().int % 10**9:09}"
    code = f"import subprocess; child = subprocess.Popen(['sleep', '{sleep}'])"
    await run(siege.host, code, identifier=ATTACKER)

    users = [os.stat(f"/proc/{processes_with(each)[0]}").st_uid for each in (siege.sleep, sleep)]

    assert 0 not in users
    assert len(set(users)) == 2


@as_root
@of_both_kinds
async def test_a_hoard_of_one_session_takes_nothing_from_the_next(siege: Siege) -> None:
    """Watches, pipes and signals are counted for a user, not for a process."""
    hoard = """
import ctypes, fcntl, os
watches, pipes = [], []
libc = ctypes.CDLL(None)
while len(watches) < 300 and (watch := libc.inotify_init()) >= 0:
    watches.append(watch)
try:
    while len(pipes) < 200:
        pipes.append(os.pipe())
        fcntl.fcntl(pipes[-1][0], 1031, 1024 * 1024)
except OSError as error:
    print(error)
"""
    need = """
import ctypes, fcntl, os
reader, writer = os.pipe()
ctypes.CDLL(None).inotify_init() >= 0, fcntl.fcntl(reader, 1032)
"""
    result = await siege.attack(hoard)
    others = await run(siege.host, need, identifier="third")
    await siege.host.close_session(owner_id=None, identifier="third")

    assert result["state"] == "succeeded", fold(result["events"]).error
    assert fold(others["events"]).result == {"text/plain": "(True, 65536)"}


def address_of_machine() -> str:
    """The machine's own address, as others would call it; loopback if it has no other."""
    try:
        return socket.gethostbyname(socket.gethostname())
    except OSError:
        return "127.0.0.1"
