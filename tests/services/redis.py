"""A Redis of the tests' own: Debian's, at a free port of loopback, with nothing on the disk."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.running import SERVERS, free_port

PROGRAM = "redis-server"
# What a password looks like that must not be in any log.
PASSWORD = "geheim-wie-nichts"
START_SECONDS = 20.0
# Who works on something else need not install it; in CI its absence is a failure.
needs_redis = pytest.mark.skipif(
    shutil.which(PROGRAM) is None and "CI" not in os.environ,
    reason=f"there is no {PROGRAM}: .setup/setup.sh test",
)


class RunningRedis:
    """A server that can be stopped, and started again at the same address, empty."""

    def __init__(self, directory: Path, address: str = "127.0.0.1") -> None:
        """``address``: where it listens."""
        self._directory, self._address = directory, address
        self.port = free_port()
        self.url = f"redis://:{PASSWORD}@{address}:{self.port}/0"
        # None while it is stopped.
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> RunningRedis:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    @property
    def is_running(self) -> bool:
        """Whether it was started, and not stopped since."""
        return self._process is not None

    def start(self) -> None:
        """Return once it answers."""
        with (self._directory / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(PROGRAM, "--port", str(self.port), "--bind", self._address),
                    *("--requirepass", PASSWORD, "--dir", str(self._directory)),
                    *("--save", "", "--appendonly", "no", "--daemonize", "no"),
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        SERVERS.add(self._process.pid)
        deadline = time.monotonic() + START_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                assert self.ask("PING") == "+PONG"
                return
            except OSError:
                time.sleep(0.01)
        self.stop()
        raise RuntimeError("Redis did not start")

    def stop(self) -> None:
        """End it, without a word to its clients."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Let it answer nobody, and hang up on nobody."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def ask(self, command: str) -> str:
        """The first line of its answer to a command."""
        with socket.create_connection((self._address, self.port), timeout=10) as connection:
            connection.sendall(f"AUTH {PASSWORD}\r\n{command}\r\n".encode())
            answers = connection.makefile("r", encoding="latin1", newline="\r\n")
            assert answers.readline() == "+OK\r\n"
            return answers.readline().removesuffix("\r\n")
