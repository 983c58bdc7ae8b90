"""The events of one execution, folded into what a caller gets; pure, no I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sessions.states import EventType


@dataclass
class Outcome:
    """What came out of one execution."""

    stdout: str = ""
    stderr: str = ""
    # The mime bundle of the last expression's value; None if it had none.
    result: dict[str, Any] | None = None
    # Mime bundles shown on the way (plots, display()), in order, updates and clears applied.
    displays: list[dict[str, Any]] = field(default_factory=list)
    # {"ename", "evalue", "traceback": [lines, ANSI-coloured]}; None if nothing was raised.
    error: dict[str, Any] | None = None
    # Bytes of output that were dropped because there was too much.
    dropped_bytes: int = 0


def fold(events: Iterable[dict[str, Any]]) -> Outcome:
    """Fold events (in the shape of ``Event.to_wire``, in order) into an outcome."""
    outcome = Outcome()
    texts: dict[str, list[str]] = {"stdout": [], "stderr": []}
    shown: list[tuple[str | None, dict[str, Any]]] = []  # (display id, mime bundle)
    clear_before_next = False
    for event in events:
        data = event["data"]
        if clear_before_next and event["type"] in (
            EventType.STREAM,
            EventType.DISPLAY_DATA,
            EventType.EXECUTE_RESULT,
        ):
            shown.clear()
            clear_before_next = False
        match event["type"]:
            case EventType.STREAM:
                # A caller reads the streams as files: clear_output wipes displays only.
                texts[data["name"]].append(data["text"])
            case EventType.DISPLAY_DATA:
                shown.append((data.get("display_id"), data["data"]))
            case EventType.UPDATE_DISPLAY_DATA:
                shown = [
                    (known, data["data"] if known == data["display_id"] else bundle)
                    for known, bundle in shown
                ]
            case EventType.CLEAR_OUTPUT if data["wait"]:
                clear_before_next = True
            case EventType.CLEAR_OUTPUT:
                shown.clear()
            case EventType.EXECUTE_RESULT:
                outcome.result = data["data"]
            case EventType.ERROR:
                outcome.error = data
            case EventType.TRUNCATED:
                outcome.dropped_bytes += data["dropped_bytes"]
    outcome.stdout, outcome.stderr = "".join(texts["stdout"]), "".join(texts["stderr"])
    outcome.displays = [bundle for _, bundle in shown]
    return outcome
