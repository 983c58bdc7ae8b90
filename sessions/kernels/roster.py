"""The sessions of one host: how they are found, opened, renamed and closed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from subprocess import SubprocessError
from typing import Any
from uuid import UUID

from sessions.exceptions import (
    Conflict,
    HostUnavailable,
    InvalidValue,
    SessionLimitReached,
    SessionNotFound,
    WorkbenchError,
)
from sessions.kernels.batch import check_environment
from sessions.kernels.config import HostConfig
from sessions.kernels.journal import Journal
from sessions.kernels.kernel import LiveKernel
from sessions.kernels.leftovers import Leftovers
from sessions.kernels.measures import HostMetrics
from sessions.kernels.messages import Message
from sessions.kernels.needs import Needs, nobody_has
from sessions.kernels.nursery import Nursery
from sessions.kernels.policy import Policy, policy_again, policy_for
from sessions.kernels.premises import Estate, Premises
from sessions.kernels.quotas import Ledger
from sessions.kernels.records import AuditRecord, ExecutionRecord, Recorder, SessionRecord
from sessions.kernels.sandbox import Sandbox
from sessions.kernels.session import LiveSession
from sessions.kernels.specs import DEFAULT_KERNEL, KernelSpecs
from sessions.states import AuditAction, SessionState

logger = logging.getLogger(__name__)

MAX_IDENTIFIER_LENGTH = 256
MAX_IDLE_TIMEOUT_SECONDS = 366 * 24 * 3600

DRAINING = "This kernel host opens no sessions: an operator is about to take it away."

Name = tuple[int | None, str]


class Roster:
    """Every live session of a host, by id and by name, from ``start`` to ``stop``.

    ``after_execution`` is called with the record of each execution that has ended, ``let_go`` with
    each session that has, before its files go; ``ledger`` has the owners' accounts.
    """

    def __init__(
        self,
        config: HostConfig,
        recorder: Recorder,
        specs: KernelSpecs,
        after_execution: Callable[[ExecutionRecord], None],
        metrics: HostMetrics,
        ledger: Ledger,
        let_go: Callable[[UUID], Awaitable[None]],
    ) -> None:
        self._config = config
        self._recorder = recorder
        self._specs = specs
        self._after_execution = after_execution
        self._metrics = metrics
        self._ledger = ledger
        self._let_go = let_go
        self._by_id: dict[UUID, LiveSession] = {}
        self._by_name: dict[Name, LiveSession] = {}
        # Sessions somebody is opening now, shared by all who ask for the same name meanwhile.
        self._opening: dict[Name, asyncio.Task[LiveSession]] = {}
        # Sessions that are ending, until their rows say so and their files are gone.
        self._closing: dict[Name, asyncio.Task[None]] = {}
        self._is_stopping = False
        # Somebody wants it to open no sessions any more; those it has go on.
        self.is_draining = False
        self._premises: dict[UUID, Premises] = {}
        self._estate = Estate(config, specs)
        self._leftovers = Leftovers()
        # None before the start.
        self._tidying: asyncio.Task[None] | None = None
        self._nursery = Nursery(config, specs, self._estate, self._waiting_kernel)

    async def start(self, kept: Sequence[SessionRecord]) -> None:
        """Take back what an earlier host kept; begin to remove what it left, and to make kernels."""
        self._leftovers = await asyncio.to_thread(self._estate.start)
        for record in kept:
            await self._take_back(record)
        self._tidying = asyncio.create_task(self._tidy(), name="remove what is left")
        self._nursery.start()

    async def stop(self, reason: str) -> None:
        """End every kernel; the next host takes the sessions back. Nothing is opened from now on."""
        self._is_stopping = True
        self._leftovers.stop()
        await asyncio.gather(*self._opening.values(), return_exceptions=True)
        for session in list(self._by_id.values()):
            self.close(session, SessionState.STOPPED, reason)
        await asyncio.gather(*self._closing.values(), return_exceptions=True)
        await self._nursery.stop()
        if self._tidying:
            await self._tidying
        await asyncio.to_thread(self._estate.stop)

    def destroy(self) -> None:
        """Let go of the sockets; the last call."""

    # --- Finding ------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[LiveSession]:
        return iter(list(self._by_id.values()))

    @property
    def warm_kernels(self) -> int:
        """How many kernels wait for a session."""
        return self._nursery.warm_kernels

    @property
    def free_gpus(self) -> int:
        """How many of the host's GPUs no session has."""
        return self._estate.gpus.free

    def get(self, session_id: UUID) -> LiveSession | None:
        """The live session of that id, whosever it is."""
        return self._by_id.get(session_id)

    def of_owner(self, owner_id: int | None) -> list[LiveSession]:
        """The owner's live sessions, the oldest first."""
        return [each for each in self._by_id.values() if each.record.owner_id == owner_id]

    def find(self, owner_id: int | None, identifier: str) -> LiveSession:
        """The owner's live session, by identifier or id. Raises SessionNotFound."""
        session = self._by_name.get((owner_id, identifier))
        if session is None:
            try:
                session = self._by_id.get(UUID(identifier))
            except ValueError:
                session = None
        if session is None or session.record.owner_id != owner_id:
            raise SessionNotFound
        return session

    # --- Opening, renaming, closing -----------------------------------------------------

    async def find_or_open(
        self,
        record: SessionRecord,
        policy: dict[str, Any] | None = None,
    ) -> tuple[LiveSession, bool]:
        """The live session of the record's name, and whether this call opened it, as the record.

        ``policy`` is what it asks for; what it gets of that is written into the record. Raises
        InvalidValue, KernelspecNotFound, SessionLimitReached, HostUnavailable.
        """
        key = (record.owner_id, record.identifier)
        try:
            session = self.find(*key)
        except SessionNotFound:
            pass
        else:
            session.touch()
            return session, False
        if self._is_stopping:
            raise HostUnavailable("The server is being stopped.", elsewhere=True)
        opening = self._opening.get(key)
        if opening is not None:
            return await asyncio.shield(opening), False
        _check(record)
        if self.is_draining:
            raise HostUnavailable(DRAINING, elsewhere=True)
        granted = policy_for(policy or {}, self._config.limits, self._config.network)
        self._check_needs(granted.needs)
        record.policy = granted.to_wire()
        self._check_room(record.owner_id)
        work = self._open(record, granted)
        opening = asyncio.create_task(work, name=f"open {record.id}")
        self._opening[key] = opening
        opening.add_done_callback(lambda _: self._opening.pop(key, None))
        return await asyncio.shield(opening), True

    async def rename(self, session: LiveSession, name: str) -> None:
        """Give a session another identifier. Raises InvalidValue, Conflict if it is taken."""
        check_identifier(name)
        if name == session.record.identifier:
            return
        key = (session.record.owner_id, name)
        if key in self._opening or self._is_anothers(name, session):
            raise Conflict(f"A session named {name!r} exists already.")
        # Whoever wants to open the name meanwhile waits, and finds this session.
        renaming = asyncio.create_task(self._rename(session, name), name="rename")
        self._opening[key] = renaming
        renaming.add_done_callback(lambda _: self._opening.pop(key, None))
        await asyncio.shield(renaming)

    def close(
        self, session: LiveSession, state: SessionState, reason: str = ""
    ) -> asyncio.Task[None]:
        """End the session. Its name is free at once, but who opens it anew waits for the task.

        STOPPED keeps its files, for the next host.
        """
        key = (session.record.owner_id, session.record.identifier)
        del self._by_id[session.record.id]
        del self._by_name[key]
        closing = asyncio.create_task(self._finish_close(session, state, reason), name="close")
        self._closing[key] = closing
        closing.add_done_callback(lambda _: self._closing.pop(key, None))
        return closing

    # --- Internal -----------------------------------------------------------------------

    async def _tidy(self) -> None:
        """Removes what an earlier host left. Ends when that is done, or with the host."""
        try:
            await self._leftovers.remove(await self._recorder.sessions_with_files())
        except Exception:
            logger.exception("what an earlier host left could not be removed")

    async def _open(self, record: SessionRecord, policy: Policy) -> LiveSession:
        if closing := self._closing.get((record.owner_id, record.identifier)):
            await asyncio.wait({closing})
        self._specs.check(record.kernel_name)
        premises, kernel = await self._move_in(record, policy)
        try:
            session = self._live(record, premises, kernel, network=policy.network)
            await self._recorder.create_session(record)
        except BaseException:
            if kernel:
                await kernel.stop()
            await self._estate.remove(premises)
            raise
        self._add(session, premises)
        session.open()
        return session

    def _check_needs(self, needs: Needs) -> None:
        """Raise InvalidValue for what this machine never has, whoever has it now."""
        here = (len(self._config.gpus), self._config.labels)
        if not needs.are_met_by(*here):
            raise nobody_has(needs, [here])

    def _check_room(self, owner_id: int | None) -> None:
        """Whoever opens a session has its place from now on: of many at once some are let in."""
        coming = [owner for owner, name in self._opening if (owner, name) not in self._by_name]
        owned = len(self.of_owner(owner_id)) + coming.count(owner_id)
        self._ledger.account(owner_id).check_sessions(owned)
        if len(self._by_id) + len(coming) >= self._config.max_sessions:
            raise SessionLimitReached(
                f"The server runs {self._config.max_sessions} sessions, as many as it may. "
                "Close one, or try again later.",
                maximum=self._config.max_sessions,
                elsewhere=True,
            )

    async def _take_back(self, record: SessionRecord) -> None:
        """Make a session live again that an earlier host had; its next use starts a kernel."""
        granted = policy_again(
            record.policy, self._config.limits, self._config.network, gpus=self.free_gpus
        )
        record.policy = granted.to_wire()
        try:
            premises = await self._estate.take_back(record.id, granted.limits, granted.needs.gpus)
        except (WorkbenchError, OSError, SubprocessError) as error:
            logger.exception("session %s could not be taken back", record.id)
            journal = Journal(record, self._recorder, self._config.max_output_bytes)
            journal.end(SessionState.LOST, f"The server could not take it back: {error}.")
            return
        session = self._live(record, premises, None, network=granted.network)
        self._add(session, premises)
        session.take_back()

    def _add(self, session: LiveSession, premises: Premises) -> None:
        record = session.record
        self._premises[record.id] = premises
        self._by_id[record.id] = session
        self._by_name[(record.owner_id, record.identifier)] = session

    def _is_anothers(self, name: str, session: LiveSession) -> bool:
        """Whether another live session of the owner has this name or this id: one namespace."""
        try:
            return self.find(session.record.owner_id, name) is not session
        except SessionNotFound:
            return False

    async def _rename(self, session: LiveSession, name: str) -> LiveSession:
        record = session.record
        if closing := self._closing.get((record.owner_id, name)):
            await asyncio.wait({closing})
        await self._recorder.rename_session(record, name)
        renamed = f"to {name}"
        self._recorder.audit(AuditRecord.now(AuditAction.SESSION_RENAMED, record, what=renamed))
        if record.id not in self._by_id:
            raise SessionNotFound
        del self._by_name[(record.owner_id, record.identifier)]
        record.identifier = name
        self._by_name[(record.owner_id, name)] = session
        return session

    async def _finish_close(self, session: LiveSession, state: SessionState, reason: str) -> None:
        try:
            await session.close(state, reason)
        finally:
            premises = self._premises.pop(session.record.id)
            await self._let_go(session.record.id)
            is_kept = state == SessionState.STOPPED
            await (self._estate.vacate if is_kept else self._estate.remove)(premises)

    async def _move_in(
        self, record: SessionRecord, policy: Policy
    ) -> tuple[Premises, LiveKernel | None]:
        """Premises for a session, with the kernel that has waited there, if one has."""
        # Those that wait have the usual policy, round processes that run already. Labels change
        # nothing of it.
        usual = policy_for({}, self._config.limits, self._config.network)
        is_usual = replace(policy, needs=usual.needs) == usual and not policy.needs.gpus
        waiting = self._nursery.take(record.kernel_name) if is_usual else None
        if waiting is None:
            return await self._estate.make(record.id, policy.limits, policy.needs.gpus), None
        try:
            premises = await self._estate.hand_over(waiting.premises, record.id)
        except BaseException:
            await waiting.kernel.stop()
            await self._estate.remove(waiting.premises)
            raise
        return premises, waiting.kernel

    def _live(
        self,
        record: SessionRecord,
        premises: Premises,
        waiting: LiveKernel | None,
        *,
        network: bool,
    ) -> LiveSession:
        """The session; its first kernel is the one that waited, unless that has ended since."""
        variables = record.environment
        sandbox = self._estate.sandbox(
            premises, record.kernel_name, variables=variables, network=network
        )
        environment = self._environment(sandbox)
        ready = [waiting] if waiting else []

        def make_kernel(
            on_message: Callable[[Message], None], on_input: Callable[[Message], None]
        ) -> LiveKernel:
            if ready and not (first := ready.pop()).death.done():
                first.serve(on_message, on_input, variables)
                return first
            return LiveKernel(
                record.kernel_name,
                specs=self._specs.manager,
                sandbox=replace(sandbox, sockets=premises.make_sockets()),
                environment=environment,
                flow=self._recorder.flow,
                on_message=on_message,
                on_input=on_input,
                on_ready=self._metrics.kernel_started,
                # What is forked has the zygote's devices: none.
                zygote=None if premises.gpus else self._nursery.zygote(record.kernel_name),
            )

        return LiveSession(
            record,
            recorder=self._recorder,
            sandbox=sandbox,
            environment=environment,
            make_kernel=make_kernel,
            max_output_bytes=self._config.max_output_bytes,
            after_execution=self._after_execution,
            kept=premises.kept,
            account=self._ledger.account(record.owner_id),
        )

    def _waiting_kernel(self, premises: Premises) -> LiveKernel:
        """A kernel for a session that is not known yet."""
        usual = policy_for({}, self._config.limits, self._config.network)
        sandbox = self._estate.sandbox(
            premises, DEFAULT_KERNEL, variables={}, network=usual.network
        )
        return LiveKernel(
            DEFAULT_KERNEL,
            specs=self._specs.manager,
            sandbox=replace(sandbox, sockets=premises.make_sockets()),
            environment=self._environment(sandbox),
            flow=self._recorder.flow,
            on_ready=self._metrics.kernel_started,
            zygote=self._nursery.zygote(DEFAULT_KERNEL),
        )

    def _environment(self, sandbox: Sandbox) -> dict[str, str]:
        return sandbox.environment(path=tuple(each / "bin" for each in self._config.prefixes))


def check_identifier(identifier: str) -> None:
    """Raise InvalidValue unless a session can be named so."""
    printable = identifier.isprintable() and not any(char.isspace() for char in identifier)
    if not (printable and 0 < len(identifier) <= MAX_IDENTIFIER_LENGTH):
        raise InvalidValue(
            f"A session's identifier has 1 to {MAX_IDENTIFIER_LENGTH} printable characters "
            "and no spaces."
        )


def _check(record: SessionRecord) -> None:
    check_identifier(record.identifier)
    if not 0 <= (record.idle_timeout_seconds or 0) <= MAX_IDLE_TIMEOUT_SECONDS:
        raise InvalidValue("The idle timeout must be a positive number, up to a year.")
    check_environment(record.environment)
