"""How a kernel process comes to life and ends: behind jupyter_client's provisioner interface.

A kernelspec may name any other provisioner in its metadata; without one it gets this, which has
the kernel forked by a zygote, or starts its command, inside the session's sandbox.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from jupyter_client.provisioning.factory import KernelProvisionerFactory
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from sessions.exceptions import KernelStartFailed
from sessions.kernels.forked import ForkedProcess
from sessions.kernels.sandbox import Sandbox
from sessions.kernels.specs import LAUNCHER
from sessions.kernels.zygotes import Zygote

logger = logging.getLogger(__name__)

NAME = "workbench-sandbox"
MAX_COMPLAINT_BYTES = 4096  # of what the kernel's process says on stderr, the last are kept


def register() -> None:
    """Make SandboxProvisioner jupyter_client's default. Idempotent.

    We are not an installed distribution, so there is no entry point for it to find.
    """
    factory = KernelProvisionerFactory.instance()
    value = f"{__name__}:{SandboxProvisioner.__name__}"
    factory.provisioners[NAME] = EntryPoint(NAME, value, factory.GROUP_NAME)
    factory.default_provisioner_name = NAME


class SandboxProvisioner(LocalProvisioner):
    """One kernel process in its session's sandbox."""

    # None until pre_launch.
    sandbox: Sandbox | None = None
    # None: it is started by itself.
    zygote: Zygote | None = None
    _complaints: _Complaints | None = None
    # LocalProvisioner's, which knows no others than its own.
    process: subprocess.Popen[bytes] | ForkedProcess | None  # type: ignore[assignment]

    @property
    def complaint(self) -> str:
        """The last lines the process wrote to stderr, for when it does not start."""
        return self._complaints.text if self._complaints else ""

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Called by KernelManager before each launch; these are start_kernel arguments:

        ``sandbox``, its walls, and ``zygote``, which forks it if it can.
        """
        self.sandbox = kwargs.pop("sandbox")
        self.zygote = kwargs.pop("zygote", None)
        # Kernels watch JPY_PARENT_PID, a process they cannot see from inside; bubblewrap's
        # --die-with-parent does the same from outside.
        launch = await super().pre_launch(**kwargs | {"independent": True})
        if self.sandbox.uid is not None:
            assert self.parent is not None
            os.chown(self.parent.connection_file, self.sandbox.uid, self.sandbox.uid)
        return launch

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        """Called by KernelManager to start the process."""
        assert self.sandbox is not None
        self._complaints = _Complaints()
        try:
            if await self._fork(cmd, kwargs["env"]):
                return self.connection_info
            kwargs |= {"cwd": str(self.sandbox.workspace), "stderr": self._complaints.writer}
            kwargs["stdout"] = subprocess.DEVNULL  # what counts comes through iopub
            with self.sandbox.launch(cmd) as (argv, descriptors):
                return await super().launch_kernel(argv, pass_fds=descriptors, **kwargs)
        finally:
            os.close(self._complaints.writer)

    async def _fork(self, cmd: list[str], environment: dict[str, str]) -> bool:
        """Have it forked; False if it has to be started after all."""
        if self.zygote is None or self._complaints is None or not await self.zygote.soon():
            return False
        assert self.sandbox is not None
        # What stands before is the interpreter and the module, which the zygote is already.
        argv = cmd[cmd.index(LAUNCHER) :]
        try:
            process = await self.zygote.fork(
                self.sandbox, argv, environment, self._complaints.writer
            )
        except KernelStartFailed as error:
            logger.warning("%s It is started instead.", error.message)
            return False
        self.process, self.pid = process, process.pid
        return True

    async def wait(self) -> int | None:
        """Called by KernelManager when it ends the process, and by whoever watches it.

        Unlike LocalProvisioner's, it sleeps until the process ends.
        """
        if self.process is None:
            return 0
        process = self.process
        if isinstance(process, ForkedProcess):
            exit_code = await process.ended()
            self.process = None
            return exit_code
        try:
            descriptor = os.pidfd_open(process.pid)
        except ProcessLookupError:
            return process.wait()  # it was waited for already
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(descriptor, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)
        self.process = None  # has_process is False from now on
        return process.wait()

    async def send_signal(self, signum: int) -> None:
        """Called by KernelManager for interrupts, and on the way to ending the process.

        The process we started is bubblewrap, which would die of an interrupt: that goes to the
        process group inside.
        """
        if isinstance(self.process, ForkedProcess):
            self.process.send_signal(signum)
            return
        if self.process is None or self.sandbox is None:
            return
        inside = self.sandbox.contained and signal_inside(self.process.pid, signum)
        if not inside and (signum == signal.SIGKILL or not self.sandbox.contained):
            await super().send_signal(signum)

    async def cleanup(self, restart: bool = False) -> None:  # noqa: FBT001, FBT002 - their signature
        """Called by KernelManager when the process has ended."""
        if self._complaints:
            self._complaints.close()
        await super().cleanup(restart=restart)


def signal_inside(bubblewrap_pid: int, signum: int) -> bool:
    """Signal the process group that bubblewrap started; False if there is none.

    bubblewrap's only child is process 1 inside, the leader of the group that its --new-session
    made. The system spares a process 1 every signal but SIGKILL, and ends with it all that is
    inside: bubblewrap then ends when nothing is left.
    """
    try:
        children = Path(f"/proc/{bubblewrap_pid}/task/{bubblewrap_pid}/children").read_text()
        # Until then the child is in bubblewrap's own group.
        own = os.getpgid(bubblewrap_pid)
        groups = {os.getpgid(int(child)) for child in children.split()} - {own}
        for group in groups:
            os.killpg(group, signum)
    except (FileNotFoundError, ProcessLookupError):
        return False
    return bool(groups)


class _Complaints:
    """The reading end of a process's stderr: read as it comes, the last bytes kept."""

    def __init__(self) -> None:
        self._reader, self.writer = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._reader, False)
        self._kept = b""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._reader, self._read)

    @property
    def text(self) -> str:
        return self._kept.decode(errors="replace").strip()

    def close(self) -> None:
        if self._reader >= 0:
            self._loop.remove_reader(self._reader)
            os.close(self._reader)
            self._reader = -1

    def _read(self) -> None:
        try:
            chunk = os.read(self._reader, 65536)
        except BlockingIOError:
            return
        if chunk:
            self._kept = (self._kept + chunk)[-MAX_COMPLAINT_BYTES:]
        else:
            self.close()
