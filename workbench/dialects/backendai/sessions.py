"""Creating sessions, and what can be asked of one: info, restart, destroy, logs, and so on."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.utils import timezone
from rest_framework.request import Request

from sessions import operations
from sessions.exceptions import Conflict, KernelspecNotFound, SessionNotFound
from sessions.models import Event, Execution
from sessions.operations import SessionInfo, SessionRef
from sessions.states import EventType
from workbench.access.callers import owner_of
from workbench.dialects.backendai import ORIGIN
from workbench.dialects.backendai.completion import complete
from workbench.dialects.backendai.console import MAX_STREAM_CHARACTERS, console_of
from workbench.dialects.backendai.creation import Creation, checked_name, parse_creation
from workbench.dialects.backendai.errors import invalid, refused
from workbench.dialects.backendai.images import Environment
from workbench.dialects.backendai.runs import execute, last_result
from workbench.dialects.backendai.views import (
    BackendAIView,
    find_environment,
    language_in,
    no_content,
    optional_object,
    ref_of,
)
from workbench.dialects.base import json_object, json_response

# Output events that are looked at for a log, the newest.
_LOG_EVENTS = 2000


class SessionsView(BackendAIView):
    """``/session``, also spelt ``/session/create`` and ``/session/_/create``."""

    async def post(self, request: Request) -> HttpResponse:
        """Create a session, or find the one of this name: 201 or 200."""
        wanted = parse_creation(json_object(request))
        environment = await find_environment(wanted.image)
        if environment is None:
            raise KernelspecNotFound(f"Unknown image: {wanted.image}")
        owner_id = await owner_of(request._request)
        session = await operations.open_session(
            SessionRef(owner_id=owner_id, identifier=wanted.name),
            origin=ORIGIN,
            kernel_name=environment.kernel_name,
            environment=wanted.environment,
            policy={"gpus": wanted.gpus},
            request={"image": wanted.image, "language": environment.language},
        )
        if not session.created and not (wanted.reuse and _fits(session, wanted, environment)):
            raise _exists(session)
        return json_response(_created(session), 201 if session.created else 200)


class SessionView(BackendAIView):
    """``/session/:id``."""

    async def get(self, request: Request, name: str) -> HttpResponse:
        """Describe it."""
        session = await self.find_session(request)
        queries = await Execution.objects.filter(session_id=session.id).acount()
        return json_response(_info(session, await language_in(session), queries))

    async def post(self, request: Request, name: str) -> HttpResponse:
        """Run something in it, or go on with what runs."""
        ref = await self.session_ref(request)
        try:
            session = await operations.find_session(ref)
        except SessionNotFound:
            # Only a body that asks for the end of a run makes a difference.
            if result := await last_result(ref, optional_object(request)):
                return json_response({"result": result})
            raise
        return json_response({"result": await execute(session, json_object(request))})

    async def patch(self, request: Request, name: str) -> HttpResponse:
        """Restart it: its files stay, its state goes."""
        await operations.restart(ref_of(await self.find_session(request)))
        return no_content()

    async def delete(self, request: Request, name: str) -> HttpResponse:
        """Destroy it, with all its files."""
        await operations.close_session(ref_of(await self.find_session(request)))
        return json_response({"stats": {"status": "terminated"}})


class InterruptView(BackendAIView):
    """``/session/:id/interrupt``."""

    async def post(self, request: Request, name: str) -> HttpResponse:
        """Interrupt what runs."""
        await operations.interrupt(ref_of(await self.find_session(request)))
        return no_content()


class CompleteView(BackendAIView):
    """``/session/:id/complete``."""

    async def post(self, request: Request, name: str) -> HttpResponse:
        """What could follow."""
        session = await self.find_session(request)
        return json_response({"result": await complete(ref_of(session), json_object(request))})


class RenameView(BackendAIView):
    """``/session/:id/rename``."""

    async def post(self, request: Request, name: str) -> HttpResponse:
        """Give it another name; its id stays."""
        session = await self.find_session(request)
        new = request.query_params.get("name") or optional_object(request).get("name")
        if not isinstance(new, str):
            raise invalid("Input validation error", name="is required")
        try:
            await operations.rename_session(ref_of(session), checked_name(new))
        except Conflict as error:
            raise refused("session-already-exists", error.message) from None
        return no_content()


class LogsView(BackendAIView):
    """``/session/:id/logs``."""

    async def get(self, request: Request, name: str) -> HttpResponse:
        """What its programs wrote, the newest of it."""
        session = await self.find_session(request)
        types = (EventType.STREAM, EventType.ERROR)
        newest = Event.objects.filter(session_id=session.id, type__in=types).order_by("-number")
        events = [event.to_wire() async for event in newest[:_LOG_EVENTS]]
        # One item per call: no cut before the end, which is the newest.
        texts = [item[1] for event in reversed(events) for item in console_of([event])]
        logs = "".join(texts)[-MAX_STREAM_CHARACTERS:]
        return json_response({"result": {"logs": logs}})


class MatchView(BackendAIView):
    """``/session/_/match``."""

    async def get(self, request: Request) -> HttpResponse:
        """The sessions whose name or id begins so."""
        prefix = request.query_params.get("id") or optional_object(request).get("id")
        if not isinstance(prefix, str):
            raise invalid("Input validation error", id="is required")
        sessions = await operations.list_sessions(await owner_of(request._request))
        matches = [
            {"id": str(session.id), "name": session.identifier, "status": "RUNNING"}
            for session in sessions
            if session.identifier.startswith(prefix) or str(session.id).startswith(prefix)
        ]
        return json_response({"matches": matches})


def _fits(session: SessionInfo, wanted: Creation, environment: Environment) -> bool:
    """Whether a session that exists is what is asked for.

    One that came through another door has no image; its kernel is what it is.
    """
    image = session.request.get("image")
    if image is None:
        return session.kernel_name == environment.kernel_name
    return bool(image == wanted.image)


def _exists(session: SessionInfo) -> Exception:
    return refused(
        "session-already-exists",
        f"A session named {session.identifier} exists, and may not or cannot be used again.",
        existingSessionId=str(session.id),
    )


def _created(session: SessionInfo) -> dict[str, Any]:
    return {
        "sessionId": str(session.id),
        "sessionName": session.identifier,
        # The documents' word of that time, and the one of v4, which means the name.
        "sessId": session.identifier,
        "kernelId": session.identifier,
        "status": "RUNNING",
        "servicePorts": [],
        "created": session.created,
    }


def _info(session: SessionInfo, language: str, queries: int) -> dict[str, Any]:
    age = timezone.now() - session.created_at
    image = session.request.get("image") or session.kernel_name
    return {
        "domainName": "default",
        "groupId": None,
        "userId": None if session.owner_id is None else str(session.owner_id),
        "sessionId": str(session.id),
        "sessionName": session.identifier,
        "lang": language,
        "image": image,
        "architecture": None,
        "registry": None,
        "tag": None,
        "containerId": None,
        "occupiedSlots": {},
        "status": "RUNNING",
        "statusInfo": session.reason or None,
        "age": round(age.total_seconds() * 1000),
        "creationTime": session.created_at.isoformat(),
        "terminationTime": None,
        "numQueriesExecuted": queries,
        "memoryLimit": None,
        "cpuCreditUsed": None,
        "lastStat": None,
    }
