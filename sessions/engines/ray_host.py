"""A host as Ray's actor: one on each node that offers slots, detached, named after its node.

The process is a worker that Ray starts on the node, in the environment of the node's raylet: so
what is set there (WORKBENCH_DATA_DIR, WORKBENCH_DATABASE_URL and so on) are the settings of the
host. It is the same host as on a single machine; calls and answers are those of
sessions/engines/server.py, without the socket.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import ExitStack
from typing import Any

import ray
from asgiref.sync import sync_to_async
from django.conf import settings

from sessions.engines import wakeups
from sessions.engines.assembly import Assembled, SharedStart, assemble_host, own_claim
from sessions.engines.lifetime import (
    adopt_orphans,
    keep_reaping,
    let_interrupts_through,
    reap_orphans,
)
from sessions.engines.process import HostRunsAlready, end_at_once, only_host
from sessions.engines.server import answered
from sessions.exceptions import HostUnavailable
from sessions.hosts import node_of
from sessions.kernels import trace
from sessions.kernels.descriptors import raise_limit
from sessions.retention import history_kept

# For the host before this one to end, which may be about to notice that it has to.
PREDECESSOR_SECONDS = 15.0
LOOK_SECONDS = 0.2

logger = logging.getLogger(__name__)


def _clock() -> float:
    """Seconds. It goes on while the process is stopped or the machine sleeps, and is never set."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class NameTaken(Exception):
    """Another node has a host of this name."""

    def __init__(self) -> None:
        super().__init__(
            f"Two machines have a host named {settings.WORKBENCH_HOST_NAME!r}: give each a "
            "WORKBENCH_HOST_NAME of its own."
        )


class RayHost:
    """What lives in the actor's process: a host, from its first call to ``stop``."""

    def __init__(self, offer: dict[str, Any]) -> None:
        # What the node offers: "node", "address", "slots", "gpus", "labels".
        self._offer = offer
        self._claimed = ExitStack()
        self._start = SharedStart(self._assemble)
        # Calls that somebody waits for; they go on when nobody does any more.
        self._calls: set[asyncio.Task[dict[str, Any]]] = set()
        self._publisher = wakeups.Publisher()
        self._stopped = asyncio.Event()
        self._keeping: set[asyncio.Task[None]] = set()

    async def call(
        self,
        verb: str,
        arguments: dict[str, Any],
        request: str,
        asker: tuple[str, ...],
        until: float | None = None,
    ) -> dict[str, Any]:
        """See server.answered; with the time here, as "clock". Waits for the host to be there.

        After ``until``, by that clock, nothing is done, and the answer is "is_late". None: whenever
        it comes. A host that cannot start says why: its errors mean nothing to other processes.
        """
        try:
            host, _ = await self._start.wait()
        except Exception as error:
            logger.exception("the kernel host does not start")
            return {"error": HostUnavailable(f"The kernel host does not start: {error}").to_wire()}
        if until is not None and _clock() > until:
            return {"is_late": True, "clock": _clock()}
        call = asyncio.create_task(answered(host, verb, arguments, request, asker), name=verb)
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        return {**await asyncio.shield(call), "clock": _clock()}

    async def stop(self, reason: str) -> None:
        """End the kernels in order; the next host of the name takes the sessions back."""
        host, recorder = await self._start.wait()
        await host.stop(reason)
        await recorder.stop()
        await self._publisher.close()
        for task in self._keeping:
            task.cancel()
        await asyncio.gather(*self._keeping, return_exceptions=True)
        reap_orphans()
        self._claimed.close()

    async def _assemble(self) -> Assembled:
        # Before any other thread is made.
        let_interrupts_through()
        await self._be_the_only_one()
        try:
            await self._have_the_name()
            raise_limit()
            adopt_orphans()
            claim = own_claim(settings.WORKBENCH_HOST_NAME, **self._offer)
            assembled = await assemble_host(self._publisher.tell, claim, end_at_once)
        except BaseException:
            self._claimed.close()  # the next attempt takes it again
            raise
        self._keep(keep_reaping(), "reap orphans")
        self._keep(self._keep_history(), "delete old history")
        return assembled

    async def _be_the_only_one(self) -> None:
        """Hold the data directory. Raises HostRunsAlready."""
        deadline = time.monotonic() + PREDECESSOR_SECONDS
        while True:
            try:
                self._claimed.enter_context(only_host())
                return
            except HostRunsAlready:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(LOOK_SECONDS)

    async def _have_the_name(self) -> None:
        """Return when no other node that lives has it. Raises NameTaken.

        Otherwise two would take it from each other for ever.
        """
        deadline = time.monotonic() + PREDECESSOR_SECONDS
        while True:
            node = await sync_to_async(node_of)(settings.WORKBENCH_HOST_NAME)
            nodes = await asyncio.to_thread(ray.nodes)
            if node == self._offer["node"] or not any(
                each["NodeID"] == node and each["Alive"] for each in nodes
            ):
                return
            if time.monotonic() > deadline:
                raise NameTaken
            await asyncio.sleep(LOOK_SECONDS)

    def _keep(self, work: Any, name: str) -> None:
        self._keeping.add(asyncio.create_task(work, name=name, context=trace.of_nobody()))

    async def _keep_history(self) -> None:
        async with history_kept(settings.WORKBENCH_HISTORY_DAYS, settings.WORKBENCH_AUDIT_DAYS):
            await self._stopped.wait()
