"""What one owner may use of the server: quotas, who has used how much, and the sentences.

Sessions, executions and storage count at one time; seconds and output in any 24 hours. No I/O: the
host hands in what the rows know of the last day, and what an account has of its own.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from sessions.exceptions import (
    QueueLimitReached,
    QuotaReached,
    SessionLimitReached,
    WorkspaceFull,
)
from sessions.kernels.executions import LiveExecution
from sessions.kernels.limits import size_text
from sessions.kernels.records import Elsewhere, Spent

PERIOD_SECONDS = 24 * 3600
# How exactly is known when something was used: it counts for 24 hours and so much longer at most.
STEP_SECONDS = 300
LOOK_SECONDS = 10.0  # for looks at all disks of an owner; then what was seen before counts
NOTHING = Elsewhere()
UNCOUNTED_BYTES = 1024**5  # for files that are too many to be counted: more than any disk has

_SETTINGS = {
    "sessions": "WORKBENCH_OWNER_SESSIONS",
    "executions": "WORKBENCH_OWNER_EXECUTIONS",
    "storage_bytes": "WORKBENCH_OWNER_STORAGE",
    "execution_seconds": "WORKBENCH_OWNER_SECONDS",
    "output_bytes": "WORKBENCH_OWNER_OUTPUT",
}


@dataclass(frozen=True, kw_only=True)
class Quota:
    """What one owner may use. None: no limit."""

    # Live at once.
    sessions: int | None = None
    # That run or wait, in all sessions together.
    executions: int | None = None
    # Of the files of all live sessions together.
    storage_bytes: int | None = None
    # In any 24 hours: how long executions run, and what they put out.
    execution_seconds: int | None = None
    output_bytes: int | None = None

    def but(self, own: Mapping[str, int]) -> Quota:
        """The same but for what an account has of its own; there, 0 is no limit."""
        return replace(self, **{name: value or None for name, value in own.items()})


NAMES = tuple(each.name for each in fields(Quota))


class Disk(Protocol):
    """One session's, as an account needs it."""

    # What its files take, as last looked at; infinite if they cannot be counted.
    files: float

    async def renew(self) -> None:
        """Look again."""

    async def glance(self) -> None:
        """Look again, unless that was a moment ago."""


class Spending:
    """How much of something was used in the last 24 hours. Times are seconds since 1970."""

    def __init__(self) -> None:
        # By the number of the step.
        self._steps: dict[int, float] = {}
        self._total = 0.0
        self._newest = 0

    def add(self, amount: float, at: float) -> None:
        """So much was used."""
        step = int(at // STEP_SECONDS)
        self._pass(step)
        if step > self._newest - _STEPS:
            self._steps[step] = self._steps.get(step, 0.0) + amount
            self._total += amount

    def add_time(self, start: float, end: float) -> None:
        """The time between was used, as far as it is in the last 24 hours before its end."""
        start = max(start, end - PERIOD_SECONDS)
        while start < end:
            step_end = (start // STEP_SECONDS + 1) * STEP_SECONDS
            self.add(min(end, step_end) - start, start)
            start = step_end

    def total(self, at: float) -> float:
        """How much in the 24 hours before that."""
        self._pass(int(at // STEP_SECONDS))
        return self._total

    def falls_below(self, most: float, at: float) -> float:
        """When it will be less than ``most``, if nothing more is used."""
        left = self.total(at)
        for step in sorted(self._steps):
            if left < most:
                break
            left -= self._steps[step]
            at = float((step + _STEPS) * STEP_SECONDS)
        return at

    def _pass(self, step: int) -> None:
        """It is this step now, or a later one: what is too old does not count any more."""
        if step > self._newest:
            self._newest = step
            oldest = step - _STEPS
            self._steps = {each: used for each, used in self._steps.items() if each > oldest}
            self._total = math.fsum(self._steps.values())


_STEPS = PERIOD_SECONDS // STEP_SECONDS + 1


@dataclass(eq=False)
class Account:
    """One owner's use of the server. ``owner_id`` None: of all who come through the open door.

    ``reached`` is called with a quota's name whenever it has refused or interrupted something.
    """

    owner_id: int | None = None
    quota: Quota = field(default_factory=Quota)
    reached: Callable[[str], None] = lambda name: None
    clock: Callable[[], float] = time.time
    # What they use on other hosts, as last looked at.
    elsewhere: Elsewhere = field(default_factory=Elsewhere)
    # How many run or wait.
    executions: int = 0
    # Of the live sessions.
    disks: set[Disk] = field(default_factory=set)
    seconds: Spending = field(default_factory=Spending)
    output: Spending = field(default_factory=Spending)
    # What runs, and until when its time has been counted.
    _running: dict[LiveExecution, float] = field(default_factory=dict)

    # --- What is used -------------------------------------------------------------------

    def started(self, execution: LiveExecution) -> None:
        """An execution runs."""
        self._running[execution] = self.clock()

    def finished(self, execution: LiveExecution) -> None:
        """An execution has ended, whether it ran or not."""
        self.executions -= 1
        if (since := self._running.pop(execution, None)) is not None:
            self.seconds.add_time(since, self.clock())

    def put_out(self, size: int, execution: LiveExecution | None) -> None:
        """So much output came; what runs is interrupted if that is too much."""
        at, most = self.clock(), self.quota.output_bytes
        self.output.add(size, at)
        if most is None or execution not in self._running or self._put_out(at) <= most:
            return
        self._interrupt(execution, "output_bytes", self._output_used(most))

    def restore(self, spent: Spent) -> None:
        """What was used before this host was there."""
        now = self.clock()
        start, end = spent.started_at.timestamp(), spent.finished_at.timestamp()
        self.seconds.add_time(min(start, now), min(end, now))
        self.output.add(spent.output_bytes, min(end, now))

    def enforce(self) -> None:
        """Interrupt what runs if its time is used up. Called every second or so."""
        if self._running and (why := self._time_refusal()):
            for execution in self._running:
                self._interrupt(execution, "execution_seconds", why)

    async def look(self) -> None:
        """Look at what the sessions keep, for who wants to know ``usage``."""
        await _in_time(disk.glance() for disk in list(self.disks))

    def usage(self, sessions: int) -> list[dict[str, Any]]:
        """Each quota as plain data: "name", "used", "most" (None: no limit)."""
        self._count_time()
        now = self.clock()
        used = {
            "sessions": sessions + self.elsewhere.sessions,
            "executions": self._executing,
            "storage_bytes": self._stored(),
            "execution_seconds": round(self._ran(now), 3),
            "output_bytes": int(self._put_out(now)),
        }
        return [
            {"name": name, "used": used[name], "most": getattr(self.quota, name)} for name in NAMES
        ]

    # --- What is refused ----------------------------------------------------------------

    def check_sessions(self, others: int) -> None:
        """Return if one more may be opened beside those of this host. Raises SessionLimitReached."""
        most, others = self.quota.sessions, others + self.elsewhere.sessions
        if most is not None and others >= most:
            self.reached("sessions")
            raise SessionLimitReached(
                f"You have {_count(others, 'session')} open, and may have {most} at once. "
                f"Close one, or {self._ask('sessions')}.",
                maximum=most,
            )

    def check_submission(self) -> None:
        """Return if something more may be submitted. Raises QueueLimitReached, QuotaReached."""
        most = self.quota.executions
        if most is not None and self._executing >= most:
            self.reached("executions")
            raise QueueLimitReached(
                f"You have {_count(self._executing, 'execution')} running or waiting, and may have "
                f"{most} at once. Wait for one to end, cancel one, or {self._ask('executions')}.",
                maximum=most,
            )
        self.check_spending()

    def check_spending(self) -> None:
        """Return if there is time and output left for today. Raises QuotaReached."""
        if why := self._time_refusal():
            raise self._quota_reached("execution_seconds", why)
        most, now = self.quota.output_bytes, self.clock()
        if most is not None and self._put_out(now) >= most:
            raise self._quota_reached("output_bytes", self._output_used(most))

    def storage_refusal(self) -> str:
        """Why nothing may be stored and no code run, by the last looks; empty if it may."""
        most = self.quota.storage_bytes
        if most is None or (used := self._stored()) <= most:
            return ""
        kept = "more than can be counted" if used >= UNCOUNTED_BYTES else size_text(used)
        return (
            f"The files of your sessions take {kept}, together more than {size_text(most)}. Delete "
            f"some, close a session, or {self._ask('storage_bytes')}."
        )

    async def check_storage(self) -> None:
        """Return if code may run. Before it refuses, it looks once more. Raises WorkspaceFull."""
        if self.storage_refusal():
            await _in_time(disk.renew() for disk in list(self.disks))
            if why := self.storage_refusal():
                self.reached("storage_bytes")
                raise WorkspaceFull(why)

    async def share_of(self, disk: Disk) -> int | None:
        """What one session's files may take, as the others' take what they do; None: no limit."""
        if (most := self.quota.storage_bytes) is None:
            return None
        others = [each for each in self.disks if each is not disk]
        await _in_time(each.renew() for each in others)
        return max(0, most - self.elsewhere.storage_bytes - _bytes(each.files for each in others))

    def storage_full(self) -> str:
        """The sentence for an upload that does not fit into the share."""
        return (
            "The files of your sessions would together take more than "
            f"{size_text(self.quota.storage_bytes)}. Delete some, close a session, or "
            f"{self._ask('storage_bytes')}."
        )

    # --- Internal -----------------------------------------------------------------------

    def _count_time(self) -> None:
        now = self.clock()
        for execution, since in self._running.items():
            self.seconds.add_time(since, now)
            self._running[execution] = now

    @property
    def _executing(self) -> int:
        return self.executions + self.elsewhere.executions

    def _ran(self, at: float) -> float:
        return self.seconds.total(at) + self.elsewhere.execution_seconds

    def _put_out(self, at: float) -> float:
        return self.output.total(at) + self.elsewhere.output_bytes

    def _stored(self) -> int:
        return _bytes([self.elsewhere.storage_bytes, *(disk.files for disk in self.disks)])

    def _time_refusal(self) -> str:
        most = self.quota.execution_seconds
        if most is None:
            return ""
        self._count_time()
        now = self.clock()
        if self._ran(now) < most:
            return ""
        used = f"Your code ran for {_duration(most)} in the last 24 hours, as long as it may."
        return self._until(used, "execution_seconds", self._more_at("execution_seconds"))

    def _output_used(self, most: int) -> str:
        used = f"Your code put out {size_text(most)} in the last 24 hours, as much as it may."
        return self._until(used, "output_bytes", self._more_at("output_bytes"))

    def _until(self, used: str, name: str, at: float) -> str:
        moment = datetime.fromtimestamp(math.ceil(at / 60) * 60, UTC)
        then = f"{moment:%Y-%m-%d %H:%M} UTC"
        return f"{used} Wait until {then}, when there is more, or {self._ask(name)}."

    def _more_at(self, name: str) -> float:
        """When there is more of what was used up, as far as is known on this host."""
        spending = self.seconds if name == "execution_seconds" else self.output
        most = getattr(self.quota, name) - getattr(self.elsewhere, name)
        return spending.falls_below(most, self.clock())

    def _quota_reached(self, name: str, why: str) -> QuotaReached:
        self.reached(name)
        wait = max(1, math.ceil(self._more_at(name) - self.clock()))
        most = getattr(self.quota, name)
        return QuotaReached(why, quota=name, maximum=most, retry_seconds=wait)

    def _interrupt(self, execution: LiveExecution | None, name: str, why: str) -> None:
        if execution is not None and not execution.interrupted.done():
            self.reached(name)
            execution.interrupt(f"It was interrupted. {why}")

    def _ask(self, name: str) -> str:
        own = "" if self.owner_id is None else ", or the quota of your account"
        return f"ask the operator for more ({_SETTINGS[name]}{own})"


class Ledger:
    """The accounts of all owners of a host."""

    def __init__(
        self,
        quota: Quota,
        reached: Callable[[str], None] = lambda name: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._quota = quota
        self._reached = reached
        self._clock = clock
        self._own: Mapping[int, Mapping[str, int]] = {}
        self._accounts: dict[int | None, Account] = {}

    def __iter__(self) -> Iterator[Account]:
        return iter(list(self._accounts.values()))

    def account(self, owner_id: int | None) -> Account:
        """An owner's account."""
        found = self._accounts.get(owner_id)
        if found is None:
            quota = self._quota_of(owner_id)
            found = Account(owner_id, quota, self._reached, self._clock)
            self._accounts[owner_id] = found
        return found

    def grant(self, own: Mapping[int, Mapping[str, int]]) -> None:
        """What accounts have of their own from now on, by owner; the others, what all have."""
        self._own = own
        for account in self._accounts.values():
            account.quota = self._quota_of(account.owner_id)

    def hear(self, elsewhere: Mapping[int | None, Elsewhere]) -> None:
        """What owners use on other hosts, by owner; the others use nothing there."""
        for owner_id in self._accounts.keys() | elsewhere.keys():
            self.account(owner_id).elsewhere = elsewhere.get(owner_id, NOTHING)

    def restore(self, spent: Iterable[Spent]) -> None:
        """What was used in the last 24 hours, before this host was there."""
        for each in spent:
            self.account(each.owner_id).restore(each)

    def _quota_of(self, owner_id: int | None) -> Quota:
        own = self._own.get(owner_id) if owner_id is not None else None
        return self._quota.but(own) if own else self._quota


async def _in_time(looks: Iterable[Coroutine[Any, Any, None]]) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(LOOK_SECONDS):
            await asyncio.gather(*looks, return_exceptions=True)


def _bytes(files: Iterable[float]) -> int:
    return int(min(sum(files), UNCOUNTED_BYTES))


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _duration(seconds: int) -> str:
    for unit, noun in ((3600, "hour"), (60, "minute")):
        if seconds % unit == 0:
            return _count(seconds // unit, noun)
    return _count(seconds, "second")
