"""One live kernel: a process, and what it is asked. The only importer of jupyter_client's manager.

The kernel is hostile: what it sends is checked, bounded and correlated here, and whatever it
does, every wait here ends.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning.provisioner_base import KernelProvisionerBase

from sessions.exceptions import (
    InputNotRequested,
    KernelBusy,
    KernelStartFailed,
    LimitReached,
    NotSupported,
)
from sessions.kernels import channels, inside, provisioner, unix_sockets
from sessions.kernels.channels import Channels
from sessions.kernels.flow import Flow
from sessions.kernels.forked import ForkedProcess
from sessions.kernels.messages import Message, MessageCodec
from sessions.kernels.removal import remove_tree
from sessions.kernels.sandbox import Sandbox
from sessions.kernels.zygotes import Zygote

logger = logging.getLogger(__name__)

_INSIDE = Path(inside.__file__).read_text()
_PATIENCE = Path(__file__).with_name("patience.py").read_text() + "\nbe_patient(get_ipython())\n"

START_SECONDS = 60.0  # for a kernel to answer its first question
QUESTION_SECONDS = 10.0  # for completion and inspection: the first one loads the analyser
# Between a reply and its "idle", or the other way round. They come over two sockets: with less, output
# was missing in an answer on a machine that had forty times the work it could do.
STRAGGLER_SECONDS = 20.0
SOCKET_POLL_SECONDS = 0.005
MAX_COMMS_WAITING = 1_000  # messages of clients that the kernel has not come to
MAX_ASKED = 1_000  # questions whose late output is told from a stranger's
WELCOME_SECONDS = 0.1  # for the first sign of life on iopub, before asking again
# For what a process said before its end to be read. Others may have its sockets, and say no end.
LAST_WORDS_SECONDS = 2.0
LOST_SECONDS = 3.0  # for a process whose connection was cut to end by itself, which says more

FLOODED = "Code in the kernel flooded the server with broken messages, so it was ended."


@dataclass(frozen=True)
class Death:
    """How a kernel's process ended."""

    exit_code: int
    # What its limits had to do with it, a sentence; empty if nothing.
    limit: str = ""

    @property
    def sentence(self) -> str:
        """For people; says only what is known."""
        if self.limit:
            return self.limit
        # bubblewrap reports a signal the way shells do.
        signum = -self.exit_code if self.exit_code < 0 else self.exit_code - 128
        if signum > 0:
            return f"The kernel was ended by signal {signum}."
        return f"The kernel exited with code {self.exit_code}."


def _nothing(_: Message) -> None:
    """What happens in a kernel that nobody has."""


def _unmeasured(way: str, seconds: float) -> None:
    """Nobody wants to know."""


class Request:
    """An execute request at the kernel."""

    def __init__(self, msg_id: str, flow: Flow, *, allow_input: bool) -> None:
        self.msg_id = msg_id
        self._flow = flow
        self.allow_input = allow_input
        loop = asyncio.get_running_loop()
        # Set when the kernel says that it runs this: from now on interrupts reach it.
        self.began: asyncio.Future[None] = loop.create_future()
        # The content of the execute_reply.
        self.reply: asyncio.Future[dict[str, Any]] = loop.create_future()
        # Set when iopub says that all its output has been sent.
        self.idle: asyncio.Future[None] = loop.create_future()
        # The reply's content, once all output has arrived. A kernel may lose one of the two signs;
        # then the other counts after a while. Pending for ever if the kernel dies before.
        self.finished: asyncio.Future[dict[str, Any]] = loop.create_future()
        # Runs from the first sign to the second; None before.
        self._straggler: asyncio.TimerHandle | None = None
        self.reply.add_done_callback(self._has_sign)
        self.idle.add_done_callback(self._has_sign)

    def _has_sign(self, sign: asyncio.Future[Any]) -> None:
        if sign.cancelled():
            return  # the kernel has died, which says more
        if self._straggler is None:
            self._wait_for_the_other()
        else:
            self._straggler.cancel()
            self._finish()

    def _wait_for_the_other(self) -> None:
        loop = asyncio.get_running_loop()
        self._straggler = loop.call_later(STRAGGLER_SECONDS, self._do_without)

    def _do_without(self) -> None:
        if self._flow.is_open:
            self._finish()
        else:
            self._wait_for_the_other()  # it is we who do not read

    def _finish(self) -> None:
        lost = not self.reply.done() or self.reply.cancelled()
        if not self.finished.done():
            self.finished.set_result({"status": "lost"} if lost else self.reply.result())
        self.reply.cancel()  # if it is not there, nobody waits for it any more


class LiveKernel:
    """One kernel process, from ``start`` to its death. Owned by a session; never restarted.

    ``on_message`` is called with each message on iopub; ``on_input`` with each input request;
    ``on_ready`` after each ``start``: how it came to be (measures.WAYS), and after how many seconds.
    """

    def __init__(
        self,
        name: str,
        *,
        specs: KernelSpecManager,
        sandbox: Sandbox,
        environment: dict[str, str],
        flow: Flow,
        on_message: Callable[[Message], None] = _nothing,
        on_input: Callable[[Message], None] = _nothing,
        on_ready: Callable[[str, float], None] = _unmeasured,
        zygote: Zygote | None = None,
    ) -> None:
        assert sandbox.sockets is not None
        provisioner.register()
        self.name = name
        self._sandbox = sandbox
        self._environment = environment
        self._flow = flow
        self._on_message = on_message
        self._on_input = on_input
        self._on_ready = on_ready
        self._zygote = zygote
        self._kills_before = sandbox.group.oom_kills() if sandbox.group else 0
        self._is_ready = False
        # Which limit it is ended for; empty while there is none.
        self._limit = ""
        # A connection was cut.
        self._is_lost = False
        # Of the session that it waited for; the walls of others have theirs from the start.
        self._variables: dict[str, str] = {}
        self._manager = AsyncKernelManager(
            kernel_name=name,
            kernel_spec_manager=specs,
            transport="ipc",
            ip=str(sandbox.sockets / "s"),
            connection_file=str(sandbox.sockets / "kernel.json"),
        )
        # None until its process has been started.
        self._channels: Channels | None = None
        self._tasks: list[asyncio.Task[None]] = []
        # The one of them that waits for the process's end. None until it has been started.
        self._watching: asyncio.Task[None] | None = None
        # Replies somebody waits for, by the request's msg_id.
        self._replies: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._running: Request | None = None
        self._awaited_input: Message | None = None
        self._subshell_id: str | None = None
        self._heard = asyncio.Event()  # something arrived on iopub
        self._silence = asyncio.Event()  # nothing will any more, or nobody wants to hear it
        # What kernel_info_request told; empty until the kernel is ready.
        self.info: dict[str, Any] = {}
        self._asking = asyncio.Lock()  # for the subshell
        # Whether it answers ``ask_inside``.
        self._answers_inside = False
        # Whether it waits if we do not take what it publishes; others drop it.
        self._waits_for_us = False
        # Questions by msg_id: the comm that brings the answer, empty if a reply does.
        self._asked: OrderedDict[str, str] = OrderedDict()
        # Comm messages that it has not come to yet, by msg_id, in order.
        self._comms_waiting: OrderedDict[str, None] = OrderedDict()
        # The last code of the user's it was sent; empty before the first.
        self._last_request_id = ""
        # Why somebody ended it; empty while nobody did, or without a reason.
        self.stop_reason = ""
        self._stop: asyncio.Task[None] | None = None
        # Set when the process has ended, by itself or not, and what it said has been read.
        self.death: asyncio.Future[Death] = asyncio.get_running_loop().create_future()

    # --- Life ---------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the process, unless it waited for this, and return when it is ready to run code.

        Raises KernelStartFailed; nothing is left running then.
        """
        began, waited = time.monotonic(), self._is_ready
        await self._start()
        forked = isinstance(getattr(self._manager.provisioner, "process", None), ForkedProcess)
        way = "warm" if waited else "forked" if forked else "started"
        self._on_ready(way, time.monotonic() - began)

    async def _start(self) -> None:
        try:
            async with asyncio.timeout(START_SECONDS):
                if self._is_ready:
                    return await self._set_variables()
                await self._manager.start_kernel(
                    **self._walls(),
                    env=dict(self._environment),
                    extra_arguments=self._extra_arguments(),
                )
                # Interrupts go over our own socket; this one would connect again, to whatever.
                self._manager._close_control_socket()
                self._watching = self._spawn(self._watch(), "watch")
                await self._connect()
                await self._meet()
                await self._move_in()
                await self._subscribe()
                self._is_ready = True
        except TimeoutError:
            await self.stop()
            raise KernelStartFailed(
                f"The kernel {self.name} did not answer within {START_SECONDS:.0f} seconds."
            ) from None
        except OSError as error:
            await self.stop()
            raise KernelStartFailed(f"The kernel {self.name} did not start: {error}.") from error
        except BaseException:
            await self.stop()
            raise

    def serve(
        self,
        on_message: Callable[[Message], None],
        on_input: Callable[[Message], None],
        variables: dict[str, str],
    ) -> None:
        """Be a session's from the next ``start`` on: one that waited, and has run nothing yet.

        ``variables`` are what this session's processes find in their environment besides.
        """
        self._on_message = on_message
        self._on_input = on_input
        self._variables = variables

    async def stop(self, reason: str = "") -> None:
        """End the process at once, and everything it started. Idempotent.

        ``reason`` is a sentence for those whose code it ran. Cancelling stops the waiting only.
        """
        self.stop_reason = self.stop_reason or reason
        self._silence.set()
        if self._stop is None:
            self._stop = asyncio.create_task(self._end(), name=f"stop {self.name}")
        await asyncio.shield(self._stop)

    def exceed(self, why: str) -> None:
        """End the process because it uses more than it may; ``why`` is a sentence."""
        if self._limit:
            return
        self._limit = why
        process = self._manager.provisioner
        if process is not None and process.has_process:
            self._spawn(process.kill(), "kill")

    @property
    def is_stopping(self) -> bool:
        """Somebody called ``stop``."""
        return self._stop is not None

    @property
    def is_doomed(self) -> bool:
        """Its process is ended for a limit, or cannot be reached any more: its death follows."""
        return bool(self._limit) or self._is_lost

    async def _end(self) -> None:
        process = self._manager.provisioner
        if process is not None and process.has_process:
            await process.kill()
            # The watch waits for its end. Two at once would be too many for other provisioners.
            if self._watching is not None:
                await asyncio.wait({self._watching})
            else:
                await process.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._channels is not None:
            self._channels.close()
        if not self.death.done():
            self.death.set_result(Death(0))
        self._fail_waiting()
        await self._manager.cleanup_resources()
        assert self._sandbox.sockets is not None
        await asyncio.to_thread(remove_tree, self._sandbox.sockets)

    async def interrupt(self) -> None:
        """Interrupt what runs: SIGINT, or a message if the kernelspec says so."""
        if self.death.done():
            return
        spec = self._manager.kernel_spec
        if spec is not None and spec.interrupt_mode == "message":
            # Over our own socket: another one would have the same identity, and be refused.
            self._send("control", "interrupt_request", {})
        else:
            await self._process().send_signal(signal.SIGINT)

    # --- Questions ----------------------------------------------------------------------

    def execute(self, code: str, *, allow_input: bool, silent: bool = False) -> Request:
        """Send code to the kernel. One at a time: the queue is ours, not the kernel's.

        ``silent`` code leaves no trace in the kernel's history and counter.
        """
        content = {
            "code": code,
            "silent": silent,
            "store_history": not silent,
            "user_expressions": {},
            "allow_stdin": allow_input,
            "stop_on_error": False,
        }
        self._awaited_input = None  # what asked before has ended
        msg_id = self._send("shell", "execute_request", content)
        self._running = request = Request(msg_id, self._flow, allow_input=allow_input)
        self._last_request_id = self._last_request_id if silent else msg_id
        request.reply.add_done_callback(lambda _: self._replies.pop(msg_id, None))
        self._replies[request.msg_id] = request.reply
        return request

    async def complete(self, code: str, cursor: int) -> dict[str, Any]:
        """The content of a complete_reply, also while code runs. Raises KernelBusy."""
        return await self._ask("complete_request", {"code": code, "cursor_pos": cursor})

    async def inspect(self, code: str, cursor: int, detail: int) -> dict[str, Any]:
        """The content of an inspect_reply, also while code runs. Raises KernelBusy."""
        content = {"code": code, "cursor_pos": cursor, "detail_level": detail}
        return await self._ask("inspect_request", content)

    async def ask_inside(self, asked: dict[str, Any]) -> dict[str, Any]:
        """What sessions/kernels/inside.py answers in the kernel, also while code runs.

        Not to be trusted: code in the kernel may answer in its place. Raises NotSupported,
        KernelBusy.
        """
        if not self._answers_inside:
            raise NotSupported("Only sessions with Python can show their variables.")
        data = {**asked, "text": _INSIDE}
        content = {"comm_id": uuid4().hex, "target_name": inside.TARGET, "data": data}
        return await self._ask("comm_open", content)

    def send_comm(self, message: dict[str, Any], buffers: list[bytes]) -> str:
        """Send a message on a comm, and return its msg_id; it waits there while code runs.

        ``message`` has the shape of a ``comm`` event's data. Raises KernelBusy, LimitReached.
        """
        if len(self._comms_waiting) >= MAX_COMMS_WAITING:
            raise LimitReached("Too many messages of widgets wait for the code that runs.")
        content = {"comm_id": message["comm_id"], "data": message["data"]}
        if message["kind"] == "open":
            content["target_name"] = message["target_name"]
        msg_type, metadata = f"comm_{message['kind']}", message["metadata"]
        msg_id = self._send("shell", msg_type, content, metadata=metadata, buffers=buffers)
        self._comms_waiting[msg_id] = None
        return msg_id

    @property
    def is_running(self) -> bool:
        """It runs code that ``execute`` sent."""
        return self._running is not None

    @property
    def pid(self) -> int | None:
        """The process that holds all of it; None if it has ended."""
        process = getattr(self._manager.provisioner, "process", None)
        return process.pid if process is not None else None

    def answer_input(self, text: str) -> None:
        """Answer the input request that is open. Raises InputNotRequested."""
        if self._awaited_input is None:
            raise InputNotRequested
        self._awaited_input = None
        self._send("stdin", "input_reply", {"value": text})

    @property
    def awaits_input(self) -> bool:
        return self._awaited_input is not None

    # --- Internal -----------------------------------------------------------------------

    def _extra_arguments(self) -> list[str]:
        """IPython's history database costs start-up time, and is ours to keep."""
        argv = self._manager.kernel_spec.argv if self._manager.kernel_spec else []
        return ["--HistoryManager.enabled=False"] if "ipykernel_launcher" in argv else []

    def _walls(self) -> dict[str, Any]:
        """For our provisioner. Another, named by the kernelspec, would pass them on to a process."""
        spec = self._manager.kernel_spec
        named = spec.metadata.get("kernel_provisioner", {}) if spec is not None else {}
        if named.get("provisioner_name", provisioner.NAME) != provisioner.NAME:
            return {}
        return {"sandbox": self._sandbox, "zygote": self._zygote}

    def _process(self) -> KernelProvisionerBase:
        assert self._manager.provisioner is not None  # there is one from start_kernel on
        return self._manager.provisioner

    def _spawn(self, coroutine: Any, name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine, name=f"{name} {self.name}")
        self._tasks.append(task)
        return task

    async def _watch(self) -> None:
        """Started with the process, ends with it; the only one to learn its exit code."""
        exit_code = await self._process().wait()
        if self._is_ready:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._silence.wait(), LAST_WORDS_SECONDS)
        if not self.death.done():
            self.death.set_result(Death(exit_code or 0, self._exceeded(exit_code or 0)))
        self._fail_waiting()

    def _exceeded(self, exit_code: int) -> str:
        if self._limit:
            return self._limit
        group, limits = self._sandbox.group, self._sandbox.limits
        return limits.why_it_ended(group, exit_code, kills_before=self._kills_before)

    def _fail_waiting(self) -> None:
        for future in self._replies.values():
            if not future.done():
                future.cancel()
        self._replies.clear()
        self._awaited_input = None

    async def _connect(self) -> None:
        """Connect to its sockets, as soon as it has bound them."""
        protocol = self._manager.session
        self._channels = Channels(
            self.name,
            MessageCodec(protocol.key, protocol.session),
            identity=protocol.bsession,
            flow=self._flow,
            on_message=self._message,
            on_flood=lambda: self.exceed(FLOODED),
            on_lost=self._lost,
        )
        for channel in channels.TYPES:
            if channel != "iopub":
                await self._open(channel)

    async def _open(self, channel: str, *, waits: bool = False) -> None:
        url = self._manager._make_url(channel)
        # Others, which other provisioners name, are tried until they answer.
        if url.startswith("ipc://"):
            await self._bound(url.removeprefix("ipc://"))
        assert self._channels is not None
        self._channels.open(channel, url, waits=waits)

    async def _bound(self, path: str) -> None:
        while not _listens(path):
            if self.death.done():
                complaint = getattr(self._manager.provisioner, "complaint", "")
                raise KernelStartFailed(f"{self.death.result().sentence} {complaint}".strip())
            await asyncio.sleep(SOCKET_POLL_SECONDS)

    async def _meet(self) -> None:
        """Ask who the kernel is."""
        reply = self._request("shell", "kernel_info_request", {})
        signs: set[asyncio.Future[Any]] = {reply, self.death}
        await asyncio.wait(signs, return_when=asyncio.FIRST_COMPLETED)
        if self.death.done():
            raise KernelStartFailed(self.death.result().sentence)
        self.info = reply.result()

    async def _move_in(self) -> None:
        """Let a Python kernel answer questions about its variables, and wait for slow readers.

        One that cannot does not. Before anything is published: who is told to wait for its
        readers does so for those that come then.
        """
        language = self.info.get("language_info")
        if not isinstance(language, dict) or language.get("name") != "python":
            return
        self._answers_inside = await self._silently(f"exec({inside.FIRST!r}, {{}})") == "ok"
        if self._manager.transport != "ipc":
            return  # it binds its socket again, which a port does not stand
        patience = f"exec(compile({_PATIENCE!r}, '<workbench>', 'exec'), {{}})"
        self._waits_for_us = await self._silently(patience) == "ok"

    async def _subscribe(self) -> None:
        """Hear what the kernel publishes; asked until something comes, as it may notice us late."""
        await self._open("iopub", waits=self._waits_for_us)
        while not self._heard.is_set():
            await self._meet()
            with suppress(TimeoutError):
                async with asyncio.timeout(WELCOME_SECONDS):
                    await self._heard.wait()

    async def _set_variables(self) -> None:
        if self._variables:
            names = {"variables": self._variables}
            await self._silently(f"exec({inside.SET_VARIABLES!r}, {names!r})")

    async def _silently(self, code: str) -> str:
        """Run code of ours that leaves nothing among the user's names: its status."""
        request = self.execute(code, allow_input=False, silent=True)
        signs: set[asyncio.Future[Any]] = {request.reply, self.death}
        await asyncio.wait(signs, return_when=asyncio.FIRST_COMPLETED)
        if self.death.done():
            raise KernelStartFailed(self.death.result().sentence)
        self._running = None
        return str(request.reply.result().get("status"))

    def _send(
        self,
        channel: str,
        msg_type: str,
        content: dict[str, Any],
        *,
        metadata: dict[str, Any] | None = None,
        buffers: list[bytes] | None = None,
        **header: Any,
    ) -> str:
        if self._channels is None:
            raise KernelBusy("The kernel does not take messages.")
        return self._channels.send(
            channel, msg_type, content, metadata=metadata, buffers=buffers, header=header
        )

    def _request(
        self, channel: str, msg_type: str, content: dict[str, Any], **header: Any
    ) -> asyncio.Future[dict[str, Any]]:
        return self._request_with_id(channel, msg_type, content, **header)[1]

    def _request_with_id(
        self, channel: str, msg_type: str, content: dict[str, Any], **header: Any
    ) -> tuple[str, asyncio.Future[dict[str, Any]]]:
        msg_id = self._send(channel, msg_type, content, **header)
        reply: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._replies[msg_id] = reply
        reply.add_done_callback(lambda _: self._replies.pop(msg_id, None))
        return msg_id, reply

    async def _ask(self, msg_type: str, content: dict[str, Any]) -> dict[str, Any]:
        header = {}
        try:
            async with asyncio.timeout(QUESTION_SECONDS):
                if self._running is not None or (self._comms_waiting and self._has_subshells):
                    header = {"subshell_id": await self._subshell()}
                msg_id, reply = self._request_with_id("shell", msg_type, content, **header)
                self._asked[msg_id] = content.get("comm_id", "")
                if len(self._asked) > MAX_ASKED:
                    self._asked.popitem(last=False)
                return await reply
        except (TimeoutError, asyncio.CancelledError) as error:
            self._subshell_id = None  # it may be gone: code can end it
            if isinstance(error, asyncio.CancelledError) and not self.death.done():
                raise
            raise KernelBusy from None

    @property
    def _has_subshells(self) -> bool:
        features = self.info.get("supported_features")
        return isinstance(features, list) and "kernel subshells" in features

    async def _subshell(self) -> str:
        """A second thread of the kernel that answers while the first runs code."""
        if not self._has_subshells:
            raise KernelBusy("This kernel cannot answer while code runs. Try again when it ends.")
        async with self._asking:
            if self._subshell_id is None:
                reply = await self._request("control", "create_subshell_request", {})
                if not isinstance(reply.get("subshell_id"), str):
                    raise KernelBusy("The kernel's answer was not valid.")
                self._subshell_id = reply["subshell_id"]
            return self._subshell_id

    def _lost(self, channel: str) -> None:
        """The connection of a channel was cut: then the kernel cannot be used any more."""
        if channel == "iopub":
            self._silence.set()
        if not self.is_stopping:
            self._is_lost = True
            self._spawn(self._end_lost(channel), f"lost {channel}")

    async def _end_lost(self, channel: str) -> None:
        """Started when a connection was cut, ends with the process."""
        await asyncio.wait({self.death}, timeout=LOST_SECONDS)
        mebibytes = channels.MAX_BYTES[channel] // 2**20
        self.exceed(
            f"The kernel sent a message of more than {mebibytes} MiB, or closed its connection, "
            "so it was ended."
        )

    def _message(self, channel: str, message: Message) -> None:
        if channel == "iopub":
            self._iopub_message(message)
        elif channel == "stdin":
            self._stdin_message(message)
        else:
            self._reply_message(message)

    def _iopub_message(self, message: Message) -> None:
        self._heard.set()
        if message.parent_id == inside.ASIDE:
            return  # printed by what we looked at
        running = self._running
        is_running = running is not None and message.parent_id == running.msg_id
        if message.type == "status":
            if running and is_running and message.content.get("execution_state") == "idle":
                self._running = self._awaited_input = None
                if not running.idle.done():
                    running.idle.set_result(None)
            if message.parent_id in self._comms_waiting:
                self._came_to_comm(message)
            return
        if message.parent_id in self._asked:
            if self._is_answer(message):
                return
            # A thread of the user's: the kernel takes its output for that of the last request.
            message = replace(message, parent_id=self._last_request_id)
        if message.type == "execute_input" and running and is_running:
            if not running.began.done():
                running.began.set_result(None)
            return
        self._on_message(message)

    def _is_answer(self, message: Message) -> bool:
        """Whether it is a comm that opened for a question and closes with the answer."""
        comm_id = self._asked[message.parent_id]
        if not comm_id or message.content.get("comm_id") != comm_id:
            return False
        data = message.content.get("data")
        answer = data if isinstance(data, dict) else {}
        self._reply_message(replace(message, content=answer))
        return True

    def _came_to_comm(self, message: Message) -> None:
        """It has handled a comm message, and with it all that were sent before."""
        while message.content.get("execution_state") == "idle" and self._comms_waiting:
            msg_id, _ = self._comms_waiting.popitem(last=False)
            if msg_id == message.parent_id:
                return

    def _stdin_message(self, message: Message) -> None:
        running = self._running
        is_asked = running is not None and message.parent_id == running.msg_id
        if message.type == "input_request" and running and is_asked:
            # One prompt is open at a time, and only where somebody can answer.
            if not running.allow_input or self._awaited_input is not None:
                return
            self._awaited_input = message
            self._on_input(message)

    def _reply_message(self, message: Message) -> None:
        reply = self._replies.pop(message.parent_id, None)
        if reply is not None and not reply.done():
            reply.set_result(message.content)


def _listens(path: str) -> bool:
    """Whether somebody listens at a socket. A link is none, wherever it leads."""
    with unix_sockets.unconnected() as probe:
        return unix_sockets.connect(probe, path) == 0
