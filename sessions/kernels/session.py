"""One live session: its kernel, its queue, its events.

Only one request is ever at the kernel; the rest wait here, where they can be seen and cancelled.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from sessions.exceptions import (
    InputNotRequested,
    KernelBusy,
    SessionNotFound,
    WorkbenchError,
    WorkspaceFull,
)
from sessions.kernels import answers, trace
from sessions.kernels.comms import Comms
from sessions.kernels.disk import DiskWatch, Kept
from sessions.kernels.executions import ExecutionQueue, LiveExecution
from sessions.kernels.journal import Journal
from sessions.kernels.kernel import LiveKernel
from sessions.kernels.messages import Message
from sessions.kernels.outputs import clean
from sessions.kernels.quotas import Account
from sessions.kernels.records import KEPT, ExecutionRecord, Recorder, SessionRecord, timestamp
from sessions.kernels.runs import CodeRunner, CommandRunner
from sessions.kernels.sandbox import Sandbox
from sessions.kernels.slot import KernelSlot
from sessions.kernels.workspace import Workspace
from sessions.states import AuditAction, EventType, ExecutionState, SessionState

logger = logging.getLogger(__name__)

RESTARTED = "The kernel was restarted."
CLOSED = "The session was closed."
POINTLESS = "It was not run, because what it needs has failed."
NOT_RUN = 127  # the exit code of what is not run for that reason, as in a shell

KernelFactory = Callable[[Callable[[Message], None], Callable[[Message], None]], LiveKernel]


class LiveSession:
    """A session whose kernel this host owns, from ``open`` to ``close``.

    Its worker task runs the queue until the session is closed. ``after_execution`` is called,
    with its record, whenever an execution has ended; ``kept`` says, in a thread, what it
    keeps on the disk, given the processes that hold all its others. ``account`` is its owner's.
    """

    def __init__(
        self,
        record: SessionRecord,
        *,
        recorder: Recorder,
        sandbox: Sandbox,
        environment: dict[str, str],
        make_kernel: KernelFactory,
        max_output_bytes: int,
        after_execution: Callable[[ExecutionRecord], None],
        kept: Callable[[list[int]], Kept],
        account: Account,
    ) -> None:
        self.record = record
        self.account = account
        self._sandbox = sandbox
        self._max_output_bytes = max_output_bytes
        self._after_execution = after_execution
        self._journal = Journal(record, recorder, max_output_bytes, account)
        self._queue = ExecutionQueue()
        self._slot = KernelSlot(
            self._journal,
            lambda: self._new_kernel(make_kernel),
            is_busy=lambda: self._queue.current is not None,
        )
        workspace = Workspace(sandbox.workspace, max_bytes=None)
        self._disk = DiskWatch(
            sandbox.limits,
            lambda: kept(self.process_ids),
            interrupt=self._interrupt_because,
            end=self._exceed,
            account=account,
        )
        self._comms = Comms(self._journal, self._slot.running, max_output_bytes)
        self._code = CodeRunner(self._slot, self._journal, self._finish, workspace, self._comms)
        self._commands = CommandRunner(sandbox, environment, self._journal, self._finish)
        self._worker: asyncio.Task[None] | None = None
        self._is_closed = False

    # --- Life ---------------------------------------------------------------------------

    def open(self) -> None:
        """Start the worker, and the kernel ahead of the first execution."""
        self._journal.say_state()
        self._journal.audit(AuditAction.SESSION_OPENED, door=self.record.origin)
        self.take_back()
        self._slot.start()

    def take_back(self) -> None:
        """Start the worker of a session that an earlier host had; its next use starts a kernel."""
        id_ = self.record.id
        self.account.disks.add(self._disk)
        self._worker = asyncio.create_task(
            self._work(), name=f"session {id_}", context=trace.of_session(id_)
        )

    async def close(self, state: SessionState = SessionState.CLOSED, reason: str = "") -> None:
        """End the kernel, what runs and what waits; ``state`` is how the session ended.

        STOPPED is no end: its host lets go of it, and the next host takes it back.
        """
        self._is_closed = True
        self.account.disks.discard(self._disk)
        self._sweep()
        sentence = reason or CLOSED
        self._cancel_queued(sentence)
        if self._worker:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
        await self._slot.close(sentence)
        for execution in self._queue.unfinished:
            self._finish(execution, ExecutionState.INTERRUPTED, sentence)
        await self._disk.close()
        self._comms.forget()
        self._journal.end(state, f"{reason} {KEPT}" if state == SessionState.STOPPED else reason)
        await self._journal.commit()

    def restart(self) -> Awaitable[None]:
        """Replace the kernel. What is submitted from now on, before it is done, runs on the new one.

        Raises SessionNotFound once it is closed; awaiting it, KernelStartFailed.
        """
        self._check_open()
        self._sweep()
        self._cancel_queued(RESTARTED)
        self._journal.become(SessionState.RESTARTING)
        if self._queue.current:
            self._queue.current.interrupt()
        return self._replace_kernel()

    async def _replace_kernel(self) -> None:
        outcome = "failed"
        try:
            await self._slot.end(RESTARTED)
            await self._slot.kernel()
            outcome = "succeeded"
        finally:
            self._journal.audit(AuditAction.SESSION_RESTARTED, outcome=outcome)
        await self._journal.commit()

    def check_memory(self, used_bytes: int) -> None:
        """End what uses more than it may, unless a control group looks after that."""
        limits, group = self._sandbox.limits, self._sandbox.group
        if not (group and group.limits_memory) and (why := limits.memory_exceeded(used_bytes)):
            self._exceed(why)

    async def check_disk(self, *, is_active: bool) -> None:
        """Look at what it keeps on the disk if it is time; what keeps too much is stopped.

        ``is_active`` says that its processes do something. Called now and then.
        """
        if self._disk.is_due(is_active=is_active or self._queue.current is not None):
            await self._disk.look()

    def _interrupt_because(self, why: str) -> bool:
        """Interrupt what runs, with a sentence; False if nothing runs."""
        current = self._queue.current
        if current is None or current.record.state != ExecutionState.RUNNING:
            return False
        current.interrupt(why)
        return True

    def _exceed(self, why: str) -> None:
        self._commands.exceed(why)
        if kernel := self._slot.running():
            kernel.exceed(why)

    def touch(self) -> None:
        """Somebody uses the session: it is not idle."""
        self._journal.touch()

    @property
    def is_idle(self) -> bool:
        """Nothing runs and nothing waits, or everything waits for somebody's input."""
        current = self._queue.current
        return self._queue.is_empty or (current is not None and current.prompt is not None)

    @property
    def is_running(self) -> bool:
        """An execution runs."""
        return self._queue.current is not None

    @property
    def waiting(self) -> int:
        """How many executions wait."""
        return self._queue.waiting

    def survey(self) -> dict[str, Any]:
        """The session as operators see it: what it does, and since when."""
        current = self._queue.current
        return {
            "id": str(self.record.id),
            "owner_id": self.record.owner_id,
            "state": str(self.record.state),
            "reason": self.record.reason,
            "running_since": timestamp(current.record.started_at) if current else None,
            "waiting": self.waiting,
        }

    # --- Executions ---------------------------------------------------------------------

    async def admit(self, record: ExecutionRecord | None = None) -> None:
        """Return if code may be submitted, or has been under the record's name before.

        Raises WorkspaceFull while the session, or its owner, keeps more files than may be,
        ExecutionIdTaken.
        """
        if self._disk.why_full and not (record and self._queue.first_under(record)):
            await self._disk.check()

    def submit(
        self,
        record: ExecutionRecord,
        *,
        command: list[str] | None = None,
        stdin: str = "",
        collect: bool = False,
        allow_input: bool = False,
        before: str = "",
        after: str = "",
        watch_files: bool = False,
    ) -> tuple[UUID, LiveExecution | None]:
        """Queue an execution; it is written soon. ``collect`` keeps its events for the caller.

        Its id, and itself unless it has ended: a client that submits the same under the same
        name again is led to the first. Raises ExecutionIdTaken, QueueLimitReached, QuotaReached,
        SessionNotFound once the session is closed.
        """
        self._check_open()
        if first := self._queue.first_under(record):
            return first
        self.account.check_submission()
        execution = LiveExecution(
            record,
            max_output_bytes=self._max_output_bytes,
            command=command,
            stdin=stdin,
            collect=collect,
            allow_input=allow_input,
            before=before,
            after=after,
            watch_files=watch_files,
        )
        self._journal.queued(execution, position=self._queue.add(execution))
        return record.id, execution

    def submit_all(self, executions: list[LiveExecution]) -> None:
        """Queue executions that follow each other, all or none; names that are taken they lose.

        They come as one: an owner who may have one more may have them all. Raises
        QueueLimitReached, QuotaReached, SessionNotFound once the session is closed.
        """
        self._check_open()
        self.account.check_submission()
        self._queue.check_room(len(executions))
        for execution in executions:
            if self._queue.is_taken(execution.record.client_id):
                execution.record.client_id = ""
            self._journal.queued(execution, position=self._queue.add(execution))

    def execution(self, execution_id: str) -> LiveExecution:
        """The unfinished execution of that id or client's name.

        Raises ExecutionFinished if it has ended, ExecutionNotFound if there was none.
        """
        return self._queue.find(execution_id)

    def interrupt(self) -> None:
        """Interrupt what runs; nothing happens if nothing runs."""
        if self._queue.current:
            self._interrupt(self._queue.current)

    def cancel(self, execution_id: str) -> None:
        """Cancel an execution that waits; interrupt it if it runs."""
        execution = self.execution(execution_id)
        is_running = execution is self._queue.current
        self._interrupt(execution)
        if not is_running:
            self._queue.take_out(execution)
            self._finish(execution, ExecutionState.CANCELLED)

    def _interrupt(self, execution: LiveExecution) -> None:
        if not execution.interrupted.done():  # the first who asks is the one who did it
            id_ = execution.record.id
            self._journal.audit(AuditAction.EXECUTION_INTERRUPTED, execution_id=id_)
        execution.interrupt()

    # --- Questions ----------------------------------------------------------------------

    async def complete(self, code: str, cursor: int) -> dict[str, Any]:
        """What could follow at ``cursor``. Raises KernelBusy."""
        reply = await (await self._slot.kernel()).complete(code, cursor)
        return _checked_reply(
            reply, {"matches": list, "cursor_start": int, "cursor_end": int, "metadata": dict}
        )

    async def inspect(self, code: str, cursor: int, detail: int) -> dict[str, Any]:
        """What the name at ``cursor`` is. Raises KernelBusy."""
        reply = await (await self._slot.kernel()).inspect(code, cursor, detail)
        return _checked_reply(reply, {"found": bool, "data": dict, "metadata": dict})

    async def list_variables(self) -> dict[str, Any]:
        """The variables of a Python kernel. Raises NotSupported, KernelBusy."""
        told = await (await self._slot.kernel()).ask_inside({"what": "variables"})
        return answers.variables_of(told)

    async def read_table(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Some rows of a variable. Raises InvalidValue, NotSupported, KernelBusy."""
        told = await (await self._slot.kernel()).ask_inside({"what": "table", **asked})
        return answers.table_of(told) | {"name": asked["name"]}

    def send_comm(self, message: dict[str, Any], buffers: list[bytes]) -> None:
        """Pass a client's message on to a comm. Raises KernelBusy, LimitReached."""
        if why := self._disk.why_full:
            raise WorkspaceFull(why)
        self.account.check_spending()
        kernel = self._slot.running()
        if kernel is None:
            raise KernelBusy("There is no kernel that could take this.")
        self._comms.send(kernel, message, buffers)
        self.touch()

    async def room(self) -> tuple[int | None, str]:
        """What its files may take (None: no limit), and the sentence for what does not fit."""
        most = self.record.policy["limits"]["workspace_bytes"]
        share = await self.account.share_of(self._disk)
        if share is None or (most is not None and most <= share):
            return most, ""
        return share, self.account.storage_full()

    @property
    def process_ids(self) -> list[int]:
        """The processes that hold all others of the session: its kernel's, its command's."""
        kernel = self._slot.running()
        found = (kernel.pid if kernel else None, self._commands.pid)
        return [pid for pid in found if pid is not None]

    def answer_input(self, text: str) -> None:
        """Answer the prompt of what runs. Raises InputNotRequested."""
        kernel, current = self._slot.running(), self._queue.current
        if current is not None and current.command:
            self._commands.answer_input(text)
        elif current is not None and kernel is not None:
            kernel.answer_input(text)
        else:
            raise InputNotRequested
        current.prompt = None
        self._journal.say(EventType.INPUT_ANSWERED, {}, current)
        self.touch()

    # --- The queue ----------------------------------------------------------------------

    async def _work(self) -> None:
        """Runs the queue. Started by ``open``, cancelled by ``close``; never ends by itself."""
        while True:
            execution = await self._queue.next()
            if execution.is_pointless:
                execution.record.exit_code = NOT_RUN
                self._finish(execution, ExecutionState.CANCELLED, POINTLESS)
                self._queue.current = None
                continue
            runner = self._commands if execution.command else self._code
            try:
                # It may have been submitted before there was too much, or so much was used.
                self.account.check_spending()
                await self._disk.check()
                await runner.run(execution)
            except WorkbenchError as error:
                self._finish(execution, ExecutionState.FAILED, error.message)
            except Exception:
                logger.exception("execution %s failed in the host", execution.record.id)
                self._finish(execution, ExecutionState.FAILED, "The kernel host made an error.")
            self._queue.current = None
            if self.record.state == SessionState.BUSY:
                self._journal.become(SessionState.IDLE)

    def _finish(self, execution: LiveExecution, state: ExecutionState, reason: str = "") -> None:
        """End an execution, once."""
        if not execution.ended.is_set():
            if execution.interrupted_because:
                state, reason = ExecutionState.FAILED, execution.interrupted_because
            self._queue.forget(execution)
            self._disk.stir()
            self._journal.finished(execution, state, reason)
            self._after_execution(execution.record)

    def _new_kernel(self, make_kernel: KernelFactory) -> LiveKernel:
        self._comms.forget()
        return make_kernel(self._code.on_message, self._code.on_input)

    def _sweep(self) -> None:
        """Tell whoever follows what runs and waits that its session goes, without delay."""
        for execution in self._queue.unfinished:
            execution.is_swept = True
            execution.news.set()

    def _cancel_queued(self, reason: str) -> None:
        for execution in self._queue.take_all_out():
            self._finish(execution, ExecutionState.CANCELLED, reason)

    def _check_open(self) -> None:
        if self._is_closed:
            raise SessionNotFound


def _checked_reply(reply: dict[str, Any], shape: dict[str, type]) -> dict[str, Any]:
    """The documented fields of a reply, if each has its documented type."""
    if reply.get("status") != "ok":
        raise KernelBusy("The kernel could not answer.")
    checked = clean({name: reply.get(name, kind()) for name, kind in shape.items()})
    if not all(isinstance(checked[name], kind) for name, kind in shape.items()):
        raise KernelBusy("The kernel's answer was not valid.")
    return dict(checked)
