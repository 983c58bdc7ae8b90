"""A PostgreSQL and a Redis to measure with: on free ports of loopback, in a folder of their own.

As Debian installs them, with its settings but for one: PostgreSQL writes each commit to the disk
(fsync on), as it must where rows are to be kept.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.running import free_port

START_SECONDS = 30.0


@dataclass(frozen=True)
class Service:
    """A server that runs."""

    url: str
    pid: int


@contextmanager
def postgresql() -> Iterator[Service]:
    """A PostgreSQL with an empty database."""
    folder = Path(tempfile.mkdtemp(prefix="scale-postgresql-", dir="/var/tmp"))
    user = _postgres_user() if os.getuid() == 0 else None
    if user:
        os.chown(folder, user.pw_uid, user.pw_gid)
    become = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
    port, data = free_port(), folder / "data"
    subprocess.run(
        [programs() / "initdb", "-D", data, "-U", "workbench", "-A", "trust", "-E", "UTF8"],
        check=True, stdout=subprocess.DEVNULL, cwd=folder, **become,
    )  # fmt: skip
    server = subprocess.Popen(
        [programs() / "postgres", "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", folder],
        stdout=subprocess.DEVNULL, stderr=(folder / "log").open("w"), cwd=folder, **become,
    )  # fmt: skip
    try:
        _wait_for(port)
        subprocess.run(
            [programs() / "createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "workbench", "workbench"],
            check=True,
        )  # fmt: skip
        yield Service(f"postgres://workbench@127.0.0.1:{port}/workbench", server.pid)
    finally:
        server.send_signal(signal.SIGINT)  # at once, whoever is still connected
        server.wait()
        shutil.rmtree(folder)


def programs() -> Path:
    """Where Debian keeps the newest PostgreSQL's programs."""
    found = Path("/usr/lib/postgresql").glob("*/bin")
    return max(found, key=lambda path: int(path.parent.name))


@contextmanager
def redis() -> Iterator[Service]:
    """A Redis with nothing in it, which keeps nothing."""
    port, folder = free_port(), tempfile.mkdtemp(prefix="scale-redis-")
    server = subprocess.Popen(
        ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder],
        stdout=subprocess.DEVNULL,
    )
    try:
        _wait_for(port)
        yield Service(f"redis://127.0.0.1:{port}/0", server.pid)
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(folder)


def _postgres_user() -> pwd.struct_passwd:
    """PostgreSQL refuses to run as root."""
    return pwd.getpwnam("postgres")


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
