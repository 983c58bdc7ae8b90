"""The comms of one session's kernel: whose they are, and what goes over them, both ways."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from sessions.exceptions import WorkbenchError
from sessions.kernels.comm_traffic import CommTraffic
from sessions.kernels.executions import MAX_REMEMBERED, LiveExecution
from sessions.kernels.journal import Journal
from sessions.kernels.kernel import LiveKernel
from sessions.kernels.output_widgets import OutputWidgets
from sessions.kernels.outputs import Output
from sessions.states import EventType

logger = logging.getLogger(__name__)

MAX_COMMS = 10_000  # whose execution is remembered
# Between two reports of what output widgets show, and so much longer as they show much.
NEWS_SECONDS = 0.05
NEWS_BYTES_PER_SECOND = 200_000


class Comms:
    """Between a kernel's comms and their readers: the log, and the clients who answer.

    ``kernel`` gives the kernel that runs, None if there is none.
    """

    def __init__(
        self, journal: Journal, kernel: Callable[[], LiveKernel | None], max_output_bytes: int
    ) -> None:
        self._journal = journal
        self._kernel = kernel
        self._traffic = CommTraffic(max_output_bytes, journal.say)
        # The executions that opened them, by comm id.
        self._owners: OrderedDict[str, LiveExecution | None] = OrderedDict()
        # Whose comm each message to the kernel was for, by its id.
        self._sent: OrderedDict[str, LiveExecution | None] = OrderedDict()
        # Messages of our own, which tell the kernel what its output widgets show.
        self._reports: OrderedDict[str, None] = OrderedDict()
        self._widgets = OutputWidgets()
        self._news: asyncio.TimerHandle | None = None

    # --- To the kernel ------------------------------------------------------------------

    def send(self, kernel: LiveKernel, message: dict[str, Any], buffers: list[bytes]) -> None:
        """Pass on a client's message; it waits in the kernel while code runs.

        Raises KernelBusy, LimitReached if too many wait already.
        """
        comm_id, owner = message["comm_id"], self._owners.get(message["comm_id"])
        msg_id = kernel.send_comm(message, buffers)
        _remember(self._sent, msg_id, owner, MAX_REMEMBERED)
        self._traffic.renew()
        if owner is not None:
            owner.limit.renew_late()
        if message["kind"] == "close":
            # The kernel says nothing more about it: other readers must learn it from us.
            closed = {**message, "data": {}, "metadata": {}, "buffers": []}
            self._journal.say(EventType.COMM, closed, owner)
            self._widgets.heard(closed)
            self._owners.pop(comm_id, None)

    # --- From the kernel ----------------------------------------------------------------

    def owner_of(self, parent_id: str) -> LiveExecution | None:
        """The execution that opened the comm which the request ``parent_id`` was sent to."""
        return self._sent.get(parent_id)

    def heard(self, data: dict[str, Any], execution: LiveExecution | None, parent_id: str) -> None:
        """A comm message, in the shape of its event's data."""
        if parent_id in self._reports and data["data"].get("method") == "echo_update":
            return  # what we have just told it
        comm_id = data["comm_id"]
        if data["kind"] == "open":
            _remember(self._owners, comm_id, execution, MAX_COMMS)
        execution = execution or self._owners.get(comm_id)
        self._widgets.heard(data)
        self._traffic.pass_on(data, execution)
        if data["kind"] == "close":
            self._owners.pop(comm_id, None)

    def capture(self, parent_id: str, output: Output) -> bool:
        """Whether an output widget takes this output."""
        if not self._widgets:
            return False
        is_captured = self._widgets.capture(parent_id, output)
        if self._news is None and (news := self._widgets.with_news()):
            size = sum(widget.size_bytes for _, widget in news)
            delay = max(NEWS_SECONDS, size / NEWS_BYTES_PER_SECOND)
            self._news = asyncio.get_running_loop().call_later(delay, self._tell_news)
        return is_captured

    # --- Life ---------------------------------------------------------------------------

    def renew(self) -> None:
        """An execution starts."""
        self._traffic.renew()

    def settle(self) -> None:
        """An execution has said everything: so do its comms, before its end is told."""
        self._say_news()
        self._traffic.settle()

    def report(self) -> None:
        """Tell the kernel what its output widgets show; while code runs that must wait."""
        kernel = self._kernel()
        if kernel is None or kernel.is_running:
            return
        for comm_id, widget in self._widgets.ahead():
            widget.is_ahead = False
            try:
                msg_id = kernel.send_comm(_update(comm_id, widget.outputs), [])
            except WorkbenchError as error:
                logger.warning("an output widget could not be reported: %s", error)
                return
            _remember(self._reports, msg_id, None, MAX_REMEMBERED)
            _remember(self._sent, msg_id, self._owners.get(comm_id), MAX_REMEMBERED)

    def forget(self) -> None:
        """The kernel has gone, and its comms with it."""
        self._say_news()
        self._traffic.settle()
        self._owners.clear()
        self._sent.clear()
        self._reports.clear()
        self._widgets = OutputWidgets()

    def _tell_news(self) -> None:
        self._say_news()
        self.report()

    def _say_news(self) -> None:
        if self._news is not None:
            self._news.cancel()
            self._news = None
        for comm_id, widget in self._widgets.with_news():
            widget.has_news = False
            data = {**_update(comm_id, widget.outputs), "buffers": []}
            self._traffic.pass_on(data, self._owners.get(comm_id))


def _update(comm_id: str, outputs: list[dict[str, Any]]) -> dict[str, Any]:
    state = {"outputs": outputs}
    return {
        "kind": "msg",
        "comm_id": comm_id,
        "target_name": "",
        "data": {"method": "update", "state": state, "buffer_paths": []},
        "metadata": {},
    }


def _remember(known: OrderedDict[str, Any], key: str, value: Any, maximum: int) -> None:
    known[key] = value
    known.move_to_end(key)
    while len(known) > maximum:
        known.popitem(last=False)
