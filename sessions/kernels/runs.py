"""Running one execution: code on the session's kernel, or a program in its sandbox.

Each returns when the kernel, or the sandbox, is free for the next.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sessions.exceptions import InputNotRequested, KernelBusy
from sessions.kernels.command import RunningCommand
from sessions.kernels.comms import Comms
from sessions.kernels.executions import MAX_REMEMBERED, LiveExecution
from sessions.kernels.journal import Journal
from sessions.kernels.kernel import STRAGGLER_SECONDS, LiveKernel, Request
from sessions.kernels.messages import Message
from sessions.kernels.outputs import clean, count_of, left_out, output_of
from sessions.kernels.sandbox import Sandbox
from sessions.kernels.slot import KernelSlot
from sessions.kernels.watch import FileWatch
from sessions.kernels.workspace import Workspace
from sessions.states import EventType, ExecutionState, SessionState

logger = logging.getLogger(__name__)

INTERRUPT_GRACE_SECONDS = 5.0  # for code to end after an interrupt, before its kernel is killed
SILENT_SECONDS = 10.0  # for code of ours around an execution
LATE_REPLY_SECONDS = 1.0  # after an interrupt: for the reply of a kernel that says it is idle
BEGIN_SECONDS = 2.0  # for the kernel to begin with what it was sent, before an interrupt

IGNORED_INTERRUPT = "The code ignored the interrupt, so its kernel was restarted."

# Ends an execution, once.
Finish = Callable[[LiveExecution, ExecutionState, str], None]


class CodeRunner:
    """Runs code on the kernel in the slot, and knows whose each of its messages is."""

    def __init__(
        self,
        slot: KernelSlot,
        journal: Journal,
        finish: Finish,
        workspace: Workspace,
        comms: Comms,
    ) -> None:
        self._slot = slot
        self._journal = journal
        self._finish = finish
        self._workspace = workspace
        self._comms = comms
        # Which execution a kernel's message belongs to, by the request's msg_id: also ended
        # ones, whose threads may still print. None: silent code of ours, which nobody sees.
        self._by_request: OrderedDict[str, LiveExecution | None] = OrderedDict()

    async def run(self, execution: LiveExecution) -> None:
        """Run it to its end. Raises KernelStartFailed, KernelBusy."""
        kernel = await self._kernel_for(execution)
        if kernel is None:
            self._finish(execution, ExecutionState.INTERRUPTED, "")
            return
        watch = await FileWatch.start(self._workspace) if execution.watch_files else None
        self._comms.renew()
        self._journal.started(execution)
        if complaint := await self._silently(execution.before, kernel):
            self._finish(execution, ExecutionState.FAILED, complaint)
            return
        await self._run_code(execution, kernel, watch)
        if complaint := await self._silently(execution.after, kernel):
            logger.warning("the code after an execution failed: %s", complaint)

    async def _run_code(
        self, execution: LiveExecution, kernel: LiveKernel, watch: FileWatch | None
    ) -> None:
        request = kernel.execute(execution.record.code, allow_input=execution.allow_input)
        self._remember(request, execution)
        await execution.first_of(request.finished, kernel.death)
        if not (request.finished.done() or kernel.death.done()):
            await self._end_code(execution, kernel, request)
        if watch and not execution.ended.is_set():
            self._journal.wrote(execution, await watch.written())
        self._comms.settle()
        await self._conclude(execution, kernel, request)
        self._comms.report()

    async def _silently(self, code: str, kernel: LiveKernel) -> str:
        """Run code of ours that nobody sees; why it failed, as a sentence, empty if it did not."""
        if not code or kernel.death.done():
            return ""
        request = kernel.execute(code, allow_input=False, silent=True)
        self._remember(request, None)
        await _first_of(SILENT_SECONDS, request.finished, kernel.death)
        if not (request.finished.done() or kernel.death.done()):
            await self._interrupt(kernel, request)
        if kernel.death.done():
            return kernel.stop_reason or kernel.death.result().sentence
        if request.finished.done():
            return _complaint(request.finished.result())
        await self._replace_kernel()
        return IGNORED_INTERRUPT

    def on_message(self, message: Message) -> None:
        """A message on the kernel's iopub."""
        if self._by_request.get(message.parent_id, message) is None:
            return
        if message.left_out:
            output = left_out(message.type, message.left_out)
        else:
            output = output_of(message.type, message.content, message.metadata, message.buffers)
        if output is None:
            return
        parent_id = message.parent_id
        execution = self._by_request.get(parent_id) or self._comms.owner_of(parent_id)
        if output[0] == EventType.COMM:
            self._comms.heard(output[1], execution, parent_id)
        elif message.left_out or not self._comms.capture(parent_id, output):
            self._journal.output(output, execution)

    def on_input(self, message: Message) -> None:
        """The code that runs asks for input."""
        execution = self._by_request.get(message.parent_id)
        if execution is not None and not execution.ended.is_set():
            prompt, password = message.content.get("prompt"), message.content.get("password")
            self._journal.asked(execution, prompt, password=bool(password))

    async def _kernel_for(self, execution: LiveExecution) -> LiveKernel | None:
        """The kernel to run on; None if the execution was interrupted while it started."""
        kernel = self._slot.running()
        if kernel and not (kernel.is_doomed or execution.interrupted.done()):
            return kernel
        waiting = asyncio.create_task(self._slot.kernel(), name="wait for the kernel")
        try:
            await execution.first_of(waiting, timed=False)
            return waiting.result() if waiting.done() else None
        finally:
            waiting.cancel()

    def _remember(self, request: Request, execution: LiveExecution | None) -> None:
        self._by_request[request.msg_id] = execution
        while len(self._by_request) > MAX_REMEMBERED:
            self._by_request.popitem(last=False)

    async def _end_code(
        self, execution: LiveExecution, kernel: LiveKernel, request: Request
    ) -> None:
        """Interrupt the code, and wait a while for its end or its kernel's.

        On a timeout the caller has the answer before that; after an interrupt the code still
        has its say (its last output, its KeyboardInterrupt).
        """
        if not execution.interrupted.done():
            self._finish(execution, ExecutionState.TIMED_OUT, "")
        # A kernel ignores interrupts until it has begun with the code.
        await _first_of(BEGIN_SECONDS, request.began, request.finished, kernel.death)
        if request.finished.done() or kernel.death.done():
            return
        await self._interrupt(kernel, request)

    async def _interrupt(self, kernel: LiveKernel, request: Request) -> None:
        """Interrupt what runs, and wait a while for its end or its kernel's."""
        await _signal(kernel)
        if not request.began.done():  # it may have ignored that one
            await _first_of(INTERRUPT_GRACE_SECONDS, request.began, request.finished, kernel.death)
            await _signal(kernel)
        await _first_of(INTERRUPT_GRACE_SECONDS, request.finished, kernel.death, request.idle)
        if request.idle.done():
            await _first_of(LATE_REPLY_SECONDS, request.finished, kernel.death)
        elif request.reply.done() and self._journal.flow.is_open:
            await _first_of(STRAGGLER_SECONDS, request.finished, kernel.death)

    async def _replace_kernel(self) -> None:
        self._journal.become(SessionState.RESTARTING, IGNORED_INTERRUPT)
        await self._slot.end(IGNORED_INTERRUPT)
        await self._slot.kernel()

    async def _conclude(
        self, execution: LiveExecution, kernel: LiveKernel, request: Request
    ) -> None:
        if request.finished.done():
            self._finish_code(execution, request.finished.result())
        elif kernel.death.done() and kernel.stop_reason:
            self._finish(execution, ExecutionState.INTERRUPTED, kernel.stop_reason)
        elif kernel.death.done():
            self._finish(execution, ExecutionState.FAILED, kernel.death.result().sentence)
        elif request.reply.done() and not request.reply.cancelled():
            self._finish_code(execution, request.reply.result())  # its output waits to be read
        elif request.idle.done():  # an interrupt in ipykernel's own code costs it the reply
            self._finish(execution, ExecutionState.INTERRUPTED, "")
        else:
            self._finish(execution, ExecutionState.INTERRUPTED, IGNORED_INTERRUPT)
            await self._replace_kernel()

    def _finish_code(self, execution: LiveExecution, reply: dict[str, Any]) -> None:
        if not execution.ended.is_set():
            execution.record.execution_count = count_of(reply.get("execution_count"))
        match reply.get("status"):
            case "ok":
                self._finish(execution, ExecutionState.SUCCEEDED, "")
            case "error" | "lost" if execution.interrupted.done():
                self._finish(execution, ExecutionState.INTERRUPTED, "")
            case "error":
                self._finish(execution, ExecutionState.FAILED, "")
            case _:
                self._finish(execution, ExecutionState.FAILED, "The kernel lost the execution.")


class CommandRunner:
    """Runs programs in the session's sandbox."""

    def __init__(
        self, sandbox: Sandbox, environment: dict[str, str], journal: Journal, finish: Finish
    ) -> None:
        self._sandbox = sandbox
        self._environment = environment
        self._journal = journal
        self._finish = finish
        # What runs now; None between executions.
        self._running: RunningCommand | None = None
        # Which limit what runs was ended for; empty if none.
        self._limit = ""

    @property
    def pid(self) -> int | None:
        """The process that holds what runs now; None between executions."""
        return self._running.pid if self._running else None

    def answer_input(self, text: str) -> None:
        """Give what runs the line it waits for. Raises InputNotRequested."""
        if self._running is None:
            raise InputNotRequested
        self._running.answer_input(text)

    def exceed(self, why: str) -> None:
        """End what runs because it uses more than it may; ``why`` is a sentence."""
        if self._running:
            self._limit = why
            self._running.kill()

    async def run(self, execution: LiveExecution) -> None:
        """Run it to its end."""
        self._limit = ""
        self._journal.started(execution)
        try:
            command = await self._start(execution)
        except (OSError, ValueError) as error:
            sentence = f"The program could not be started: {error}."
            self._finish(execution, ExecutionState.FAILED, sentence)
            return
        self._running, ended = command, command.ended
        try:
            await execution.first_of(ended)
            if not ended.done():
                await self._end(execution, command)
            code = await ended
        finally:
            command.kill()
            await asyncio.gather(ended, return_exceptions=True)
            self._running = None
        if not execution.ended.is_set():
            execution.record.exit_code = code
        state = _state(execution, code)
        is_failed = state == ExecutionState.FAILED
        why = self._limit or command.why_it_ended(code) if is_failed else ""
        self._finish(execution, state, why)

    async def _start(self, execution: LiveExecution) -> RunningCommand:
        def on_output(name: str, text: str) -> None:
            data = {"name": name, "text": clean(text)}
            self._journal.output((EventType.STREAM, data), execution)

        def on_input() -> None:
            if not execution.ended.is_set():
                self._journal.asked(execution, "", password=False)

        variables = {**self._sandbox.variables, **execution.environment}
        starting = asyncio.create_task(
            RunningCommand.start(
                execution.command,
                sandbox=replace(self._sandbox, variables=variables),
                environment=self._environment,
                stdin=execution.stdin,
                on_output=on_output,
                flow=self._journal.flow,
                on_input=on_input if execution.allow_input else None,
                directory=execution.directory,
            ),
            name="start a command",
        )
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:  # half a start could not be ended
            command = await starting
            command.kill()
            await asyncio.gather(command.ended, return_exceptions=True)
            raise

    async def _end(self, execution: LiveExecution, command: RunningCommand) -> None:
        if not execution.interrupted.done():
            self._finish(execution, ExecutionState.TIMED_OUT, "")
        command.signal(signal.SIGINT)
        await asyncio.wait({command.ended}, timeout=INTERRUPT_GRACE_SECONDS)
        command.kill()


def _state(execution: LiveExecution, exit_code: int) -> ExecutionState:
    if execution.interrupted.done():
        return ExecutionState.INTERRUPTED
    return ExecutionState.FAILED if exit_code else ExecutionState.SUCCEEDED


def _complaint(reply: dict[str, Any]) -> str:
    """What a kernel says of silent code that failed; empty if it did not."""
    if reply.get("status") == "ok":
        return ""
    parts = (str(clean(reply.get(name, ""))) for name in ("ename", "evalue"))
    said = ": ".join(part for part in parts if part) or "it gave no reason"
    return f"The kernel could not prepare the execution: {said}."


async def _signal(kernel: LiveKernel) -> None:
    try:
        await kernel.interrupt()
    except (OSError, KernelBusy) as error:
        logger.warning("a kernel could not be interrupted: %s", error)


async def _first_of(timeout_seconds: float, *futures: asyncio.Future[Any]) -> None:
    await asyncio.wait(set(futures), timeout=timeout_seconds, return_when=asyncio.FIRST_COMPLETED)
