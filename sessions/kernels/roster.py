"""The sessions of one host: how they are found, opened, renamed and closed."""

from __future__ import annotations

import asyncio
import itertools
import logging
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import zmq.asyncio

from sessions.exceptions import (
    Conflict,
    HostUnavailable,
    InvalidValue,
    SessionLimitReached,
    SessionNotFound,
)
from sessions.kernels.batch import check_environment
from sessions.kernels.config import HostConfig
from sessions.kernels.kernel import LiveKernel, Message
from sessions.kernels.records import Recorder, SessionRecord
from sessions.kernels.sandbox import Sandbox
from sessions.kernels.session import LiveSession
from sessions.kernels.specs import KernelSpecs
from sessions.kernels.workspace import Workspace, workspace_path
from sessions.states import SessionState

logger = logging.getLogger(__name__)

MAX_IDENTIFIER_LENGTH = 256
MAX_IDLE_TIMEOUT_SECONDS = 366 * 24 * 3600
MAX_SOCKETS = 65_536  # of zmq in this process; four a kernel

Name = tuple[int | None, str]


class Roster:
    """Every live session of a host, by id and by name, from ``start`` to ``stop``.

    ``after_execution`` is called with a session's id whenever one of its executions has ended.
    """

    def __init__(
        self,
        config: HostConfig,
        recorder: Recorder,
        specs: KernelSpecs,
        after_execution: Callable[[UUID], None],
    ) -> None:
        self._config = config
        self._recorder = recorder
        self._specs = specs
        self._after_execution = after_execution
        self._by_id: dict[UUID, LiveSession] = {}
        self._by_name: dict[Name, LiveSession] = {}
        # Sessions somebody is opening now, shared by all who ask for the same name meanwhile.
        self._opening: dict[Name, asyncio.Task[LiveSession]] = {}
        # Sessions that are ending, until their rows say so and their files are gone.
        self._closing: dict[Name, asyncio.Task[None]] = {}
        self._is_stopping = False
        self._context = zmq.asyncio.Context()
        self._context.set(zmq.MAX_SOCKETS, MAX_SOCKETS)

    def start(self) -> None:
        """Make the directory for the kernels' sockets, without what an earlier host left."""
        shutil.rmtree(self._config.run_dir / "k", ignore_errors=True)
        (self._config.run_dir / "k").mkdir(mode=0o700, parents=True)

    async def stop(self, reason: str) -> None:
        """End every session; nothing is opened from now on."""
        self._is_stopping = True
        await asyncio.gather(*self._opening.values(), return_exceptions=True)
        for session in list(self._by_id.values()):
            self.close(session, SessionState.CLOSED, reason)
        await asyncio.gather(*self._closing.values(), return_exceptions=True)

    def destroy(self) -> None:
        """Let go of the sockets; the last call."""
        self._context.destroy(linger=0)

    # --- Finding ------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[LiveSession]:
        return iter(list(self._by_id.values()))

    def get(self, session_id: UUID) -> LiveSession | None:
        """The live session of that id, whosever it is."""
        return self._by_id.get(session_id)

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
        self, record: SessionRecord, environment: dict[str, str] | None = None
    ) -> tuple[LiveSession, bool]:
        """The live session of the record's name, and whether this call opened it, as the record.

        ``environment`` is what its processes find in theirs beyond what all have. Raises
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
            raise HostUnavailable("The server is being stopped.")
        opening = self._opening.get(key)
        if opening is not None:
            return await asyncio.shield(opening), False
        _check(record, environment or {})
        work = self._open(record, environment or {})
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
        """End the session. Its name is free at once, but who opens it anew waits for the task."""
        key = (session.record.owner_id, session.record.identifier)
        del self._by_id[session.record.id]
        del self._by_name[key]
        closing = asyncio.create_task(self._finish_close(session, state, reason), name="close")
        self._closing[key] = closing
        closing.add_done_callback(lambda _: self._closing.pop(key, None))
        return closing

    # --- Internal -----------------------------------------------------------------------

    async def _open(self, record: SessionRecord, environment: dict[str, str]) -> LiveSession:
        if len(self._by_id) + len(self._opening) > self._config.max_sessions:
            raise SessionLimitReached(
                f"The server runs {self._config.max_sessions} sessions, as many as it may. "
                "Close one, or try again later.",
                maximum=self._config.max_sessions,
            )
        if closing := self._closing.get((record.owner_id, record.identifier)):
            await asyncio.wait({closing})
        self._specs.check(record.kernel_name)
        workspace = Workspace(workspace_path(self._config.data_dir, record.id), max_bytes=None)
        await asyncio.to_thread(workspace.create)
        try:
            session = self._live(record, workspace, variables=environment)
            await self._recorder.create_session(record)
        except BaseException:
            await self._remove(record)
            raise
        self._by_id[record.id] = session
        self._by_name[(record.owner_id, record.identifier)] = session
        session.open()
        return session

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
            await self._remove(session.record)

    async def _remove(self, record: SessionRecord) -> None:
        """Remove a session's files. What cannot be removed is logged, and stays."""
        await asyncio.to_thread(shutil.rmtree, self._private(record), ignore_errors=True)
        workspace = Workspace(workspace_path(self._config.data_dir, record.id), max_bytes=None)
        try:
            await asyncio.to_thread(workspace.remove)
        except Exception:
            logger.exception("the workspace of session %s could not be removed", record.id)

    def _live(
        self, record: SessionRecord, workspace: Workspace, *, variables: dict[str, str]
    ) -> LiveSession:
        private = self._private(record)
        private.mkdir(mode=0o700)
        numbers = itertools.count(1)
        sandbox = self._sandbox(record, workspace, variables)
        path = tuple(prefix / "bin" for prefix in self._config.prefixes)
        environment = sandbox.environment(path=path)

        def make_kernel(
            on_message: Callable[[Message], None], on_input: Callable[[Message], None]
        ) -> LiveKernel:
            # A directory for each, so that none meets the sockets of one that ended.
            sockets = private / str(next(numbers))
            sockets.mkdir(mode=0o700)
            return LiveKernel(
                record.kernel_name,
                specs=self._specs.manager,
                context=self._context,
                sandbox=replace(sandbox, sockets=sockets),
                environment=environment,
                on_message=on_message,
                on_input=on_input,
            )

        return LiveSession(
            record,
            recorder=self._recorder,
            sandbox=sandbox,
            environment=environment,
            make_kernel=make_kernel,
            max_output_bytes=self._config.max_output_bytes,
            after_execution=self._after_execution,
        )

    def _sandbox(
        self, record: SessionRecord, workspace: Workspace, variables: dict[str, str]
    ) -> Sandbox:
        return Sandbox(
            workspace=workspace.root,
            sockets=None,
            state=self._private(record) / "state",
            readable=self._specs.readable(record.kernel_name),
            prepared=self._prepared(),
            variables=variables,
            contained=self._config.contained,
        )

    def _prepared(self) -> tuple[tuple[Path, str], ...]:
        """Font lists that matplotlib would take a second to make in every session."""
        found = [
            file
            for prefix in self._config.prefixes
            for file in (prefix / "share/workbench/matplotlib").glob("fontlist-*.json")
        ]
        return tuple((file, f"/tmp/.state/matplotlib/{file.name}") for file in found)

    def _private(self, record: SessionRecord) -> Path:
        """Where a session's sockets are. Its users do not see it as a place for files."""
        return self._config.run_dir / "k" / record.id.hex[:12]


def check_identifier(identifier: str) -> None:
    """Raise InvalidValue unless a session can be named so."""
    printable = identifier.isprintable() and not any(char.isspace() for char in identifier)
    if not (printable and 0 < len(identifier) <= MAX_IDENTIFIER_LENGTH):
        raise InvalidValue(
            f"A session's identifier has 1 to {MAX_IDENTIFIER_LENGTH} printable characters "
            "and no spaces."
        )


def _check(record: SessionRecord, environment: dict[str, str]) -> None:
    check_identifier(record.identifier)
    if not 0 <= (record.idle_timeout_seconds or 0) <= MAX_IDLE_TIMEOUT_SECONDS:
        raise InvalidValue("The idle timeout must be a positive number, up to a year.")
    check_environment(environment)
