"""One program run in a session's sandbox, to its end."""

from __future__ import annotations

import array
import asyncio
import codecs
import fcntl
import os
import signal
import termios
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable
from contextlib import suppress

from sessions.exceptions import InputNotRequested
from sessions.kernels.flow import Flow
from sessions.kernels.provisioner import signal_inside
from sessions.kernels.sandbox import Sandbox
from sessions.kernels.stdin import can_be_watched, is_awaited

READ_BYTES = 64 * 1024
LOOK_SECONDS = 0.05  # between two looks whether a program waits for input
MAX_BLIND_LOOKS = 40  # in a row that show nothing, before the program's input ends

# bubblewrap says 1 of what it cannot start, a shell 126 or 127.
_AS_IN_A_SHELL = ("sh", "-c", 'exec "$@"', "sh")

# Gets ("stdout" | "stderr", text) as it comes.
OnOutput = Callable[[str, str], None]


class RunningCommand:
    """A process inside a sandbox, from ``start`` to its end."""

    def __init__(
        self,
        process: Process,
        sandbox: Sandbox,
        stdin: str,
        dialogue: Dialogue | None,
        on_output: OnOutput,
        flow: Flow,
    ) -> None:
        self._process = process
        self._sandbox = sandbox
        self._dialogue = dialogue
        self._flow = flow
        self._kills_before = sandbox.group.oom_kills() if sandbox.group else 0
        # The exit code, negative if a signal ended it; set when all output has been read.
        self.ended = asyncio.create_task(self._run(stdin, on_output), name="command")

    @classmethod
    async def start(
        cls,
        argv: list[str],
        *,
        sandbox: Sandbox,
        environment: dict[str, str],
        stdin: str,
        on_output: OnOutput,
        flow: Flow,
        on_input: Callable[[], None] | None = None,
        directory: str | None = None,
    ) -> RunningCommand:
        """Start ``argv``; a program that does not exist ends with exit code 127, as in a shell.

        With ``on_input``, which is called when the program waits for input, ``answer_input``
        is its standard input; otherwise that is ``stdin``. ``directory`` is where it starts, as
        seen inside; None: in the workspace. Raises OSError if not even the sandbox could be
        started.
        """
        dialogue = await Dialogue.open(on_input) if on_input and can_be_watched() else None
        try:
            with sandbox.launch([*_AS_IN_A_SHELL, *argv], directory=directory) as (
                started,
                descriptors,
            ):
                process = await asyncio.create_subprocess_exec(
                    *started,
                    stdin=dialogue.reading_end if dialogue else PIPE if stdin else DEVNULL,
                    stdout=PIPE,
                    stderr=PIPE,
                    env=environment,
                    cwd=sandbox.workspace,
                    pass_fds=descriptors,
                    start_new_session=True,
                )
        except BaseException:
            if dialogue:
                dialogue.close()
            raise
        return cls(process, sandbox, stdin, dialogue, on_output, flow)

    @property
    def pid(self) -> int:
        """The process that holds the program and everything it started."""
        return self._process.pid

    def answer_input(self, text: str) -> None:
        """Give the program the line it waits for. Raises InputNotRequested."""
        if self._dialogue is None:
            raise InputNotRequested
        self._dialogue.answer(text)

    def signal(self, signum: int) -> None:
        """Signal its process group; nothing happens if it has ended."""
        if self.ended.done():
            return
        if not self._sandbox.contained:
            # What it started may outlive it, and hold its output open.
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signum)
        elif self._process.returncode is None and not signal_inside(self._process.pid, signum):
            # Nothing runs inside yet. A child that bubblewrap has just made would wait for it
            # for ever, with the output held open: that is in the same group.
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def why_it_ended(self, exit_code: int) -> str:
        """Which limit of the session ended it, as a sentence; empty if none did."""
        return self._sandbox.limits.why_it_ended(
            self._sandbox.group, exit_code, kills_before=self._kills_before, what="the program"
        )

    def kill(self) -> None:
        """End it and everything it started."""
        self.signal(signal.SIGKILL)

    async def _run(self, stdin: str, on_output: OnOutput) -> int:
        """Started with the process, ends when it has; cancelling it ends the process."""
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        watching = None
        if self._dialogue:
            watching = asyncio.create_task(self._dialogue.watch(self._process.pid), name="watch")
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._feed(stdin))
                group.create_task(_pump(self._process.stdout, "stdout", on_output, self._flow))
                group.create_task(_pump(self._process.stderr, "stderr", on_output, self._flow))
            code = await self._process.wait()
        except BaseException:
            self.kill()
            raise
        finally:
            if self._dialogue and watching:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
                self._dialogue.close()
        # bubblewrap reports a signal the way shells do.
        return 128 - code if code > 128 else code

    async def _feed(self, text: str) -> None:
        if self._process.stdin is None:
            return
        try:
            self._process.stdin.write(text.encode(errors="replace"))
            await self._process.stdin.drain()
        except (BrokenPipeError, ConnectionResetError):
            pass  # it does not want to read
        self._process.stdin.close()


class Dialogue:
    """A program's standard input as a pipe that is answered line by line, when it is read.

    A pipe and not asyncio's own, which is a socket and cannot be opened as /dev/stdin.
    """

    def __init__(
        self, reading_end: int, writer: asyncio.WriteTransport, on_input: Callable[[], None]
    ) -> None:
        self.reading_end = reading_end
        self._writer = writer
        self._on_input = on_input
        self._is_asked = False

    @classmethod
    async def open(cls, on_input: Callable[[], None]) -> Dialogue:
        """Make the pipe; ``on_input`` is called when the program begins to wait."""
        reading_end, writing_end = os.pipe2(os.O_CLOEXEC)
        loop = asyncio.get_running_loop()
        file = os.fdopen(writing_end, "wb", buffering=0)
        writer, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, file)
        return cls(reading_end, writer, on_input)

    def answer(self, text: str) -> None:
        """Write a line. Raises InputNotRequested unless the program waits for one."""
        if not self._is_asked:
            raise InputNotRequested
        self._is_asked = False
        self._writer.write(text.encode(errors="replace") + b"\n")

    async def watch(self, pid: int) -> None:
        """Look at the processes below ``pid`` until cancelled, or until nothing can be seen.

        Then the input ends: without anybody who could answer, an end is better than a hang.
        """
        inode, blind_looks = os.fstat(self.reading_end).st_ino, 0
        while blind_looks < MAX_BLIND_LOOKS:
            await asyncio.sleep(LOOK_SECONDS)
            if self._is_asked or not self._is_empty():
                continue  # it has not read what it got
            match is_awaited(pid, inode):
                case None:
                    blind_looks += 1
                case False:
                    blind_looks = 0
                case True:
                    blind_looks = 0
                    await _let_output_arrive()
                    self._is_asked = True
                    self._on_input()
        self.close()

    def close(self) -> None:
        """End the input; what was not read is dropped. Idempotent."""
        self._is_asked = False
        if self.reading_end >= 0:
            self._writer.abort()
            os.close(self.reading_end)
            self.reading_end = -1

    def _is_empty(self) -> bool:
        unread = array.array("i", [0])
        fcntl.ioctl(self.reading_end, termios.FIONREAD, unread)
        return unread[0] == 0 and self._writer.get_write_buffer_size() == 0


async def _let_output_arrive() -> None:
    """Return when what a program wrote before now has been given to ``on_output``.

    It is in the pipes already. The loop's next turn sees that, the one after reads it, and the
    one after that wakes the pump.
    """
    for _ in range(5):
        await asyncio.sleep(0)


async def _pump(stream: asyncio.StreamReader, name: str, on_output: OnOutput, flow: Flow) -> None:
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    while chunk := await stream.read(READ_BYTES):
        if text := decode(chunk):
            on_output(name, text)
        await flow.opened()  # meanwhile the pipe fills, and the program waits
    if text := decode(b"", final=True):
        on_output(name, text)
