"""A finished (or unfinished) execution in the words of either generation; pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from sessions.operations import ExecutionInfo
from sessions.outcomes import Outcome, fold
from sessions.states import EventType, ExecutionState
from workbench.dialects.azure.values import Value, image_of, jupyter_value_of, value_of
from workbench.dialects.base import without_colours

TIMED_OUT = "Request timed out waiting for code execution to complete"
KERNEL_RESTARTED = "Kernel restarted"
ABORTED = "Execution aborted"

_STATUS = {
    ExecutionState.QUEUED: "Running",
    ExecutionState.RUNNING: "Running",
    ExecutionState.SUCCEEDED: "Succeeded",
    ExecutionState.CANCELLED: "Canceled",
    ExecutionState.INTERRUPTED: "Canceled",
}
_ERROR_CODES = {  # hresult
    "": 0,
    TIMED_OUT: -2147205110,
    KERNEL_RESTARTED: -2147205111,
    ABORTED: -2147205113,
}
_ERROR_WITH_NAME = -2147205116
_FILE_OF_SYNTAX_ERROR = re.compile(r"\([^()]*, (line [0-9]+)\)$")


@dataclass(frozen=True, kw_only=True)
class Report:
    """An execution as its caller sees it."""

    execution: ExecutionInfo
    status: str
    stdout: str
    stderr: str
    value: Value
    error: dict[str, Any] | None
    # One of the sentences above, if no program's doing ended it; else empty.
    failure: str

    @property
    def milliseconds(self) -> int:
        return round(self.execution.duration_seconds * 1000)

    def spelt(self) -> str:
        """``executionType`` as the client spelt it."""
        return str(self.execution.request.get("execution_type", "Synchronous"))

    def new_result(self) -> dict[str, Any]:
        """``result`` of the new generation."""
        result: dict[str, Any] = {
            "stdout": self.stdout,
            "stderr": self.stderr,
            "executionResult": self.value,
            "executionTimeInMilliseconds": self.milliseconds,
        }
        if self.execution.kind == "command":
            result["exitCode"] = int(self.status)
        return result

    def new_body(self, identifier: str, *, is_pool: bool) -> dict[str, Any]:
        """SessionCodeExecutionResource; the container adds its two keys."""
        body: dict[str, Any] = {"id": self.execution.public_id, "identifier": identifier}
        if not is_pool:
            body["sessionId"] = identifier
        body |= {"executionType": self.spelt(), "status": self.status}
        if self.execution.is_finished:
            body["result"] = self.new_result()
        if not is_pool:
            body["rawResult"] = self.raw_result(identifier)
        return body

    def old_body(self, *, is_pool: bool) -> dict[str, Any]:
        """The first generation's envelope. The value has two names: see docs/contracts.md."""
        properties = {
            "$id": "2" if is_pool else self.execution.public_id,
            "status": "Success" if self.status == "Succeeded" else "Failure",
            "stdout": self.stdout,
            "stderr": self.stderr,
            "result": self.value,
            "executionResult": self.value,
            "executionTimeInMilliseconds": self.milliseconds,
        }
        return {"$id": "1", "properties": properties} if is_pool else {"properties": properties}

    def raw_result(self, identifier: str) -> dict[str, Any]:
        """What the container saw of its kernel."""
        name, message, trace = self._raw_error()
        ended = self.execution.is_finished and name == ""
        waited = (self.execution.finished_at or self.execution.queued_at) - self.execution.queued_at
        return {
            "hresult": self._hresult(),
            "result": self.value if ended else None,
            "error_name": name,
            "error_message": message,
            "error_stack_trace": trace,
            "stdout": self.stdout,
            "stderr": "" if self.error else self.stderr,
            "diagnosticInfo": {
                "executionRequestTimeInMilliSeconds": round(waited.total_seconds() * 1000),
                "executionProcessResponseTimeInMilliSeconds": 0,
                "executionDuration": self.milliseconds,
                "identifier": identifier,
            },
            "operationId": self.execution.public_id,
        }

    def _hresult(self) -> int:
        if self.failure or not self.error:
            return _ERROR_CODES[self.failure]
        return _ERROR_WITH_NAME

    def _raw_error(self) -> tuple[str, str, str]:
        """Name, message and coloured traceback; empty if nothing was raised."""
        if self.failure == TIMED_OUT:
            return "Timeout", "Timeout", ""
        if self.failure:
            return self.failure.title().replace(" ", ""), self.execution.reason, ""
        if self.error is None:
            return "", "", ""
        message = _FILE_OF_SYNTAX_ERROR.sub(r"(\1)", self.error["evalue"])
        return self.error["ename"], message, "\n".join(self.error["traceback"]) + "\n"


def report_of(execution: ExecutionInfo) -> Report:
    """What to say of an execution; how much of it, the request it came with remembers."""
    outcome = fold(execution.events)
    failure = _failure(execution, outcome)
    limit = execution.request.get("stream_characters")
    return Report(
        execution=execution,
        status=_status(execution),
        stdout=outcome.stdout[:limit],
        stderr=_stderr(execution, outcome, failure)[:limit],
        value=_value(execution, outcome),
        error=outcome.error,
        failure=failure,
    )


def _status(execution: ExecutionInfo) -> str:
    state = ExecutionState(execution.state)
    if execution.kind != "command" or not execution.is_finished:
        return _STATUS.get(state, "Failed")
    if state not in (ExecutionState.SUCCEEDED, ExecutionState.FAILED):
        return "-1"
    code = execution.exit_code if execution.exit_code is not None else -1
    # A signal, as shells report it; -1 says that there was no exit code.
    return str(128 - code if code < 0 and execution.exit_code is not None else code)


def _failure(execution: ExecutionInfo, outcome: Outcome) -> str:
    match execution.state:
        case ExecutionState.TIMED_OUT:
            return TIMED_OUT
        case ExecutionState.FAILED if execution.reason:
            return KERNEL_RESTARTED
        case ExecutionState.INTERRUPTED if outcome.error:
            return ""
        case ExecutionState.LOST | ExecutionState.CANCELLED | ExecutionState.INTERRUPTED:
            return ABORTED
    return ""


def _stderr(execution: ExecutionInfo, outcome: Outcome, failure: str) -> str:
    """The stream, with what went wrong: infrastructure first, the traceback last."""
    parts = [f"{text}\n" for text in (failure, execution.reason if failure else "") if text]
    parts.append(outcome.stderr)
    if outcome.error is not None:
        parts += [without_colours("\n".join(outcome.error["traceback"])), "\n"]
    return "".join(parts)


def _value(execution: ExecutionInfo, outcome: Outcome) -> Value:
    wants_jupyter = bool(execution.request.get("wants_jupyter_format"))
    if execution.state != ExecutionState.SUCCEEDED:
        return None if wants_jupyter else ""
    if (png := _last_png(execution, outcome)) is not None:
        return image_of(png)
    text = (outcome.result or {}).get("text/plain")
    text = text if isinstance(text, str) else None
    return jupyter_value_of(text) if wants_jupyter else value_of(text)


def _last_png(execution: ExecutionInfo, outcome: Outcome) -> str | None:
    """The picture shown last, be it displayed or the value itself; None if there is none."""
    shown = [_png(bundle) for bundle in outcome.displays]
    pngs = [png for png in shown if png is not None]
    value = _png(outcome.result or {})
    if value is not None and not (pngs and _displays_after_result(execution)):
        return value
    return pngs[-1] if pngs else None


def _displays_after_result(execution: ExecutionInfo) -> bool:
    types = [event["type"] for event in execution.events]
    return EventType.DISPLAY_DATA in types[types.index(EventType.EXECUTE_RESULT) :]


def _png(bundle: dict[str, Any]) -> str | None:
    png = bundle.get("image/png")
    return png if isinstance(png, str) else None
