"""A kernel's sockets: nothing is missed, nobody starves, and a cut connection is noticed."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import zmq

from sessions.exceptions import KernelBusy
from sessions.kernels import channels, connection, read_ahead, zmtp
from sessions.kernels.channels import Channels
from sessions.kernels.flow import Flow
from sessions.kernels.messages import Message, MessageCodec

WAIT_SECONDS = 30.0
KEY = b"key"


class FarEnd:
    """The kernel's end of a shell channel, and what our end made of what it said."""

    def __init__(self, context: zmq.Context, path: Path) -> None:
        self.codec = MessageCodec(KEY, "them")
        self.url = f"ipc://{path}"
        self.router = context.socket(zmq.ROUTER)
        self.router.set_hwm(0)
        self.router.setsockopt(zmq.RCVTIMEO, int(WAIT_SECONDS * 1000))
        self.router.bind(self.url)
        self.heard: list[Message] = []
        self.lost: list[str] = []
        self.floods = 0
        self.changed = asyncio.Event()
        self.near = Channels(
            "test",
            MessageCodec(KEY, "us"),
            identity=b"us",
            flow=Flow(),
            on_message=self._on_message,
            on_flood=self._on_flood,
            on_lost=self._on_lost,
        )

    async def open(self) -> None:
        """Connect, until both directions work."""
        self.near.open("shell", self.url)
        self.near.send("shell", "hello", {})
        await asyncio.to_thread(self.router.recv_multipart)

    def say(self, number: int = 0) -> None:
        self.router.send_multipart([b"us", *self.codec.write("say", {"number": number})[1]])

    async def until(self, numbers: list[int]) -> None:
        """Return when these were heard, and nothing else."""
        async with asyncio.timeout(WAIT_SECONDS):
            while len(self.heard) < len(numbers):
                self.changed.clear()
                await self.changed.wait()
        assert [message.content["number"] for message in self.heard] == numbers

    def close(self) -> None:
        self.near.close()
        self.router.close(linger=0)

    def _on_message(self, channel: str, message: Message) -> None:
        assert channel == "shell"
        self.heard.append(message)
        self.changed.set()

    def _on_flood(self) -> None:
        self.floods += 1
        self.changed.set()

    def _on_lost(self, channel: str) -> None:
        self.lost.append(channel)
        self.changed.set()


def our_end(
    flow: Flow,
    on_message: Callable[[str, Message], None],
    on_lost: Callable[[str], None] = lambda _: None,
    on_flood: Callable[[], None] = lambda: None,
) -> Channels:
    return Channels(
        "test",
        MessageCodec(KEY, "us"),
        identity=b"us",
        flow=flow,
        on_message=on_message,
        on_flood=on_flood,
        on_lost=on_lost,
    )


def listening(path: Path) -> socket.socket:
    """A bare socket for who says what no socket of zmq would."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    return listener


@pytest.fixture
def context() -> Iterator[zmq.Context]:
    context = zmq.Context()
    yield context
    context.destroy(linger=0)


@pytest.fixture
async def far(context: zmq.Context, tmp_path: Path) -> AsyncIterator[FarEnd]:
    far = FarEnd(context, tmp_path / "s")
    await far.open()
    yield far
    far.close()


async def test_no_message_is_missed_while_we_send(far: FarEnd) -> None:
    """Whatever of both a turn of the loop begins with."""
    for number in range(500):
        far.say(number)
        if number % 7 == 0:
            far.near.send("shell", "meanwhile", {})
        if number % 50 == 0:
            await asyncio.sleep(0)

    await far.until(list(range(500)))


async def test_what_was_said_before_the_connection_was_cut_is_heard(far: FarEnd) -> None:
    for number in range(100):
        far.say(number)
    far.router.close()

    await far.until(list(range(100)))


async def test_one_message_after_the_other_is_heard(far: FarEnd) -> None:
    for number in range(50):
        far.say(number)
        await far.until(list(range(number + 1)))


async def test_a_flood_leaves_others_their_turn(
    far: FarEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard_by_then: list[int] = []
    loop = asyncio.get_running_loop()
    on_message = far._on_message

    def first(channel: str, message: Message) -> None:
        if not far.heard:
            loop.call_soon(lambda: heard_by_then.append(len(far.heard)))
        on_message(channel, message)

    monkeypatch.setattr(far.near, "_on_message", first)
    for number in range(200):
        far.say(number)
    await far.until(list(range(200)))

    assert heard_by_then[0] <= connection.MESSAGES_IN_A_ROW


async def test_what_is_too_large_cuts_the_connection(
    context: zmq.Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(channels.MAX_BYTES, "shell", 100_000)
    far = FarEnd(context, tmp_path / "s")
    await far.open()
    far.router.send_multipart([b"us", b"x" * 200_000])
    async with asyncio.timeout(WAIT_SECONDS):
        while not far.lost:
            far.changed.clear()
            await far.changed.wait()
    far.close()

    assert far.lost == ["shell"]


async def test_a_flood_of_what_is_no_message_is_told(
    far: FarEnd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "MAX_BAD_MESSAGES", 3)
    for _ in range(3):
        far.router.send_multipart([b"us", b"garbage"])
    far.say(1)
    await far.until([1])
    assert far.floods == 0

    far.router.send_multipart([b"us", b"garbage"])
    async with asyncio.timeout(WAIT_SECONDS):
        while not far.floods:
            far.changed.clear()
            await far.changed.wait()


async def test_a_channel_that_is_not_open_takes_nothing(far: FarEnd) -> None:
    with pytest.raises(KernelBusy):
        far.near.send("control", "hello", {})
    far.near.close()
    with pytest.raises(KernelBusy):
        far.near.send("shell", "hello", {})


async def test_ends_that_cross_hold_up_nobody_else(
    context: zmq.Context, tmp_path: Path, far: FarEnd
) -> None:
    """Ours and theirs, in either order."""
    for number in range(20):
        other = FarEnd(context, tmp_path / f"other-{number}")
        await other.open()
        other.router.close(linger=0)
        other.close()
    far.say(1)

    await far.until([1])


async def test_what_is_published_waits_with_the_kernel_while_the_flow_is_closed(
    context: zmq.Context, tmp_path: Path
) -> None:
    """Nothing is dropped, and no more than a few messages wait here."""
    count, flow, codec = 20_000, Flow(), MessageCodec(KEY, "them")
    kernel = context.socket(zmq.XPUB)
    kernel.setsockopt(zmq.XPUB_NODROP, 1)
    kernel.setsockopt(zmq.SNDHWM, 10)
    kernel.setsockopt(zmq.RCVTIMEO, int(WAIT_SECONDS * 1000))
    kernel.bind(f"ipc://{tmp_path}/iopub")
    heard: list[int] = []
    all_heard = asyncio.Event()

    def on_message(channel: str, message: Message) -> None:
        heard.append(message.content["number"])
        if len(heard) == count:
            all_heard.set()

    flow.close()
    near = our_end(flow, on_message)
    near.open("iopub", f"ipc://{tmp_path}/iopub", waits=True)
    await asyncio.to_thread(kernel.recv)  # the subscription

    def publish() -> int:
        """How many could be sent before it had to wait."""
        taken = None
        for number in range(count):
            frames = codec.write("say", {"number": number, "text": "x" * 1000})[1]
            try:
                kernel.send_multipart(frames, zmq.NOBLOCK)
            except zmq.Again:
                if taken is None:
                    taken = number
                    loop.call_soon_threadsafe(waits.set)
                kernel.send_multipart(frames)
        return count if taken is None else taken

    loop, waits = asyncio.get_running_loop(), asyncio.Event()
    publishing = asyncio.create_task(asyncio.to_thread(publish))
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            await waits.wait()
            assert heard == []
            flow.open()
            await all_heard.wait()
            taken = await publishing
    finally:
        near.close()
        kernel.close(linger=0)
    assert heard == list(range(count))
    assert taken < 2_000


async def test_who_asks_for_a_sign_of_life_and_leaves_does_no_harm(tmp_path: Path) -> None:
    """libzmq would end this process, if it had as many messages as it takes at once."""
    codec, flow, heard = MessageCodec(KEY, "them"), Flow(), []
    lost = asyncio.Event()
    ping = b"\x04\x07\x04PING\x00\x00"
    said = [zmtp.message(codec.write("say", {"number": number})[1]) for number in range(100)]
    listener = listening(tmp_path / "s")
    flow.close()
    near = our_end(
        flow,
        lambda _, message: heard.append(message.content["number"]),
        on_lost=lambda _: lost.set(),
    )
    near.open("iopub", f"ipc://{tmp_path}/s", waits=True)
    kernel, _ = listener.accept()
    with listener, kernel:
        kernel.sendall(zmtp.opening("XPUB") + b"".join(said[:50]) + ping + b"".join(said[50:]))
    await asyncio.sleep(0)
    assert heard == []

    flow.open()
    async with asyncio.timeout(WAIT_SECONDS):
        await lost.wait()
    near.close()

    assert heard == list(range(100))


async def test_who_sends_nothing_but_empty_frames_takes_no_long_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One read in each: there are many frames in it."""
    monkeypatch.setattr(connection, "READ_BYTES", 1_000)
    floods: list[bool] = []
    near = our_end(Flow(), lambda *_: None, on_flood=lambda: floods.append(True))
    monkeypatch.setattr(channels, "MAX_BAD_MESSAGES", 0)
    with listening(tmp_path / "s") as listener:
        near.open("shell", f"ipc://{tmp_path}/s")
        kernel, _ = listener.accept()
    with kernel:
        kernel.settimeout(WAIT_SECONDS)
        kernel.sendall(zmtp.opening("ROUTER") + zmtp.message([b""] * 20_000))
        turns = 0
        while not floods:
            turns += 1
            await asyncio.sleep(0)
    near.close()

    assert turns >= 40


async def test_what_would_be_dropped_is_read_while_the_loop_is_busy(tmp_path: Path) -> None:
    codec = MessageCodec(KEY, "them")
    said = [zmtp.message(codec.write("say", {"number": number})[1]) for number in range(20_000)]
    heard: list[int] = []
    all_heard = asyncio.Event()

    def on_message(channel: str, message: Message) -> None:
        heard.append(message.content["number"])
        if len(heard) == len(said):
            all_heard.set()

    near = our_end(Flow(), on_message)
    with listening(tmp_path / "s") as listener:
        near.open("iopub", f"ipc://{tmp_path}/s")
        kernel, _ = listener.accept()
    with kernel:
        kernel.settimeout(WAIT_SECONDS)
        kernel.sendall(zmtp.opening("XPUB") + b"".join(said))  # in the loop's own thread
        assert heard == []
        async with asyncio.timeout(WAIT_SECONDS):
            await all_heard.wait()
    near.close()

    assert heard == list(range(len(said)))


@pytest.mark.parametrize(("channel", "speaker"), [("shell", "ROUTER"), ("iopub", "XPUB")])
async def test_who_says_more_than_is_handled_has_to_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, channel: str, speaker: str
) -> None:
    """Replies are read no faster than they are checked, and not everything is read ahead."""
    monkeypatch.setattr(read_ahead, "MAX_WAITING_BYTES", 500_000)
    codec = MessageCodec(KEY, "them")
    said = [zmtp.message(codec.write("say", {"number": number})[1]) for number in range(20_000)]
    sent = handled = most = 0
    all_handled = asyncio.Event()

    def on_message(channel: str, message: Message) -> None:
        nonlocal handled, most
        handled += len(said[message.content["number"]])
        most = max(most, sent - handled)
        if message.content["number"] == len(said) - 1:
            all_handled.set()

    def say_all() -> None:
        nonlocal sent
        kernel.sendall(zmtp.opening(speaker))
        for each in said:
            kernel.sendall(each)
            sent += len(each)

    near = our_end(Flow(), on_message)
    with listening(tmp_path / "s") as listener:
        near.open(channel, f"ipc://{tmp_path}/s")
        kernel, _ = listener.accept()
    with kernel:
        saying = asyncio.create_task(asyncio.to_thread(say_all))
        async with asyncio.timeout(WAIT_SECONDS):
            await all_handled.wait()
            await saying
    near.close()

    assert sum(map(len, said)) > 4_000_000
    assert most < 2_000_000


@pytest.mark.parametrize("room", [0, 500_000])
async def test_who_reads_ahead_stops_when_it_hangs_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """Whether the thread waits for room, or for more."""
    monkeypatch.setattr(read_ahead, "MAX_WAITING_BYTES", room)
    before = set(threading.enumerate())
    near = our_end(Flow(), lambda *_: None)
    with listening(tmp_path / "s") as listener:
        near.open("iopub", f"ipc://{tmp_path}/s")
        kernel, _ = listener.accept()
    (reading,) = set(threading.enumerate()) - before
    near.close()

    with kernel:
        await asyncio.to_thread(reading.join, WAIT_SECONDS)
        assert not reading.is_alive()


async def test_a_kernel_that_hung_up_takes_nothing(tmp_path: Path) -> None:
    lost = asyncio.Event()
    near = our_end(Flow(), lambda *_: None, on_lost=lambda _: lost.set())
    with listening(tmp_path / "s") as listener:
        near.open("shell", f"ipc://{tmp_path}/s")
        listener.accept()[0].close()
    async with asyncio.timeout(WAIT_SECONDS):
        await lost.wait()

    with pytest.raises(KernelBusy):
        near.send("shell", "hello", {})
    near.close()
