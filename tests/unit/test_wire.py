"""Between web processes and a host: messages arrive whole and in order, or the connection ends."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sessions.engines import wire
from sessions.engines.assembly import make_run_dir
from sessions.engines.local import SOCKET_NAME, LocalEngine
from sessions.exceptions import HostUnavailable, InvalidValue

WAIT_SECONDS = 30.0


class End:
    """One end of a connection, with what came in. The other end is a plain socket, ``far``."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.losses = 0
        self.lost = asyncio.Event()
        self.peer = wire.Peer(self._receive, self._lose, other="a test")
        ours, self.far = socket.socketpair()
        self._ours = ours
        self.far.setblocking(False)  # noqa: FBT003 - socket's takes no name

    async def connect(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(lambda: self.peer, self._ours)

    def _receive(self, message: dict[str, Any]) -> None:
        if "refuse" in message:
            raise ValueError("refused")
        self.messages.put_nowait(message)

    def _lose(self) -> None:
        self.losses += 1
        self.lost.set()


@pytest.fixture
async def end() -> AsyncIterator[End]:
    end = End()
    await end.connect()
    yield end
    end.far.close()
    async with asyncio.timeout(WAIT_SECONDS):
        await end.lost.wait()
    assert end.losses == 1


async def test_messages_arrive_in_whatever_pieces_they_come(end: End) -> None:
    said = [{"number": number, "text": "x" * number} for number in (0, 1, 300)]
    stream = b"".join(map(wire.pack, said))
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(WAIT_SECONDS):
        for cut in (1, 7, len(stream)):
            for at in range(0, len(stream), cut):
                await loop.sock_sendall(end.far, stream[at : at + cut])
                await asyncio.sleep(0)

            assert [await end.messages.get() for _ in said] == said


@pytest.mark.parametrize(
    "stream",
    [
        struct.pack(">I", wire.MAX_FRAME_BYTES + 1),
        struct.pack(">I", 1) + b"\xc1",
        struct.pack(">I", 0),
        struct.pack(">I", 1) + b"\x07",
        wire.pack({"refuse": 1}),
    ],
    ids=["too long", "no msgpack", "nothing", "no message", "not wanted"],
)
async def test_what_is_no_message_ends_the_connection(end: End, stream: bytes) -> None:
    after = wire.pack({"after": 1})
    async with asyncio.timeout(WAIT_SECONDS):
        await asyncio.get_running_loop().sock_sendall(end.far, stream + after)
        await end.lost.wait()

    assert end.messages.empty()
    assert not end.peer.is_open


async def test_who_does_not_read_is_hung_up_on(end: End, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MAX_UNREAD_BYTES", 1000)
    message = {"text": "x" * 2**20}
    sent = 0
    while end.peer.is_open and sent < 100:
        end.peer.send(message)
        sent += 1
    async with asyncio.timeout(WAIT_SECONDS):
        await end.lost.wait()

    assert sent < 100


async def test_what_was_said_before_hanging_up_arrives(end: End) -> None:
    message = {"text": "x" * 2**22}
    end.peer.send(message)
    end.peer.hang_up()
    end.peer.send({"text": "too late"})

    heard = b""
    async with asyncio.timeout(WAIT_SECONDS):
        while piece := await asyncio.get_running_loop().sock_recv(end.far, 2**20):
            heard += piece

    assert heard == wire.pack(message)


# --- The web process's end -----------------------------------------------------------------------


class Answering:
    """A host of few words: it knows the verbs "echo" and "vanish"."""

    def __init__(self) -> None:
        self.peers: list[wire.Peer] = []

    def serve(self) -> wire.Peer:
        peer = wire.Peer(lambda message: self._receive(peer, message), lambda: None, other="a test")
        self.peers.append(peer)
        return peer

    def _receive(self, peer: wire.Peer, message: dict[str, Any]) -> None:
        if message.get("verb") == "vanish":
            peer.hang_up()
        elif message.get("verb") == "echo":
            peer.send({"id": message["id"], "result": message["arguments"]})
        elif "subscribe" in message:
            peer.send({"notices": {message["subscribe"]: 7}})


@pytest.fixture
async def answering(data_dir: Path) -> AsyncIterator[Answering]:
    answering = Answering()
    loop = asyncio.get_running_loop()
    path = make_run_dir() / SOCKET_NAME
    server = await loop.create_unix_server(answering.serve, str(path))
    yield answering
    server.close()
    await asyncio.gather(*(peer.ended(WAIT_SECONDS) for peer in answering.peers))


@pytest.fixture
async def engine(answering: Answering) -> AsyncIterator[LocalEngine]:
    engine = LocalEngine()
    yield engine
    await engine.close()


async def test_calls_share_one_connection(engine: LocalEngine, answering: Answering) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        answers = await asyncio.gather(*(engine.call("echo", n=number) for number in range(5)))

    assert answers == [{"n": number} for number in range(5)]
    assert len(answering.peers) == 1


async def test_a_lost_connection_fails_who_waits_and_the_next_is_another(
    engine: LocalEngine, answering: Answering
) -> None:
    async with asyncio.timeout(WAIT_SECONDS), engine.subscribe("a") as before:
        assert await anext(before) == 7
        with pytest.raises(HostUnavailable):
            await engine.call("vanish")
        with pytest.raises(HostUnavailable):
            await anext(before)
        async with engine.subscribe("b") as after:
            assert await anext(after) == 7
        assert await engine.call("echo", n=1) == {"n": 1}

    assert len(answering.peers) == 2


async def test_what_cannot_be_said_fails_its_call_alone(
    engine: LocalEngine, answering: Answering
) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        with pytest.raises(InvalidValue):
            await engine.call("echo", text="\ud800")
        assert await engine.call("echo", n=1) == {"n": 1}


async def test_without_a_host_there_is_a_sentence_until_there_is_one(data_dir: Path) -> None:
    engine = LocalEngine()
    with pytest.raises(HostUnavailable):
        await engine.call("echo")
    loop = asyncio.get_running_loop()
    answering = Answering()
    server = await loop.create_unix_server(answering.serve, str(make_run_dir() / SOCKET_NAME))

    async with asyncio.timeout(WAIT_SECONDS):
        assert await engine.call("echo", n=1) == {"n": 1}
    await engine.close()
    server.close()
    await answering.peers[0].ended(WAIT_SECONDS)
