"""The sockets: one browser tab, or one program, on one session or on the list of them.

docs/events.md describes the frames in both directions and the close codes. Nothing about a run
lives here: a notice says that the log has grown, and the rows are read by number. So a slow
reader costs nothing, and a client that comes back asks for what it has not seen.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Coroutine
from enum import IntEnum
from typing import Any, ClassVar
from urllib.parse import parse_qs

from channels.generic.websocket import AsyncWebsocketConsumer
from django.utils import timezone

from sessions import frames, operations, questions
from sessions.database import database_needed
from sessions.engines import engine
from sessions.exceptions import (
    HostUnavailable,
    InvalidValue,
    LimitReached,
    NotAllowed,
    Unavailable,
    WorkbenchError,
)
from sessions.frames import Frame
from sessions.history import portions
from sessions.kernels import trace
from sessions.models import Session
from sessions.operations import SessionRef
from sessions.overview import describe, list_overview, with_memory
from sessions.topics import files_topic
from sessions.viewers import Viewer

logger = logging.getLogger(__name__)

ORIGIN = "browser"
# Seconds between two attempts to reach a host, or a database, that does not answer.
RETRY_FIRST_SECONDS, RETRY_MOST_SECONDS = 0.25, 8.0
# Seconds between two frames with the list of sessions.
LIST_INTERVAL_SECONDS = 0.25
# Seconds between two looks at the memory of the sessions in the list.
MEMORY_INTERVAL_SECONDS = 2.0
# Frames of one client that may be in work at once.
MAX_FRAMES_IN_WORK = 64


class CloseCode(IntEnum):
    """Why the server ends a socket; 1011 is not ours to send, autobahn refuses it."""

    BAD_REQUEST = 4400
    NOT_FOUND = 4404
    # The key was revoked, the login or the link has ended.
    LET_OUT = 4401
    INTERNAL = 4500
    # The database does not answer, so that nobody knows whether the client may be here.
    UNAVAILABLE = 4503


class Socket(AsyncWebsocketConsumer):  # type: ignore[misc]
    """What the sockets share: frames in, errors out, and tasks that end with the connection.

    Channels hands over one frame at a time, so a handler that waited for its verb would hold
    back the interrupt behind it. Frames only start tasks; ``disconnect`` ends them, which stops
    the waiting and never what was asked for.
    """

    frames: ClassVar[frames.Table]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # False once the client was refused: what it still sends is ignored.
        self.is_open = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._in_work = 0

    @property
    def viewer(self) -> Viewer:
        """Who this client is; workbench.access says so."""
        viewer: Viewer = self.scope["viewer"]
        return viewer

    def allows(self, frame: Frame) -> bool:
        """Whether this client may ask for that."""
        return self.viewer.may_run

    # Frames

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if not self.is_open:
            return
        try:
            frame = frames.parse(text_data, self.frames)
            if self._in_work >= MAX_FRAMES_IN_WORK:
                told = {"in_reply_to": frame.type, "question": frame.fields.get("question")}
                raise LimitReached("Too many requests at once.", **told)
        except WorkbenchError as error:
            await self.send_error(error, **error.data)
        else:
            self._in_work += 1
            self.spawn(self._answer(frame), name=frame.type)

    async def act(self, frame: Frame) -> None:
        """Do what a frame asks for. Raises the errors of the verbs."""
        raise NotImplementedError

    async def _answer(self, frame: Frame) -> None:
        try:
            if frame.type == "ping":
                await self.send_json({"type": "pong"})
            elif not self.allows(frame):
                raise NotAllowed
            else:
                with database_needed():
                    await self.act(frame)
        except WorkbenchError as error:
            question = frame.fields.get("question")
            await self.send_error(error, in_reply_to=frame.type, question=question)
        finally:
            self._in_work -= 1

    async def send_json(self, content: dict[str, Any]) -> None:
        await self.send(text_data=json.dumps(content))

    async def send_error(
        self,
        error: WorkbenchError,
        *,
        in_reply_to: str | None = None,
        question: str | None = None,
    ) -> None:
        """Tell of an error. ``question`` is the client's name for what it asked, if it did."""
        wire = {"code": error.code, "message": error.message, "in_reply_to": in_reply_to}
        asked = {} if question is None else {"question": question}
        await self.send_json({"type": "error", **wire, **asked})

    # Following

    async def catch_up(self) -> None:
        """Send what is in the rows and was not sent yet."""
        raise NotImplementedError

    async def live(self) -> None:
        """Called each time the client has everything and will hear of what comes."""

    async def follow(self, topic: str) -> None:
        """Keep the client up to date; the task behind every socket.

        Started by ``connect``, ended by ``disconnect``. While no host answers, the client gets
        what the rows know, is told so once, and the host is tried again until it is back. The
        same while the database does not answer, without the rows.
        """
        told = ""

        async def live() -> None:
            nonlocal told
            await self.live()
            told = ""

        async def away(error: Unavailable) -> None:
            nonlocal told
            trouble = await self._catch_up_without(error)
            if trouble.code != told:
                await self.send_error(trouble)
            told = trouble.code

        await keep_up(topic, self.catch_up, live=live, away=away)

    async def _catch_up_without(self, trouble: Unavailable) -> Unavailable:
        """Send what the rows know without a host; what the client is to be told."""
        if not isinstance(trouble, HostUnavailable):
            return trouble
        try:
            with database_needed():
                await self.catch_up()
        except Unavailable as error:
            return error
        return trouble

    # Tasks

    def spawn(self, work: Coroutine[Any, Any, None], *, name: str) -> None:
        """Start a task of this connection; an error in it that is ours ends the connection."""
        task = asyncio.create_task(self._guard(work), name=f"socket {name}")
        self._tasks.add(task)  # the event loop keeps only a weak reference
        task.add_done_callback(self._tasks.discard)

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception:
            logger.exception("A socket's task failed")
            await self.refuse(CloseCode.INTERNAL, "Something went wrong on the server.")

    async def refuse(self, code: CloseCode, reason: str) -> None:
        """End the connection. Only after ``accept``: before it, browsers hide the code."""
        self.is_open = False
        await self.close(code=code.value, reason=reason)

    async def disconnect(self, code: int) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _nothing(*_: Any) -> None:
    pass


async def keep_up(
    topic: str,
    catch_up: Callable[[], Awaitable[None]],
    *,
    live: Callable[[], Awaitable[None]] = _nothing,
    away: Callable[[Unavailable], Awaitable[None]] = _nothing,
) -> None:
    """Call ``catch_up`` whenever there may be something new about a topic, until cancelled.

    ``live`` is called each time it has everything and will hear of what comes, ``away`` each time
    that a host, or the database, does not answer; both are tried again.
    """
    delay = RETRY_FIRST_SECONDS
    while True:
        try:
            with database_needed():
                # Subscribe before reading, so that nothing falls in between.
                async with engine().subscribe(topic) as notices:
                    await catch_up()
                    await live()
                    delay = RETRY_FIRST_SECONDS
                    async for _ in notices:
                        await catch_up()
        except Unavailable as error:
            await away(error)
        await asyncio.sleep(delay)
        delay = min(delay * 2, RETRY_MOST_SECONDS)


class SessionSocket(Socket):
    """A socket on the session its address names, live or ended, from a number on."""

    # What ``?since=N`` is the number of, for people.
    since_is: ClassVar[str]
    session: Session

    async def connect(self) -> None:
        await self.accept()
        try:
            since = _since(self.scope["query_string"], self.since_is)
        except InvalidValue as error:
            return await self.refuse(CloseCode.BAD_REQUEST, error.message)
        identifier = self.scope["url_route"]["kwargs"]["identifier"]
        try:
            with database_needed():
                session = await Session.objects.reached_by(self.viewer, identifier).afirst()
        except Unavailable as error:
            return await self.refuse(CloseCode.UNAVAILABLE, error.message)
        if session is None:
            return await self.refuse(CloseCode.NOT_FOUND, "There is no session with this name.")
        trace.found(session.id)
        self.session, self.is_open = session, True
        self._order = asyncio.Lock()
        await self.begin(since)
        return None

    def allows(self, frame: Frame) -> bool:
        return self.viewer.may_run_in(self.session)

    async def begin(self, since: int) -> None:
        """The client may stay; it has what came up to ``since``, 0 if it has nothing."""
        raise NotImplementedError


class SessionConsumer(SessionSocket):
    """One client on one session: the log since a number, then live."""

    frames = frames.SESSION_FRAMES
    since_is = "the number of an event"
    ref: SessionRef
    # Number of the last event sent, or of the last one the client says it has.
    last_number: int
    # The version of the files that the client was told last.
    _files_version: int

    async def begin(self, since: int) -> None:
        self.last_number = since
        # By its id: another session may take the identifier later.
        self.ref = SessionRef(owner_id=self.session.owner_id, identifier=str(self.session.id))
        await self.send_json({"type": "session", "session": describe(self.session), "now": _now()})
        self.spawn(self.follow(str(self.session.id)), name="follow")
        if self.session.is_live:  # otherwise its files are gone
            self._files_version = self.session.files_version
            topic = files_topic(self.session.id)
            self.spawn(keep_up(topic, self._catch_up_with_files), name="follow files")

    def allows(self, frame: Frame) -> bool:
        if frame.type == "resources":  # measured anyway, without asking the kernel
            return True
        if frame.type == "close" and not self.viewer.owns(self.session):
            return False
        return super().allows(frame)

    async def catch_up(self) -> None:
        since = self.last_number
        async for portion in portions(self.session, since, lambda row: json.dumps(row.to_wire())):
            await self._send_events(portion.texts)
            self.last_number = portion.last_number

    async def _send_events(self, events: list[str]) -> None:
        await self.send(text_data=f'{{"type": "events", "events": [{", ".join(events)}]}}')

    async def _catch_up_with_files(self) -> None:
        session = Session.objects.filter(pk=self.session.pk)
        version = await session.values_list("files_version", flat=True).afirst()
        if version not in (None, self._files_version):
            self._files_version = version
            await self.send_json({"type": "files", "version": version})

    async def live(self) -> None:
        await self.send_json({"type": "live", "number": self.last_number})

    async def act(self, frame: Frame) -> None:
        fields = frame.fields
        if questions.is_question(frame):
            return await self.send_json(await questions.answer(self.ref, frame))
        match frame.type:
            case "execute":
                await self._execute(fields)
            case "comm":
                await self._send_comm(fields)
            case "interrupt":
                await operations.interrupt(self.ref)
            case "restart":
                await operations.restart(self.ref)
            case "close":
                await operations.close_session(self.ref)
            case "input":
                await operations.answer_input(self.ref, fields["text"])
            case "cancel":
                await operations.cancel(self.ref, fields["execution"])
        return None

    async def _execute(self, fields: dict[str, Any]) -> None:
        async with self._order:  # first in, first in the queue
            await operations.submit(
                self.ref,
                fields["code"],
                origin=ORIGIN,
                client_id=fields.get("client_id", ""),
                allow_input=True,
                cell=fields.get("cell"),
            )

    async def _send_comm(self, fields: dict[str, Any]) -> None:
        message = {**fields, "buffers": questions.decoded(fields.get("buffers", []))}
        async with self._order:
            await operations.send_comm(self.ref, **message)


class SessionListConsumer(Socket):
    """One client on the list of sessions, sent whole whenever it has changed."""

    frames = frames.LIST_FRAMES

    async def connect(self) -> None:
        # What was sent last; None before the first list.
        self._sent: list[dict[str, Any]] | None = None
        await self.accept()
        self.is_open = True
        self.spawn(self.follow("sessions"), name="follow")
        self.spawn(self._measure(), name="measure")

    async def catch_up(self) -> None:
        rows = await with_memory(await list_overview(self.viewer.owner_id), self.viewer.owner_id)
        if await self._send_rows(rows):
            # Changes that come meanwhile arrive as one notice.
            await asyncio.sleep(LIST_INTERVAL_SECONDS)

    async def _measure(self) -> None:
        """Keep the memory in the list up to date, of which no notice tells."""
        while True:
            await asyncio.sleep(MEMORY_INTERVAL_SECONDS)
            if rows := self._sent:
                newer = await with_memory(rows, self.viewer.owner_id)
                if rows is self._sent:  # otherwise it is new by itself
                    await self._send_rows(newer)

    async def _send_rows(self, rows: list[dict[str, Any]]) -> bool:
        """Send the list unless it is what was sent last; whether it was sent."""
        if rows == self._sent:
            return False
        self._sent = rows
        await self.send_json({"type": "sessions", "sessions": rows, "now": _now()})
        return True

    async def live(self) -> None:
        await self.send_json({"type": "live"})

    async def act(self, frame: Frame) -> None:
        ref = SessionRef(owner_id=self.viewer.owner_id, identifier=frame.fields["identifier"])
        match frame.type:
            case "open":
                await self._open(ref, frame.fields.get("kernel", ""))
            case "interrupt":
                await operations.interrupt(ref)
            case "restart":
                await operations.restart(ref)
            case "close":
                await operations.close_session(ref)

    async def _open(self, ref: SessionRef, kernel: str) -> None:
        info = await operations.open_session(ref, origin=ORIGIN, kernel_name=kernel)
        session = {"id": str(info.id), "identifier": info.identifier, "created": info.created}
        await self.send_json({"type": "opened", "session": session})


class NowhereConsumer(Socket):
    """Every other address: says so, where Channels would log a traceback."""

    frames: ClassVar[frames.Table] = {}

    async def connect(self) -> None:
        await self.accept()
        await self.refuse(CloseCode.NOT_FOUND, "There is nothing at this address.")


def _since(query_string: bytes, what: str) -> int:
    """The ``since`` of a socket's address; 0 if there is none. Raises InvalidValue."""
    text = parse_qs(query_string.decode(errors="replace"), keep_blank_values=True)
    since = text.get("since", ["0"])[-1]
    if not (since.isascii() and since.isdigit() and len(since) <= 18):
        raise InvalidValue(f"“since” must be {what}, or 0.")
    return int(since)


def _now() -> str:
    """The server's clock, by which clients whose own is off can tell how long ago things were."""
    return timezone.now().isoformat().replace("+00:00", "Z")
