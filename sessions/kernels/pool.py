"""Kernels that wait for a session, started and walled in: taking one costs no start."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from sessions.kernels import trace
from sessions.kernels.kernel import LiveKernel
from sessions.kernels.premises import Estate, Premises
from sessions.kernels.zygotes import Zygote

logger = logging.getLogger(__name__)

# Requests come first: a new kernel waits for so long a silence, but not for ever.
QUIET_SECONDS = 0.1
MOST_PATIENCE_SECONDS = 2.0
RETRY_SECONDS = 5.0


@dataclass(frozen=True)
class WaitingKernel:
    """A kernel that is ready, and where it lives."""

    kernel: LiveKernel
    premises: Premises
    # The zygote it came from: what that has imported may be out of date by now.
    generation: int


class WarmPool:
    """Keeps ``size`` kernels waiting, from ``start`` to ``stop``.

    ``make_kernel`` makes the kernel of some premises, without starting it.
    """

    def __init__(
        self,
        size: int,
        *,
        zygote: Zygote,
        estate: Estate,
        make_kernel: Callable[[Premises], LiveKernel],
    ) -> None:
        self._size = size
        self._zygote = zygote
        self._estate = estate
        self._make_kernel = make_kernel
        self._waiting: deque[WaitingKernel] = deque()
        self._wanted = asyncio.Event()
        self._last_taken = 0.0
        self._filling: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_stopping = False

    def start(self) -> None:
        """Begin to fill the pool."""
        self._wanted.set()
        self._filling = asyncio.create_task(self._fill(), name="fill the warm pool")

    async def stop(self) -> None:
        """End the kernels that wait; none is given away from now on."""
        self._is_stopping = True
        if self._filling:
            self._filling.cancel()
            await asyncio.gather(self._filling, return_exceptions=True)
        # What has begun ends by itself, and in order.
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(self._discard(each) for each in self._waiting))
        self._waiting.clear()

    def __len__(self) -> int:
        return len(self._waiting)

    def take(self) -> WaitingKernel | None:
        """A kernel that lives and is up to date; None if none is ready. It is the caller's now."""
        self._last_taken = asyncio.get_running_loop().time()
        self._zygote.check()
        taken = None
        while self._waiting and taken is None and not self._is_stopping:
            taken = self._waiting.popleft()
            if taken.kernel.death.done() or taken.generation != self._zygote.generation:
                self._spawn(self._discard(taken))
                taken = None
        self._wanted.set()
        return taken

    # --- Internal -----------------------------------------------------------------------

    async def _fill(self) -> None:
        """Cancelled by ``stop``."""
        while True:
            await self._wanted.wait()
            await self._zygote.ready()
            if len(self._waiting) >= self._size:
                self._wanted.clear()
                continue
            await self._quiet()
            try:
                await asyncio.shield(self._spawn(self._add()))
            except Exception:
                logger.exception("a kernel that was to wait did not start")
                await asyncio.sleep(RETRY_SECONDS)

    async def _quiet(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            enough = min(self._last_taken + QUIET_SECONDS, began + MOST_PATIENCE_SECONDS)
            if (left := enough - loop.time()) <= 0:
                return
            await asyncio.sleep(left)

    async def _add(self) -> None:
        generation = self._zygote.generation
        premises = await self._estate.make_waiting()
        kernel = self._make_kernel(premises)
        try:
            await kernel.start()
        except BaseException:
            await asyncio.shield(self._discard(WaitingKernel(kernel, premises, generation)))
            raise
        waiting = WaitingKernel(kernel, premises, generation)
        self._waiting.append(waiting)
        kernel.death.add_done_callback(lambda _: self._lost(waiting))

    def _lost(self, waiting: WaitingKernel) -> None:
        """Its kernel has ended; if it still waits, there is another soon."""
        if waiting in self._waiting and not self._is_stopping:
            self._waiting.remove(waiting)
            self._spawn(self._discard(waiting))
            self._wanted.set()

    async def _discard(self, waiting: WaitingKernel) -> None:
        await waiting.kernel.stop()
        await self._estate.remove(waiting.premises)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine, context=trace.of_nobody())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
