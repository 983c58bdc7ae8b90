"""Much output through a session's socket, against the raw client: whole, once, and how fast."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect

from tests.bench.raw import RawKernel
from tests.running import RunningServer

ROUNDS = 5
PROGRAMS = {
    "100,000 printed lines": (100_000, "for i in range({count}): print(i)"),
    "2,000 flushed prints": (2_000, "for i in range({count}): print(i, flush=True)"),
}
PAUSE_SECONDS = 3.0
REPLAYED = 10_000
GOAL = "goal: at most 1.5"

Report = Callable[..., None]


class Reader:
    """A client on one session's socket, which checks that it gets every event once."""

    def __init__(self, address: str) -> None:
        self._address = address
        # Of the last event it has.
        self.number = 0
        self._text: list[str] = []

    def another(self) -> Reader:
        """A reader of the same session that has what this one has."""
        other = Reader(self._address)
        other.number = self.number
        return other

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[ClientConnection]:
        """A socket that begins after what this client has."""
        address = f"{self._address}?since={self.number}"
        async with connect(address, proxy=None, max_size=None) as socket:
            yield socket

    async def until(
        self, socket: ClientConnection, is_last: Callable[[dict[str, Any]], bool]
    ) -> None:
        """Read up to the first frame or event that ``is_last``."""
        async for text in socket:
            frame = json.loads(text)
            for event in frame.get("events", []):
                assert event["number"] == self.number + 1, "an event was lost, or came twice"
                self.number = event["number"]
                if event["type"] == "stream":
                    self._text.append(event["data"]["text"])
            if any(map(is_last, [frame, *frame.get("events", [])])):
                return

    def take_lines(self) -> list[str]:
        """The lines since the last call."""
        lines, self._text = "".join(self._text).split(), []
        return lines


async def measure(server: RunningServer, client: httpx.AsyncClient, report: Report) -> None:
    """All of it, one after the other."""
    answer = await client.post("/api/v1/sessions", json={"identifier": "streams"})
    session_id = answer.json()["id"]
    raw = await RawKernel.start()
    address = f"ws://127.0.0.1:{server.port}/ws/sessions/{session_id}/"
    reader = Reader(address)
    async with reader.connected() as socket:
        await _run(reader, socket, "1")
        for name, (count, code) in PROGRAMS.items():
            await _compare(name, count, code.format(count=count), raw, reader, socket, report)
    await raw.stop()
    await _replay(address, reader, report)
    await client.delete("/session?api-version=2025-10-02-preview&identifier=streams")


async def _compare(
    name: str,
    count: int,
    code: str,
    raw: RawKernel,
    reader: Reader,
    socket: ClientConnection,
    report: Report,
) -> None:
    expected = [str(number) for number in range(count)]
    times: dict[str, list[float]] = {"raw": [], "alone": [], "beside": [], "again": []}
    for _ in range(ROUNDS):
        began = time.perf_counter()
        messages = await raw.run(code)
        times["raw"].append(time.perf_counter() - began)
        texts = [each["content"]["text"] for each in messages if each["msg_type"] == "stream"]
        assert "".join(texts).split() == expected

        times["alone"].append(await _run(reader, socket, code))
        assert reader.take_lines() == expected

        paused = reader.another()
        async with paused.connected() as silent:
            times["beside"].append(await _run(reader, socket, code))
            assert reader.take_lines() == expected
            await asyncio.sleep(max(0.0, PAUSE_SECONDS - times["beside"][-1]))
            await paused.until(silent, _is_end)
        assert paused.take_lines() == expected

        times["again"].append(await _run_and_come_back(reader, socket, paused, code))
        assert reader.take_lines() == paused.take_lines() == expected
    median = {side: statistics.median(taken) for side, taken in times.items()}
    report(f"{name}, raw client", median["raw"] * 1e3, "ms")
    report(f"{name} through the socket / raw client", median["alone"] / median["raw"], "x", GOAL)
    report("  beside a reader that pauses 3 s", median["beside"] / median["raw"], "x", GOAL)
    report(
        "  for a reader that reconnects in the middle", median["again"] / median["raw"], "x", GOAL
    )


async def _run(reader: Reader, socket: ClientConnection, code: str) -> float:
    began = time.perf_counter()
    await socket.send(json.dumps({"type": "execute", "code": code}))
    await reader.until(socket, _is_end)
    return time.perf_counter() - began


async def _run_and_come_back(
    reader: Reader, socket: ClientConnection, other: Reader, code: str
) -> float:
    """How long it takes the other reader, which leaves when it has seen the first output."""
    began = time.perf_counter()
    running = asyncio.create_task(_run(reader, socket, code))
    async with other.connected() as first:
        await other.until(first, lambda each: each["type"] == "stream")
    async with other.connected() as second:
        await other.until(second, _is_end)
    taken = time.perf_counter() - began
    await running
    return taken


async def _replay(address: str, reader: Reader, report: Report) -> None:
    """A log of many events, read from its beginning."""
    code = (
        "import sys\n"
        f"for i in range({REPLAYED // 2}):\n"
        "    print(i, flush=True); print(i, file=sys.stderr, flush=True)"
    )
    async with reader.connected() as socket:
        await _run(reader, socket, code)
    taken = []
    for _ in range(ROUNDS):
        again = Reader(address)
        began = time.perf_counter()
        async with again.connected() as socket:
            await again.until(socket, lambda each: each["type"] == "live")
        taken.append(time.perf_counter() - began)
        assert again.number == reader.number
    report(f"replay of a log of {reader.number:,} events", statistics.median(taken) * 1e3, "ms")


def _is_end(each: dict[str, Any]) -> bool:
    return each["type"] == "execution_finished"
