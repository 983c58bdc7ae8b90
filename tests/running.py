"""The whole server, started the way people start it, at free ports and with its own data."""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import ClassVar

import httpx

ROOT = Path(__file__).parent.parent
# The processes of all servers, ended ones too: tests that count processes leave them out.
SERVERS: set[int] = set()
# Below those that the system chooses from, and none that browsers refuse.
PORTS = (20_000, 32_000)
START_SECONDS = 60.0
STOP_SECONDS = 40.0

# For clients that speak to this machine, in the clear: each would read all authorities' certificates.
NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

REQUEST_SECONDS = 60.0
# For requests to servers of tests, as httpx has functions: each over a connection of its own, past
# this machine's proxies, and patient, for there may be much else to do.
http = httpx.Client(
    trust_env=False,
    verify=NO_CERTIFICATES,
    timeout=REQUEST_SECONDS,
    limits=httpx.Limits(max_keepalive_connections=0),
)
http.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))  # it keeps none

# Not random's own: each test begins with the same seed.
_at_random = random.SystemRandom()


def free_port() -> int:
    """A port that nobody uses, and that the system gives to no connection meanwhile."""
    while True:
        port = _at_random.randrange(*PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class RunningServer:
    """``manage.py workbench`` in processes of its own, for the length of a ``with`` block."""

    # More settings for the server of a data directory: tests/on_postgres.py has some.
    more_settings: ClassVar[Callable[[Path], dict[str, str]]] = lambda _: {}

    def __init__(self, data_dir: Path, **settings: str) -> None:
        self.data_dir = data_dir
        self.port, self.azure_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.azure_url = f"http://127.0.0.1:{self.azure_port}"
        self.environment = {
            **{name: value for name, value in os.environ.items() if "WORKBENCH" not in name},
            "WORKBENCH_DATA_DIR": str(data_dir),
            "WORKBENCH_PORT": str(self.port),
            "WORKBENCH_AZURE_PORT": str(self.azure_port),
            **type(self).more_settings(data_dir),
            **settings,
        }
        self.log = data_dir / "log"
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> RunningServer:
        self.process = self.manage("workbench")
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                url = f"{self.url}/healthz"
                if http.get(url).status_code == 200:
                    return self
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        self.__exit__()
        raise RuntimeError(f"the server did not start:\n{self.log.read_text()}")

    def __exit__(self, *exception: object) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()  # its children notice
            self.process.wait()
            raise

    def manage(self, *arguments: str) -> subprocess.Popen[bytes]:
        """A management command, its output appended to the log."""
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "manage.py", *arguments],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        SERVERS.add(process.pid)
        return process

    def child(self, action: str) -> int:
        """The process id of the supervisor's ``host`` or ``web`` child."""
        assert self.process is not None
        for pid in children_of(self.process.pid):
            # Orphans that it has adopted come and go.
            with suppress(FileNotFoundError, ProcessLookupError):
                command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if action.encode() in command:
                    return pid
        raise LookupError(f"there is no {action} process")

    def cpu_seconds(self) -> dict[str, float]:
        """CPU time used so far by each of the server's processes."""
        return {action: _cpu_seconds(self.child(action)) for action in ("web", "host")}


def children_of(pid: int) -> set[int]:
    """The children of all threads of a process, zombies too; none if it has ended."""
    found: set[int] = set()
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):  # of a thread that has ended
            found.update(map(int, children.read_text().split()))
    return found


def command_of(pid: int) -> str:
    """A process's command line; empty for a zombie, or if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def made_key(server: RunningServer, name: str) -> dict[str, str]:
    """The three parts of a key for an account of a server, which need not run."""
    server.data_dir.mkdir(exist_ok=True)
    command = [sys.executable, "manage.py", "workbench", "key", name]
    done = subprocess.run(
        command, cwd=ROOT, env=server.environment, capture_output=True, text=True, check=True
    )
    return dict(re.split(r"\s{2,}", line) for line in done.stdout.splitlines())


def made_person(server: RunningServer, name: str, password: str) -> None:
    """An account to log in with, that may see the admin; of a server that need not run."""
    made_key(server, name)  # which makes the database, too
    code = (
        "from django.contrib.auth import get_user_model as model; import os;"
        "user = model().objects.get(username=os.environ['NAME']);"
        "user.set_password(os.environ['PASSWORD']); user.is_staff = user.is_superuser = True;"
        "user.save()"
    )
    environment = {**server.environment, "NAME": name, "PASSWORD": password}
    command = [sys.executable, "manage.py", "shell", "--no-imports", "-c", code]
    subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True)
