"""The executions of one session: one at the kernel, the rest waiting, and who has ended."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sessions.exceptions import (
    ExecutionFinished,
    ExecutionIdTaken,
    ExecutionNotFound,
    QueueLimitReached,
)
from sessions.kernels.outputs import OutputLimit
from sessions.kernels.records import Event, ExecutionRecord
from sessions.states import ExecutionState

MAX_TIMEOUT_SECONDS = 7 * 24 * 3600.0
MAX_QUEUED = 1_000  # executions waiting in one session
MAX_REMEMBERED = 1_000  # ended executions that are told from unknown ones


@dataclass(frozen=True)
class Prompt:
    """What an execution asks for: the number of its event, and whether it is a password."""

    number: int
    is_password: bool


class LiveExecution:
    """An execution from submission to its end."""

    def __init__(
        self,
        record: ExecutionRecord,
        *,
        max_output_bytes: int,
        command: list[str] | None = None,
        stdin: str = "",
        collect: bool = False,
        allow_input: bool = False,
        before: str = "",
        after: str = "",
        watch_files: bool = False,
        environment: dict[str, str] | None = None,
        directory: str | None = None,
        news: asyncio.Event | None = None,
    ) -> None:
        self.record = record
        self.allow_input = allow_input
        # Code of ours that the kernel runs silently around the user's; empty for none.
        self.before = before
        self.after = after
        # Whether the files it writes become events.
        self.watch_files = watch_files
        self.limit = OutputLimit(max_output_bytes)
        # What to run, if it is a command and not code.
        self.command = command or []
        self.stdin = stdin
        # Of a command: variables beyond the session's own, and where it starts (None: in the
        # workspace, under its first name).
        self.environment = environment or {}
        self.directory = directory
        # An execution before it that must have succeeded; otherwise this one is not run.
        self.needs: LiveExecution | None = None
        # What it asks for, while nobody has answered.
        self.prompt: Prompt | None = None
        # Whether the session was closed or restarted before it had ended.
        self.is_swept = False
        # Set when one of the two above has changed, or it has ended; may be shared.
        self.news = news or asyncio.Event()
        # The events that count for the caller; None if nobody asked for them.
        self.events: list[Event] | None = [] if collect else None
        # Done when somebody asked to interrupt it.
        self.interrupted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Why that was, if it was not a person's wish; a sentence.
        self.interrupted_because = ""
        self.ended = asyncio.Event()

    @property
    def is_pointless(self) -> bool:
        """What it needs has not succeeded."""
        needs = self.needs
        return needs is not None and needs.record.state != ExecutionState.SUCCEEDED

    def interrupt(self, because: str = "") -> None:
        """Ask to interrupt it; ``because``, a sentence, if that is not a person's wish."""
        self.interrupted_because = because or self.interrupted_because
        if not self.interrupted.done():
            self.interrupted.set_result(None)

    async def first_of(self, *futures: asyncio.Future[Any], timed: bool = True) -> None:
        """Wait for one of the futures, an interrupt, or (``timed``) the execution's timeout."""
        await asyncio.wait(
            {*futures, self.interrupted},
            timeout=self.record.timeout_seconds if timed else None,
            return_when=asyncio.FIRST_COMPLETED,
        )


class ExecutionQueue:
    """What waits in a session, and what is known of its executions."""

    def __init__(self) -> None:
        self._waiting: deque[LiveExecution] = deque()
        self._grew = asyncio.Event()
        # What runs now; None between executions.
        self.current: LiveExecution | None = None
        self._unfinished: dict[UUID, LiveExecution] = {}
        self._ended: OrderedDict[UUID, None] = OrderedDict()
        # (id, digest of what it runs) by the clients' own names, while the session lives.
        self._client_ids: dict[str, tuple[UUID, bytes]] = {}

    @property
    def is_empty(self) -> bool:
        """Nothing runs and nothing waits."""
        return self.current is None and not self._waiting

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    @property
    def unfinished(self) -> list[LiveExecution]:
        """Those that run or wait."""
        return list(self._unfinished.values())

    def first_under(self, record: ExecutionRecord) -> tuple[UUID, LiveExecution | None] | None:
        """The execution the client submitted under the same name before; None if there is none.

        Its id, and itself unless it has ended. Raises ExecutionIdTaken if it runs something else.
        """
        if record.client_id not in self._client_ids:
            return None
        id_, digest = self._client_ids[record.client_id]
        if digest != _digest(record):
            raise ExecutionIdTaken
        return id_, self._unfinished.get(id_)

    def is_taken(self, client_id: str) -> bool:
        """Whether an execution was submitted under that name before."""
        return client_id in self._client_ids

    def check_room(self, count: int) -> None:
        """Raises QueueLimitReached unless ``count`` more can wait."""
        if len(self._waiting) + count > MAX_QUEUED:
            raise QueueLimitReached

    def add(self, execution: LiveExecution) -> int:
        """Queue an execution; how many are before it. Raises QueueLimitReached."""
        self.check_room(1)
        record = execution.record
        if record.client_id:
            self._client_ids[record.client_id] = (record.id, _digest(record))
        self._unfinished[record.id] = execution
        self._waiting.append(execution)
        self._grew.set()
        return len(self._waiting) - 1 + (self.current is not None)

    async def next(self) -> LiveExecution:
        """The next execution, which is ``current`` from now on; waits until there is one."""
        while not self._waiting:
            self._grew.clear()
            await self._grew.wait()
        self.current = self._waiting.popleft()
        return self.current

    def find(self, execution_id: str) -> LiveExecution:
        """The unfinished execution of that id or client's name.

        Raises ExecutionFinished if it has ended, ExecutionNotFound if there was none.
        """
        id_, _ = self._client_ids.get(execution_id, (_uuid(execution_id), b""))
        if id_ in self._unfinished:
            return self._unfinished[id_]
        if id_ in self._ended or execution_id in self._client_ids:
            raise ExecutionFinished
        raise ExecutionNotFound

    def take_out(self, execution: LiveExecution) -> None:
        """Remove one that waits."""
        self._waiting.remove(execution)

    def take_all_out(self) -> list[LiveExecution]:
        """Remove all that wait."""
        taken = list(self._waiting)
        self._waiting.clear()
        return taken

    def forget(self, execution: LiveExecution) -> None:
        """It has ended."""
        self._unfinished.pop(execution.record.id, None)
        self._ended[execution.record.id] = None
        while len(self._ended) > MAX_REMEMBERED:
            self._ended.popitem(last=False)


def _digest(record: ExecutionRecord) -> bytes:
    return hashlib.sha256(f"{record.kind}\n{record.code}".encode()).digest()


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
