"""Processes that have imported what kernels need, and fork one for each session: in 50 ms.

The zygote runs under the kernels' Python inside bubblewrap (the outer wall: it sees nothing of the
server but the workspaces and the kernels' sockets). Each fork leaves for namespaces of its own,
with nothing but its session's files (the inner wall). Its side is workbench_zygote/.

What the two say, over a socket that keeps messages apart, JSON and descriptors:

    host → zygote   {"modules": […], "prepare": "…"}  what to import before anything else, and
                                                    what to call a prepared kernel; empty: none
    zygote → host   {"importing": "…"}              before each of them; empty: after the last
                    {"missing": […], "unprepared": "…"}  done; these could not be imported, and
                                                    why no kernel is prepared
    host → zygote   7 (request, lifeline, status, complaints): files, for a kernel each
    zygote → host   {"birth": 7} (pidfd)            the first process inside, which waits
                    {"birth": 7, "failed": "…"}

Births have numbers, as who asked may have gone before the answer comes: it must not be taken for
the answer to the next.

A byte through the lifeline lets it go on; its end ends all that is inside. The kernel's wait
status comes through ``status``, if it ended by itself.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import os
import socket
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sessions.exceptions import KernelStartFailed
from sessions.kernels import trace, workbench_zygote
from sessions.kernels.descriptors import usual_limit
from sessions.kernels.forked import ForkedProcess, put_down
from sessions.kernels.sandbox import Sandbox, root_links, system_mounts
from sessions.kernels.syscalls import filter_program, why_not_filtered

logger = logging.getLogger(__name__)

PACKAGE = Path(workbench_zygote.__file__).parent
INSIDE = "/opt/workbench"  # where the package is, for the zygote only
SOON_SECONDS = 10.0  # for a zygote that is importing, by kernels that wait for it
MOST_IMPATIENT = 2  # kernels that do not wait for it
BIRTH_SECONDS = 10.0
IMPORT_SECONDS = 120.0  # of one module: a cold disk, a slow machine
MAX_MESSAGE_BYTES = 65_536
# A zygote that has died is replaced; one that dies again and again is given up for a while.
RETRY_SECONDS = (0.5, 5.0, 60.0)
PREPARED = "a prepared kernel"  # as it is called where it cannot be had
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


class Zygote:
    """One zygote and its successors, from ``start`` to ``stop``."""

    def __init__(self, config: ZygoteConfig, *, name: str) -> None:
        self.config = config
        self.name = name
        # The one that lives. None while there is none.
        self._life: _Life | None = None
        # One after the other: those behind would only wait in the zygote, where it is not seen
        # how long.
        self._birth = asyncio.Lock()
        self._running: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        # Grows when what was forked before is not like what is forked from now on.
        self.generation = 0
        self._imported: list[int] = []
        # Kernels that wanted to start while it was importing.
        self._impatient = 0
        # Modules whose import ended a zygote, or took too long; or PREPARED, if that did.
        self._without: set[str] = set()

    def start(self) -> None:
        """Begin to import; ``is_ready`` says when that is done."""
        self._running = asyncio.create_task(
            self._run(), name=f"zygote {self.name}", context=trace.of_nobody()
        )

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

    async def soon(self) -> bool:
        """Whether it can fork, now or after a short time worth waiting for.

        While it imports, the first few kernels are faster by themselves. Many that start at once
        by themselves take longer, all of them, than to wait for it.
        """
        if not self.is_ready and self._life is not None:
            self._impatient += 1
            if self._impatient > MOST_IMPATIENT:
                with suppress(TimeoutError):
                    async with asyncio.timeout(SOON_SECONDS):
                        await self.ready()
        return self.is_ready

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

        ``complaints`` is a descriptor for what it says on stderr; it stays the caller's. If it is
        cancelled, what is forked all the same is ended.
        """
        lifeline_end, lifeline = os.pipe2(os.O_CLOEXEC)
        status, status_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        about = _file_with(_request(sandbox, argv, environment))
        try:
            descriptor = await self._ask([about, lifeline_end, status_end, complaints])
        except BaseException as error:
            os.close(lifeline)
            os.close(status)
            if isinstance(error, OSError):
                raise KernelStartFailed(f"The kernel could not be forked: {error}.") from error
            raise
        finally:
            for each in (about, lifeline_end, status_end):
                os.close(each)
        process = ForkedProcess(descriptor, lifeline, status)
        try:
            if sandbox.group is not None:
                sandbox.group.add(process.pid)
            if process.has_ended:
                raise ProcessLookupError("it ended at once")
            process.go()
        except OSError as error:
            process.kill()
            await process.ended()
            raise KernelStartFailed(f"The kernel could not be forked: {error}.") from error
        return process

    # --- Internal -----------------------------------------------------------------------

    async def _ask(self, descriptors: list[int]) -> int:
        """The pidfd of a newborn. A zygote that does not answer in time is replaced."""
        async with self._birth:
            life = self._life
            if life is None or not self.is_ready:
                raise KernelStartFailed("No kernel can be forked now.")
            try:
                async with asyncio.timeout(BIRTH_SECONDS):
                    return await life.ask(descriptors)
            except TimeoutError:
                logger.warning("the zygote %s did not answer, so it is replaced", self.name)
                if life is self._life:
                    self._end()
                sentence = f"The kernel was not forked within {BIRTH_SECONDS:g} seconds."
                raise KernelStartFailed(sentence) from None

    async def _run(self) -> None:
        """Keep one alive. Cancelled by ``stop``."""
        failures = 0
        while True:
            began = asyncio.get_running_loop().time()
            is_known = False
            try:
                is_known = await self._live()
            except Exception:
                logger.exception("the zygote %s failed", self.name)
            finally:
                self._end()
            if is_known or asyncio.get_running_loop().time() - began > RETRY_SECONDS[-1]:
                failures = 0
            pause = RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)]
            failures += 1
            if not is_known:
                logger.warning("the zygote %s ended; the next starts in %g s", self.name, pause)
            await asyncio.sleep(pause)

    async def _live(self) -> bool:
        """From its start to its end, whichever way.

        True if it ended for a reason that the next one will not meet.
        """
        changed = _changed(self.config.watched)
        if changed != self._imported:
            self._without.clear()  # what was installed may have mended them
        self._imported = changed
        modules = [name for name in self.config.modules if name not in self._without]
        prepare = "" if PREPARED in self._without else PREPARED
        self._impatient = 0
        life = self._life = _Life(self.config, modules, prepare)
        why = "it ended the process that was to fork them"
        try:
            await life.imported()
        except TimeoutError:
            why = f"it was not there after {IMPORT_SECONDS:g} seconds"
        if life.missing is None:
            if life.importing:
                logger.warning("kernels of %s start without %s: %s", self.name, life.importing, why)
                self._without.add(life.importing)
            return bool(life.importing)
        for name in life.missing:
            logger.warning("kernels of %s start without %s: it cannot be imported", self.name, name)
        if life.unprepared:
            logger.warning("kernels of %s are not prepared: %s", self.name, life.unprepared)
        self._ready.set()
        await life.over.wait()
        return False

    def _end(self) -> None:
        if self.is_ready:
            self.generation += 1
        self._ready.clear()
        if self._life:
            self._life.end()
            self._life = None


class _Life:
    """One process that forks, from its start to ``end``, and what is said to it."""

    def __init__(self, config: ZygoteConfig, modules: list[str], prepare: str) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel.setblocking(False)  # noqa: FBT003 - takes no name
        # Whoever waits for an answer, by its number.
        self._births: dict[int, asyncio.Future[int]] = {}
        self._numbers = itertools.count(1)
        # What it is importing now; empty: nothing that it could do without.
        self.importing = ""
        # What could not be imported. None until all the rest is.
        self.missing: list[str] | None = None
        # Why its kernels are not prepared; empty if they are, or shall not be.
        self.unprepared = ""
        self._heard = asyncio.Event()
        # Set when the process has ended, by itself or not.
        self.over = asyncio.Event()
        try:
            self._process = _launch(config, theirs)
        except BaseException:
            self._channel.close()
            raise
        finally:
            theirs.close()
        self._pidfd = os.pidfd_open(self._process.pid)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._pidfd, self.end)
        self._loop.add_reader(self._channel, self._hear)
        asked = {"modules": modules, "prepare": prepare}
        self._channel.send(json.dumps(asked).encode())

    async def imported(self) -> None:
        """Return when it can fork, or has ended. Raises TimeoutError if one import takes too long."""
        while self.missing is None and not self.over.is_set():
            self._heard.clear()
            async with asyncio.timeout(IMPORT_SECONDS):
                await self._heard.wait()

    async def ask(self, descriptors: list[int]) -> int:
        """The pidfd of a newborn. Raises KernelStartFailed, OSError.

        Cancelled, it ends the newborn, now or when it is heard of.
        """
        number = next(self._numbers)
        birth: asyncio.Future[int] = self._loop.create_future()
        self._births[number] = birth
        try:
            socket.send_fds(self._channel, [str(number).encode()], descriptors)
            return await birth
        except asyncio.CancelledError:
            if birth.done() and not birth.cancelled() and not birth.exception():
                put_down(birth.result())
            raise
        finally:
            del self._births[number]

    def end(self) -> None:
        """End the process; who waits for an answer hears that there is none. Idempotent."""
        if self.over.is_set():
            return
        self.over.set()
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        while self._hear():
            pass  # its last words: what it was importing
        self._loop.remove_reader(self._channel)
        self._channel.close()
        self._process.kill()  # bubblewrap; the zygote below it ends with it
        self._process.wait()
        for birth in self._births.values():
            if not birth.done():
                birth.set_exception(KernelStartFailed("The kernel was not forked: no answer."))
        self._heard.set()

    def _hear(self) -> bool:
        """Take one message; False if there is none."""
        try:
            message, descriptors, _, _ = socket.recv_fds(self._channel, MAX_MESSAGE_BYTES, 1)
        except OSError:
            return False
        if not message:
            self._loop.remove_reader(self._channel)  # the process is about to end
            return False
        answer = json.loads(message)
        if "birth" in answer:
            self._came(answer, descriptors)
        else:
            self.importing = answer.get("importing", "")
            self.missing = answer.get("missing")
            self.unprepared = answer.get("unprepared", "")
        self._heard.set()
        return True

    def _came(self, answer: dict[str, Any], descriptors: list[int]) -> None:
        """A newborn, or why there is none. One that nobody waits for is ended."""
        birth = self._births.get(answer["birth"])
        if birth is None or birth.done():
            for descriptor in descriptors:
                put_down(descriptor)
        elif descriptors:
            os.set_inheritable(descriptors[0], False)  # noqa: FBT003 - takes no name
            birth.set_result(descriptors[0])
        else:
            why = answer.get("failed", "it died")
            birth.set_exception(KernelStartFailed(f"The kernel was not forked: {why}."))


def _launch(config: ZygoteConfig, theirs: socket.socket) -> subprocess.Popen[bytes]:
    descriptor = theirs.fileno()
    code = (
        f"import sys; sys.path[0] = {INSIDE!r}; "
        f"from workbench_zygote import main; main.serve({descriptor})"
    )
    return subprocess.Popen(
        [*_outer_wall(config), *config.command, "-c", code],
        env=dict(config.environment),
        pass_fds=(descriptor,),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )


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


def _changed(paths: tuple[Path, ...]) -> list[int]:
    return [path.stat().st_mtime_ns for path in paths if path.exists()]
