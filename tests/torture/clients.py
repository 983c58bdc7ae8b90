"""Clients that go on whatever happens to the server, and remember what they were told."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Protocol
from uuid import uuid4

import httpx
import websockets

from tests.torture.checker import Told, program

DEADLINE_SECONDS = 90.0  # for anything a client waits for: whatever happened is over long before
ASK_SECONDS = 0.05  # between two questions of a client that polls


class Server(Protocol):
    """Where clients go. Each may be another address every time that it is asked for."""

    @property
    def url(self) -> str: ...

    @property
    def port(self) -> int: ...


class Progress:
    """How much all clients have seen: faults come at such a moment, not after some time."""

    def __init__(self) -> None:
        self._seen = 0
        self._changed = asyncio.Condition()

    async def saw(self) -> None:
        """Somebody saw something."""
        async with self._changed:
            self._seen += 1
            self._changed.notify_all()

    async def reached(self, count: int) -> None:
        """Return when so much was seen."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._seen >= count)


class Clients:
    """What clients do to one server in one round, and what they were told in it."""

    def __init__(self, server: Server, rng: random.Random) -> None:
        self.told = Told()
        self.problems: list[str] = []
        self.progress = Progress()
        self._server = server
        self._rng = rng
        self._http = httpx.AsyncClient(timeout=DEADLINE_SECONDS, trust_env=False)

    async def close(self) -> None:
        """The round is over."""
        await self._http.aclose()

    def pick(self) -> list[Callable[[str], Awaitable[None]]]:
        """What the clients of one session do, all at once."""
        deeds = [self.runs_and_waits, self.runs_and_polls, self.runs_many, self.interrupts]
        return [self.watches, *self._rng.choices(deeds, k=self._rng.randint(1, 3))]

    # --- Deeds ------------------------------------------------------------------------------

    async def runs_and_waits(self, identifier: str) -> None:
        """A synchronous caller; what became of a call that broke off is found by its id."""
        tag, code = self._program()
        answer = await self._post(identifier, {"code": code}, tag)
        if answer is not None and answer.status_code == 200:
            await self.progress.saw()
            body = answer.json()
            if body["status"] == "Succeeded":
                self.told.answers.append((tag, body["result"]["stdout"]))
            return
        if answer is not None and answer.status_code not in (404, 409, 429, 503):
            self.problems.append(f"{tag}: {answer.status_code} {answer.text[:300]}")
        await self._ends(identifier, tag)

    async def runs_and_polls(self, identifier: str) -> None:
        """An asynchronous caller."""
        tag, code = self._program()
        await self._submits(identifier, tag, code)
        await self._ends(identifier, tag)

    async def runs_many(self, identifier: str) -> None:
        """A caller that fills the queue."""
        tags = [self._program(most_lines=8) for _ in range(4)]
        for tag, code in tags:
            await self._submits(identifier, tag, code)
        for tag, _ in tags:
            await self._ends(identifier, tag)

    async def interrupts(self, identifier: str) -> None:
        """A caller that stops what runs, by a socket."""
        tag, code = self._program()
        await self._submits(identifier, tag, code)
        with suppress(OSError, websockets.WebSocketException):
            async with websockets.connect(self._socket(identifier), proxy=None) as socket:
                await socket.send(json.dumps({"type": "interrupt"}))
                await socket.recv()
        await self._ends(identifier, tag)

    async def watches(self, identifier: str) -> None:
        """A socket that comes back with the number it has, until the round's end is cancelled."""
        seen: list[dict[str, Any]] = []
        session_id = ""
        while True:
            number = seen[-1]["number"] if seen else 0
            with suppress(OSError, websockets.WebSocketException):
                name = session_id or identifier
                address = f"{self._socket(name)}?since={number}"
                async with websockets.connect(address, proxy=None, max_size=None) as socket:
                    async for text in socket:
                        frame = json.loads(text)
                        if frame["type"] == "session" and not session_id:
                            session_id = frame["session"]["id"]
                            self.told.watched.append((session_id, seen))
                        if frame["type"] == "events":
                            seen += frame["events"]
                            await self.progress.saw()
            await asyncio.sleep(ASK_SECONDS)

    # --- Internal ---------------------------------------------------------------------------

    def _program(self, most_lines: int = 60) -> tuple[str, str]:
        tag = f"t{uuid4().hex[:12]}"
        lines = self._rng.randint(1, most_lines)
        endings = ["", "", "", "1 / 0\n", "import os; os._exit(3)\n"]
        pause = self._rng.choice([0.0, 0.001, 0.02])
        return tag, program(tag, lines, pause, self._rng.choice(endings))

    async def _submits(self, identifier: str, tag: str, code: str) -> None:
        body = {"code": code, "executionType": "Asynchronous"}
        answer = await self._post(identifier, body, tag)
        if answer is None:
            return
        if answer.is_success:
            await self.progress.saw()
            self.told.accepted.append(tag)
        elif answer.status_code not in (404, 409, 429, 503):
            self.problems.append(f"{tag}: {answer.status_code} {answer.text[:300]}")

    async def _ends(self, identifier: str, tag: str) -> None:
        """Wait until an execution has ended, or is not there."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:
                answer = await self._get(f"/executions/{tag}", identifier)
                if answer is not None and answer.status_code == 404:
                    return
                if answer is not None and answer.is_success:
                    await self.progress.saw()
                    if answer.json()["status"] != "Running":
                        return
                elif answer is not None and answer.status_code != 503:
                    self.problems.append(f"{tag}: {answer.status_code} {answer.text[:300]}")
                    return
                await asyncio.sleep(ASK_SECONDS)

    async def _post(self, identifier: str, body: dict[str, Any], tag: str) -> httpx.Response | None:
        """The answer; None if the connection broke."""
        try:
            return await self._http.post(
                f"{self._server.url}/executions",
                params={"identifier": identifier},
                json=body,
                headers={"operation-id": tag},
            )
        except httpx.TransportError:
            return None

    async def _get(self, path: str, identifier: str) -> httpx.Response | None:
        try:
            return await self._http.get(
                f"{self._server.url}{path}", params={"identifier": identifier}
            )
        except httpx.TransportError:
            return None

    def _socket(self, name: str) -> str:
        return f"ws://127.0.0.1:{self._server.port}/ws/sessions/{name}/"
