"""``/stream/session/:id/execute``: one run over a socket of its own.

The first frame of the client says what to run, the later ones answer prompts, as plain text.
The server sends an execution result object (without run id) at least every 0.2 seconds and
closes after ``finished``. A client that leaves before that takes its run with it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from contextlib import suppress
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer
from django.urls import path

from sessions import operations
from sessions.database import database_needed
from sessions.exceptions import Unavailable, WorkbenchError
from sessions.operations import SessionInfo, SessionRef
from workbench.dialects.backendai import runs
from workbench.dialects.backendai.errors import invalid
from workbench.dialects.backendai.queries import Query, parse_query
from workbench.dialects.backendai.views import ref_of
from workbench.errors import BUG_MESSAGE, Refused

logger = logging.getLogger(__name__)

# From one frame to the next, whether there is something to tell or not.
WAIT_SECONDS = 0.2
# Answers a client may send ahead of the prompts; with more, its run is given up.
MAX_ANSWERS_AHEAD = 100
# The later steps first: none may begin because the one before it ended.
_STEPS = ("exec", "build", "clean", "query")


class StreamConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    """One client with one run."""

    session: SessionInfo
    # Empty until the run has begun, and once it is over.
    run_id = ""
    _task: asyncio.Task[None] | None = None
    # Begins the run; not to be cut off between the host's work and our knowledge of it.
    _starting: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """Accept, if there is such a session; else the handshake is answered with 403."""
        self._answers: deque[str] = deque()
        if not self.scope["may_run"]:
            await self.close()
            return
        name = self.scope["url_route"]["kwargs"]["name"]
        ref = SessionRef(owner_id=self.scope["owner_id"], identifier=name)
        try:
            self.session = await operations.find_session(ref)
        except WorkbenchError:
            await self.close()
        else:
            await self.accept()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Begin the run with the first frame; keep the others for its prompts."""
        if self._task is not None:
            await self._keep_answer(self._task, text_data)
            return
        try:
            query = _query_of(text_data)
        except Refused as error:
            await self._say_error(_sentence(error))
        else:
            # A task of its own, ended by ``disconnect``: the frames behind this one must get in.
            self._task = asyncio.create_task(self._run(query), name="backendai stream")

    async def disconnect(self, code: int) -> None:
        """Give up following, and the run if it goes on."""
        if self._task is not None:
            self._task.cancel()
            tasks = [task for task in (self._task, self._starting) if task is not None]
            await asyncio.gather(*tasks, return_exceptions=True)
        if self.run_id:
            for step in _STEPS:
                with suppress(WorkbenchError):
                    await operations.cancel(ref_of(self.session), f"{self.run_id}/{step}")

    async def _keep_answer(self, task: asyncio.Task[None], text: str | None) -> None:
        if text is None or len(self._answers) > MAX_ANSWERS_AHEAD:
            return
        self._answers.append(text)
        if len(self._answers) > MAX_ANSWERS_AHEAD:
            # Without one of them, the later prompts would get each other's answers.
            task.cancel()
            await self._say_error(f"More than {MAX_ANSWERS_AHEAD} answers wait for a prompt.")

    async def _run(self, query: Query) -> None:
        try:
            with database_needed():
                await self._follow(query)
        except Unavailable as error:
            await self._say_error(error.message, status="server-restarting")
        except Refused as error:
            await self._say_error(_sentence(error))
        except WorkbenchError as error:
            await self._say_error(error.message)
        except Exception:
            logger.exception("A Backend.AI stream failed")
            await self._say_error(BUG_MESSAGE)

    async def _follow(self, query: Query) -> None:
        self._starting = asyncio.create_task(self._start(query), name="backendai start")
        await asyncio.shield(self._starting)
        ref, is_waiting, result = ref_of(self.session), False, {"status": ""}
        while result["status"] != "finished":
            result = await runs.follow(ref, self.run_id, wait_seconds=WAIT_SECONDS)
            await self._send(result)
            is_waiting = is_waiting or result["status"] == "waiting-input"
            if is_waiting and self._answers:
                is_waiting = False
                await runs.answer(self.session, self.run_id, self._answers.popleft())
        self.run_id = ""
        await self.close()

    async def _start(self, query: Query) -> None:
        self.run_id = await runs.start(self.session, query)

    async def _say_error(self, message: str, *, status: str = "error") -> None:
        await self._send({"status": status, "msg": message})
        await self.close()

    async def _send(self, frame: dict[str, Any]) -> None:
        # Escaped: half of a surrogate pair cannot be sent otherwise.
        await self.send(text_data=json.dumps(frame))


def _query_of(text: str | None) -> Query:
    """What the first frame asks for. Raises Refused."""
    try:
        body = json.loads(text or "")
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise invalid("the first frame must be a JSON object.")
    query = parse_query(body, ("query", "batch"))
    return Query(mode=query.mode, code=query.code, run_id="", options=query.options)


def _sentence(refusal: Refused) -> str:
    """What is wrong, and with which fields: a frame has no place of its own for them."""
    fields = ", ".join(f"{name} {rule}" for name, rule in refusal.data.items())
    message = f"{refusal.message} ({fields})" if fields else refusal.message
    return f"Invalid API parameters: {message}"


_consumer: Any = StreamConsumer.as_asgi()
websocket_urlpatterns = [
    path(f"{prefix}stream/{noun}/<str:name>/execute", _consumer)
    for prefix in ("", "backendai/")
    for noun in ("session", "kernel")
]
