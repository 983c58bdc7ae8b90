"""Control groups: what limits all processes of a session together, and finds every one of them.

Two layouts exist. In version 2 one directory per group holds everything; in version 1 each
controller (memory, pids, cpu, freezer) has a tree of its own. We make our groups below the one
we run in, so whatever limits us limits them.

    <our group>/workbench-<key>/<session>         version 2: one directory
    <controller>/<our group>/workbench-<key>/…    version 1: one in each tree

Blocks for some milliseconds: callers on an event loop use a thread. No Django.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sessions.kernels.limits import NORMAL_WEIGHT, Limits

logger = logging.getLogger(__name__)

KILL_SECONDS = 5.0  # for killed processes to be gone
NOTE = "control-groups"  # a file in the run directory: where the groups of a host are

_PAUSE_SECONDS = 0.005
_FREEZE_SECONDS = 0.5
_WANTED_V1 = ("memory", "pids", "cpu", "freezer")
_WANTED_V2 = ("memory", "pids", "cpu")
_V1_NORMAL_SHARES = 1024
# Counted, but not the session's own: what starts its programs and holds them together, and what
# has just ended. A resource limit stops the session's processes at the exact number.
_SPARE_PROCESSES = 32
_UNLIMITED_V1 = "-1"
_SERVER = "workbench-server"  # version 2: where the processes go that were in our group


@dataclass(frozen=True)
class ControlGroup:
    """One session's group: made by ``ControlGroups.create``, gone after ``remove``."""

    # Version 2: {"": directory}. Version 1: {controller: directory}.
    directories: dict[str, Path]
    is_v2: bool

    @property
    def procs_files(self) -> tuple[Path, ...]:
        """The files into which a process writes "0" to be in the group, with its children.

        Some controllers share a directory; each file is here once.
        """
        return tuple(directory / "cgroup.procs" for directory in self._distinct())

    @property
    def limits_memory(self) -> bool:
        return self._file("memory", "memory.max", "memory.limit_in_bytes") is not None

    @property
    def limits_processes(self) -> bool:
        return self._file("pids", "pids.max", "pids.max") is not None

    def add(self, pid: int) -> None:
        """Move a process into the group. Raises OSError if it or the group is gone."""
        if pid <= 0:  # to these files 0 is the process that writes
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
        for file in self.procs_files:
            file.write_text(str(pid))

    def set_limits(self, limits: Limits) -> None:
        """Limit the group; what its controllers do not know is passed over."""
        most = limits.processes
        processes = "max" if most is None else str(most + _SPARE_PROCESSES)
        self._set("pids", "pids.max", "pids.max", processes)
        self._limit_memory(limits.memory_bytes)
        shares = max(2, limits.cpu_weight * _V1_NORMAL_SHARES // NORMAL_WEIGHT)
        weight = limits.cpu_weight if self.is_v2 else shares
        self._set("cpu", "cpu.weight", "cpu.shares", str(weight))

    def oom_kills(self) -> int:
        """How many of its processes the system has ended for want of memory, so far."""
        return self._count("memory", "memory.events", "memory.oom_control", "oom_kill")

    def memory_bytes(self) -> int | None:
        """What it uses now, with what the system keeps of files for it; None: not measured."""
        return self._number("memory.current", "memory.usage_in_bytes")

    def memory_peak(self) -> int | None:
        """The most memory it ever used; None: not measured."""
        return self._number("memory.peak", "memory.max_usage_in_bytes")

    def processes(self) -> list[int]:
        """The processes in it, as this process sees their numbers; empty if it is gone."""
        found: set[int] = set()
        for directory in self._distinct():
            found.update(_processes_in(directory))
        return sorted(found - {0})

    def kill_all(self) -> None:
        """End every process in it with SIGKILL; returns when they are gone.

        Raises TimeoutError after KILL_SECONDS. Idempotent.
        """
        deadline = time.monotonic() + KILL_SECONDS
        while pids := self.processes():
            if time.monotonic() > deadline:
                raise TimeoutError(f"processes do not end: {pids}")
            if not self._kill_at_once():
                # Stopped, they cannot fork faster than we kill; they end when they may go on.
                is_stopped = self._freeze(still=True) and self._wait_until_frozen()
                for pid in self.processes() if is_stopped else pids:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                self._freeze(still=False)
            time.sleep(_PAUSE_SECONDS)

    def remove(self) -> None:
        """End what is in it and delete it; nothing happens if it is gone.

        Raises TimeoutError as ``kill_all`` does; then it stays for the next start's sweep.
        """
        self.kill_all()
        deadline = time.monotonic() + KILL_SECONDS
        for directory in self._distinct():
            _delete_tree(directory, deadline)

    def _limit_memory(self, memory_bytes: int | None) -> None:
        if self.is_v2:
            self._set("memory", "memory.max", "", str(memory_bytes or "max"))
            self._set("memory", "memory.swap.max", "", "max" if memory_bytes is None else "0")
            return
        value = _UNLIMITED_V1 if memory_bytes is None else str(memory_bytes)
        # With swap is never less than without: upwards, only the second can be set first.
        file = self._file("memory", "", "memory.limit_in_bytes")
        if file is not None:
            _written(file, value)
        self._set("memory", "", "memory.memsw.limit_in_bytes", value)
        self._set("memory", "", "memory.limit_in_bytes", value)

    def _kill_at_once(self) -> bool:
        if not self.is_v2:
            return False
        try:
            (self.directories[""] / "cgroup.kill").write_text("1")
        except OSError:  # before Linux 5.14
            return False
        return True

    def _freeze(self, *, still: bool) -> bool:
        """Stop all its processes, or let them go on; False if that cannot be asked for."""
        file = self._file("freezer", "cgroup.freeze", "freezer.state")
        value = str(int(still)) if self.is_v2 else "FROZEN" if still else "THAWED"
        return file is not None and _written(file, value)

    def _wait_until_frozen(self) -> bool:
        """False if some process cannot be stopped: it may wait for a disk."""
        deadline = time.monotonic() + _FREEZE_SECONDS
        name, stopped = ("cgroup.events", "frozen 1") if self.is_v2 else ("freezer.state", "FROZEN")
        file = self._file("freezer", name, name)
        while file is not None and time.monotonic() < deadline:
            with suppress(OSError):
                if stopped in file.read_text():
                    return True
            time.sleep(_PAUSE_SECONDS / 5)
        return False

    def _set(self, controller: str, v2: str, v1: str, value: str) -> None:
        file = self._file(controller, v2, v1)
        if file is not None and not _written(file, value):
            logger.warning("%s could not be set to %s", file, value)

    def _count(self, controller: str, v2: str, v1: str, key: str) -> int:
        file = self._file(controller, v2, v1)
        try:
            lines = file.read_text().splitlines() if file else []
        except OSError:
            return 0
        return next((int(line.split()[1]) for line in lines if line.startswith(f"{key} ")), 0)

    def _number(self, v2: str, v1: str) -> int | None:
        file = self._file("memory", v2, v1)
        try:
            return int(file.read_text()) if file else None
        except (OSError, ValueError):
            return None

    def _file(self, controller: str, v2: str, v1: str) -> Path | None:
        """The file of a controller in this layout; None where there is none."""
        directory = self.directories.get("" if self.is_v2 else controller)
        name = v2 if self.is_v2 else v1
        file = directory / name if directory and name else None
        return file if file and file.exists() else None

    def _distinct(self) -> list[Path]:
        return list(dict.fromkeys(self.directories.values()))


@dataclass(frozen=True)
class ControlGroups:
    """Where the groups of one host are, and what the machine lets them do."""

    # What was found, in one sentence.
    sentence: str
    # The directories that hold the sessions' groups; as in ControlGroup. Empty: none usable.
    parents: dict[str, Path]
    is_v2: bool

    @classmethod
    def find(cls, run_dir: Path) -> ControlGroups:
        """What this machine has for a host with that run directory.

        Ends first what is left of an earlier host of the same directory: its sessions'
        processes and groups.
        """
        _sweep(run_dir / NOTE)
        name = f"workbench-{hashlib.sha256(os.fsencode(run_dir)).hexdigest()[:12]}"
        try:
            found = _find_v2(name) or _find_v1(name)
        except OSError as error:
            return cls(f"Control groups cannot be used here ({error.strerror}).", {}, is_v2=False)
        if found is None:
            return cls(_NONE_SENTENCE, {}, is_v2=False)
        _write_note(run_dir / NOTE, found)
        return found

    @property
    def are_usable(self) -> bool:
        return bool(self.parents)

    def create(self, name: str, limits: Limits) -> ControlGroup | None:
        """A group of that name with those limits; None where there are no control groups.

        An earlier one of that name is ended and removed first. Raises OSError.
        """
        if not self.parents:
            return None
        directories = {key: parent / name for key, parent in self.parents.items()}
        group = ControlGroup(directories, self.is_v2)
        if any(directory.exists() for directory in directories.values()):
            group.remove()
        for directory in dict.fromkeys(directories.values()):
            directory.mkdir(parents=True)
        group.set_limits(limits)
        return group

    def close(self) -> None:
        """End all that is left in the groups and delete them. For the end of the host."""
        _remove_parents(self.parents, is_v2=self.is_v2)


_NONE_SENTENCE = (
    "There are no control groups we may use: memory is measured every two seconds instead, and "
    "processes are counted by user."
)


# --- Finding ----------------------------------------------------------------------------------


def _find_v1(name: str) -> ControlGroups | None:
    """Groups in the trees of version 1; None if there are none for memory or processes."""
    parents: dict[str, Path] = {}
    for controller, directory in _own_v1():
        parent = directory / name
        if controller in _WANTED_V1 and _made(parent):
            parents[controller] = parent
    if not parents.keys() & {"memory", "pids"}:
        _remove_parents(parents, is_v2=False)
        return None
    if "memory" in parents:
        # Since Linux 5.11 always so.
        _written(parents["memory"] / "memory.use_hierarchy", "1")
    return ControlGroups(_sentence("version 1", list(parents)), parents, is_v2=False)


def _find_v2(name: str) -> ControlGroups | None:
    """Groups in the tree of version 2; None if it does not limit memory and processes here."""
    own = _own_v2()
    if own is None or not {"memory", "pids"} <= _words(own / "cgroup.controllers"):
        return None
    if not _share_controllers(own):
        return None
    parent = own / name
    if not (_made(parent) and _share_controllers(parent)):
        return None
    controllers = [each for each in _WANTED_V2 if each in _words(parent / "cgroup.subtree_control")]
    return ControlGroups(_sentence("version 2", controllers), {"": parent}, is_v2=True)


def _share_controllers(directory: Path, needed: str = "+memory +pids") -> bool:
    """Let groups below have the controllers; False if they cannot have those that are needed.

    A group that has processes of its own may not do so, but for the root of all: they move
    into one below, where nothing changes for them.
    """
    if not _written(directory / "cgroup.subtree_control", needed):
        leaf = directory / _SERVER
        if not (_own_processes(directory) and _made(leaf)):
            return False
        for pid in _own_processes(directory):
            _written(leaf / "cgroup.procs", str(pid))
        if not _written(directory / "cgroup.subtree_control", needed):
            return False
    _written(directory / "cgroup.subtree_control", "+cpu")
    return True


def _own_v2() -> Path | None:
    """The group this process is in; if it was made for the server, the one above."""
    own = next((path for names, path in _own_groups() if names == ""), None)
    for root, mount, kind, _ in _mounts():
        if kind == "cgroup2" and own is not None:
            directory = _below(mount, root, own)
            is_leaf = directory is not None and directory.name == _SERVER
            return directory.parent if directory and is_leaf else directory
    return None


def _own_v1() -> Iterator[tuple[str, Path]]:
    """(controller, the directory of the group this process is in)."""
    own = {name: path for names, path in _own_groups() for name in names.split(",")}
    for root, mount, kind, options in _mounts():
        for controller in set(options.split(",")) & own.keys() if kind == "cgroup" else ():
            directory = _below(mount, root, own[controller])
            if directory is not None:
                yield controller, directory


def _own_groups() -> Iterator[tuple[str, str]]:
    """(controllers, path), as the system says of this process."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, names, path = line.split(":", 2)
        yield names, path


def _mounts() -> Iterator[tuple[str, Path, str, str]]:
    """(the part of the tree that is mounted, where, its kind, options) of all mounts."""
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        yield before.split()[3], Path(before.split()[4]), kind, options


def _below(mount: Path, root: str, path: str) -> Path | None:
    """Where the group ``path`` is, if the tree from ``root`` on is mounted at ``mount``."""
    try:
        directory = mount / Path(path).relative_to(root)
    except ValueError:
        return None
    return directory if directory.is_dir() else None


def _sentence(version: str, controllers: list[str]) -> str:
    words = {"memory": "memory", "pids": "processes", "cpu": "processor time"}
    limited = [text for name, text in words.items() if name in controllers]
    listed = " and ".join(filter(None, [", ".join(limited[:-1]), limited[-1]]))
    return f"Control groups ({version}) limit {listed}."


# --- What a crash left ------------------------------------------------------------------------


def _write_note(path: Path, groups: ControlGroups) -> None:
    """Remember where the groups are: the next host may run in another group than this one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    version = "2" if groups.is_v2 else "1"
    lines = [f"{version} {key}={directory}\n" for key, directory in groups.parents.items()]
    path.write_text("".join(lines))


def _sweep(note: Path) -> None:
    try:
        lines = note.read_text().splitlines()
    except OSError:
        return
    parents = {}
    for line in lines:
        key, _, directory = line[2:].partition("=")
        # The run directory is ours alone; still, nothing but a group of ours is deleted.
        if Path(directory).name.startswith("workbench-"):
            parents[key] = Path(directory)
    _remove_parents(parents, is_v2="" in parents)
    note.unlink(missing_ok=True)


def _remove_parents(parents: dict[str, Path], *, is_v2: bool) -> None:
    names = {each.name for parent in parents.values() for each in _directories_in(parent)}
    for name in [*names, ""]:
        directories = {key: parent / name for key, parent in parents.items()}
        try:
            ControlGroup(directories, is_v2).remove()
        except (OSError, TimeoutError) as error:
            logger.warning("a control group is left over: %s", error)


# --- Files ------------------------------------------------------------------------------------


def _made(directory: Path) -> bool:
    try:
        directory.mkdir(exist_ok=True)
    except OSError:
        return False
    return os.access(directory / "cgroup.procs", os.W_OK)


def _written(file: Path, value: str) -> bool:
    try:
        file.write_text(value)
    except OSError:
        return False
    return True


def _words(file: Path) -> set[str]:
    try:
        return set(file.read_text().split())
    except OSError:
        return set()


def _processes_in(directory: Path) -> list[int]:
    """The processes of a group and of those below it; empty if it is gone."""
    below = _directories_in(directory)
    return _own_processes(directory) + [pid for each in below for pid in _processes_in(each)]


def _own_processes(directory: Path) -> list[int]:
    try:
        return [int(line) for line in (directory / "cgroup.procs").read_text().split()]
    except OSError:
        return []


def _directories_in(directory: Path) -> list[Path]:
    try:
        return [each for each in directory.iterdir() if each.is_dir()]
    except OSError:
        return []


def _delete_tree(directory: Path, deadline: float) -> None:
    """Delete a group and those below it. Raises TimeoutError if it stays busy."""
    for below in _directories_in(directory):
        _delete_tree(below, deadline)
    while True:
        try:
            directory.rmdir()
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise TimeoutError(f"{directory} cannot be removed: {error.strerror}") from error
        time.sleep(_PAUSE_SECONDS)
