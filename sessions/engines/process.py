"""The host as a process of its own: one per data directory."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from django.conf import settings

from sessions.engines import locks, wakeups
from sessions.engines.assembly import assemble_host, make_run_dir, own_claim, run_dir
from sessions.engines.lifetime import (
    adopt_orphans,
    ending_signals,
    keep_reaping,
    reap_orphans,
)
from sessions.engines.local import SOCKET_NAME
from sessions.engines.server import HostServer
from sessions.kernels.descriptors import raise_limit
from sessions.retention import history_kept

LOCK_NAME = "host.lock"
HOST_NAME = "local"


class HostRunsAlready(Exception):
    """A host runs for this data directory already; its text is a sentence that says what to do."""

    def __init__(self, pid: str) -> None:
        who = f" (process {pid})" if pid else ""
        super().__init__(
            f"A kernel host{who} runs for this data directory already. "
            "End it with: python manage.py workbench stop"
        )


@contextmanager
def only_host() -> Iterator[None]:
    """Be the only host of the data directory. Raises HostRunsAlready.

    A second one would end what the first has in control groups, and call its sessions lost.
    """
    try:
        with locks.holding(make_run_dir() / LOCK_NAME, str(os.getpid())):
            yield
    except locks.Held as held:
        raise HostRunsAlready(held.note) from None


async def run_host(ready: Callable[[], None], *, is_supervised: bool) -> None:
    """Run a host until it is told to stop, then end its sessions. Raises HostRunsAlready.

    ``ready`` is called once it answers. One that ``is_supervised`` leaves orphans to its parent.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in ending_signals():
        loop.add_signal_handler(signum, stop.set)
    with only_host():
        raise_limit()
        reaping = None
        if not is_supervised:
            adopt_orphans()
            reaping = asyncio.create_task(keep_reaping(), name="reap orphans")
        server = HostServer()
        publisher = wakeups.Publisher() if wakeups.are_shared() else None

        def notify(numbers: dict[str, int]) -> None:
            # Over the sockets to those who asked for it there: perhaps they know of no Redis.
            server.tell(numbers)
            if publisher:
                publisher.tell(numbers)

        claim = own_claim(HOST_NAME, settings.WORKBENCH_MAX_SESSIONS)
        host, recorder = await assemble_host(notify, claim, end_at_once)
        await server.listen(host, run_dir() / SOCKET_NAME)
        ready()
        async with history_kept(settings.WORKBENCH_HISTORY_DAYS, settings.WORKBENCH_AUDIT_DAYS):
            await stop.wait()
        # The order matters: what ends the sessions still has to be written and told.
        await host.stop()
        await recorder.stop()
        await server.close()
        if publisher:
            await publisher.close()
        if reaping:
            reaping.cancel()
            reap_orphans()  # nobody waits for anything any more


def end_at_once() -> NoReturn:
    """End this process; its kernels notice, and end too."""
    logging.shutdown()
    os._exit(1)


def running_host() -> int | None:
    """The process id of the host of this data directory; None if none runs."""
    note = locks.holder(run_dir() / LOCK_NAME)
    return int(note) if note else None
