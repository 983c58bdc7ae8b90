"""Continued runs: several executions under one id, told step by step to whoever asks.

A run holds no output, only how far its followers have been told: the web side reads the rows.
"""

from __future__ import annotations

import asyncio
import re
import shlex
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from sessions.exceptions import Conflict, ExecutionNotFound, InvalidValue
from sessions.kernels.executions import LiveExecution
from sessions.kernels.outputs import clean
from sessions.kernels.records import ExecutionRecord, SessionRecord
from sessions.kernels.sandbox import INSIDE_HOME
from sessions.states import ExecutionState

ABANDONED_SECONDS = 600.0  # without a follower after its end, before a run is forgotten
MAX_RUN_ID_LENGTH = 200
MAX_STEPS = 20
MAX_ENVIRONMENT_BYTES = 100_000  # names and values; a single one may have 128 KiB in Linux

GONE_EXIT_CODE = 130  # the session was closed or restarted, or the step was interrupted
NOT_RUN_EXIT_CODE = 127  # nothing could be run, as in a shell

# What a run's commands find beyond the session's own environment.
ENVIRONMENT = {"PYTHONUNBUFFERED": "1", "SHELL": "/bin/bash", "TERM": "xterm"}

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Run:
    """One run, from its start until its end has been told."""

    def __init__(
        self,
        id: str,
        session: SessionRecord,
        steps: list[dict[str, Any]],
        *,
        origin: str,
        environment: dict[str, str],
        max_output_bytes: int,
    ) -> None:
        """``steps`` are ``continuations.Step`` as plain data. Raises InvalidValue."""
        check_environment(environment)
        _check_steps(id, steps)
        self.id = id
        self.session = session
        self._origin = origin
        self._environment = {**ENVIRONMENT, **environment}
        self._max_output_bytes = max_output_bytes
        # Set when a step has ended or asks, or the session was closed or restarted.
        self._news = asyncio.Event()
        # (name, execution) in order; None where a step is skipped.
        self._steps: list[tuple[str, LiveExecution | None]] = []
        for step in steps:
            self._steps.append((step["name"], self._execution(step)))
        # How many steps, and which events, have been told.
        self._told_steps = 0
        self._told_events = session.last_event_number
        # Counts answers that were told, so that of two who got the same only one has it.
        self._turn = 0
        self._last_used = time.monotonic()

    @property
    def executions(self) -> list[LiveExecution]:
        """Those of all steps that are not skipped."""
        return [execution for _, execution in self._steps if execution is not None]

    @property
    def is_over(self) -> bool:
        """Nothing of it runs or waits."""
        return self._is_swept or all(each.ended.is_set() for each in self.executions)

    @property
    def is_abandoned(self) -> bool:
        """It is over, and nobody has followed it for a long time since; asked now and then."""
        if not self.is_over:
            self._last_used = time.monotonic()
        return time.monotonic() - self._last_used > ABANDONED_SECONDS

    @property
    def awaits_input(self) -> bool:
        return any(each.prompt is not None for each in self.executions)

    async def follow(self, wait_seconds: float) -> dict[str, Any]:
        """What is to be told next; the same until somebody calls ``told`` with it."""
        self._last_used = time.monotonic()
        try:
            async with asyncio.timeout(wait_seconds):
                while (answer := self._next()) is None:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            answer = self._next() or self._answer("continued", self.session.last_event_number)
        return answer

    def told(self, answer: dict[str, Any]) -> bool:
        """Remember that an answer of ``follow`` was told; False if another one had it."""
        if answer["turn"] != self._turn:
            return False
        self._turn += 1
        self._told_events = answer["until"]
        if answer["status"] == "step-finished":
            self._told_steps += 1
        return True

    @property
    def _is_swept(self) -> bool:
        return any(each.is_swept for each in self.executions)

    def _next(self) -> dict[str, Any] | None:
        """What can be told without waiting; None if there is nothing but output."""
        if self._is_swept:
            return self._finished(len(self._steps), GONE_EXIT_CODE, self.session.last_event_number)
        if self._told_steps == len(self._steps):
            raise ExecutionNotFound
        _, execution = self._steps[self._told_steps]
        if execution is None:
            return self._finished(self._told_steps + 1, 0, self._told_events)
        if execution.ended.is_set():
            last = execution.record.final_event_number or 0
            code = exit_code_of(execution.record)
            return self._finished(self._told_steps + 1, code, max(last, self._told_events))
        if execution.prompt is not None and execution.prompt.number > self._told_events:
            number, is_password = execution.prompt.number, execution.prompt.is_password
            return self._answer("waiting-input", number, is_password=is_password)
        return None

    def _finished(self, count: int, exit_code: int, until: int) -> dict[str, Any]:
        return self._answer(
            "step-finished",
            until,
            step=self._steps[count - 1][0],
            is_last=count == len(self._steps),
            exit_code=exit_code,
        )

    def _answer(
        self,
        status: str,
        until: int,
        *,
        step: str | None = None,
        is_last: bool = False,
        exit_code: int | None = None,
        is_password: bool = False,
    ) -> dict[str, Any]:
        return {
            "status": status,
            "step": step,
            "is_last": is_last,
            "exit_code": exit_code,
            "is_password": is_password,
            "executions": [str(execution.record.id) for execution in self.executions],
            "after": self._told_events,
            "until": until,
            "turn": self._turn,
        }

    def _execution(self, step: dict[str, Any]) -> LiveExecution | None:
        name, command, code = step["name"], step["command"], step["code"]
        if command is None and code is None:
            return None
        record = ExecutionRecord(
            session_id=self.session.id,
            kind="code" if command is None else "command",
            code=code if command is None else shlex.join(command),
            origin=self._origin,
            client_id=f"{self.id}/{name}",
            request={"run": self.id, "step": name},
        )
        execution = LiveExecution(
            record,
            max_output_bytes=self._max_output_bytes,
            command=command,
            allow_input=command is None or name == "exec",
            environment=self._environment,
            directory=INSIDE_HOME,
            news=self._news,
        )
        if name == "exec":
            execution.needs = dict(self._steps).get("build")
        return execution


class Runs:
    """The runs of one host, by owner and id."""

    def __init__(self) -> None:
        # The newest last; two sessions may have runs of the same id.
        self._by_id: dict[tuple[int | None, str], list[Run]] = {}

    def add(self, run: Run) -> None:
        """Remember a run. Raises Conflict if one of its id is under way in the session."""
        for other in list(self._like(run)):
            if not other.is_over:
                raise Conflict(f"A run named {run.id!r} is under way in this session.")
            self.forget(other)
        self._by_id.setdefault((run.session.owner_id, run.id), []).append(run)

    def find(self, owner_id: int | None, identifier: str, run_id: str, *, live: UUID | None) -> Run:
        """The run of the session that is ``live`` under that identifier, or last was.

        Raises ExecutionNotFound.
        """
        for run in reversed(self._by_id.get((owner_id, run_id), [])):
            named = identifier in (run.session.identifier, str(run.session.id))
            if run.session.id == live or (live is None and named):
                return run
        # The session may have been opened anew since.
        for run in reversed(self._by_id.get((owner_id, run_id), [])):
            if run.session.identifier == identifier:
                return run
        raise ExecutionNotFound("There is no run with this id under way.")

    def forget(self, run: Run) -> None:
        """Remove a run. Idempotent."""
        key = (run.session.owner_id, run.id)
        left = [each for each in self._by_id.pop(key, []) if each is not run]
        if left:
            self._by_id[key] = left

    def forget_abandoned(self) -> None:
        """Remove the runs that nobody asks for any more."""
        for run in [each for runs in self._by_id.values() for each in runs]:
            if run.is_abandoned:
                self.forget(run)

    def _like(self, run: Run) -> Iterator[Run]:
        for other in self._by_id.get((run.session.owner_id, run.id), []):
            if other.session.id == run.session.id:
                yield other


def exit_code_of(record: ExecutionRecord) -> int:
    """The exit code of a step that has ended, as a shell would say it.

    Code has none of its own: it ends with 0 however it ended, unless its kernel went away
    (130) or never came (127).
    """
    if record.exit_code is not None:
        return 128 - record.exit_code if record.exit_code < 0 else record.exit_code
    never_began = record.started_at is None
    match record.state:
        case ExecutionState.SUCCEEDED:
            return 0
        case ExecutionState.FAILED if record.kind == "command" or never_began:
            return NOT_RUN_EXIT_CODE
        case ExecutionState.FAILED | ExecutionState.INTERRUPTED if record.kind == "code":
            # A reason says that the kernel ended, and not only the code.
            return GONE_EXIT_CODE if record.reason or never_began else 0
    return GONE_EXIT_CODE


def check_environment(environment: dict[str, Any]) -> None:
    """Refuse what cannot be an environment. Raises InvalidValue."""
    size = 0
    for name, value in environment.items():
        if not _VARIABLE.fullmatch(name):
            raise InvalidValue(f"{name[:100]!r} cannot be the name of an environment variable.")
        if not isinstance(value, str) or clean(value) != value:
            raise InvalidValue(f"The value of the environment variable {name[:100]} is not text.")
        size += len(name) + len(value.encode())
    if size > MAX_ENVIRONMENT_BYTES:
        raise InvalidValue(f"An environment has at most {MAX_ENVIRONMENT_BYTES} bytes.")


def _check_steps(run_id: str, steps: list[dict[str, Any]]) -> None:
    if not 0 < len(run_id) <= MAX_RUN_ID_LENGTH or not run_id.isprintable():
        raise InvalidValue(f"A run's id has 1 to {MAX_RUN_ID_LENGTH} printable characters.")
    if not 0 < len(steps) <= MAX_STEPS:
        raise InvalidValue(f"A run has 1 to {MAX_STEPS} steps.")
    for step in steps:
        if step["command"] == []:
            raise InvalidValue("A command has at least a program.")
        for text in (step["name"], *(step["command"] or []), step["code"] or ""):
            if clean(text) != text:
                raise InvalidValue("A step holds NUL, or half a character (a lone surrogate).")
