"""``manage.py workbench``: a host and a web process, kept alive, and ended together.

The host is started if none runs for this data directory. Each child has its own process group,
so that Ctrl-C reaches only the supervisor, which ends them in order: first the web process, so
that nobody is accepted any more, then the host it started.
"""

from __future__ import annotations

import ipaddress
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress

from django.conf import settings

from sessions.engines.process import running_host

START_SECONDS = 60.0  # for a child to say that it is ready
STOP_SECONDS = 20.0  # for a child to end after SIGTERM, before SIGKILL
RESTART_SECONDS = 1.0  # between a child's death and its replacement
POLL_SECONDS = 0.05
READY = b"ready\n"
READY_FD_VARIABLE = "WORKBENCH_READY_FD"

Step = Callable[[str], None]


def addresses() -> list[tuple[str, int]]:
    """Where a web process listens."""
    host = settings.WORKBENCH_HOST
    ports = [settings.WORKBENCH_PORT, settings.WORKBENCH_AZURE_PORT]
    return [(host, port) for port in ports if port is not None]


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach ``host``."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def say_ready() -> None:
    """Tell the supervisor, if there is one, that this process is ready."""
    if descriptor := os.environ.pop(READY_FD_VARIABLE, ""):
        os.write(int(descriptor), READY)
        os.close(int(descriptor))


def supervise(step: Step) -> None:
    """Run host and web process until SIGTERM or SIGINT; end with the code of a failed start."""
    supervisor = _Supervisor(step)
    signal.signal(signal.SIGTERM, supervisor.stop)
    signal.signal(signal.SIGINT, supervisor.stop)
    sys.exit(supervisor.run())


def end_host(pid: int) -> None:
    """End the host and wait until it has ended, its sessions before it."""
    with suppress(ProcessLookupError):  # it may end by itself meanwhile
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while running_host() == pid and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    if running_host() == pid:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


class _Supervisor:
    def __init__(self, step: Step) -> None:
        self._step = step
        # Changed by the signals' handler, at any time.
        self._stopping: bool = False
        self._web: subprocess.Popen[bytes] | None = None
        # None if the host was running already: then it is not ours to end.
        self._host: subprocess.Popen[bytes] | None = None

    def stop(self, signum: int, frame: object) -> None:
        """The signals' handler."""
        self._stopping = True

    def run(self) -> int:
        """Returns the exit code."""
        try:
            if running_host() is None:
                self._step("Starting the kernel host")
                self._host = self._start("host")
            self._step("Starting the web server")
            self._web = self._start("web")
            self._announce()
            while not self._stopping:
                time.sleep(POLL_SECONDS)
                if self._was_told_to_stop():
                    break
                self._replace_the_dead()
        except _DidNotStart as error:
            # Interrupted while starting is no failure of the child's.
            return 0 if self._was_signalled() else error.code
        finally:
            self._end()
        return 0

    def _was_signalled(self) -> bool:
        return self._stopping

    def _announce(self) -> None:
        host, port = addresses()[0]
        self._step(f"Workbench runs at http://{host}:{port}/workbench/")
        for _, azure_port in addresses()[1:]:
            self._step(f"The Azure contract's own address answers too: http://{host}:{azure_port}")
        self._step("Press Ctrl-C to stop")

    def _was_told_to_stop(self) -> bool:
        """Whether somebody ended our host (``workbench stop``): it does not end by itself."""
        if self._host is None or self._host.poll() != 0:
            return False
        self._step("The kernel host was told to stop")
        return True

    def _replace_the_dead(self) -> None:
        if self._web is not None and self._web.poll() is not None:
            self._step(f"The web server ended (code {self._web.returncode}); starting another")
            time.sleep(RESTART_SECONDS)
            self._web = self._start("web")
        if running_host() is None and (self._host is None or self._host.poll() is not None):
            self._step("The kernel host ended; starting another")
            time.sleep(RESTART_SECONDS)
            self._host = self._start("host")

    def _start(self, action: str) -> subprocess.Popen[bytes]:
        """Start a child and wait until it is ready. Raises _DidNotStart."""
        reader, writer = os.pipe()
        try:
            child = subprocess.Popen(
                [sys.executable, sys.argv[0], "workbench", action],
                env={**os.environ, READY_FD_VARIABLE: str(writer)},
                pass_fds=[writer],
                start_new_session=True,
            )
            os.close(writer)
            if not self._is_ready(reader):
                code = _end(child)
                raise _DidNotStart(code or 1)
            return child
        finally:
            os.close(reader)

    def _is_ready(self, reader: int) -> bool:
        """Whether the child says so, before it ends, or we are stopped, or time is up."""
        deadline = time.monotonic() + START_SECONDS
        with selectors.DefaultSelector() as selector:
            selector.register(reader, selectors.EVENT_READ)
            while not self._stopping and time.monotonic() < deadline:
                if selector.select(timeout=POLL_SECONDS):
                    return os.read(reader, len(READY)) == READY
        return False

    def _end(self) -> None:
        if self._web is not None:
            _end(self._web)
        if self._host is not None:
            self._step("Ending the kernels")
            _end(self._host)


class _DidNotStart(Exception):
    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(code)


def _end(child: subprocess.Popen[bytes]) -> int:
    """End a child, politely first; its exit code."""
    child.terminate()
    try:
        return child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()
