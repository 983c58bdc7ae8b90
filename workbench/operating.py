"""What ``manage.py workbench`` does with hosts: show them, take them out of service, renew them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from django.core.management import CommandError
from django.utils import timezone

from sessions import fleet
from sessions.engines import close_engine
from sessions.exceptions import WorkbenchError
from sessions.fleet import HostInfo
from sessions.kernels.limits import size_text

Say = Callable[[str], None]
_T = TypeVar("_T")

_TITLES = ("HOST", "STATE", "SESSIONS", "RUNNING", "WARM", "MEMORY", "GPUS", "LABELS", "UP", "NODE")


def show_hosts(write: Say) -> None:
    """Write a table of all hosts. Raises CommandError if there are none."""
    found = _run(fleet.list_hosts)
    if not found:
        raise CommandError("There is no kernel host, and was none.")
    for line in _table([_TITLES, *map(_row, found)]):
        write(line)


def drain_host(name: str, wait_seconds: float, *, closes: bool, say: Say) -> None:
    """Have a host open no sessions, wait until those it has have ended, and close the rest.

    Raises CommandError.
    """

    async def drain() -> None:
        await fleet.drain_host(name)
        say(f"{name} opens no sessions any more")
        left = await fleet.wait_until_empty(name, wait_seconds)
        if left and closes:
            say(f"Closing {_count(left)}")
            await fleet.close_sessions(name)
            left = len(await fleet.sessions_of(name))
        if not left:
            say(f"{name} has no sessions: its machine can be taken away")
            return
        raise CommandError(
            f"{name} still has {_count(left)}. Wait for longer with --wait SECONDS, close them "
            f"with --close, or let it go on with: python manage.py workbench resume {name}"
        )

    _run(drain)


def resume_host(name: str, say: Say) -> None:
    """Have a host open sessions again. Raises CommandError."""
    _run(lambda: fleet.drain_host(name, is_draining=False))
    say(f"{name} opens sessions again")


def restart_host(name: str, say: Say) -> None:
    """End a host in order; the next one takes its sessions back. Raises CommandError."""
    say(f"Ending {name}; its sessions are stopped, their files stay")
    _run(lambda: fleet.restart_host(name))
    say(f"{name} is started anew, and takes its sessions back")


def _run(work: Callable[[], Awaitable[_T]]) -> _T:
    async def run() -> _T:
        try:
            return await work()
        finally:
            await close_engine()

    try:
        return asyncio.run(run())
    except WorkbenchError as error:
        raise CommandError(error.message) from None


def _row(host: HostInfo) -> tuple[str, ...]:
    up = timezone.now() - host.started_at
    is_there = host.ended_at is None
    return (
        host.name,
        _state(host),
        f"{_number(host.sessions)}/{host.slots}",
        _number(host.running),
        _number(host.warm_kernels),
        "-" if host.memory_bytes is None else size_text(host.memory_bytes),
        _gpus(host),
        ",".join(f"{name}={value}" for name, value in sorted(host.labels.items())) or "-",
        f"{up.days} d {up.seconds // 3600} h {up.seconds % 3600 // 60} min" if is_there else "-",
        " ".join(filter(None, (host.address, host.node[:12]))) or "-",
    )


def _gpus(host: HostInfo) -> str:
    """Those that sessions have, of all."""
    if not host.gpus:
        return "-"
    return f"{_number(None if host.free_gpus is None else host.gpus - host.free_gpus)}/{host.gpus}"


def _state(host: HostInfo) -> str:
    silent = host.ended_at is None and not host.answers
    states = [host.state, "draining" * host.is_draining, "does not answer" * silent]
    return ", ".join(filter(None, states))


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _number(value: int | None) -> str:
    return "-" if value is None else str(value)


def _count(sessions: int) -> str:
    return f"{sessions:,} session{'s' * (sessions != 1)}"
