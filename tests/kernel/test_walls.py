"""The walls round programs that bubblewrap starts: who they are, what they see and may use.

As root, once with a user of their own and once in a user namespace; always as the user who runs
the tests; and, as root, also as an ordinary user who runs a server would have it.
"""

from __future__ import annotations

import json
import os
import pickle
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from sessions.kernels.cgroups import ControlGroup, ControlGroups
from sessions.kernels.command import RunningCommand
from sessions.kernels.descriptors import USUAL
from sessions.kernels.flow import Flow
from sessions.kernels.identities import Identities
from sessions.kernels.limits import Limits
from sessions.kernels.sandbox import Sandbox
from sessions.kernels.specs import KernelSpecs
from tests.hosts import ROOT, descendants, needs_walls

pytestmark = [pytest.mark.kernel, needs_walls]

MIB = 1024**2
ORDINARY = 12345  # nobody's number
PREFIX = ROOT / ".venv-kernels"
PYTHON = str(PREFIX / "bin/python")
# Started as an ordinary user: the sandbox comes as it is, what the program said goes back.
AS_ORDINARY = """
import pickle, subprocess, sys
sandbox, argv = pickle.load(sys.stdin.buffer)
with sandbox.launch(argv) as (started, descriptors):
    done = subprocess.run(started, env=sandbox.environment(), pass_fds=descriptors,
                          cwd=sandbox.workspace, stdin=subprocess.DEVNULL, capture_output=True)
pickle.dump((done.returncode, done.stdout, done.stderr), sys.stdout.buffer)
"""


@dataclass
class Inside:
    """Runs programs inside one sandbox."""

    sandbox: Sandbox
    user: int | None = None  # who starts them; None: us
    interpreter: str = PYTHON

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        if self.user is not None:
            return self._run_as_user(argv)
        with self.sandbox.launch(list(argv)) as (started, descriptors):
            return subprocess.run(
                started,
                env=self.sandbox.environment(),
                pass_fds=descriptors,
                cwd=self.sandbox.workspace,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=50,
            )

    def says(self, *argv: str) -> str:
        done = self.run(*argv)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def shell(self, script: str) -> str:
        return self.says("bash", "-c", script)

    def python(self, code: str) -> Any:
        """What a program in the kernels' Python says, as JSON."""
        return json.loads(self.says(self.interpreter, "-c", f"import json, os, sys\n{code}"))

    def _run_as_user(self, argv: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        assert self.user is not None
        done = subprocess.run(
            [*_as_user(self.user), sys.executable, "-B", "-c", AS_ORDINARY],
            input=pickle.dumps((self.sandbox, list(argv))),
            cwd=ROOT,
            capture_output=True,
            timeout=50,
            check=True,
        )
        code, out, err = pickle.loads(done.stdout)
        return subprocess.CompletedProcess(argv, code, out.decode(), err.decode())


@pytest.fixture
def make_inside() -> Iterator[Callable[..., Inside]]:
    """Makes sandboxes with a workspace, as one of three kinds."""
    # Not tmp_path: nobody but us may enter that.
    directory = Path(tempfile.mkdtemp(prefix="workbench-walls-"))
    directory.chmod(0o755)
    identities: list[Identities] = []

    def make(kind: str, **more: Any) -> Inside:
        uid = user = None
        if kind == "own user":
            identities.append(_identities())
            uid = identities[0].allocate()
        elif kind == "ordinary user":
            user = _ordinary_user()
        workspace = directory / str(len(list(directory.iterdir())))
        workspace.mkdir(mode=0o700)
        if uid or user:
            os.chown(workspace, uid or user, uid or user)
        # An ordinary user may not be allowed to read the environment of these tests.
        readable = () if user else KernelSpecs((PREFIX,)).readable("python3")
        sandbox = Sandbox(workspace=workspace, sockets=None, readable=readable, uid=uid, **more)
        return Inside(sandbox, user, "/usr/bin/python3" if user else PYTHON)

    yield make
    for each in identities:
        each.close()
    shutil.rmtree(directory)


@pytest.fixture(params=["own user", "namespace", "ordinary user"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def group(tmp_path: Path) -> Iterator[ControlGroup]:
    groups = ControlGroups.find(tmp_path)
    made = groups.create("s", Limits(memory_bytes=200 * MIB, processes=64))
    if made is None or not (made.limits_memory and made.limits_processes):
        # Nothing can install them: ordinary users and many containers have none they may write.
        pytest.skip(groups.sentence)
    yield made
    groups.close()


def _identities() -> Identities:
    found = Identities.find()
    if found is None:
        pytest.skip("sessions cannot have users of their own here")
    return found


def _ordinary_user() -> int:
    if os.geteuid() != 0:
        pytest.skip("we are no root who could become somebody else: we are ordinary ourselves")
    look = [*_as_user(ORDINARY), sys.executable, "-B", "-c", "import sessions.kernels.sandbox"]
    if subprocess.run(look, cwd=ROOT, capture_output=True, check=False).returncode:
        pytest.skip("other users cannot read this checkout and its Python")
    return ORDINARY


def _as_user(user: int) -> list[str]:
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--inh-caps=-all"]


# --- Who they are -----------------------------------------------------------------------------


def test_programs_have_no_privileges_and_get_none(kind, make_inside):
    said = make_inside(kind).shell("cat /proc/self/status")

    status = dict(line.split(":\t", 1) for line in said.splitlines() if ":\t" in line)
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[name], 16) == 0
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


def test_programs_run_as_the_sessions_user(make_inside):
    inside = make_inside("own user")
    uid = str(inside.sandbox.uid)

    assert inside.shell("id -u; id -g; id -G; whoami; echo ~").split() == [
        *(uid, uid, uid),
        *("work", "/home/work"),
    ]


def test_the_first_process_belongs_to_somebody_else(make_inside):
    inside = make_inside("own user")

    answers = inside.python(
        "def tried(what, *arguments):\n"
        "    try: what(*arguments)\n"
        "    except OSError as error: return error.errno\n"
        "    return 0\n"
        "print(json.dumps([os.stat('/proc/1').st_uid, tried(os.kill, 1, 9),"
        " tried(open, '/proc/1/environ'), tried(os.listdir, '/proc/1/root')]))"
    )

    assert answers == [0, 1, 13, 13]


def test_the_machines_accounts_are_not_seen(make_inside):
    for kind in ("own user", "ordinary user"):
        accounts = make_inside(kind).shell("cut -d: -f1 /etc/passwd /etc/group").split()

        assert sorted(set(accounts)) == ["root", "work"]


def test_setuid_programs_give_nothing(kind, make_inside):
    done = make_inside(kind).run("bash", "-c", "su -c id </dev/null || mount -t tmpfs x /mnt/data")

    assert done.returncode != 0
    assert "uid=0" not in done.stdout


# --- What they see ----------------------------------------------------------------------------


def test_only_the_workspace_and_memory_can_be_written(kind, make_inside):
    script = """
for place in / /usr /etc /dev /proc/sys/kernel /sys /mnt /home /root /mnt/data /home/work /tmp \\
             /tmp/.state /dev/shm; do
    (echo x >"$place/probe") 2>/dev/null && echo "$place"
done; true
"""
    assert make_inside(kind).shell(script).split() == [
        *("/mnt/data", "/home/work"),
        *("/tmp", "/tmp/.state", "/dev/shm"),
    ]


def test_a_prepared_files_directory_can_be_written_but_not_the_file(kind, make_inside, tmp_path):
    fonts = Path(tempfile.mkstemp()[1])
    fonts.chmod(0o644)
    inside = make_inside(kind, prepared=((fonts, "/tmp/.state/matplotlib/fonts.json"),))
    try:
        done = inside.run(
            "bash",
            "-c",
            "cd /tmp/.state/matplotlib && touch other && ! echo x 2>/dev/null >fonts.json",
        )
    finally:
        fonts.unlink()

    assert done.returncode == 0, done.stderr


def test_every_scratch_directory_has_its_size(kind, make_inside):
    inside = make_inside(kind, limits=Limits(tmp_bytes=2 * MIB))

    script = (
        "for place in /tmp /dev/shm; do head -c 9M /dev/zero >$place/x; stat -c %s $place/x; done"
    )

    assert all(int(size) <= 2 * MIB for size in inside.shell(f"({script}) 2>/dev/null").split())


def test_the_mounts_are_what_is_seen(make_inside):
    inside = make_inside("namespace")

    seen = {line.split()[1]: line for line in inside.shell("cat /proc/mounts").splitlines()}

    for mount in inside.sandbox.mounts():
        assert mount.target in seen
        assert seen[mount.target].split()[3].split(",")[0] == ("rw" if mount.writable else "ro")
    for scratch in inside.sandbox.scratch():
        assert seen[scratch.target].split()[2] == "tmpfs"


def test_variables_arrive_as_they_are(kind, make_inside):
    variables = {"A": 'it\'s "quoted" $HOME `id` \\ \n end', "PATH": "/mine:/usr/bin", "E": ""}
    inside = make_inside(kind, variables=variables)

    seen = inside.python("print(json.dumps(dict(os.environ)))")

    assert {name: seen[name] for name in variables} == variables
    assert not [name for name in seen if "WORKBENCH" in name]


def test_variables_of_a_session_are_obeyed_by_nothing_but_its_programs(make_inside):
    if shutil.which("gcc") is None:
        pytest.skip("there is no compiler")
    inside = make_inside("own user", variables={"LD_PRELOAD": "/mnt/data/spy.so"})
    source = (
        "#include <stdio.h>\n#include <unistd.h>\n"
        "__attribute__((constructor)) static void look(void) {\n"
        '    FILE *file = fopen("/mnt/data/seen", "a");\n'
        '    if (file) { fprintf(file, "%d\\n", getuid()); fclose(file); }\n}\n'
    )
    target = str(inside.sandbox.workspace / "spy.so")
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-x", "c", "-", "-o", target],
        input=source,
        text=True,
        check=True,
    )
    os.chmod(target, 0o755)
    inside.run("true")

    assert set((inside.sandbox.workspace / "seen").read_text().split()) == {str(inside.sandbox.uid)}


def test_a_program_starts_where_it_is_told(make_inside):
    for kind in ("own user", "namespace"):
        sandbox = make_inside(kind).sandbox
        with sandbox.launch(["pwd"], directory="/home/work") as (argv, descriptors):
            said = subprocess.check_output(argv, env=sandbox.environment(), pass_fds=descriptors)

        assert said == b"/home/work\n"


# --- What they may use ------------------------------------------------------------------------


def test_every_process_is_limited(kind, make_inside):
    limits = Limits(processes=40, open_files=100, file_bytes=MIB, memory_bytes=64 * MIB)
    inside = make_inside(kind, limits=limits)

    said = inside.python(
        "import resource\n"
        "names = ('CORE', 'NPROC', 'NOFILE', 'FSIZE', 'DATA')\n"
        "print(json.dumps([resource.getrlimit(getattr(resource, 'RLIMIT_' + n)) for n in names]))"
    )

    assert said[0] == [0, 0]
    assert said[2:] == [[100, 100], [MIB, MIB], [128 * MIB, 128 * MIB]]
    assert said[1] == [40, 40]


def test_without_a_limit_of_files_it_is_the_servers_usual_one(make_inside):
    """Whatever the host may open itself."""
    now = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (USUAL - 100, now[1]))
    try:
        said = make_inside("namespace").shell("ulimit -S -n; ulimit -H -n")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, now)

    assert said.split() == [str(USUAL), str(now[1])]


def test_a_session_gets_no_more_processes_than_it_may(make_inside):
    limits = Limits(processes=40)
    code = """
r, w = os.pipe()
count = 0
try:
    while count < 200:
        if os.fork() == 0:
            os.read(r, 1)
            os._exit(0)
        count += 1
except OSError:
    pass
print(count)
"""
    for kind in ("own user", "ordinary user"):
        said = make_inside(kind, limits=limits).says("/usr/bin/python3", "-c", f"import os{code}")

        assert 30 <= int(said) < 40


def test_a_file_does_not_grow_larger_than_it_may(kind, make_inside):
    limits = Limits(file_bytes=MIB)
    done = make_inside(kind, limits=limits).run("bash", "-c", "exec head -c 9M /dev/zero >big")

    assert done.returncode == 128 + signal.SIGXFSZ
    assert limits.why_it_ended(None, done.returncode)


@pytest.mark.parametrize("kind", ["own user", "namespace"])
def test_the_group_counts_from_the_first_process_on(kind, make_inside, group):
    inside = make_inside(kind, group=group)
    bomb = inside.run(PYTHON, "-c", f"bytearray({900 * MIB})")

    assert bomb.returncode == 128 + signal.SIGKILL
    assert group.oom_kills() == 1
    assert "workbench-" not in inside.says("cat", "/proc/self/cgroup")


def test_a_group_that_is_gone_starts_nothing(make_inside, group):
    inside = make_inside("namespace", group=group)
    group.remove()

    done = inside.run("true")

    assert (done.returncode, done.stdout) == (125, "")


def test_sessions_end_before_the_server_where_memory_is_short(kind, make_inside):
    own = int(Path("/proc/self/oom_score_adj").read_text())

    assert int(make_inside(kind).says("cat", "/proc/self/oom_score_adj")) > own


# --- What still works -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["own user", "namespace"])
def test_the_scientific_stack_works(kind, make_inside):
    code = """
import matplotlib
matplotlib.use("agg")
import matplotlib.pyplot as plt, numpy as np, pandas as pd
plt.plot([1, 2]); plt.savefig("figure.png")
frame = pd.DataFrame({"a": np.arange(1000)})
frame.to_csv("frame.csv")
print(json.dumps([int(pd.read_csv("frame.csv").a.sum()), float(np.linalg.det(np.eye(200)))]))
"""
    limits = Limits(processes=256, open_files=1024, memory_bytes=2048 * MIB, tmp_bytes=64 * MIB)

    assert make_inside(kind, limits=limits).python(code) == [499500, 1.0]


def test_processes_and_threads_of_python_work(kind, make_inside):
    code = """
import multiprocessing as mp, subprocess, threading
if __name__ == "__main__":
    results = []
    for how in ("fork", "spawn"):
        with mp.get_context(how).Pool(2) as pool:
            results.append(pool.map(abs, [-1, -2]))
    thread = threading.Thread(target=results.append, args=("thread",))
    thread.start(); thread.join()
    results.append(subprocess.check_output(["echo", "hi"], text=True))
    print(json.dumps(results))
"""
    inside = make_inside(kind, limits=Limits(processes=64))
    program = inside.sandbox.workspace / "program.py"
    program.write_text("import json\n" + code)
    program.chmod(0o644)

    said = json.loads(inside.says(inside.interpreter, "program.py"))

    assert said == [[1, 2], [1, 2], "thread", "hi\n"]


def test_compilers_and_sockets_work(kind, make_inside):
    if shutil.which("gcc") is None:
        pytest.skip("there is no compiler")
    script = """
cat >main.c <<'END'
#include <pthread.h>
#include <stdio.h>
static void *run(void *a) { puts("built"); return a; }
int main(void) { pthread_t t; pthread_create(&t, 0, run, 0); pthread_join(t, 0); return 0; }
END
gcc -pthread main.c -o main && ./main
"""
    inside = make_inside(kind)
    talk = (
        "import socket\n"
        "with socket.create_server(('127.0.0.1', 0)) as server:\n"
        "    socket.create_connection(server.getsockname()).close()\n"
        "print(json.dumps(socket.getaddrinfo('localhost', 80)[0][4][1]))"
    )

    assert inside.shell(script) == "built\n"
    assert inside.python(talk) == 80


# --- As commands ------------------------------------------------------------------------------


async def run_command(sandbox: Sandbox, *argv: str) -> tuple[int, str, RunningCommand]:
    parts: list[str] = []
    command = await RunningCommand.start(
        list(argv),
        sandbox=sandbox,
        environment=sandbox.environment(),
        stdin="",
        on_output=lambda _, text: parts.append(text),
        flow=Flow(),
    )
    return await command.ended, "".join(parts), command


@pytest.mark.parametrize("kind", ["own user", "namespace"])
async def test_a_command_that_does_not_exist_ends_as_in_a_shell(kind, make_inside):
    sandbox = make_inside(kind, variables={"A": "1"}, limits=Limits(processes=64)).sandbox

    code, said, _ = await run_command(sandbox, "no-such-program")

    assert code == 127
    assert "no-such-program" in said


@pytest.mark.parametrize("kind", ["own user", "namespace"])
async def test_a_command_that_used_too_much_memory_says_so(kind, make_inside, group):
    limits = Limits(memory_bytes=200 * MIB, processes=64)
    sandbox = make_inside(kind, group=group, limits=limits).sandbox

    code, _, command = await run_command(sandbox, PYTHON, "-c", f"bytearray({900 * MIB})")
    later, _, next_command = await run_command(sandbox, "sh", "-c", "kill -9 $$")

    assert command.why_it_ended(code).startswith("The session used more than its 200 MiB of memory")
    assert (later, next_command.why_it_ended(later)) == (-9, "")


@pytest.mark.parametrize("kind", ["own user", "namespace"])
async def test_a_command_of_another_user_is_ended_with_all_it_started(kind, make_inside, group):
    sandbox = make_inside(kind, group=group).sandbox
    script = (
        "trap '' TERM INT HUP; setsid sleep 1000 & (setsid sleep 1000 &); echo started; sleep 1000"
    )
    started: list[str] = []
    command = await RunningCommand.start(
        ["bash", "-c", script],
        sandbox=sandbox,
        environment=sandbox.environment(),
        stdin="",
        on_output=lambda _, text: (started.append(text), command.kill()),
        flow=Flow(),
    )

    code = await command.ended

    assert started == ["started\n"]
    assert code == -signal.SIGKILL
    assert group.processes() == []


@pytest.mark.parametrize("kind", ["own user", "namespace"])
async def test_a_command_can_be_interrupted_and_is_all_in_its_group(kind, make_inside, group):
    sandbox = make_inside(kind, group=group, variables={"A": "1"}).sandbox
    outside: set[int] = set()

    def look(_: str, text: str) -> None:
        outside.update({command.pid, *descendants(command.pid)} - set(group.processes()))
        command.signal(signal.SIGINT)

    command = await RunningCommand.start(
        [PYTHON, "-c", "import time; print('started', flush=True); time.sleep(1000)"],
        sandbox=sandbox,
        environment=sandbox.environment(),
        stdin="",
        on_output=lambda name, text: look(name, text) if "started" in text else None,
        flow=Flow(),
    )

    assert await command.ended == -signal.SIGINT
    assert outside == set()


async def test_neither_walls_nor_variables_are_on_a_command_line(make_inside):
    sandbox = make_inside("namespace", variables={"KEY": "very-secret"}).sandbox
    sandbox = replace(sandbox, limits=Limits(processes=64))
    seen: list[str] = []

    def look(_: str, text: str) -> None:
        seen.extend(descendants(os.getpid()).values())
        command.kill()

    command = await RunningCommand.start(
        ["sh", "-c", "echo started; sleep 1000"],
        sandbox=sandbox,
        environment=sandbox.environment(),
        stdin="",
        on_output=look,
        flow=Flow(),
    )
    await command.ended

    assert any("echo started" in line for line in seen)
    assert not [line for line in seen if "very-secret" in line or "--ro-bind" in line]
