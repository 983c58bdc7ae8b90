"""Processes that have imported what kernels need, and fork one for each session: in 50 ms.

The zygote runs under the kernels' Python inside bubblewrap (the outer wall: it sees nothing of the
server but the workspaces and the kernels' sockets). Each fork leaves for namespaces of its own,
with nothing but its session's files (the inner wall). Its side is workbench_zygote/.

What the two say, over a socket that keeps messages apart, JSON and descriptors:

    host → zygote   {"modules": […]}                what to import before anything else
    zygote → host   {"missing": […]}                done; these could not be imported
    host → zygote   (request, lifeline, status, complaints): files, for a kernel each
    zygote → host   {"born": true} (pidfd)          the first process inside, which waits
                    {"failed": "…"}

A byte through the lifeline lets it go on; its end ends all that is inside. The kernel's wait
status comes through ``status``, if it ended by itself.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sessions.exceptions import KernelStartFailed
from sessions.kernels import workbench_zygote
from sessions.kernels.descriptors import usual_limit
from sessions.kernels.sandbox import Sandbox, root_links, system_mounts
from sessions.kernels.syscalls import filter_program, why_not_filtered

logger = logging.getLogger(__name__)

PACKAGE = Path(workbench_zygote.__file__).parent
INSIDE = "/opt/workbench"  # where the package is, for the zygote only
BIRTH_SECONDS = 10.0
IMPORT_SECONDS = 120.0  # a cold disk, a slow machine
MAX_MESSAGE_BYTES = 65_536
# A zygote that has died is replaced; one that dies again and again is given up for a while.
RETRY_SECONDS = (0.5, 5.0, 60.0)
# Of root's, what it takes to make the walls of others, and to become them.
_CAPABILITIES = (
    "CAP_SYS_ADMIN",
    "CAP_SETUID",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_NET_ADMIN",
)


@dataclass(frozen=True, kw_only=True)
class ZygoteConfig:
    """What a zygote is, as a value: two that are equal can stand in for each other."""

    # The kernels' Python, and what its interpreter is started with.
    command: tuple[str, ...]
    modules: tuple[str, ...]
    # Readable inside, at the same paths.
    readable: tuple[Path, ...]
    # (file outside, path inside): what it finds in place, as kernels do.
    prepared: tuple[tuple[Path, str], ...] = ()
    # Directories that hold those of all sessions: workspaces, sockets. Writable inside.
    shared: tuple[Path, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    # Directories that change when what it has imported is out of date.
    watched: tuple[Path, ...] = ()


class ForkedProcess:
    """A kernel's process tree, held by the first process inside its walls.

    Has what jupyter_client's provisioner asks of a process.
    """

    def __init__(self, descriptor: int, lifeline: int, status: int) -> None:
        self._descriptor = descriptor
        self._lifeline = lifeline
        self._status = status
        self.pid = _pid_of(descriptor)
        self.returncode: int | None = None
        self._ended: asyncio.Task[int] | None = None

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

    def send_signal(self, signum: int) -> None:
        """Signal the kernel's process group. SIGKILL ends all that is inside."""
        if self.returncode is not None:
            return
        try:
            if signum == signal.SIGKILL:
                signal.pidfd_send_signal(self._descriptor, signum)
            elif kernel := self._kernel():
                os.killpg(kernel, signum)
        except ProcessLookupError:
            pass  # it has just ended

    def kill(self) -> None:
        """End it at once, and all inside."""
        self.send_signal(signal.SIGKILL)

    terminate = kill

    def _kernel(self) -> int | None:
        """The kernel's process: inside, it is the second. None until it is forked."""
        return next((child for child in _children(self.pid) if _innermost(child) == 2), None)

    async def _wait(self) -> int:
        await _readable(self._descriptor)
        status = os.read(self._status, 4)
        for descriptor in (self._descriptor, self._lifeline, self._status):
            os.close(descriptor)
        code = os.waitstatus_to_exitcode(int.from_bytes(status, "little")) if status else -9
        self.returncode = code
        return code


class Zygote:
    """One zygote and its successors, from ``start`` to ``stop``."""

    def __init__(self, config: ZygoteConfig, *, name: str) -> None:
        self.config = config
        self.name = name
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._birth = asyncio.Lock()  # one at a time: answers have no name
        self._running: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        # Grows when what was forked before is not like what is forked from now on.
        self.generation = 0
        self._imported: list[int] = []

    def start(self) -> None:
        """Begin to import; ``is_ready`` says when that is done."""
        self._running = asyncio.create_task(self._run(), name=f"zygote {self.name}")

    async def stop(self) -> None:
        """End it. The kernels it has forked live on."""
        if self._running:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    @property
    def is_ready(self) -> bool:
        """It can fork now."""
        return self._ready.is_set()

    async def ready(self) -> None:
        """Return when it can fork."""
        await self._ready.wait()

    def check(self) -> bool:
        """Whether it can fork and is up to date; if it is not, a new one is on its way."""
        if self.is_ready and self._imported != _changed(self.config.watched):
            logger.info("the zygote %s is out of date", self.name)
            self._end()
        return self.is_ready

    async def fork(
        self, sandbox: Sandbox, argv: list[str], environment: Mapping[str, str], complaints: int
    ) -> ForkedProcess:
        """A kernel with ``argv`` in its session's walls. Raises KernelStartFailed.

        ``complaints`` is a descriptor for what it says on stderr; it stays the caller's.
        """
        lifeline_end, lifeline = os.pipe2(os.O_CLOEXEC)
        status, status_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        about = _file_with(_request(sandbox, argv, environment))
        try:
            async with self._birth, asyncio.timeout(BIRTH_SECONDS):
                descriptor = await self._ask([about, lifeline_end, status_end, complaints])
        except BaseException as error:
            os.close(lifeline)
            os.close(status)
            if isinstance(error, OSError | TimeoutError):
                raise KernelStartFailed(f"The kernel could not be forked: {error}.") from error
            raise
        finally:
            for each in (about, lifeline_end, status_end):
                os.close(each)
        process = ForkedProcess(descriptor, lifeline, status)
        try:
            if sandbox.group is not None:
                sandbox.group.add(process.pid)
            process.go()
        except OSError as error:
            process.kill()
            await process.ended()
            raise KernelStartFailed(f"The kernel could not be forked: {error}.") from error
        return process

    # --- Internal -----------------------------------------------------------------------

    async def _ask(self, descriptors: list[int]) -> int:
        channel = self._channel
        if channel is None or not self.is_ready:
            raise KernelStartFailed("No kernel can be forked now.")
        socket.send_fds(channel, [b"fork"], descriptors)
        await _readable(channel.fileno())
        message, received, _, _ = socket.recv_fds(channel, MAX_MESSAGE_BYTES, 1)
        answer = json.loads(message or b"{}")
        if not received:
            raise KernelStartFailed(
                f"The kernel was not forked: {answer.get('failed', 'it died')}."
            )
        os.set_inheritable(received[0], False)  # noqa: FBT003 - takes no name
        return received[0]

    async def _run(self) -> None:
        """Keep one alive. Cancelled by ``stop``."""
        failures = 0
        while True:
            began = asyncio.get_running_loop().time()
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            try:
                await self._live(ours, theirs)
            except Exception:
                logger.exception("the zygote %s failed", self.name)
            finally:
                self._end()
                async with self._birth:  # whoever waits for an answer knows by now
                    ours.close()
            if asyncio.get_running_loop().time() - began > RETRY_SECONDS[-1]:
                failures = 0
            pause = RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)]
            failures += 1
            logger.warning("the zygote %s ended; the next starts in %g s", self.name, pause)
            await asyncio.sleep(pause)

    async def _live(self, ours: socket.socket, theirs: socket.socket) -> None:
        """From its start to its end, whichever way."""
        ours.setblocking(False)  # noqa: FBT003 - takes no name
        self._channel = ours
        self._imported = _changed(self.config.watched)
        with theirs:
            self._process = self._launch(theirs)
        ours.send(json.dumps({"modules": self.config.modules}).encode())
        async with asyncio.timeout(IMPORT_SECONDS):
            await _readable(ours.fileno())
        answer = json.loads(ours.recv(MAX_MESSAGE_BYTES) or b"{}")
        if "missing" in answer:
            for name in answer["missing"]:
                logger.warning("kernels of %s start without %s: it is not there", self.name, name)
            self._ready.set()
            await _ended(self._process.pid)

    def _launch(self, theirs: socket.socket) -> subprocess.Popen[bytes]:
        descriptor = theirs.fileno()
        code = (
            f"import sys; sys.path[0] = {INSIDE!r}; "
            f"from workbench_zygote import main; main.serve({descriptor})"
        )
        argv = [*_outer_wall(self.config), *self.config.command, "-c", code]
        return subprocess.Popen(
            argv,
            env=dict(self.config.environment),
            pass_fds=(descriptor,),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    def _end(self) -> None:
        if self.is_ready:
            self.generation += 1
        self._ready.clear()
        if self._channel:
            self._channel.shutdown(socket.SHUT_RDWR)
            self._channel = None
        if self._process:
            self._process.kill()  # bubblewrap; the zygote below it ends with it
            self._process.wait()
            self._process = None


def _outer_wall(config: ZygoteConfig) -> list[str]:
    """No namespace of its own but the file system's: kernels must outlive their zygote."""
    is_root = os.geteuid() == 0
    capabilities = [part for name in _CAPABILITIES for part in ("--cap-add", name)]
    return [
        *("/bin/sh", "-c", f'{usual_limit()}; exec "$@"', "sh"),
        "bwrap",
        "--die-with-parent",
        "--new-session",
        *("--cap-drop", "ALL"),
        *(capabilities if is_root else ["--unshare-user"]),
        *(part for link, to in root_links() for part in ("--symlink", to, link)),
        *(
            part
            for each in system_mounts()
            for part in ("--ro-bind", str(each.source), each.target)
        ),
        *("--bind", "/proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"),
        *(part for path in config.readable for part in ("--ro-bind", str(path), str(path))),
        *("--ro-bind", str(PACKAGE), f"{INSIDE}/{PACKAGE.name}"),
        *(part for file, inside in config.prepared for part in ("--ro-bind", str(file), inside)),
        *(part for path in config.shared for part in ("--bind", str(path), str(path))),
        *("--remount-ro", "/"),
        "--",
    ]


def _request(sandbox: Sandbox, argv: list[str], environment: Mapping[str, str]) -> dict[str, Any]:
    mounts = sandbox.mounts()
    return {
        "argv": argv,
        "environment": {**environment, "PWD": sandbox.directory, **sandbox.variables},
        "directory": sandbox.directory,
        "mounts": [[str(each.source), each.target, each.writable] for each in mounts],
        "links": [list(link) for link in root_links()],
        "files": sandbox.accounts(),
        "scratch": [[each.target, each.size_bytes, each.mode] for each in sandbox.scratch()],
        "directories": sandbox.own_directories(),
        "network": sandbox.network,
        "uid": sandbox.uid,
        "rlimits": sandbox.rlimits(),
        "filter": "" if why_not_filtered() else filter_program().hex(),
    }


def _file_with(request: dict[str, Any]) -> int:
    """A descriptor of a file in memory: requests may be longer than messages."""
    descriptor = os.memfd_create("request")
    with os.fdopen(os.dup(descriptor), "w") as file:
        json.dump(request, file)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _pid_of(descriptor: int) -> int:
    """The process of a pidfd, as this process knows it; 0 if it has ended."""
    for line in Path(f"/proc/self/fdinfo/{descriptor}").read_text().splitlines():
        if line.startswith("Pid:"):
            return max(0, int(line.split()[1]))
    return 0


def _children(pid: int) -> list[int]:
    try:
        return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    except FileNotFoundError:
        return []


def _innermost(pid: int) -> int:
    """A process's number in the innermost namespace it is in; 0 if it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except FileNotFoundError:
        return 0
    return next((int(line.split()[-1]) for line in lines if line.startswith("NSpid:")), 0)


async def _readable(descriptor: int) -> None:
    """Return when there is something to read; of a pidfd, when its process has ended."""
    readable = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(descriptor)


async def _ended(pid: int) -> None:
    descriptor = os.pidfd_open(pid)
    try:
        await _readable(descriptor)
    finally:
        os.close(descriptor)


def _changed(paths: tuple[Path, ...]) -> list[int]:
    return [path.stat().st_mtime_ns for path in paths if path.exists()]
