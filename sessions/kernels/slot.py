"""Where a session's kernel is: none, one that starts, or one that runs. Never two."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from sessions.exceptions import KernelStartFailed, SessionNotFound
from sessions.kernels import trace
from sessions.kernels.journal import Journal
from sessions.kernels.kernel import LiveKernel
from sessions.states import SessionState

logger = logging.getLogger(__name__)


class KernelSlot:
    """Starts, replaces and ends the kernels of one session, until ``close``.

    ``is_busy`` says whether an execution waits for the kernel that starts.
    """

    def __init__(
        self, journal: Journal, make_kernel: Callable[[], LiveKernel], is_busy: Callable[[], bool]
    ) -> None:
        self._journal = journal
        self._make_kernel = make_kernel
        self._is_busy = is_busy
        # The task that starts the kernel, shared by all who need it. None before the first
        # start, and after the kernel ended.
        self._start: asyncio.Task[LiveKernel] | None = None
        # Kernels that are being ended, until nothing of them is left.
        self._endings: set[asyncio.Task[None]] = set()
        self._is_closed = False

    def start(self) -> asyncio.Task[LiveKernel]:
        """Start a kernel unless there is one. Raises SessionNotFound after ``close``."""
        if self._is_closed:
            raise SessionNotFound
        if self._start is None:
            id_ = self._journal.record.id
            self._start = asyncio.create_task(
                self._launch(), name=f"start kernel of {id_}", context=trace.of_session(id_)
            )
            # A start nobody waits for must not complain about its exception.
            self._start.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._start

    async def kernel(self) -> LiveKernel:
        """The kernel, started if there is none. Cancelling stops the waiting, not the start.

        If the kernel is replaced meanwhile, it is the new one; one that is about to die is not
        given to anybody. Raises KernelStartFailed, SessionNotFound.
        """
        while True:
            start = self.start()
            await asyncio.wait({start})
            if start.cancelled():
                continue
            kernel = start.result()
            if not kernel.is_doomed:
                return kernel
            await asyncio.wait({kernel.death})

    def running(self) -> LiveKernel | None:
        """The kernel, if it has started."""
        start = self._start
        if start is None or not start.done() or start.cancelled() or start.exception():
            return None
        return start.result()

    async def end(self, reason: str) -> None:
        """End the kernel, if there is one, also one that starts."""
        kernel, start = self.running(), self._start
        self._start = None
        if start is not None:
            await asyncio.shield(self._ending(kernel or start, reason))

    async def close(self, reason: str) -> None:
        """End the kernel and everything left of earlier ones; there will be no other."""
        self._is_closed = True
        await self.end(reason)
        await asyncio.gather(*self._endings, return_exceptions=True)

    async def _launch(self) -> LiveKernel:
        try:
            kernel = self._make_kernel()
            await kernel.start()
        except Exception as error:
            failure = _failure(error)
            if self._start is asyncio.current_task():
                self._start = None  # the next who needs a kernel gets a fresh start
                self._journal.become(SessionState.DIED, failure.message)
            raise failure from error
        kernel.death.add_done_callback(lambda _: self._on_death(kernel))
        self._journal.become(SessionState.BUSY if self._is_busy() else SessionState.IDLE)
        return kernel

    def _on_death(self, kernel: LiveKernel) -> None:
        """Called when a kernel's process has ended, on purpose or not."""
        if kernel.is_stopping:
            return
        if self.running() is kernel:
            self._start = None
        self._journal.become(SessionState.DIED, kernel.death.result().sentence)
        self._ending(kernel, "")  # its sockets and files, which the dead process leaves behind

    def _ending(
        self, ended: LiveKernel | asyncio.Task[LiveKernel], reason: str
    ) -> asyncio.Task[None]:
        ending = asyncio.create_task(
            _end(ended, reason),
            name="end a kernel",
            context=trace.of_session(self._journal.record.id),
        )
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)
        return ending


async def _end(ended: LiveKernel | asyncio.Task[LiveKernel], reason: str) -> None:
    if isinstance(ended, LiveKernel):
        await ended.stop(reason)
    else:
        ended.cancel()
        await asyncio.wait({ended})


def _failure(error: Exception) -> KernelStartFailed:
    if isinstance(error, KernelStartFailed):
        return error
    logger.error("a kernel did not start", exc_info=error)
    return KernelStartFailed(f"The kernel did not start: {error}.")
