"""What executions put out, from the log to the outputs of an .ipynb file; pure, no I/O."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from typing import Any, ClassVar
from uuid import UUID

from sessions.states import EventType

Output = dict[str, Any]

WIDGET_STATE_TYPE = "application/vnd.jupyter.widget-state+json"
UPDATES = frozenset({"update", "echo_update"})  # what a widget's kernel says of its state
JSON_TYPE = re.compile(r"application/(.*\+)?json")


class SessionOutputs:
    """The outputs of some executions of a session, as its events leave them.

    ``add`` takes the events of the whole session in order: a display may be updated by any of
    its executions.
    """

    TYPES: ClassVar[frozenset[EventType]] = frozenset(
        {
            EventType.STREAM,
            EventType.DISPLAY_DATA,
            EventType.UPDATE_DISPLAY_DATA,
            EventType.EXECUTE_RESULT,
            EventType.ERROR,
            EventType.CLEAR_OUTPUT,
            EventType.TRUNCATED,
            EventType.COMM,
        }
    )

    def __init__(self, executions: set[UUID]) -> None:
        self._outputs: dict[UUID, list[Output]] = {id_: [] for id_ in executions}
        # Executions whose outputs go when the next one comes.
        self._clearing: set[UUID] = set()
        self._by_display_id: defaultdict[str, list[Output]] = defaultdict(list)
        # The state of widgets by their ids, as .ipynb files keep it.
        self.widgets: dict[str, Any] = {}

    def of(self, execution: UUID) -> list[Output]:
        """The outputs of one of the executions."""
        return self._outputs[execution]

    def add(self, type_: str, data: dict[str, Any], execution: UUID | None) -> None:
        """Take the next event."""
        match type_:
            case EventType.UPDATE_DISPLAY_DATA:
                for shown in self._by_display_id.get(data["display_id"] or "", ()):
                    shown.update(_shown(data))
            case EventType.COMM:
                _add_comm(self.widgets, data)
            case EventType.CLEAR_OUTPUT if execution in self._outputs:
                self._clear(execution, wait=data["wait"])
            case _ if execution in self._outputs and (output := _output(type_, data)):
                self._append(execution, output, data.get("display_id"))

    def _clear(self, execution: UUID, *, wait: bool) -> None:
        if wait:
            self._clearing.add(execution)
        else:
            self._clearing.discard(execution)
            self._outputs[execution].clear()

    def _append(self, execution: UUID, output: Output, display_id: str | None) -> None:
        outputs = self._outputs[execution]
        if execution in self._clearing:
            self._clear(execution, wait=False)
        last = outputs[-1] if outputs else {}
        if output["output_type"] == "stream" and last.get("name") == output["name"]:
            last["text"] += output["text"]
            return
        outputs.append(output)
        if display_id:
            self._by_display_id[display_id].append(output)


def _output(type_: str, data: dict[str, Any]) -> Output | None:
    """An event as an output; None for what is none."""
    match type_:
        case EventType.STREAM:
            return {"output_type": "stream", "name": data["name"], "text": data["text"]}
        case EventType.DISPLAY_DATA:
            return {"output_type": "display_data", **_shown(data)}
        case EventType.EXECUTE_RESULT:
            count = data["execution_count"]
            return {"output_type": "execute_result", "execution_count": count, **_shown(data)}
        case EventType.ERROR:
            error = {name: data[name] for name in ("ename", "evalue", "traceback")}
            return {"output_type": "error", **error}
        case EventType.TRUNCATED:
            text = f"\n… {data['dropped_bytes']:,} bytes of output were left out here …\n"
            return {"output_type": "stream", "name": "stderr", "text": text}
    return None


def _shown(data: dict[str, Any]) -> Output:
    """A mime bundle and its metadata. Only JSON types may hold anything but text."""
    bundle = {
        mime: value if isinstance(value, str) or JSON_TYPE.fullmatch(mime) else json.dumps(value)
        for mime, value in data["data"].items()
    }
    return {"data": bundle, "metadata": data.get("metadata") or {}}


def _add_comm(widgets: dict[str, Any], comm: dict[str, Any]) -> None:
    """Follow what the kernel says of its widgets. Whatever has another shape is none."""
    id_, data = comm.get("comm_id"), comm.get("data")
    if not isinstance(id_, str) or not isinstance(data, dict):
        return
    state = data.get("state")
    if comm.get("kind") == "close":
        widgets.pop(id_, None)
    elif isinstance(state, dict) and (comm.get("kind") == "open" or data.get("method") in UPDATES):
        _add_state(widgets, id_, state, comm)


def _add_state(
    widgets: dict[str, Any], id_: str, state: dict[str, Any], comm: dict[str, Any]
) -> None:
    if comm.get("kind") == "open" and comm.get("target_name") == "jupyter.widget":
        widgets[id_] = {
            "model_name": state.get("_model_name", ""),
            "model_module": state.get("_model_module", ""),
            "model_module_version": state.get("_model_module_version", ""),
            "state": {},
        }
    if id_ in widgets:
        paths = comm["data"].get("buffer_paths")
        _update_widget(widgets[id_], state, paths, comm.get("buffers"))


def _update_widget(widget: dict[str, Any], state: dict[str, Any], paths: Any, buffers: Any) -> None:
    """The keys that came replace those of before, with the buffers in them."""
    widget["state"].update(state)
    are_lists = isinstance(paths, list) and isinstance(buffers, list)
    named = [each for each in paths if isinstance(each, list) and each] if are_lists else []
    replaced = [*state, *(path[0] for path in named)]
    kept = [each for each in widget.pop("buffers", []) if each["path"][0] not in replaced]
    new = [
        {"encoding": "base64", "path": path, "data": data}
        for path, data in zip(named, buffers if are_lists else [], strict=False)
    ]
    if kept or new:
        widget["buffers"] = kept + new
