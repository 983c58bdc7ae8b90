"""The kernels of one machine: every verb of the host, by name, with plain data in and out.

No Django here: the recorder is handed in, so that a Ray actor, a test or a script can use it bare.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import re
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import zmq.asyncio
from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

from sessions.exceptions import (
    Conflict,
    FileNotFound,
    HostUnavailable,
    InputNotRequested,
    InvalidValue,
    KernelspecNotFound,
    SessionLimitReached,
    SessionNotFound,
    WorkbenchError,
)
from sessions.kernels.batch import Run, Runs, check_environment
from sessions.kernels.executions import LiveExecution
from sessions.kernels.kernel import LiveKernel, Message
from sessions.kernels.outputs import clean
from sessions.kernels.records import ExecutionRecord, Recorder, SessionRecord, now
from sessions.kernels.sandbox import Sandbox
from sessions.kernels.session import LiveSession
from sessions.kernels.workspace import Workspace, workspace_path
from sessions.states import SessionState

logger = logging.getLogger(__name__)

DEFAULT_KERNEL = "python3"
MAX_IDENTIFIER_LENGTH = 256
MAX_TIMEOUT_SECONDS = 7 * 24 * 3600.0
MAX_IDLE_TIMEOUT_SECONDS = 366 * 24 * 3600
MAX_SOCKETS = 65_536  # of zmq in this process; four a kernel
REAP_SECONDS = 5.0  # between two looks for sessions that are idle for too long
REFRESH_SECONDS = 0.25  # between an execution's end and the look at its files, for all meanwhile

# A kernelspec's name is also a directory's: nothing that could lead elsewhere.
_KERNEL_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, kw_only=True)
class HostConfig:
    """What a host needs to know of its machine."""

    # What the sessions of this host say of where they are.
    name: str
    # Workspaces live below; workspace_path() says where.
    data_dir: Path
    # Kernels' sockets live below. Short: a socket's path has at most 107 bytes.
    run_dir: Path
    # Environments with kernelspecs (below share/jupyter/kernels), the likeliest first; their
    # files are readable in sessions.
    prefixes: tuple[Path, ...]
    contained: bool = True
    max_sessions: int = 200
    max_output_bytes: int = 10 * 1024 * 1024
    # Default of sessions that do not say; None: they never expire.
    idle_timeout_seconds: int | None = 1800


async def _nothing(session_id: UUID) -> None:
    pass


@dataclass
class Host:
    """Owns the sessions of one machine, from ``start`` to ``stop``.

    The public coroutines with keyword-only arguments are the verbs; ``VERBS`` lists them.
    ``refresh_files`` is called after executions, when their files may have changed.
    """

    config: HostConfig
    recorder: Recorder
    refresh_files: Callable[[UUID], Awaitable[None]] = _nothing
    _by_id: dict[UUID, LiveSession] = field(default_factory=dict)
    _by_name: dict[tuple[int | None, str], LiveSession] = field(default_factory=dict)
    # Sessions somebody is opening now, shared by all who ask for the same name meanwhile.
    _opening: dict[tuple[int | None, str], asyncio.Task[LiveSession]] = field(default_factory=dict)
    # Sessions that are ending, until their rows say so and their files are gone.
    _closing: dict[tuple[int | None, str], asyncio.Task[None]] = field(default_factory=dict)
    # Sessions whose files will be looked through.
    _refreshing: set[UUID] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _runs: Runs = field(default_factory=Runs)
    _is_stopping: bool = False

    def __post_init__(self) -> None:
        self._context = zmq.asyncio.Context()
        self._context.set(zmq.MAX_SOCKETS, MAX_SOCKETS)
        self._specs = KernelSpecManager(ensure_native_kernel=False)
        own = [str(prefix / "share/jupyter/kernels") for prefix in self.config.prefixes]
        self._specs.kernel_dirs = own + self._specs.kernel_dirs

    async def start(self) -> None:
        """Make the run directory and begin to look for idle sessions."""
        shutil.rmtree(self.config.run_dir / "k", ignore_errors=True)
        (self.config.run_dir / "k").mkdir(mode=0o700, parents=True)
        self._spawn(self._reap(), "reap idle sessions")

    async def stop(self, reason: str = "The server was stopped.") -> None:
        """End every session. Called once, when the process ends."""
        self._is_stopping = True
        await asyncio.gather(*self._opening.values(), return_exceptions=True)
        for session in list(self._by_id.values()):
            self._close(session, SessionState.CLOSED, reason)
        await asyncio.gather(*self._closing.values(), return_exceptions=True)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._context.destroy(linger=0)

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
    ) -> dict[str, Any]:
        """See operations.open_session."""
        session, created = await self._get_or_open(
            owner_id,
            identifier,
            origin,
            kernel_name,
            idle_timeout_seconds,
            environment=environment,
            request=request,
        )
        return {**session.record.to_wire(), "created": created}

    async def find_session(self, *, owner_id: int | None, identifier: str) -> dict[str, Any]:
        """See operations.find_session."""
        session = self._find(owner_id, identifier)
        session.touch()
        return session.record.to_wire()

    async def list_sessions(self, *, owner_id: int | None) -> list[dict[str, Any]]:
        """See operations.list_sessions."""
        records = [each.record for each in self._by_id.values()]
        return [record.to_wire() for record in records if record.owner_id == owner_id]

    async def restart(self, *, owner_id: int | None, identifier: str) -> None:
        """See operations.restart."""
        await self._lasting(self._find(owner_id, identifier).restart(), "restart")

    async def close_session(self, *, owner_id: int | None, identifier: str) -> None:
        """See operations.close_session."""
        session = self._find(owner_id, identifier)
        await asyncio.shield(self._close(session, SessionState.CLOSED))

    async def rename_session(self, *, owner_id: int | None, identifier: str, name: str) -> None:
        """See operations.rename_session."""
        session = self._find(owner_id, identifier)
        _check_identifier(name)
        if name == session.record.identifier:
            return
        key = (owner_id, name)
        if key in self._opening or self._is_anothers(name, session):
            raise Conflict(f"A session named {name!r} exists already.")
        # Whoever wants to open the name meanwhile waits, and finds this session.
        renaming = asyncio.create_task(self._rename(session, name), name="rename")
        self._opening[key] = renaming
        renaming.add_done_callback(lambda _: self._opening.pop(key, None))
        await asyncio.shield(renaming)

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
        execution = self._find(owner_id, identifier).execution(execution_id)
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
        if session := self._by_id.get(run.session.id):
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
        session = self._by_id.get(run.session.id)
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

    # --- Verbs: the host ----------------------------------------------------------------

    async def kernelspecs(self) -> list[dict[str, Any]]:
        """See operations.kernelspecs."""
        specs = await asyncio.to_thread(self._specs.get_all_specs)
        found = [_described(name, spec["spec"]) for name, spec in specs.items()]
        return sorted(found, key=lambda spec: (spec["name"] != DEFAULT_KERNEL, spec["name"]))

    async def health(self) -> dict[str, Any]:
        """Whether the host can run code: its name, and how many sessions it has."""
        return {"host": self.config.name, "sessions": len(self._by_id)}

    # --- Internal -----------------------------------------------------------------------

    def _find(self, owner_id: int | None, identifier: str) -> LiveSession:
        session = self._by_name.get((owner_id, identifier))
        if session is None:
            try:
                session = self._by_id.get(UUID(identifier))
            except ValueError:
                session = None
        if session is None or session.record.owner_id != owner_id:
            raise SessionNotFound
        return session

    def _find_run(self, owner_id: int | None, identifier: str, run_id: str) -> Run:
        """The run, also of a session that has ended. Raises ExecutionNotFound."""
        try:
            live = self._find(owner_id, identifier).record.id
        except SessionNotFound:
            live = None
        return self._runs.find(owner_id, identifier, run_id, live=live)

    def _is_anothers(self, name: str, session: LiveSession) -> bool:
        """Whether another live session of the owner has this name or this id: one namespace."""
        try:
            return self._find(session.record.owner_id, name) is not session
        except SessionNotFound:
            return False

    async def _rename(self, session: LiveSession, name: str) -> LiveSession:
        record = session.record
        if closing := self._closing.get((record.owner_id, name)):
            await asyncio.wait({closing})
        await self.recorder.rename_session(record, name)
        if record.id not in self._by_id:
            raise SessionNotFound
        del self._by_name[(record.owner_id, record.identifier)]
        record.identifier = name
        self._by_name[(record.owner_id, name)] = session
        return session

    async def _get_or_open(
        self,
        owner_id: int | None,
        identifier: str,
        origin: str,
        kernel_name: str = "",
        idle_timeout_seconds: int | None = None,
        *,
        environment: dict[str, str] | None = None,
        request: dict[str, Any] | None = None,
    ) -> tuple[LiveSession, bool]:
        try:
            session = self._find(owner_id, identifier)
        except SessionNotFound:
            pass
        else:
            session.touch()
            return session, False
        if self._is_stopping:
            raise HostUnavailable("The server is being stopped.")
        key = (owner_id, identifier)
        opening = self._opening.get(key)
        if opening is None:
            _check_identifier(identifier)
            if not 0 <= (idle_timeout_seconds or 0) <= MAX_IDLE_TIMEOUT_SECONDS:
                raise InvalidValue("The idle timeout must be a positive number, up to a year.")
            check_environment(environment or {})
            record = SessionRecord(
                identifier=identifier,
                owner_id=owner_id,
                kernel_name=kernel_name or DEFAULT_KERNEL,
                origin=origin,
                host=self.config.name,
                idle_timeout_seconds=idle_timeout_seconds or self.config.idle_timeout_seconds,
                request=clean(request or {}),
            )
            work = self._open(record, environment or {})
            opening = asyncio.create_task(work, name=f"open {record.id}")
            self._opening[key] = opening
            opening.add_done_callback(lambda _: self._opening.pop(key, None))
            return await asyncio.shield(opening), True
        return await asyncio.shield(opening), False

    async def _open(self, record: SessionRecord, environment: dict[str, str]) -> LiveSession:
        if len(self._by_id) + len(self._opening) > self.config.max_sessions:
            raise SessionLimitReached(
                f"The server runs {self.config.max_sessions} sessions, as many as it may. "
                "Close one, or try again later.",
                maximum=self.config.max_sessions,
            )
        if closing := self._closing.get((record.owner_id, record.identifier)):
            await asyncio.wait({closing})
        self._check_kernel_name(record.kernel_name)
        workspace = Workspace(workspace_path(self.config.data_dir, record.id), max_bytes=None)
        await asyncio.to_thread(workspace.create)
        try:
            session = self._live(record, workspace, variables=environment)
            await self.recorder.create_session(record)
        except BaseException:
            await self._remove(record)
            raise
        self._by_id[record.id] = session
        self._by_name[(record.owner_id, record.identifier)] = session
        session.open()
        return session

    def _live(
        self, record: SessionRecord, workspace: Workspace, *, variables: dict[str, str]
    ) -> LiveSession:
        private = self._private(record)
        private.mkdir(mode=0o700)
        numbers = itertools.count(1)
        sandbox = Sandbox(
            workspace=workspace.root,
            sockets=None,
            state=private / "state",
            readable=self._readable(record.kernel_name),
            prepared=self._prepared(),
            variables=variables,
            contained=self.config.contained,
        )
        path = tuple(prefix / "bin" for prefix in self.config.prefixes)
        environment = sandbox.environment(path=path)

        def make_kernel(
            on_message: Callable[[Message], None], on_input: Callable[[Message], None]
        ) -> LiveKernel:
            # A directory for each, so that none meets the sockets of one that ended.
            sockets = private / str(next(numbers))
            sockets.mkdir(mode=0o700)
            return LiveKernel(
                record.kernel_name,
                specs=self._specs,
                context=self._context,
                sandbox=replace(sandbox, sockets=sockets),
                environment=environment,
                on_message=on_message,
                on_input=on_input,
            )

        return LiveSession(
            record,
            recorder=self.recorder,
            sandbox=sandbox,
            environment=environment,
            make_kernel=make_kernel,
            max_output_bytes=self.config.max_output_bytes,
            after_execution=self._files_may_have_changed,
        )

    def _readable(self, kernel_name: str) -> tuple[Path, ...]:
        """What the kernel needs to read: environments, the Pythons they came from, its spec."""
        paths = {Path(self._specs.get_kernel_spec(kernel_name).resource_dir)}
        for prefix in self.config.prefixes:
            paths |= {prefix, _base_of(prefix)}
        paths = {path.resolve() for path in paths if path.exists()} | {
            path for path in paths if path.exists()
        }
        inside_usr = {path for path in paths if path.is_relative_to("/usr")}
        return tuple(sorted(paths - inside_usr))

    def _prepared(self) -> tuple[tuple[Path, str], ...]:
        """Font lists that matplotlib would take a second to make in every session."""
        found = [
            file
            for prefix in self.config.prefixes
            for file in (prefix / "share/workbench/matplotlib").glob("fontlist-*.json")
        ]
        return tuple((file, f"/tmp/.state/matplotlib/{file.name}") for file in found)

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
    ) -> tuple[dict[str, Any], LiveExecution | None]:
        _check_text(code=code, client_id=client_id, before=before, after=after)
        for argument in command or []:
            _check_text(command=argument)
        if timeout_seconds is not None and not 0 < timeout_seconds <= MAX_TIMEOUT_SECONDS:
            raise InvalidValue("The timeout must be a positive number of seconds, up to a week.")
        if len(client_id) > MAX_IDENTIFIER_LENGTH:
            raise InvalidValue(f"An execution's id has at most {MAX_IDENTIFIER_LENGTH} characters.")
        session, created = None, False
        # It may have been closed by the time that this caller hears of it.
        while create and (session is None or session.record.id not in self._by_id):
            session, created = await self._get_or_open(owner_id, identifier, origin)
        if session is None:
            session = self._find(owner_id, identifier)
            session.touch()
        record = ExecutionRecord(
            session_id=session.record.id,
            kind=kind,
            code=code,
            origin=origin,
            client_id=client_id,
            timeout_seconds=timeout_seconds,
            request=clean(request),
        )
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

    def _close(
        self, session: LiveSession, state: SessionState, reason: str = ""
    ) -> asyncio.Task[None]:
        """End the session. Its name is free at once, but who opens it anew waits for the task."""
        key = (session.record.owner_id, session.record.identifier)
        del self._by_id[session.record.id]
        del self._by_name[key]
        closing = self._spawn(self._finish_close(session, state, reason), "close")
        self._closing[key] = closing
        closing.add_done_callback(lambda _: self._closing.pop(key, None))
        return closing

    async def _finish_close(self, session: LiveSession, state: SessionState, reason: str) -> None:
        try:
            await session.close(state, reason)
        finally:
            await self._remove(session.record)

    async def _remove(self, record: SessionRecord) -> None:
        """Remove a session's files. What cannot be removed is logged, and stays."""
        await asyncio.to_thread(shutil.rmtree, self._private(record), ignore_errors=True)
        workspace = Workspace(workspace_path(self.config.data_dir, record.id), max_bytes=None)
        try:
            await asyncio.to_thread(workspace.remove)
        except Exception:
            logger.exception("the workspace of session %s could not be removed", record.id)

    def _private(self, record: SessionRecord) -> Path:
        """Where a session's sockets are. Its users do not see it as a place for files."""
        return self.config.run_dir / "k" / record.id.hex[:12]

    def _check_kernel_name(self, name: str) -> None:
        try:
            if not _KERNEL_NAME.fullmatch(name):
                raise NoSuchKernel(name)
            self._specs.get_kernel_spec(name)
        except NoSuchKernel:
            sentence = f"There is no kernel named {name[:100]!r} on the server."
            raise KernelspecNotFound(sentence) from None

    async def _lasting(self, work: Any, name: str) -> None:
        """Await work that goes on if the caller goes away."""
        await asyncio.shield(self._spawn(work, name))

    def _spawn(self, work: Any, name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _reap(self) -> None:
        """Closes sessions that were idle for too long, and lets go of runs nobody follows.

        Runs until the host stops.
        """
        while True:
            await asyncio.sleep(REAP_SECONDS)
            self._runs.forget_abandoned()
            for session in [each for each in self._by_id.values() if _is_due(each)]:
                self._close(session, SessionState.EXPIRED, "It was idle for too long.")

    def _files_may_have_changed(self, session_id: UUID) -> None:
        """Look through a session's files soon; many executions in a row share one look."""
        if session_id not in self._refreshing:
            self._refreshing.add(session_id)
            self._spawn(self._refresh(session_id), "refresh files")

    async def _refresh(self, session_id: UUID) -> None:
        await asyncio.sleep(REFRESH_SECONDS)
        self._refreshing.discard(session_id)  # what changes from now on wants another look
        try:
            await self.refresh_files(session_id)
        except FileNotFound:
            pass  # the session has ended
        except Exception:
            logger.exception("the files of session %s could not be looked through", session_id)


# What engines may call.
VERBS = frozenset(
    {
        "answer_input",
        "answer_run",
        "cancel",
        "close_session",
        "complete",
        "find_session",
        "follow_run",
        "health",
        "inspect",
        "interrupt",
        "kernelspecs",
        "list_sessions",
        "open_session",
        "rename_session",
        "restart",
        "run",
        "start_run",
        "submit",
        "told_run",
        "wait",
    }
)


def _check_identifier(identifier: str) -> None:
    printable = identifier.isprintable() and not any(char.isspace() for char in identifier)
    if not (printable and 0 < len(identifier) <= MAX_IDENTIFIER_LENGTH):
        raise InvalidValue(
            f"A session's identifier has 1 to {MAX_IDENTIFIER_LENGTH} printable characters "
            "and no spaces."
        )


def _check_text(**named: str) -> None:
    """Refuse what no kernel and no database takes for text. Raises InvalidValue."""
    for name, text in named.items():
        if clean(text) != text:
            raise InvalidValue(f"The {name} holds NUL, or half a character (a lone surrogate).")


def _is_due(session: LiveSession) -> bool:
    timeout = session.record.idle_timeout_seconds
    if timeout is None or not session.is_idle:
        return False
    return now() - session.record.last_active_at > timedelta(seconds=timeout)


def _base_of(prefix: Path) -> Path:
    """The Python installation a virtual environment was made from; itself if it is none."""
    try:
        lines = (prefix / "pyvenv.cfg").read_text().splitlines()
    except OSError:
        return prefix
    settings = dict(line.split(" = ", 1) for line in lines if " = " in line)
    return Path(settings.get("home", str(prefix / "bin"))).parent


def _described(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = json.loads(json.dumps(spec.get("metadata", {}), default=str))
    return {
        "name": name,
        "display_name": spec.get("display_name", name),
        "language": spec.get("language", ""),
        "version": str(metadata.get("version", "")),
    }
