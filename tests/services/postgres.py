"""A PostgreSQL of the tests' own: Debian's programs, a directory of its own, a free port."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg

from tests.running import SERVERS, free_port

USER, PASSWORD = "workbench", "tests-only"
START_SECONDS = STOP_SECONDS = 60.0
# Fast rather than safe: what a test writes need not survive the machine.
CONFIGURATION = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "max_connections": "60",
    "unix_socket_directories": "",
    "log_min_messages": "fatal",
}


class PostgresServer:
    """PostgreSQL between ``start`` and ``stop``, as often as a test likes; ``remove`` at last."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        """``address``: where it listens; others reach it from the network of 256 around that."""
        self._address = address
        self.directory = Path(tempfile.mkdtemp(prefix="workbench-postgres-"))
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        # It refuses to run as root.
        self._user: dict[str, Any] = {}
        if os.geteuid() == 0:
            postgres = pwd.getpwnam("postgres")
            os.chown(self.directory, postgres.pw_uid, postgres.pw_gid)
            ids = {"user": postgres.pw_uid, "group": postgres.pw_gid, "extra_groups": []}
            self._user = {**ids, "env": {"HOME": "/", "PATH": os.environ["PATH"], "LANG": "C"}}

    def url(self, name: str = "postgres") -> str:
        """What WORKBENCH_DATABASE_URL has to be for one of its databases."""
        return f"postgres://{USER}:{PASSWORD}@{self._address}:{self.port}/{name}"

    def start(self) -> PostgresServer:
        """Return when it takes connections."""
        data = self.directory / "data"
        if not data.exists():
            self._initialise(data)
        about = {**CONFIGURATION, "listen_addresses": self._address}
        settings = [f"--{name}={value}" for name, value in about.items()]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [program("postgres"), "-D", data, "-p", str(self.port), *settings],
                stdout=log,
                stderr=log,
                cwd="/",
                # Ctrl-C is for the tests; they end it.
                start_new_session=True,
                **self._user,
            )
        SERVERS.add(self._process.pid)
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg.connect(self.url(), connect_timeout=5).close()
                return self
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    raise
            time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: as `systemctl stop` does, or at once (SIGQUIT), as if its machine had failed."""
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
        finally:
            self._process = None

    def remove(self) -> None:
        """Stop it, and leave nothing."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.directory, ignore_errors=True)

    def execute(self, *statements: str, name: str = "postgres") -> list[tuple[Any, ...]]:
        """Run SQL in one of its databases; the rows of the last statement that has any."""
        rows: list[tuple[Any, ...]] = []
        with psycopg.connect(self.url(name), autocommit=True) as connection:
            for statement in statements:
                cursor = connection.execute(statement.encode())
                rows = cursor.fetchall() if cursor.description else rows
        return rows

    def database(self, name: str) -> str:
        """Make a new, empty database; its URL."""
        self.execute(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def _initialise(self, data: Path) -> None:
        password = self.directory / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        # A password in clear text: connections are made faster than with SCRAM.
        known = ["--username", USER, "--pwfile", password, "--auth", "password"]
        how = ["--no-sync", "--encoding", "UTF8", "--locale", "C.UTF-8"]
        subprocess.run(
            [program("initdb"), "-D", data, *known, *how],
            check=True,
            capture_output=True,
            cwd="/",
            **self._user,
        )
        with (data / "pg_hba.conf").open("a") as allowed:
            allowed.write(f"host all all {self._address}/24 password\n")


def program(name: str) -> str:
    """One of PostgreSQL's programs; Debian has them outside of PATH."""
    versions = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda each: float(each.parent.name)
    )
    path = os.pathsep.join([*map(str, reversed(versions)), os.environ["PATH"]])
    found = shutil.which(name, path=path)
    if found is None:
        raise FileNotFoundError(f"There is no {name}: .setup/setup.sh test installs PostgreSQL.")
    return found
