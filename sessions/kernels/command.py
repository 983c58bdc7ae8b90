"""One program run in a session's sandbox, to its end."""

from __future__ import annotations

import asyncio
import codecs
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from contextlib import suppress

from sessions.kernels.provisioner import signal_inside
from sessions.kernels.sandbox import Sandbox

READ_BYTES = 64 * 1024


class RunningCommand:
    """A process inside a sandbox; ``on_output`` gets ("stdout" | "stderr", text) as it comes."""

    def __init__(
        self,
        process: Process,
        sandbox: Sandbox,
        stdin: str,
        on_output: Callable[[str, str], None],
    ) -> None:
        self._process = process
        self._sandbox = sandbox
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
        on_output: Callable[[str, str], None],
    ) -> RunningCommand:
        """Start ``argv``; a program that does not exist ends with exit code 127, as in a shell.

        Raises OSError if not even the sandbox could be started.
        """
        with sandbox.launch(argv) as (started, descriptors):
            process = await asyncio.create_subprocess_exec(
                *started,
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                env=environment,
                cwd=sandbox.workspace,
                pass_fds=descriptors,
                start_new_session=True,
            )
        return cls(process, sandbox, stdin, on_output)

    def signal(self, signum: int) -> None:
        """Signal its process group; nothing happens if it has ended."""
        if self.ended.done():
            return
        if not self._sandbox.contained:
            # What it started may outlive it, and hold its output open.
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signum)
        elif self._process.returncode is None and not signal_inside(self._process.pid, signum):
            self._process.send_signal(signum)

    def kill(self) -> None:
        """End it and everything it started."""
        self.signal(signal.SIGKILL)

    async def _run(self, stdin: str, on_output: Callable[[str, str], None]) -> int:
        """Started with the process, ends when it has; cancelling it ends the process."""
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._feed(stdin))
                group.create_task(_pump(self._process.stdout, "stdout", on_output))
                group.create_task(_pump(self._process.stderr, "stderr", on_output))
            code = await self._process.wait()
        except BaseException:
            self.kill()
            raise
        # bubblewrap reports a signal the way shells do.
        return 128 - code if code > 128 else code

    async def _feed(self, text: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(text.encode(errors="replace"))
            await self._process.stdin.drain()
        except (BrokenPipeError, ConnectionResetError):
            pass  # it does not want to read
        self._process.stdin.close()


async def _pump(
    stream: asyncio.StreamReader, name: str, on_output: Callable[[str, str], None]
) -> None:
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    while chunk := await stream.read(READ_BYTES):
        if text := decode(chunk):
            on_output(name, text)
    if text := decode(b"", final=True):
        on_output(name, text)
