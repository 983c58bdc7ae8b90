"""The host as a process of its own: one per data directory."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

from sessions.engines.assembly import assemble_host, make_run_dir, run_dir
from sessions.engines.local import SOCKET_NAME
from sessions.engines.server import HostServer
from sessions.retention import history_kept

LOCK_NAME = "host.lock"
HOST_NAME = "local"
LOCK_ATTEMPTS = 10
LOCK_SECONDS = 0.02  # between two attempts


class HostRunsAlready(Exception):
    """A host runs for this data directory already."""


async def run_host(ready: Callable[[], None]) -> None:
    """Run a host until SIGTERM or SIGINT, then end its sessions. Raises HostRunsAlready.

    ``ready`` is called once it answers.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    with _locked(make_run_dir() / LOCK_NAME):
        server = HostServer()
        host, recorder = await assemble_host(server.tell, name=HOST_NAME)
        await server.listen(host, run_dir() / SOCKET_NAME)
        ready()
        async with history_kept(settings.WORKBENCH_HISTORY_DAYS):
            await stop.wait()
        # The order matters: what ends the sessions still has to be written and told.
        await host.stop()
        await recorder.stop()
        await server.close()


def running_host() -> int | None:
    """The process id of the host of this data directory; None if none runs."""
    try:
        with (run_dir() / LOCK_NAME).open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(lock.read() or 0) or None
    except FileNotFoundError:
        pass
    return None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock file, with our process id in it. The system lets go of it when we end."""
    with path.open("a+") as lock:
        for _ in range(LOCK_ATTEMPTS):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(LOCK_SECONDS)  # running_host() holds it for a moment when it looks
        else:
            raise HostRunsAlready
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
