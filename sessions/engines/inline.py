"""The host in this process: for tests and scripts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

from django.conf import settings

from sessions.engines import wakeups
from sessions.engines.assembly import Assembled, SharedStart, assemble_host, own_claim
from sessions.engines.base import Notices, SingleHost, Subscribers
from sessions.engines.process import HostRunsAlready, only_host
from sessions.exceptions import HostUnavailable
from sessions.kernels.host import VERBS


class InlineEngine(SingleHost):
    """Makes its host on first use, on the loop it is used on.

    Using it raises HostUnavailable while another host has the data directory.
    """

    def __init__(self) -> None:
        # Holds the data directory, from the host's start to its end.
        self._claim = ExitStack()
        self._subscribers = Subscribers()
        # None: nobody else has to hear of it.
        self._publisher = wakeups.Publisher() if wakeups.are_shared() else None
        self._listener = wakeups.Listener() if wakeups.are_shared() else None
        self._start = SharedStart(self._assemble)

    async def call(self, verb: str, **arguments: Any) -> Any:
        """Call a verb of the host."""
        host, _ = await self._start.wait()
        if verb not in VERBS:
            raise AttributeError(verb)
        # A task of its own, as behind a socket: the caller may go away.
        work = asyncio.create_task(getattr(host, verb)(**arguments), name=verb)
        return await asyncio.shield(work)

    @asynccontextmanager
    async def subscribe(self, topic: str) -> AsyncIterator[Notices]:
        """Notices of the host's commits."""
        await self._start.wait()
        if self._listener is not None:
            async with self._listener.subscribe(topic) as notices:
                yield notices
            return
        notices = Notices()
        self._subscribers.add(topic, notices)
        try:
            yield notices
        finally:
            self._subscribers.remove(topic, notices)

    async def close(self) -> None:
        """End the host and its sessions."""
        if self._listener is not None:
            await self._listener.close()
        if self._start.has_begun:
            host, recorder = await self._start.wait()
            self._start.forget()
            with self._claim:
                await host.stop()
                await recorder.stop()
        if self._publisher is not None:
            await self._publisher.close()

    async def _assemble(self) -> Assembled:
        try:
            self._claim.enter_context(only_host())
            notify = (self._publisher or self._subscribers).tell
            claim = own_claim("inline", settings.WORKBENCH_MAX_SESSIONS)
            return await assemble_host(notify, claim, self._superseded)
        except HostRunsAlready as error:
            raise HostUnavailable(f"{error}.") from error
        except BaseException:
            self._claim.close()
            raise

    def _superseded(self) -> None:
        """Its kernels go on until this process lets go of it, but nothing is written of them."""
