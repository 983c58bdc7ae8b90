"""The hosts of the server, for operators: what each has, and taking one out of service."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from asgiref.sync import sync_to_async

from sessions import audit, hosts, operations
from sessions.engines import engine
from sessions.exceptions import HostNotFound, HostUnavailable, SessionNotFound
from sessions.models import Host, Session
from sessions.operations import SessionRef
from sessions.states import AuditAction

LOOK_SECONDS = 1.0
DRAINED = "The kernel host was restarted by an operator."


@dataclass(frozen=True, kw_only=True)
class HostInfo:
    """One host, by its row and by what it says itself."""

    name: str
    # A HostState.
    state: str
    is_draining: bool
    node: str
    address: str
    slots: int
    gpus: int
    labels: dict[str, str]
    started_at: datetime
    ended_at: datetime | None
    # Whether it answers. What it says is None while it does not.
    answers: bool
    sessions: int | None
    running: int | None
    free_gpus: int | None
    warm_kernels: int | None
    memory_bytes: int | None


async def list_hosts() -> list[HostInfo]:
    """All hosts that there are or have been, by name."""
    try:
        said = {each["host"]: each for each in await operations.survey()}
    except HostUnavailable:
        said = {}
    return [_info(row, said.get(row.name)) async for row in Host.objects.order_by("name")]


async def drain_host(name: str, *, is_draining: bool = True) -> None:
    """Have a host open no sessions any more, or open them again; it hears of it within seconds.

    Raises HostNotFound unless it is there.
    """
    if not await sync_to_async(hosts.drain)(name, is_draining=is_draining):
        raise HostNotFound(_no_host(name))
    what = f"{name}: {'no new sessions' if is_draining else 'new sessions again'}"
    await sync_to_async(audit.note)(AuditAction.HOST_DRAINED, what=what)


async def sessions_of(name: str) -> list[SessionRef]:
    """The live sessions of a host, as the rows have them: also of one that is slow to answer.

    Raises HostNotFound.
    """
    if not await Host.objects.filter(name=name).aexists():
        raise HostNotFound(_no_host(name))
    here = Session.objects.live().filter(host=name).order_by("created_at")
    return [
        SessionRef(owner_id=each.owner_id, identifier=str(each.id))
        async for each in here.only("id", "owner_id")
    ]


async def wait_until_empty(name: str, seconds: float) -> int:
    """Return when a host has no sessions any more, or after that time: how many it has.

    Raises HostNotFound.
    """
    deadline = time.monotonic() + seconds
    while True:
        left = len(await sessions_of(name))
        if not left or time.monotonic() >= deadline:
            return left
        await asyncio.sleep(LOOK_SECONDS)


async def close_sessions(name: str) -> int:
    """Close all sessions of a host, their files go with them; how many.

    Raises HostNotFound, HostUnavailable.
    """
    closed = 0
    for ref in await sessions_of(name):
        try:
            await operations.close_session(ref)
        except SessionNotFound:
            continue  # somebody else has
        closed += 1
    return closed


async def restart_host(name: str) -> None:
    """End a host in order and have a new one take its sessions back, with the code as it is now.

    One that does not answer is ended all the same, and its kernels with it. Raises
    HostUnavailable, NotSupported.
    """
    await engine().restart_host(name, DRAINED)


def _no_host(name: str) -> str:
    return f"There is no kernel host named {name!r}, or it is not there."


def _info(row: Host, said: dict[str, Any] | None) -> HostInfo:
    sessions = said["sessions"] if said else None
    return HostInfo(
        name=row.name,
        state=row.state,
        is_draining=row.is_draining,
        node=row.node,
        address=row.address,
        slots=row.slots,
        gpus=row.gpus,
        labels=row.labels,
        started_at=row.started_at,
        ended_at=row.ended_at,
        answers=said is not None,
        sessions=None if sessions is None else len(sessions),
        running=None if sessions is None else sum(bool(each["running_since"]) for each in sessions),
        free_gpus=said["free_gpus"] if said else None,
        warm_kernels=said["warm_kernels"] if said else None,
        memory_bytes=(
            None if sessions is None else sum(each["memory_bytes"] or 0 for each in sessions)
        ),
    )
