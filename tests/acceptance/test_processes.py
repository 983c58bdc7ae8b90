"""The server's processes: what their deaths, ends and absences mean for those who use it."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from sessions.engines.lifetime import has_ended
from tests.running import ROOT, RunningServer, children_of, command_of, free_port, http

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]

DEADLINE_SECONDS = 60.0
PROMPT_SECONDS = 20.0  # within which a caller learns that the host has gone
CROWD = 30  # sessions that sleep at once
COUNT_SLOWLY = (
    "import time\nkept = 41\nfor i in range(40):\n    print(i, flush=True)\n    time.sleep(0.1)"
)

ASK_INLINE = """
import asyncio
from sessions.engines import engine
async def ask():
    try:
        print(await engine().call("health"))
    except Exception as error:
        print(f"{type(error).__name__}: {error}")
asyncio.run(ask())
"""

T = TypeVar("T")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    """A server of the test's own."""
    data_dir = tmp_path / "server"
    data_dir.mkdir()
    with RunningServer(data_dir) as running:
        yield running


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server of the module's, for tests that leave it as it was."""
    with RunningServer(tmp_path_factory.mktemp("shared")) as running:
        yield running


# --- Helpers -----------------------------------------------------------------------------------


def eventually(look: Callable[[], T], seconds: float = DEADLINE_SECONDS) -> T:
    """The first true thing that ``look`` returns. A server that is away counts as false."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if found := look():
                return found
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)


def post(server: RunningServer, identifier: str, body: dict[str, Any], **headers: str) -> Any:
    """Run something."""
    return http.post(
        f"{server.url}/executions",
        params={"identifier": identifier},
        json=body,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        timeout=DEADLINE_SECONDS,
    )


def value_of(server: RunningServer, identifier: str, code: str) -> Any:
    """The value of some code."""
    response = post(server, identifier, {"code": code})
    assert response.is_success, response.text
    return response.json()["result"]["executionResult"]


def execution(server: RunningServer, identifier: str, id_: str) -> Any:
    """What is known of an execution."""
    query = {"identifier": identifier}
    address = f"{server.url}/executions/{id_}"
    return http.get(address, params=query, timeout=DEADLINE_SECONDS).json()


def is_up(url: str) -> bool:
    """Whether code can be run."""
    return http.get(f"{url}/healthz", timeout=5).status_code == 200


def run_command(server: RunningServer, *arguments: str, **settings: str) -> tuple[int, str]:
    """A management command's exit code, and all it said."""
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=server.environment | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=DEADLINE_SECONDS,
    )
    return done.returncode, done.stdout


class Process:
    """One process of the machine, not to be mistaken for a later one with its number."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        self._started = self._fields()[19]

    def lives(self) -> bool:
        """False for zombies as well: who adopts orphans may never ask after them."""
        try:
            fields = self._fields()
        except (FileNotFoundError, ProcessLookupError):
            return False
        return fields[19] == self._started and fields[0] not in "ZX"

    def _fields(self) -> list[str]:
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()


def descendants(pid: int) -> list[Process]:
    """A process and all below it."""
    found, pending = [], [pid]
    while pending:
        each = pending.pop()
        try:
            found.append(Process(each))
            for thread in Path(f"/proc/{each}/task").iterdir():
                pending += map(int, (thread / "children").read_text().split())
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def forked_children(pid: int) -> set[int]:
    """The children of a process that a zygote has forked."""
    return {each for each in children_of(pid) if "workbench_zygote" in command_of(each)}


def nothing_lives(processes: list[Process]) -> None:
    """Fail if any of them outlives the others for long."""
    eventually(lambda: not any(each.lives() for each in processes))


# --- Deaths ------------------------------------------------------------------------------------


def test_code_outlives_the_web_process(server: RunningServer) -> None:
    """The web process is killed and replaced; the execution ends as if nothing had happened."""
    submitted = post(server, "s", {"code": COUNT_SLOWLY, "executionType": "Asynchronous"}).json()
    web = Process(server.child("web"))
    os.kill(web.pid, signal.SIGKILL)
    nothing_lives([web])
    eventually(lambda: is_up(server.url))
    assert server.child("web") != web.pid
    body = eventually(
        lambda: (found := execution(server, "s", submitted["id"]))["status"] != "Running" and found
    )

    assert body["status"] == "Succeeded"
    assert body["result"]["stdout"] == "".join(f"{number}\n" for number in range(40))
    assert value_of(server, "s", "kept + 1") == 42


def test_death_of_the_host_is_told_and_mended(server: RunningServer) -> None:
    """Waiting callers learn of it at once; sessions stay, with files and without variables."""
    assert value_of(server, "s", "kept = 41; open('note', 'w').write('kept'); kept") == 41
    host = server.child("host")
    below = descendants(host)
    assert any("bwrap" in each.command for each in below)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(
            post, server, "s", {"code": "import time; time.sleep(60)"}, operation_id="cut-short"
        )
        eventually(lambda: execution(server, "s", "cut-short").get("status") == "Running")
        killed = time.monotonic()
        os.kill(host, signal.SIGKILL)
        response = waiting.result(PROMPT_SECONDS)

    assert time.monotonic() - killed < PROMPT_SECONDS
    assert response.status_code == 503
    assert response.headers["x-ms-error-code"] == "ServiceUnavailable"
    assert response.json()["error"]["code"] == "ServiceUnavailable"
    assert response.json()["error"]["message"]
    nothing_lives(below)

    eventually(lambda: is_up(server.url))
    assert server.child("host") != host
    lost = execution(server, "s", "cut-short")
    assert lost["status"] == "Failed"
    assert lost["result"]["stderr"].startswith("Execution aborted\n")
    assert server.manage("workbench", "audit").wait(DEADLINE_SECONDS) == 0
    audit = [line for line in server.log.read_text().splitlines() if '"outcome": "lost"' in line]
    (entry,) = map(json.loads, audit)
    told = (entry["identifier"], entry["address"], entry["door"])
    assert told == ("s", "127.0.0.1", "azure")
    assert value_of(server, "s", "'kept' in globals()") is False
    assert value_of(server, "s", "open('note').read()") == "kept"


def test_all_ends_with_a_killed_supervisor(server: RunningServer) -> None:
    """Nothing of it holds the port or the data directory: the next one takes over at once."""
    assert server.process is not None
    assert value_of(server, "s", "1") == 1
    processes = descendants(server.process.pid)
    assert len(processes) > 3

    server.process.kill()
    server.process.wait()
    with server:
        # The first one's web process may have answered that all is well.
        eventually(lambda: server.log.read_text().count("Workbench runs at") == 2)
        nothing_lives(processes)
        assert value_of(server, "s", "1") == 1


def test_orphans_are_adopted_and_reaped(server: RunningServer) -> None:
    """A forked kernel's first process is nobody's child; where process 1 waits for nobody …"""
    supervisor = server.process
    assert supervisor is not None
    orphans = eventually(lambda: forked_children(supervisor.pid), seconds=60)

    os.kill(server.child("host"), signal.SIGKILL)

    eventually(lambda: not orphans & children_of(supervisor.pid))
    eventually(lambda: is_up(server.url))


# --- Ends --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "signum", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda signum: signum.name
)
def test_nothing_is_left_after_a_signal(server: RunningServer, signum: signal.Signals) -> None:
    """All processes end with the supervisor, which calls that a success; history and files stay."""
    assert server.process is not None
    code = "open('note', 'w').write('kept'); print('old times')"
    done = post(server, "s", {"code": code}, operation_id="old-times")
    assert done.json()["status"] == "Succeeded"
    post(server, "s", {"code": "while True: pass", "executionType": "Asynchronous"})
    processes = descendants(server.process.pid)
    assert any("bwrap" in each.command for each in processes)

    server.process.send_signal(signum)
    assert server.process.wait(DEADLINE_SECONDS) == 0
    nothing_lives(processes)
    with RunningServer(server.data_dir) as again:
        known = execution(again, "s", "old-times")
        assert (known["status"], known["result"]["stdout"]) == ("Succeeded", "old times\n")
        assert value_of(again, "s", "open('note').read()") == "kept"


def test_stop_and_status(server: RunningServer) -> None:
    """They say what runs, and end it: kernels, host and web process."""
    assert server.process is not None
    assert value_of(server, "s", "1") == 1
    host, processes = server.child("host"), descendants(server.process.pid)

    assert run_command(server, "workbench", "status") == (
        0,
        f"The kernel host runs (process {host}).\n",
    )
    assert run_command(server, "workbench", "stop")[0] == 0
    assert server.process.wait(DEADLINE_SECONDS) == 0
    nothing_lives(processes)
    code, said = run_command(server, "workbench", "status")
    assert (code, said.startswith("CommandError: No kernel host runs.")) == (1, True)
    assert run_command(server, "workbench", "stop") == (0, "No kernel host runs.\n")


# --- Two of a kind -----------------------------------------------------------------------------


def test_taken_port_is_said_in_one_sentence(shared: RunningServer, tmp_path: Path) -> None:
    """A second server says what is wrong, and how to mend it, and leaves nothing behind."""
    other = {"WORKBENCH_DATA_DIR": str(tmp_path / "other")}
    code, said = run_command(shared, "workbench", **other)

    sentence = (
        f"127.0.0.1:{shared.port} is already used by another program. "
        "Stop it, or choose another port."
    )
    assert code == 1
    assert "Traceback" not in said
    assert [line for line in said.splitlines() if not line.startswith("==>")] == [sentence]
    assert run_command(shared, "workbench", "status", **other)[0] == 1
    assert value_of(shared, "s", "1") == 1


def test_a_data_directory_has_one_server(shared: RunningServer) -> None:
    """A second one says where the first is, at whatever port, and the first does not notice."""
    assert shared.process is not None
    assert value_of(shared, "s", "kept = 41; kept") == 41

    for settings in ({}, {"WORKBENCH_PORT": str(free_port())}):
        assert run_command(shared, "workbench", **settings) == (
            1,
            f"CommandError: A workbench serves this data directory already at {shared.url}/workbench/ "
            f"(process {shared.process.pid}). End it with: python manage.py workbench stop; "
            "or start another with a WORKBENCH_DATA_DIR and a WORKBENCH_PORT of its own.\n",
        )
    assert value_of(shared, "s", "kept + 1") == 42


def test_a_data_directory_has_one_host(shared: RunningServer) -> None:
    """A second host refuses to start, also one inside a script; the first does not notice."""
    assert value_of(shared, "s", "kept = 41; kept") == 41
    sentence = (
        f"A kernel host (process {shared.child('host')}) runs for this data directory already. "
        "End it with: python manage.py workbench stop"
    )

    assert run_command(shared, "workbench", "host") == (1, f"CommandError: {sentence}\n")
    _, said = run_command(shared, "shell", "-c", ASK_INLINE, WORKBENCH_ENGINE="inline")
    assert said.splitlines()[-1] == f"HostUnavailable: {sentence}."
    assert value_of(shared, "s", "kept + 1") == 42


def test_a_host_without_a_database_says_what_to_do(tmp_path: Path) -> None:
    code, said = run_command(RunningServer(tmp_path), "workbench", "host")

    assert (code, said.startswith("CommandError: The database cannot be used")) == (1, True)
    assert "python manage.py migrate" in said


# --- Descriptors -------------------------------------------------------------------------------


GIVEN = 900  # the soft limit of open files with which a server is started


def may_open(pid: int) -> list[int]:
    """How many files a process may open, and how many it could allow itself."""
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    line = next(line for line in lines if line.startswith("Max open files"))
    return [int(word) for word in line.split()[3:5]]


@pytest.fixture
def little() -> Iterator[None]:
    """What is started meanwhile may open fewer files than it could ask for."""
    usual, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (GIVEN, most))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (usual, most))


def test_the_host_may_open_more_than_what_it_starts(little: None, tmp_path: Path) -> None:
    """Sessions without a limit of their own have the one that the server was started with."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with RunningServer(tmp_path, WORKBENCH_SESSION_OPEN_FILES="none") as server:
        supervisor = server.process
        assert supervisor is not None
        host = server.child("host")
        eventually(lambda: forked_children(supervisor.pid), seconds=60)
        code = "import resource\nresource.getrlimit(resource.RLIMIT_NOFILE)[0]"

        assert value_of(server, "s", code) == GIVEN
        assert may_open(host) == [most, most]
        zygotes = [pid for pid in children_of(host) if command_of(pid).startswith("bwrap")]
        assert zygotes
        for pid in [*zygotes, *forked_children(supervisor.pid)]:
            assert may_open(pid) == [GIVEN, most]


# --- Without a supervisor ----------------------------------------------------------------------


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[RunningServer]:
    """daphne alone, as anybody would start it, in front of an empty database."""
    data_dir = tmp_path / "bare"
    data_dir.mkdir()
    server = RunningServer(data_dir)
    assert run_command(server, "migrate", "-v0") == (0, "")
    daphne = [sys.executable, "-m", "daphne", "-b", "127.0.0.1", "-p", str(server.port)]
    with server.log.open("ab") as log:
        process = subprocess.Popen(
            [*daphne, "workbench.asgi:application"],
            cwd=ROOT,
            env=server.environment,
            stdout=log,
            stderr=log,
        )
    try:
        eventually(lambda: http.get(f"{server.url}/healthz").status_code)
        yield server
    finally:
        process.terminate()
        process.wait(DEADLINE_SECONDS)


def test_daphne_alone_waits_for_a_host(bare: RunningServer) -> None:
    """It says how to start one, in each face's words, and then works with no restart."""
    health = http.get(f"{bare.url}/healthz")
    refused = post(bare, "s", {"code": "1"})

    sentence = "The kernel host does not answer. Start it with: python manage.py workbench."
    assert (health.status_code, health.json()["status"]) == (503, sentence)
    assert refused.status_code == 503
    assert refused.json() == {"error": {"code": "ServiceUnavailable", "message": sentence}}
    with a_host(bare):
        assert value_of(bare, "s", "6 * 7") == 42
    assert post(bare, "s", {"code": "1"}).status_code == 503


def test_a_host_alone_adopts_and_reaps_orphans(bare: RunningServer) -> None:
    """Nobody waits for a forked kernel's first process, so that the host does."""
    with a_host(bare) as host:
        orphan = eventually(lambda: forked_children(host), seconds=60).pop()

        os.kill(orphan, signal.SIGKILL)

        eventually(lambda: orphan not in children_of(host), seconds=60)
        assert value_of(bare, "s", "6 * 7") == 42


def test_stop_ends_a_host_alone(bare: RunningServer) -> None:
    """There is no supervisor to be told; daphne goes on."""
    with a_host(bare) as host:
        assert run_command(bare, "workbench", "stop")[0] == 0
        assert has_ended(host)
    assert http.get(f"{bare.url}/healthz").status_code == 503


@contextmanager
def a_host(server: RunningServer) -> Iterator[int]:
    """A host by itself, once it answers; its process id."""
    host = server.manage("workbench", "host")
    try:
        eventually(lambda: is_up(server.url))
        yield host.pid
    finally:
        host.terminate()
        assert host.wait(DEADLINE_SECONDS) == 0


# --- A crowd -----------------------------------------------------------------------------------


async def test_a_crowd_is_served_at_once(shared: RunningServer) -> None:
    """Requests that wait hold up nobody: each gets its own answer, long before its turn."""
    code = "import time; print(N); began = time.time(); time.sleep(2); [began, time.time()]"
    async with httpx.AsyncClient(timeout=90, trust_env=False) as client:

        async def run(number: int) -> Any:
            return await client.post(
                f"{shared.url}/executions",
                params={"identifier": f"crowd-{number}"},
                json={"code": code.replace("N", str(number))},
            )

        responses = await asyncio.gather(*map(run, range(CROWD)))

    assert {response.status_code for response in responses} == {200}
    results = [response.json()["result"] for response in responses]
    assert [result["stdout"] for result in results] == [f"{number}\n" for number in range(CROWD)]
    slept = [json.loads(result["executionResult"]) for result in results]
    at_once = max(sum(began <= at < ended for began, ended in slept) for at, _ in slept)
    assert at_once > 3  # on however busy a machine; one after the other it would be 1
