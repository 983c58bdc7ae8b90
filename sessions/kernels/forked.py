"""A kernel's process tree, as the host holds it: by a descriptor, never by a number alone.

A number may be another process's by the time it is used; a pidfd is one process's for good.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
from contextlib import suppress
from pathlib import Path

from sessions.exceptions import KernelStartFailed

_INSIDE = 2  # the kernel's number inside: the second process there


class ForkedProcess:
    """A kernel's process tree, held by the first process inside its walls.

    Has what jupyter_client's provisioner asks of a process. ``descriptor`` is that process's
    pidfd; all three are this object's from now on. Raises KernelStartFailed if it has ended.
    """

    def __init__(self, descriptor: int, lifeline: int, status: int) -> None:
        self._descriptor = descriptor
        self._lifeline = lifeline
        self._status = status
        self.returncode: int | None = None
        self._ended: asyncio.Task[int] | None = None
        self.pid = _pid_of(descriptor)
        if not self.pid:
            self._close()
            raise KernelStartFailed("The kernel could not be forked: it ended at once.")

    def go(self) -> None:
        """Let it build its walls and start the kernel."""
        os.write(self._lifeline, b"!")

    async def ended(self) -> int:
        """Its exit code, negative for a signal, once nothing of it is left."""
        self._ended = self._ended or asyncio.create_task(self._wait(), name=f"wait {self.pid}")
        return await asyncio.shield(self._ended)

    def poll(self) -> int | None:
        """Its exit code; None while it lives."""
        return self.returncode

    def wait(self) -> int:
        """Its exit code. For when it is known to have ended."""
        return -signal.SIGKILL if self.returncode is None else self.returncode

    @property
    def has_ended(self) -> bool:
        """Whether it has, known or not: then its number may be another's."""
        return self.returncode is not None or _has_ended(self._descriptor)

    def send_signal(self, signum: int) -> None:
        """Signal the kernel's process group. SIGKILL ends all that is inside."""
        if self.returncode is not None:
            return
        if signum == signal.SIGKILL:
            with suppress(ProcessLookupError):  # it has just ended
                signal.pidfd_send_signal(self._descriptor, signum)
            return
        for child in _children(self.pid):
            self._signal_group(child, signum)

    def kill(self) -> None:
        """End it at once, and all inside."""
        self.send_signal(signal.SIGKILL)

    terminate = kill

    def _signal_group(self, child: int, signum: int) -> None:
        """Signal the group of a child of ours, if it is the kernel.

        What is read of a number is true of the kernel only while neither has ended.
        """
        if _parent_and_innermost(child) != (self.pid, _INSIDE):
            return
        with suppress(ProcessLookupError):  # it has just ended
            descriptor = os.pidfd_open(child)
            try:
                is_ours = _parent_and_innermost(child) == (self.pid, _INSIDE)
                if is_ours and not self.has_ended and not _has_ended(descriptor):
                    os.killpg(child, signum)
            finally:
                os.close(descriptor)

    async def _wait(self) -> int:
        await readable(self._descriptor)
        status = os.read(self._status, 4)
        self._close()
        code = os.waitstatus_to_exitcode(int.from_bytes(status, "little")) if status else -9
        self.returncode = code
        return code

    def _close(self) -> None:
        for descriptor in (self._descriptor, self._lifeline, self._status):
            os.close(descriptor)


def put_down(descriptor: int) -> None:
    """End the process of a pidfd that nobody waits for, and close it."""
    with suppress(OSError):  # it has ended
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    os.close(descriptor)


async def readable(descriptor: int) -> None:
    """Return when there is something to read; of a pidfd, when its process has ended."""
    is_readable = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, is_readable.set)
    try:
        await is_readable.wait()
    finally:
        loop.remove_reader(descriptor)


def _pid_of(descriptor: int) -> int:
    """The process of a pidfd, as this process knows it; 0 if it has ended, or cannot be seen."""
    for line in Path(f"/proc/self/fdinfo/{descriptor}").read_text().splitlines():
        if line.startswith("Pid:"):
            return max(0, int(line.split()[1]))
    return 0


def _has_ended(descriptor: int) -> bool:
    """Whether the process of a pidfd has."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def _children(pid: int) -> list[int]:
    try:
        return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    except (FileNotFoundError, ProcessLookupError):
        return []


def _parent_and_innermost(pid: int) -> tuple[int, int]:
    """A process's parent, and its own number in the innermost namespace it is in; 0 if gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0, 0
    found = {line.split(":")[0]: line.split()[-1] for line in lines if ":" in line}
    return int(found.get("PPid", 0)), int(found.get("NSpid", 0))
