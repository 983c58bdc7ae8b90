"""A host put together from the settings."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from sessions.hosts import Claim
from sessions.kernels import trace
from sessions.kernels.host import Host, HostConfig
from sessions.kernels.sandbox import why_not_contained
from sessions.recorder import DatabaseRecorder

logger = logging.getLogger(__name__)

Assembled = tuple[Host, DatabaseRecorder]

MAX_RUN_DIR_BYTES = 70  # a socket's path has at most 107: room for ours below


def run_dir() -> Path:
    """Where sockets live: in the data directory, unless its path is too long for a socket."""
    inside: Path = settings.WORKBENCH_DATA_DIR / "run"
    if len(os.fsencode(inside)) <= MAX_RUN_DIR_BYTES:
        return inside
    key = hashlib.sha256(os.fsencode(inside)).hexdigest()[:16]
    # Not tempfile.gettempdir(): a process may have its own, and all must agree.
    return Path("/tmp") / f"workbench-{os.getuid()}-{key}"


def trusted_run_dir() -> Path:
    """The run directory. Raises OSError if there is none, PermissionError if it is not ours.

    In /tmp, somebody else could have made it, to be talked to in our place.
    """
    path = run_dir()
    if path.is_symlink() or path.stat().st_uid != os.getuid():
        raise PermissionError(f"{path} belongs to another user")
    return path


def make_run_dir() -> Path:
    """The run directory, made if need be. Raises PermissionError if it is somebody else's."""
    run_dir().mkdir(mode=0o700, parents=True, exist_ok=True)
    path = trusted_run_dir()
    path.chmod(0o700)
    return path


def own_claim(
    name: str,
    slots: int,
    *,
    gpus: int = 0,
    labels: Mapping[str, str] | None = None,
    node: str = "",
    address: str = "",
) -> Claim:
    """What this machine's host offers, by the settings.

    ``gpus`` and ``labels`` are what a cluster says of its node: those GPUs count if the settings
    name none, those labels besides the settings' own.
    """
    return Claim(
        name=name,
        slots=slots,
        gpus=len(settings.WORKBENCH_GPUS) or gpus,
        labels={**(labels or {}), **settings.WORKBENCH_LABELS},
        node=node,
        address=address,
    )


async def assemble_host(
    notify: Callable[[dict[str, int]], None],
    claim: Claim,
    superseded: Callable[[], None],
) -> Assembled:
    """A started host and its recorder, as the settings want them; rows are true on return.

    ``superseded`` is called when another host has taken the name, or this one was given up.
    """
    contained = settings.WORKBENCH_SANDBOX != "off"
    if contained and (reason := why_not_contained()):
        logger.warning("Code is NOT contained on this machine: %s", reason)
        contained = False
    recorder = DatabaseRecorder(notify, superseded)
    host = Host(
        HostConfig(
            name=claim.name,
            data_dir=settings.WORKBENCH_DATA_DIR,
            run_dir=make_run_dir(),
            prefixes=(settings.WORKBENCH_KERNEL_PREFIX,),
            contained=contained,
            max_sessions=claim.slots,
            max_output_bytes=settings.WORKBENCH_MAX_OUTPUT_BYTES,
            idle_timeout_seconds=settings.WORKBENCH_IDLE_TIMEOUT_SECONDS or None,
            limits=settings.WORKBENCH_SESSION_LIMITS,
            network=settings.WORKBENCH_SESSION_NETWORK,
            quota=settings.WORKBENCH_OWNER_QUOTA,
            forks=settings.WORKBENCH_FORK_KERNELS,
            preimport=tuple(settings.WORKBENCH_PREIMPORT),
            warm_kernels=settings.WORKBENCH_WARM_KERNELS,
            # Ray says only how many there are.
            gpus=settings.WORKBENCH_GPUS or tuple(range(claim.gpus)),
            labels=claim.labels,
        ),
        recorder,
        # The files app stands above this one: it is named, not imported.
        make_files=import_string(settings.WORKBENCH_HOST_FILES),
        notify=notify,
    )
    await host.start(await recorder.start(claim))
    return host, recorder


class SharedStart:
    """A host's start, shared by all who need it; after one that failed the next call tries again."""

    def __init__(self, assemble: Callable[[], Coroutine[Any, Any, Assembled]]) -> None:
        self._assemble = assemble
        # None before the first call, and after a failure.
        self._task: asyncio.Task[Assembled] | None = None

    @property
    def has_begun(self) -> bool:
        """Whether there is a host, or may be soon."""
        return self._task is not None

    async def wait(self) -> Assembled:
        """The host and its recorder. Raises what the start does."""
        if self._task is None:
            self._task = asyncio.create_task(
                self._assemble(), name="start host", context=trace.of_nobody()
            )
        task = self._task
        try:
            return await asyncio.shield(task)
        except Exception:
            if self._task is task:
                self._task = None
            raise

    def forget(self) -> None:
        """That host has ended: the next call starts another."""
        self._task = None
