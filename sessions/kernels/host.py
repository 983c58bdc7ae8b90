"""The kernels of one machine: every verb of the host, by name, with plain data in and out.

No Django here: the recorder is handed in, so that a Ray actor, a test or a script can use it bare.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sessions.exceptions import (
    FileNotFound,
    InputNotRequested,
    InvalidValue,
    SessionNotFound,
    Unavailable,
    WorkbenchError,
)
from sessions.kernels import trace
from sessions.kernels.batch import Run, Runs
from sessions.kernels.config import HostConfig as HostConfig
from sessions.kernels.executions import MAX_TIMEOUT_SECONDS, LiveExecution
from sessions.kernels.files import Files, NoFiles, Room, Tell
from sessions.kernels.measures import HostMetrics, Present
from sessions.kernels.meter import SAMPLE_SECONDS, Meter
from sessions.kernels.outputs import clean
from sessions.kernels.quotas import PERIOD_SECONDS, Ledger
from sessions.kernels.records import ExecutionRecord, Recorder, SessionRecord, now, timestamp
from sessions.kernels.roster import MAX_IDENTIFIER_LENGTH, Roster
from sessions.kernels.session import LiveSession
from sessions.kernels.specs import DEFAULT_KERNEL, KernelSpecs
from sessions.states import SessionState
from sessions.topics import announced_session, files_topic

logger = logging.getLogger(__name__)

REAP_SECONDS = 5.0  # between two looks for sessions that are idle for too long
ACTIVE_CPU_PERCENT = 2.0  # of a core: less than that, a session is taken for one that waits
QUOTA_SECONDS = 1.0  # between two looks whether somebody's time is used up
GRANT_SECONDS = 2.0  # between two looks at what accounts have of their own
ELSEWHERE_SECONDS = 5.0  # between two looks at what owners use on other hosts
REFRESH_SECONDS = 0.5  # between an execution's end and the look at its files, for all meanwhile
REFRESH_AGAIN_SECONDS = 5.0  # before another look, if what was seen could not be recorded


def _quiet(numbers: dict[str, int]) -> None:
    pass


@dataclass
class Host:
    """Owns the sessions of one machine, from ``start`` to ``stop``.

    The public coroutines with keyword-only arguments are the verbs; ``VERBS`` lists them.
    ``make_files`` makes what looks after sessions' files; ``notify`` tells subscribers the newest
    number of each topic, for topics that are not the recorder's.
    """

    config: HostConfig
    recorder: Recorder
    make_files: Callable[[Room, Tell], Files] = NoFiles
    notify: Callable[[dict[str, int]], None] = _quiet
    # Sessions whose files will be looked through.
    _refreshing: set[UUID] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _runs: Runs = field(default_factory=Runs)

    def __post_init__(self) -> None:
        self._started_at = now()
        self._meter = Meter()
        self._specs = KernelSpecs(self.config.prefixes)
        self._metrics = HostMetrics()
        self._ledger = Ledger(self.config.quota, self._metrics.quota_reached)
        self._files = self.make_files(self._room, self._tell_of_files)
        self._sessions = Roster(
            self.config,
            self.recorder,
            self._specs,
            self._after_execution,
            self._metrics,
            self._ledger,
            self._files.let_go,
        )

    async def start(self, kept: Sequence[SessionRecord] = ()) -> None:
        """Take back the sessions an earlier host kept, and begin to look for idle ones."""
        self._started_at = now()
        self._ledger.grant(await self.recorder.quotas())
        since = self._started_at - timedelta(seconds=PERIOD_SECONDS)
        self._ledger.restore(await self.recorder.spent(since))
        self._ledger.hear(await self.recorder.elsewhere(since))
        await self._sessions.start(kept)
        self._spawn(self._reap(), "reap idle sessions")
        self._spawn(self._measure(), "measure sessions")
        self._spawn(self._watch_disks(), "watch what sessions keep on the disk")
        self._spawn(self._watch_time(), "watch the time that owners have used")
        self._sessions.is_draining = await self.recorder.is_draining()
        self._spawn(self._read_rows(), "read what operators have changed")
        self._spawn(self._read_elsewhere(), "read what owners use on other hosts")

    async def stop(self, reason: str = "The server was stopped.") -> None:
        """End every kernel; the next host takes the sessions back. Called once."""
        await self._sessions.stop(reason)
        await self._files.stop()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._sessions.destroy()

    # --- Verbs: sessions ----------------------------------------------------------------

    async def open_session(
        self,
        *,
        owner_id: int | None,
        identifier: str,
        origin: str,
        kernel_name: str = "",
        idle_timeout_seconds: int | None = None,
        environment: dict[str, str] | None = None,
        request: dict[str, Any] | None = None,
        policy: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """See operations.open_session."""
        record = SessionRecord(
            identifier=identifier,
            owner_id=owner_id,
            kernel_name=kernel_name or DEFAULT_KERNEL,
            origin=origin,
            host=self.config.name,
            idle_timeout_seconds=idle_timeout_seconds or self.config.idle_timeout_seconds,
            request=clean(request or {}),
            environment=environment or {},
        )
        session, created = await self._sessions.find_or_open(record, policy)
        trace.found(session.record.id)
        return {**session.record.to_wire(), "created": created}

    async def find_session(self, *, owner_id: int | None, identifier: str) -> dict[str, Any]:
        """See operations.find_session."""
        session = self._find(owner_id, identifier)
        session.touch()
        return session.record.to_wire()

    async def list_sessions(self, *, owner_id: int | None) -> list[dict[str, Any]]:
        """See operations.list_sessions."""
        return [each.record.to_wire() for each in self._sessions.of_owner(owner_id)]

    async def restart(self, *, owner_id: int | None, identifier: str) -> None:
        """See operations.restart."""
        await self._lasting(self._find(owner_id, identifier).restart(), "restart")

    async def close_session(self, *, owner_id: int | None, identifier: str) -> None:
        """See operations.close_session."""
        session = self._find(owner_id, identifier)
        await asyncio.shield(self._sessions.close(session, SessionState.CLOSED))

    async def rename_session(self, *, owner_id: int | None, identifier: str, name: str) -> None:
        """See operations.rename_session."""
        await self._sessions.rename(self._find(owner_id, identifier), name)

    # --- Verbs: executions --------------------------------------------------------------

    async def submit(self, **arguments: Any) -> dict[str, Any]:
        """See operations.submit. Only an "id" if it ran before and has ended."""
        wire, _ = await self._submit(collect=False, **arguments)
        await self.recorder.commit()
        return wire

    async def run(self, **arguments: Any) -> dict[str, Any]:
        """See operations.run_code. Only an "id" if its events are not at hand, but in the rows."""
        wire, execution = await self._submit(collect=True, **arguments)
        if execution is not None:
            await execution.ended.wait()
        await self.recorder.commit()
        if execution is None or execution.events is None:
            return {"id": wire["id"]}
        # Late output may find the execution for a long time: it should not hold these as well.
        events, execution.events = execution.events, None
        return {**wire, **execution.record.to_wire(), "events": events}

    async def wait(
        self,
        *,
        owner_id: int | None,
        identifier: str,
        execution_id: str,
        timeout_seconds: float | None,
    ) -> None:
        """Return when the execution has ended and that is written, or after the timeout.

        Raises SessionNotFound, ExecutionNotFound, ExecutionFinished.
        """
        try:
            execution = self._find(owner_id, identifier).execution(execution_id)
        except WorkbenchError:
            await self.recorder.commit()  # it may have ended a moment ago
            raise
        try:
            async with asyncio.timeout(timeout_seconds):
                await execution.ended.wait()
        except TimeoutError:
            pass
        await self.recorder.commit()

    async def interrupt(self, *, owner_id: int | None, identifier: str) -> None:
        """See operations.interrupt."""
        self._find(owner_id, identifier).interrupt()

    async def cancel(self, *, owner_id: int | None, identifier: str, execution_id: str) -> None:
        """See operations.cancel."""
        self._find(owner_id, identifier).cancel(execution_id)
        await self.recorder.commit()

    async def answer_input(self, *, owner_id: int | None, identifier: str, text: str) -> None:
        """See operations.answer_input."""
        self._find(owner_id, identifier).answer_input(text)

    # --- Verbs: continued runs ----------------------------------------------------------

    async def start_run(
        self,
        *,
        owner_id: int | None,
        identifier: str,
        run_id: str,
        steps: list[dict[str, Any]],
        origin: str,
        environment: dict[str, str],
    ) -> None:
        """See continuations.start_run."""
        session = self._find(owner_id, identifier)
        await session.admit()
        run = Run(
            run_id,
            session.record,
            steps,
            origin=origin,
            environment=environment,
            max_output_bytes=self.config.max_output_bytes,
        )
        self._runs.add(run)
        try:
            session.submit_all(run.executions)
        except WorkbenchError:
            self._runs.forget(run)
            raise
        await self.recorder.commit()

    async def follow_run(
        self, *, owner_id: int | None, identifier: str, run_id: str, wait_seconds: float
    ) -> dict[str, Any]:
        """What is to be told next of a run, written; it counts as told after ``told_run``.

        "status", "step", "is_last", "exit_code", "is_password" as in continuations.Progress;
        "executions" (ids), "after" and "until" say which events go with it; "turn" is for
        ``told_run``.
        """
        run = self._find_run(owner_id, identifier, run_id)
        if session := self._sessions.get(run.session.id):
            session.touch()
        answer = await run.follow(wait_seconds)
        await self.recorder.commit()
        return answer

    async def told_run(
        self, *, owner_id: int | None, identifier: str, run_id: str, answer: dict[str, Any]
    ) -> bool:
        """An answer of ``follow_run`` is handed over; False if another caller had it before."""
        run = self._find_run(owner_id, identifier, run_id)
        is_told = run.told(answer)
        if is_told and answer["is_last"]:
            self._runs.forget(run)
        return is_told

    async def answer_run(
        self, *, owner_id: int | None, identifier: str, run_id: str, text: str
    ) -> None:
        """See continuations.answer_run."""
        run = self._find_run(owner_id, identifier, run_id)
        session = self._sessions.get(run.session.id)
        if session is None or not run.awaits_input:
            raise InputNotRequested
        session.answer_input(text)

    # --- Verbs: questions ---------------------------------------------------------------

    async def complete(
        self, *, owner_id: int | None, identifier: str, code: str, cursor: int
    ) -> dict[str, Any]:
        """See operations.complete."""
        return await self._find(owner_id, identifier).complete(code, cursor)

    async def inspect(
        self, *, owner_id: int | None, identifier: str, code: str, cursor: int, detail: int
    ) -> dict[str, Any]:
        """See operations.inspect."""
        return await self._find(owner_id, identifier).inspect(code, cursor, detail)

    async def list_variables(self, *, owner_id: int | None, identifier: str) -> dict[str, Any]:
        """See operations.list_variables."""
        return await self._find(owner_id, identifier).list_variables()

    async def read_table(
        self, *, owner_id: int | None, identifier: str, **asked: Any
    ) -> dict[str, Any]:
        """See operations.read_table."""
        return await self._find(owner_id, identifier).read_table(clean(asked))

    async def send_comm(
        self,
        *,
        owner_id: int | None,
        identifier: str,
        message: dict[str, Any],
        buffers: list[bytes],
    ) -> None:
        """See operations.send_comm; ``message`` has the shape of a ``comm`` event's data."""
        self._find(owner_id, identifier).send_comm(clean(message), buffers)

    async def resources(self, *, owner_id: int | None, identifier: str) -> dict[str, Any]:
        """See operations.resources."""
        session = self._find(owner_id, identifier)
        limit = session.record.policy["limits"]["memory_bytes"]
        return {"samples": self._meter.samples(session.record.id), "memory_limit_bytes": limit}

    async def list_resources(self, *, owner_id: int | None) -> dict[str, dict[str, Any]]:
        """See operations.list_resources."""
        records = [each.record for each in self._sessions.of_owner(owner_id)]
        return {str(record.id): self._meter.glance(record.id) for record in records}

    # --- Verbs: quotas ------------------------------------------------------------------

    async def usage(self, *, owner_id: int | None) -> dict[str, Any]:
        """See operations.usage."""
        account = self._ledger.account(owner_id)
        await account.look()
        quotas = account.usage(len(self._sessions.of_owner(owner_id)))
        return {"period_seconds": PERIOD_SECONDS, "quotas": quotas}

    async def room(self, *, session_id: str) -> dict[str, Any]:
        """See operations.room."""
        return await self._room(_uuid(session_id))

    # --- Verbs: files -------------------------------------------------------------------

    async def files(self, *, session_id: str, do: str, arguments: dict[str, Any]) -> Any:
        """See files/at_the_host.py: files, for web processes that do not see this disk."""
        key = _uuid(session_id)
        trace.found(key)
        if do == "keep" and (session := self._sessions.get(key)):
            session.touch()  # who waits for a long transfer uses it
        return await self._files.do(key, do, arguments)

    # --- Verbs: the host ----------------------------------------------------------------

    async def kernelspecs(self) -> list[dict[str, Any]]:
        """See operations.kernelspecs."""
        return await asyncio.to_thread(self._specs.listed)

    async def announce(self, *, topic: str, number: int) -> None:
        """Tell the subscribers of a session's notebook, or of its files, the newest version.

        Raises InvalidValue for other topics: those are the recorder's.
        """
        if session := self._sessions.get(announced_session(topic)):
            session.touch()  # somebody writes in it
        self.notify({topic: number})

    async def health(self) -> dict[str, Any]:
        """Whether code can be run: the names of the hosts, how many sessions they have, and since
        when there is one.
        """
        return {
            "hosts": [self.config.name],
            "sessions": len(self._sessions),
            "started_at": timestamp(self._started_at),
        }

    async def offer(self) -> dict[str, Any]:
        """What there is for those who choose a host for a session."""
        return {
            "host": self.config.name,
            "started_at": timestamp(self._started_at),
            "slots": self.config.max_sessions,
            "sessions": len(self._sessions),
            "gpus": len(self.config.gpus),
            "free_gpus": self._sessions.free_gpus,
            "labels": dict(self.config.labels),
            "warm_kernels": self._sessions.warm_kernels,
            "is_draining": self._sessions.is_draining,
        }

    async def survey(self) -> dict[str, Any]:
        """See operations.survey."""
        sessions = [each.survey() | self._meter.latest(each.record.id) for each in self._sessions]
        return {"hosts": [{**await self.offer(), "sessions": sessions}]}

    async def metrics(self) -> str:
        """What the host counts and measures, in Prometheus's text format."""
        sessions = list(self._sessions)
        memory_bytes, processes = self._meter.totals()
        return self._metrics.exposition(
            Present(
                sessions=Counter(each.record.state for each in sessions),
                running=sum(each.is_running for each in sessions),
                waiting=sum(each.waiting for each in sessions),
                warm_kernels=self._sessions.warm_kernels,
                gpus=len(self.config.gpus),
                free_gpus=self._sessions.free_gpus,
                memory_bytes=memory_bytes,
                processes=processes,
                unwritten_characters=self.recorder.waiting_characters,
                is_flow_open=self.recorder.flow.is_open,
                flow_closures=self.recorder.flow.closures,
                written=self.recorder.written,
            )
        )

    # --- Internal -----------------------------------------------------------------------

    def _find(self, owner_id: int | None, identifier: str) -> LiveSession:
        session = self._sessions.find(owner_id, identifier)
        trace.found(session.record.id)
        return session

    async def _room(self, session_id: UUID) -> dict[str, Any]:
        session = self._sessions.get(session_id)
        if session is None:
            raise SessionNotFound
        most, full = await session.room()
        return {"most_bytes": most, "full": full}

    def _find_run(self, owner_id: int | None, identifier: str, run_id: str) -> Run:
        """The run, also of a session that has ended. Raises ExecutionNotFound."""
        try:
            live = self._find(owner_id, identifier).record.id
        except SessionNotFound:
            live = None
        return self._runs.find(owner_id, identifier, run_id, live=live)

    async def _submit(
        self,
        *,
        collect: bool,
        owner_id: int | None,
        identifier: str,
        create: bool,
        kind: str,
        code: str,
        origin: str,
        client_id: str,
        timeout_seconds: float | None,
        allow_input: bool,
        request: dict[str, Any],
        command: list[str] | None = None,
        stdin: str = "",
        before: str = "",
        after: str = "",
        watch_files: bool = False,
        cell: str = "",
    ) -> tuple[dict[str, Any], LiveExecution | None]:
        _check_text(code=code, client_id=client_id, before=before, after=after)
        for argument in command or []:
            _check_text(command=argument)
        if timeout_seconds is not None and not 0 < timeout_seconds <= MAX_TIMEOUT_SECONDS:
            raise InvalidValue("The timeout must be a positive number of seconds, up to a week.")
        if len(client_id) > MAX_IDENTIFIER_LENGTH:
            raise InvalidValue(f"An execution's id has at most {MAX_IDENTIFIER_LENGTH} characters.")
        session, created = await self._session_for(owner_id, identifier, origin, create=create)
        record = ExecutionRecord(
            session_id=session.record.id,
            kind=kind,
            code=code,
            origin=origin,
            cell=_uuid(cell) if cell else None,
            client_id=client_id,
            timeout_seconds=timeout_seconds,
            request=clean(request),
        )
        await session.admit(record)
        id_, execution = session.submit(
            record,
            command=command,
            stdin=stdin,
            collect=collect,
            allow_input=allow_input,
            before=before,
            after=after,
            watch_files=watch_files,
        )
        if execution is None:
            return {"id": str(id_)}, None
        return {**execution.record.to_wire(), "session_created": created}, execution

    async def _session_for(
        self, owner_id: int | None, identifier: str, origin: str, *, create: bool
    ) -> tuple[LiveSession, bool]:
        """The session to submit to, and whether it was opened for that."""
        while True:
            try:
                session = self._find(owner_id, identifier)
            except SessionNotFound:
                if not create:
                    raise
            else:
                session.touch()
                return session, False
            # Otherwise there would be a session that nobody wanted.
            self._ledger.account(owner_id).check_submission()
            opened = await self.open_session(
                owner_id=owner_id, identifier=identifier, origin=origin
            )
            # It may have been closed by the time that this caller hears of it.
            if found := self._sessions.get(UUID(opened["id"])):
                return found, opened["created"]

    async def _lasting(self, work: Any, name: str) -> None:
        """Await work that goes on if the caller goes away."""
        await asyncio.shield(self._spawn(work, name))

    def _spawn(self, work: Any, name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _reap(self) -> None:
        """Closes sessions that were idle for too long, and lets go of what nobody follows.

        Runs until the host stops.
        """
        while True:
            await asyncio.sleep(REAP_SECONDS)
            self._runs.forget_abandoned()
            await self._files.sweep()
            for session in self._sessions:
                if _is_due(session, self._started_at):
                    self._sessions.close(session, SessionState.EXPIRED, "It was idle for too long.")

    async def _measure(self) -> None:
        """Looks at what sessions use. Runs until the host stops."""
        while True:
            await asyncio.sleep(SAMPLE_SECONDS)
            processes = {each.record.id: each.process_ids for each in self._sessions}
            try:
                await asyncio.to_thread(self._meter.sample, processes)
            except Exception:
                logger.exception("the sessions could not be measured")
            for session in self._sessions:
                session.check_memory(self._meter.memory_bytes(session.record.id))

    async def _watch_disks(self) -> None:
        """Looks at what sessions keep on the disk, one after the other.

        Runs until the host stops; at most half of the time it looks.
        """
        took = 0.0
        while True:
            await asyncio.sleep(max(SAMPLE_SECONDS, took))
            began = time.monotonic()
            for session in self._sessions:
                is_active = self._meter.cpu_percent(session.record.id) >= ACTIVE_CPU_PERCENT
                try:
                    await session.check_disk(is_active=is_active)
                except Exception:
                    logger.exception("the files of %s could not be measured", session.record.id)
            took = time.monotonic() - began

    async def _watch_time(self) -> None:
        """Interrupts what runs when its owner's time is used up. Runs until the host stops."""
        while True:
            await asyncio.sleep(QUOTA_SECONDS)
            for account in self._ledger:
                account.enforce()

    async def _read_rows(self) -> None:
        """Reads what accounts have of their own, and whether the host is to be drained.

        Runs until the host stops. While that cannot be read, it is as it was.
        """
        while True:
            await asyncio.sleep(GRANT_SECONDS)
            try:
                self._ledger.grant(await self.recorder.quotas())
                self._sessions.is_draining = await self.recorder.is_draining()
            except WorkbenchError as error:
                logger.warning("the accounts' own quotas cannot be read: %s", error)
            except Exception:
                logger.exception("the accounts' own quotas cannot be read")

    async def _read_elsewhere(self) -> None:
        """Reads what owners use on other hosts: their quotas are of all together.

        Runs until the host stops. While that cannot be read, it is what it was.
        """
        while True:
            await asyncio.sleep(ELSEWHERE_SECONDS)
            try:
                since = now() - timedelta(seconds=PERIOD_SECONDS)
                self._ledger.hear(await self.recorder.elsewhere(since))
            except WorkbenchError as error:
                logger.warning("what owners use on other hosts cannot be read: %s", error)
            except Exception:
                logger.exception("what owners use on other hosts cannot be read")

    def _after_execution(self, record: ExecutionRecord) -> None:
        self._metrics.execution_ended(record)
        self._files_may_have_changed(record.session_id)

    def _files_may_have_changed(self, session_id: UUID) -> None:
        """Look through a session's files soon; many executions in a row share one look."""
        if session_id not in self._refreshing:
            self._refreshing.add(session_id)
            self._spawn(self._refresh(session_id), "refresh files")

    async def _tell_of_files(self, session_id: UUID, version: int) -> None:
        self.notify({files_topic(session_id): version})

    async def _refresh(self, session_id: UUID) -> None:
        await asyncio.sleep(REFRESH_SECONDS)
        self._refreshing.discard(session_id)  # what changes from now on wants another look
        try:
            await self._files.refresh(session_id)
        except FileNotFound:
            pass  # the session has ended
        except Unavailable as error:
            logger.warning("the files of session %s wait to be recorded: %s", session_id, error)
            await asyncio.sleep(REFRESH_AGAIN_SECONDS)
            self._files_may_have_changed(session_id)
        except Exception:
            logger.exception("the files of session %s could not be looked through", session_id)


# What engines may call.
VERBS = frozenset(
    {
        "announce",
        "answer_input",
        "answer_run",
        "cancel",
        "close_session",
        "complete",
        "files",
        "find_session",
        "follow_run",
        "health",
        "inspect",
        "interrupt",
        "kernelspecs",
        "list_resources",
        "list_sessions",
        "list_variables",
        "metrics",
        "offer",
        "open_session",
        "read_table",
        "rename_session",
        "resources",
        "restart",
        "room",
        "run",
        "send_comm",
        "start_run",
        "submit",
        "survey",
        "told_run",
        "usage",
        "wait",
    }
)


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise InvalidValue(f"{text[:50]!r} is not a UUID.") from None


def _check_text(**named: str) -> None:
    """Refuse what no kernel and no database takes for text. Raises InvalidValue."""
    for name, text in named.items():
        if clean(text) != text:
            raise InvalidValue(f"The {name} holds NUL, or half a character (a lone surrogate).")


def _is_due(session: LiveSession, host_started_at: datetime) -> bool:
    """Nobody could use it before the host was there: that time does not count."""
    timeout = session.record.idle_timeout_seconds
    if timeout is None or not session.is_idle:
        return False
    idle_since = max(session.record.last_active_at, host_started_at)
    return now() - idle_since > timedelta(seconds=timeout)
