"""What a session has on its machine: a workspace, a place for sockets, a user, a group, GPUs.

Made for a session, or for a kernel that waits for one; in both cases removed with all that is in it.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import UUID, uuid4

from sessions.exceptions import FileNotFound, WorkspaceFull
from sessions.kernels.cgroups import ControlGroup, ControlGroups
from sessions.kernels.config import HostConfig
from sessions.kernels.disk import Kept, nameless_bytes
from sessions.kernels.gpus import Gpus, device
from sessions.kernels.identities import Identities
from sessions.kernels.leftovers import Leftovers, set_aside
from sessions.kernels.limits import Limits
from sessions.kernels.meter import processes_below
from sessions.kernels.removal import remove_tree
from sessions.kernels.sandbox import Sandbox
from sessions.kernels.specs import KernelSpecs
from sessions.kernels.syscalls import why_not_filtered
from sessions.kernels.workspace import Workspace, workspace_path

logger = logging.getLogger(__name__)

WAITING = "waiting"  # below the data directory: workspaces of kernels that wait for a session


@dataclass(frozen=True)
class Premises:
    """One session's, or one waiting kernel's."""

    id: UUID
    workspace: Workspace
    # Kernels' sockets; without walls also caches and settings. Users do not see it as a place
    # for files.
    private: Path
    # None: its processes run as whoever runs the server.
    uid: int | None
    # None: there are no control groups.
    group: ControlGroup | None
    limits: Limits
    # The numbers of the GPUs that are its own.
    gpus: tuple[int, ...] = ()
    # For the kernels' sockets.
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def kept(self, roots: list[int]) -> Kept:
        """What the session keeps on the disk, if these processes hold all its others. Blocks.

        Of what is beside the sockets only the newest kernel's counts: what others left is being
        removed. Raises OSError.
        """
        sockets = self._newest_sockets()
        files, beside = _size(self.workspace.root), _size(sockets)
        processes = self.group.processes() if self.group else processes_below(roots)
        devices = {_device(self.workspace.root), _device(sockets)}
        return Kept(files, beside + nameless_bytes(processes, devices))

    def _newest_sockets(self) -> Path:
        try:
            numbers = [int(name) for name in os.listdir(self.private) if name.isdigit()]
        except FileNotFoundError:  # the session has just ended
            numbers = []
        return self.private / str(max(numbers, default=0))

    def make_sockets(self) -> Path:
        """A new directory for one kernel's sockets: none meets those of one that ended.

        That one's code may have taken its owner's rights from the workspace; the next kernel
        could not enter it, and nobody inside could give them back.
        """
        root = self.workspace.root  # which code inside cannot move: to it, it is a mount
        mode = stat.S_IMODE(root.stat().st_mode)
        if mode & stat.S_IRWXU != stat.S_IRWXU:
            root.chmod(mode | stat.S_IRWXU)
        sockets = self.private / str(next(self.numbers))
        sockets.mkdir(mode=0o700)
        if self.uid is not None:
            os.chown(sockets, self.uid, self.uid)
        return sockets


def _size(directory: Path) -> float:
    """What a directory takes, nothing if it is gone; infinite if it cannot be counted."""
    try:
        return Workspace(directory, max_bytes=None).size_bytes()
    except FileNotFound:
        return 0
    except WorkspaceFull:
        return math.inf


def _device(directory: Path) -> int | None:
    with suppress(FileNotFoundError):
        return directory.stat().st_dev
    return None


class Estate:
    """All premises of a host, from ``start`` to ``stop``."""

    def __init__(self, config: HostConfig, specs: KernelSpecs) -> None:
        self._config = config
        self._specs = specs
        self._identities: Identities | None = None
        self._groups: ControlGroups | None = None
        self.gpus = Gpus(config.gpus)

    def start(self) -> Leftovers:
        """Find out what the machine can do, and what an earlier host left. Blocks."""
        data_dir, run_dir = self._config.data_dir, self._config.run_dir
        for directory in (run_dir / "k", data_dir / WAITING):
            set_aside(directory)
        (data_dir / "sessions").mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._config.contained:
            self._identities = Identities.find()
            self._groups = ControlGroups.find(self._config.run_dir)
            logger.log(
                logging.DEBUG if self._groups.are_usable else logging.WARNING, self._groups.sentence
            )
            if why := why_not_filtered():
                logger.warning("Sessions may make any system call: %s", why)
            for path in (device(number, self._config.devices) for number in self._config.gpus):
                if not path.exists():
                    logger.warning("%s is not there: who gets that GPU cannot start", path)
        # By now nothing of an earlier host writes there any more.
        return Leftovers.find(data_dir / "sessions", data_dir, run_dir)

    def stop(self) -> None:
        """The last call: nothing lives any more."""
        if self._groups:
            self._groups.close()
        if self._identities:
            self._identities.close()

    @property
    def shared(self) -> tuple[Path, ...]:
        """The directories that hold parts of all premises."""
        data_dir = self._config.data_dir
        return (data_dir / "sessions", data_dir / WAITING, self._config.run_dir / "k")

    # --- Making and removing: coroutines, as they wait for the disk ----------------------------

    async def make(self, session_id: UUID, limits: Limits, gpus: int) -> Premises:
        """Premises for a session, with so many GPUs. Raises SessionLimitReached, OSError."""
        path = workspace_path(self._config.data_dir, session_id)
        return await asyncio.to_thread(self._make, session_id, path, limits, gpus)

    async def make_waiting(self) -> Premises:
        """Premises for a kernel that waits; ``hand_over`` makes them a session's."""
        waiting = uuid4()
        path = self._config.data_dir / WAITING / waiting.hex / "files"
        return await asyncio.to_thread(self._make, waiting, path, self._config.limits, 0)

    async def hand_over(self, premises: Premises, session_id: UUID) -> Premises:
        """The same premises as a session's; the kernel inside notices nothing."""
        return await asyncio.to_thread(self._hand_over, premises, session_id)

    async def take_back(self, session_id: UUID, limits: Limits, gpus: int) -> Premises:
        """Premises round the files that an earlier host kept. Raises SessionLimitReached, OSError."""
        path = workspace_path(self._config.data_dir, session_id)
        return await asyncio.to_thread(self._take_back, session_id, path, limits, gpus)

    async def vacate(self, premises: Premises) -> None:
        """End what runs there and remove it, but keep the files for the next host."""
        await self._removing(self._vacate, premises)

    async def remove(self, premises: Premises) -> None:
        """End what runs there and remove it. What cannot be removed is logged, and stays."""
        await self._removing(self._remove, premises)

    def sandbox(
        self, premises: Premises, kernel_name: str, *, variables: dict[str, str], network: bool
    ) -> Sandbox:
        """The walls round the premises, without sockets: see ``Premises.make_sockets``."""
        return Sandbox(
            workspace=premises.workspace.root,
            sockets=None,
            state=premises.private / "state",
            readable=self._specs.readable(kernel_name),
            prepared=self.prepared(),
            variables=variables,
            network=network,
            contained=self._config.contained,
            uid=premises.uid,
            limits=premises.limits,
            group=premises.group,
            gpus=premises.gpus,
            devices=self._config.devices,
        )

    def prepared(self) -> tuple[tuple[Path, str], ...]:
        """What every session would take seconds to make: matplotlib's fonts, jedi's types.

        (file outside, path inside). Types that are older than what is installed are left out:
        jedi would want to write them anew.
        """
        found: list[tuple[Path, str]] = []
        for prefix in self._config.prefixes:
            prepared = prefix / "share/workbench"
            fonts = prepared.glob("matplotlib/fontlist-*.json")
            found += [(file, f"/tmp/.state/matplotlib/{file.name}") for file in fonts]
            packages = prefix.glob("lib/python*/site-packages")
            installed = max((path.stat().st_mtime for path in packages), default=0.0)
            types = [f for f in prepared.glob("jedi/*/*.pkl") if f.stat().st_mtime >= installed]
            found += [(f, f"/tmp/.state/cache/{f.relative_to(prepared)}") for f in types]
        return tuple(found)

    def environment(self) -> dict[str, str]:
        """What kernels find in their environment, if there are walls."""
        path = tuple(prefix / "bin" for prefix in self._config.prefixes)
        return Sandbox(workspace=Path("/"), sockets=None, readable=()).environment(path=path)

    async def _removing(self, remove: Callable[[Premises], None], premises: Premises) -> None:
        try:
            await asyncio.to_thread(remove, premises)
        except Exception:
            logger.exception("something of session %s could not be removed", premises.id)

    # --- Internal, in threads -------------------------------------------------------------------

    def _make(self, key: UUID, path: Path, limits: Limits, gpus: int) -> Premises:
        premises = self._found(key, path, limits, gpus)
        try:
            return self._furnish(premises)
        except BaseException:
            self._remove(premises)
            raise

    def _take_back(self, key: UUID, path: Path, limits: Limits, gpus: int) -> Premises:
        """As ``_make``, round files that are there; whatever goes wrong, they stay."""
        premises = self._found(key, path, limits, gpus)
        try:
            premises = self._furnish(premises)
            self._give_files(premises)
        except BaseException:
            self._vacate(premises)
            raise
        return premises

    def _found(self, key: UUID, path: Path, limits: Limits, gpus: int) -> Premises:
        """What will be theirs; only GPUs and a user's number are taken so far."""
        taken = self.gpus.take(gpus)
        try:
            uid = self._identities.allocate() if self._identities else None
        except BaseException:
            self.gpus.give_back(taken)
            raise
        return Premises(
            key,
            Workspace(path, max_bytes=limits.workspace_bytes),
            self._config.run_dir / "k" / key.hex[:12],
            uid,
            None,
            limits,
            taken,
        )

    def _furnish(self, premises: Premises) -> Premises:
        premises.workspace.create()
        if premises.uid is not None:
            os.chown(premises.workspace.root, premises.uid, premises.uid)
        premises.private.mkdir(mode=0o700)
        group = self._groups.create(premises.id.hex, premises.limits) if self._groups else None
        return replace(premises, group=group)

    def _hand_over(self, premises: Premises, session_id: UUID) -> Premises:
        path = workspace_path(self._config.data_dir, session_id)
        before = premises.workspace.root
        path.parent.mkdir(mode=0o700)
        before.rename(path)  # what is mounted stays mounted
        before.parent.rmdir()
        workspace = Workspace(path, max_bytes=premises.limits.workspace_bytes)
        return replace(premises, id=session_id, workspace=workspace)

    def _give_files(self, premises: Premises) -> None:
        """The files were another number's: a session has one for as long as its host lives."""
        if premises.uid is not None:
            owner = f"{premises.uid}:{premises.uid}"
            # Neither links nor depth lead it astray, and nothing of the session lives meanwhile.
            command = ["chown", "-R", "-P", "-h", owner, "--", str(premises.workspace.root)]
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL)

    def _vacate(self, premises: Premises) -> None:
        self._clear(premises)
        self._free(premises)

    def _remove(self, premises: Premises) -> None:
        self._clear(premises)
        premises.workspace.remove()
        with suppress(OSError):  # there may be more than the files
            premises.workspace.root.parent.rmdir()
        self._free(premises)

    def _clear(self, premises: Premises) -> None:
        if premises.group:
            premises.group.remove()
        remove_tree(premises.private)

    def _free(self, premises: Premises) -> None:
        self.gpus.give_back(premises.gpus)
        if premises.uid is not None and self._identities:
            self._identities.free(premises.uid)
