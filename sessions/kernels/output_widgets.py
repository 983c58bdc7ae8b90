"""Output widgets (ipywidgets.Output, and what is built on it): what they capture. Pure.

The kernel's side of such a widget only names a request (``msg_id``); whoever shows the widget
must collect what is printed for it. Here it is done once, for everybody who reads the log.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from sessions.kernels.outputs import Output, clean, size_of
from sessions.states import EventType

MAX_WIDGETS = 1_000  # followed at a time; the oldest are let go
MAX_WIDGET_BYTES = 512 * 1024  # kept of what one captured: the newest
MAX_OUTPUTS = 1_000  # of one widget

_TYPES = {
    EventType.STREAM: "stream",
    EventType.DISPLAY_DATA: "display_data",
    EventType.EXECUTE_RESULT: "execute_result",
    EventType.ERROR: "error",
}


class OutputWidget:
    """One widget and its outputs, in the shape of a notebook's."""

    def __init__(self) -> None:
        # The outputs that are shown: (output, its display's id or None, its size in bytes).
        self._kept: list[tuple[dict[str, Any], str | None, int]] = []
        self._bytes = 0
        # Output that was left out, because there was too much.
        self._dropped_bytes = 0
        self._clears_with_next = False
        # The request whose output it captures; empty while it captures none.
        self.msg_id = ""
        # Whether somebody has to be told, and the kernel too.
        self.has_news = False
        self.is_ahead = False

    @property
    def outputs(self) -> list[dict[str, Any]]:
        """What it shows, oldest first; a note comes before it if the beginning was left out."""
        note = f"[{self._dropped_bytes} bytes of earlier output were left out]\n"
        notes = [{"output_type": "stream", "name": "stderr", "text": note}]
        return [*(notes if self._dropped_bytes else []), *(each for each, _, _ in self._kept)]

    @property
    def size_bytes(self) -> int:
        """About how much it shows."""
        return self._bytes

    def follow(self, outputs: Any) -> None:
        """The kernel has set what it shows."""
        self._clear()
        for output in outputs if isinstance(outputs, list) else []:
            if isinstance(output, dict):
                self._append(clean(output), None, size_of((EventType.DISPLAY_DATA, output)))
        self.has_news = self.is_ahead = False

    def capture(self, output: Output) -> None:
        """Show one more output, or clear."""
        type_, data = output
        if type_ == EventType.CLEAR_OUTPUT and data["wait"]:
            self._clears_with_next = True
            return
        if type_ == EventType.CLEAR_OUTPUT or self._clears_with_next:
            self._clear()
        if type_ == EventType.STREAM:
            self._add_text(data["name"], data["text"])
        elif type_ in _TYPES:
            shown = {name: value for name, value in data.items() if name != "display_id"}
            kept = {"output_type": _TYPES[type_], **shown}
            self._append(kept, data.get("display_id"), size_of(output))
        self.has_news = self.is_ahead = True

    def update(self, display_id: str, data: dict[str, Any]) -> None:
        """A display has changed; nothing happens if it is not shown here."""
        for place, (output, known, size) in enumerate(self._kept):
            if known == display_id:
                output = {**output, "data": data["data"], "metadata": data["metadata"]}
                new_size = size_of((EventType.DISPLAY_DATA, output))
                self._kept[place] = (output, known, new_size)
                self._bytes += new_size - size
                self.has_news = self.is_ahead = True
        self._cut()

    def _clear(self) -> None:
        self._kept.clear()
        self._bytes = self._dropped_bytes = 0
        self._clears_with_next = False

    def _add_text(self, name: str, text: str) -> None:
        if self._kept:
            last, _, _ = self._kept[-1]
            if last["output_type"] == "stream" and last["name"] == name:
                self._kept.pop()
                self._bytes -= len(last["text"])
                text = last["text"] + text
        self._append({"output_type": "stream", "name": name, "text": text}, None, len(text))

    def _append(self, output: dict[str, Any], display_id: str | None, size: int) -> None:
        self._kept.append((output, display_id, size))
        self._bytes += size
        self._cut()

    def _cut(self) -> None:
        """Leave out the oldest, as far as it is too much."""
        while self._bytes > MAX_WIDGET_BYTES or len(self._kept) > MAX_OUTPUTS:
            output, display_id, size = self._kept.pop(0)
            excess = self._bytes - MAX_WIDGET_BYTES
            dropped = size
            if output["output_type"] == "stream" and 0 < excess < size:
                output, dropped = {**output, "text": output["text"][excess:]}, excess
                self._kept.insert(0, (output, display_id, size - excess))
            self._bytes -= dropped
            self._dropped_bytes += dropped


class OutputWidgets:
    """The output widgets of one kernel, and which of them capture."""

    def __init__(self) -> None:
        self._by_comm: OrderedDict[str, OutputWidget] = OrderedDict()
        # Those that capture a request's output; the last one gets it.
        self._capturing: dict[str, list[OutputWidget]] = {}

    def __bool__(self) -> bool:
        return bool(self._by_comm)

    def heard(self, message: dict[str, Any]) -> None:
        """Follow a comm message of the kernel, in the shape of a ``comm`` event's data."""
        comm_id, data = message["comm_id"], message["data"]
        state = data.get("state")
        if message["kind"] == "close":
            self._forget(comm_id)
        elif not isinstance(state, dict) or data.get("method", "update") != "update":
            return
        elif message["kind"] == "open" and state.get("_model_name") == "OutputModel":
            self._by_comm[comm_id] = widget = OutputWidget()
            self._follow(widget, state)
            while len(self._by_comm) > MAX_WIDGETS:
                self._forget(next(iter(self._by_comm)))
        elif message["kind"] == "msg" and (known := self._by_comm.get(comm_id)):
            self._follow(known, state)

    def capture(self, parent_id: str, output: Output) -> bool:
        """Give a widget the output, if one captures what belongs to ``parent_id``."""
        type_, data = output
        if type_ == EventType.UPDATE_DISPLAY_DATA:
            for widget in self._by_comm.values():
                widget.update(data["display_id"], data)
            return False  # it may be shown elsewhere as well
        capturing = self._capturing.get(parent_id)
        if not capturing or (type_ not in _TYPES and type_ != EventType.CLEAR_OUTPUT):
            return False
        capturing[-1].capture(output)
        return True

    def with_news(self) -> list[tuple[str, OutputWidget]]:
        """Those whose readers have to be told, by comm id."""
        return [(id_, widget) for id_, widget in self._by_comm.items() if widget.has_news]

    def ahead(self) -> list[tuple[str, OutputWidget]]:
        """Those whose kernel does not know what they show, by comm id."""
        return [(id_, widget) for id_, widget in self._by_comm.items() if widget.is_ahead]

    def _follow(self, widget: OutputWidget, state: dict[str, Any]) -> None:
        if "outputs" in state:
            widget.follow(state["outputs"])
        if "msg_id" in state:
            self._release(widget)
            msg_id = state["msg_id"]
            if isinstance(msg_id, str) and msg_id:
                widget.msg_id = msg_id
                self._capturing.setdefault(msg_id, []).append(widget)

    def _forget(self, comm_id: str) -> None:
        if widget := self._by_comm.pop(comm_id, None):
            self._release(widget)

    def _release(self, widget: OutputWidget) -> None:
        capturing = self._capturing.get(widget.msg_id, [])
        if widget in capturing:
            capturing.remove(widget)
        if not capturing:
            self._capturing.pop(widget.msg_id, None)
        widget.msg_id = ""
