"""``manage.py workbench``: a host and a web process, kept alive, and ended together.

The host is started if none runs for this data directory. Each child has its own process group,
so that Ctrl-C reaches only the supervisor, which ends them in order: first the web process, so
that nobody is accepted any more, then the host it started.

Each child holds a connection to the supervisor, its lifeline. When that ends, the supervisor has
gone without a word, and the child ends as it would on SIGTERM.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from django.conf import settings

from sessions.engines.lifetime import adopt_orphans, ending_signals, has_ended, reap_orphans
from sessions.engines.process import running_host
from workbench import claims
from workbench.environment import READY_FD_VARIABLE

START_SECONDS = 60.0  # for a child to say that it is ready
# For a child to end after SIGTERM, before SIGKILL.
WEB_STOP_SECONDS = 10.0
HOST_STOP_SECONDS = 20.0
# For a supervisor to end after SIGTERM, before SIGKILL: both of its children, and some.
STOP_SECONDS = WEB_STOP_SECONDS + HOST_STOP_SECONDS + 5.0
KILL_SECONDS = 5.0  # for the system to end what got SIGKILL, and what holds a lifeline from it
RESTART_SECONDS = 1.0  # between a child's death and its replacement
POLL_SECONDS = 0.05
READY = b"ready\n"

Step = Callable[[str], None]


def addresses() -> list[tuple[str, int]]:
    """Where a web process listens."""
    host = settings.WORKBENCH_HOST
    ports = [settings.WORKBENCH_PORT, settings.WORKBENCH_AZURE_PORT]
    return [(host, port) for port in ports if port is not None]


def page() -> str:
    """The address of the first page."""
    host, port = addresses()[0]
    return f"http://{host}:{port}/workbench/"


class Lifeline:
    """A child's end of the connection to its supervisor."""

    def __init__(self, descriptor: int, stop_seconds: float) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._socket.set_inheritable(False)
        self._stop_seconds = stop_seconds
        threading.Thread(target=self._follow, name="lifeline", daemon=True).start()

    @classmethod
    def held(cls, *, stop_seconds: float) -> Lifeline | None:
        """The one this process was started with; None without a supervisor.

        From now on the process ends with its supervisor: by SIGTERM, and if it has not ended
        ``stop_seconds`` later, at once.
        """
        descriptor = os.environ.pop(READY_FD_VARIABLE, "")
        return cls(int(descriptor), stop_seconds) if descriptor else None

    def say_ready(self) -> None:
        """Tell the supervisor that this process is ready."""
        with suppress(OSError):  # it has just gone; _follow knows
            self._socket.sendall(READY)

    def _follow(self) -> None:
        """In a thread: neither a busy loop nor a start that is under way holds it up."""
        with suppress(OSError):
            self._socket.recv(1)  # nothing is ever sent: it returns at the end
        main = threading.main_thread().ident
        assert main is not None
        signal.pthread_kill(main, signal.SIGTERM)
        time.sleep(self._stop_seconds)
        os.kill(os.getpid(), signal.SIGKILL)


def supervise(step: Step, claim: int) -> None:
    """Run host and web process until told to stop; end with the code of a failed start.

    ``claim`` is the descriptor of the claim on the data directory, which the children share.
    """
    supervisor = _Supervisor(step, claim)
    for signum in ending_signals():
        signal.signal(signum, supervisor.stop)
    adopt_orphans()
    sys.exit(supervisor.run())


def stop_server() -> bool:
    """End the supervisor with what it has started, then a host that runs by itself.

    Whether nothing is left; known after STOP_SECONDS + HOST_STOP_SECONDS and some at the latest.
    """
    claim = claims.current()
    if claim is not None:
        _end_process(claim.pid, STOP_SECONDS, lambda: claims.current() == claim)
    host = running_host()
    if host is not None:
        _end_process(host, HOST_STOP_SECONDS, lambda: running_host() == host)
    return claims.current() is None and running_host() is None


def _end_process(pid: int, seconds: float, holds: Callable[[], bool]) -> None:
    """End a process that is not our child, politely first, and see it let go of what it holds."""
    for signum, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, KILL_SECONDS)):
        if not has_ended(pid):  # only what it has started may be left, and notices by itself
            with suppress(ProcessLookupError):
                os.kill(pid, signum)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if has_ended(pid) and not holds():
                return
            time.sleep(POLL_SECONDS)


class _Child:
    """A host or web process that this supervisor has started."""

    def __init__(self, action: str, claim: int, stop_seconds: float) -> None:
        self._stop_seconds = stop_seconds
        # Nobody else may hold our end: it is closed when this process ends.
        self._lifeline, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, sys.argv[0], "workbench", action],
                env={**os.environ, READY_FD_VARIABLE: str(theirs.fileno())},
                pass_fds=[theirs.fileno(), claim],
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def exit_code(self) -> int | None:
        """None while it lives."""
        return self._process.poll()

    def is_ready(self, is_stopping: Callable[[], bool]) -> bool:
        """Whether it says so, before it ends, or we are stopped, or time is up."""
        deadline = time.monotonic() + START_SECONDS
        with selectors.DefaultSelector() as selector:
            selector.register(self._lifeline, selectors.EVENT_READ)
            while not is_stopping() and time.monotonic() < deadline:
                if selector.select(timeout=POLL_SECONDS):
                    return self._lifeline.recv(len(READY)) == READY
        return False

    def end(self) -> int:
        """End it, politely first; its exit code. Idempotent."""
        self._process.terminate()
        try:
            code = self._process.wait(self._stop_seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._lifeline.close()
        return code


class _Supervisor:
    def __init__(self, step: Step, claim: int) -> None:
        self._step = step
        self._claim = claim
        # The hosts of a cluster are elsewhere, and nobody's children here.
        self._starts_host = settings.WORKBENCH_ENGINE != "ray"
        # Changed by the signals' handler, at any time.
        self._stopping: bool = False
        self._web: _Child | None = None
        # None if the host was running already: then it is not ours to end.
        self._host: _Child | None = None

    def stop(self, signum: int, frame: object) -> None:
        """The signals' handler."""
        self._stopping = True

    def run(self) -> int:
        """Returns the exit code."""
        try:
            if self._starts_host and running_host() is None:
                self._step("Starting the kernel host")
                self._host = self._start_host()
            self._step("Starting the web server")
            self._web = self._start_web()
            self._announce()
            while not self._stopping:
                time.sleep(POLL_SECONDS)
                reap_orphans({child.pid for child in (self._web, self._host) if child})
                if self._was_told_to_stop():
                    break
                self._replace_the_dead()
        except _DidNotStart as error:
            # Interrupted while starting is no failure of the child's.
            return 0 if self._is_stopping() else error.code
        finally:
            self._end()
        return 0

    def _is_stopping(self) -> bool:
        return self._stopping

    def _announce(self) -> None:
        self._step(f"Workbench runs at {page()}")
        for host, azure_port in addresses()[1:]:
            self._step(f"The Azure contract's own address answers too: http://{host}:{azure_port}")
        self._step("Press Ctrl-C to stop")

    def _was_told_to_stop(self) -> bool:
        """Whether somebody ended our host by itself: it never ends so of its own accord."""
        if self._host is None or self._host.exit_code() != 0:
            return False
        self._step("The kernel host was told to stop")
        return True

    def _replace_the_dead(self) -> None:
        if self._web is not None and self._web.exit_code() is not None:
            self._step(f"The web server ended (code {self._web.end()}); starting another")
            time.sleep(RESTART_SECONDS)
            self._web = self._start_web()
        if not self._starts_host or running_host() is not None:
            return
        if self._host is None or self._host.exit_code() is not None:
            self._step("The kernel host ended; starting another")
            if self._host is not None:
                self._host.end()
            time.sleep(RESTART_SECONDS)
            self._host = self._start_host()

    def _start_web(self) -> _Child:
        return self._started(_Child("web", self._claim, WEB_STOP_SECONDS))

    def _start_host(self) -> _Child:
        return self._started(_Child("host", self._claim, HOST_STOP_SECONDS))

    def _started(self, child: _Child) -> _Child:
        """The child, once it is ready. Raises _DidNotStart."""
        if not child.is_ready(self._is_stopping):
            raise _DidNotStart(child.end() or 1)
        return child

    def _end(self) -> None:
        if self._web is not None:
            self._web.end()
        if self._host is not None:
            self._step("Ending the kernels")
            self._host.end()
        self._reap_the_last()

    def _reap_the_last(self) -> None:
        """The kernels' first processes end with the host; who comes after us may not reap them."""
        deadline = time.monotonic() + KILL_SECONDS
        while reap_orphans() and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)


class _DidNotStart(Exception):
    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(code)
