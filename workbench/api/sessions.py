"""Sessions and kernels: ``/api/v1/sessions…``, ``/api/v1/kernelspecs``."""

from __future__ import annotations

import asyncio
import secrets
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.http import HttpResponse
from django.urls import URLPattern, path
from rest_framework.request import Request

from sessions import notebook, operations
from sessions.exceptions import (
    Conflict,
    HostUnavailable,
    InvalidValue,
    KernelspecNotFound,
    KernelStartFailed,
    SessionLimitReached,
    SessionNotFound,
    Unavailable,
)
from sessions.kernels.policy import policy_for
from sessions.models import Session
from sessions.notebook_files import cells_of, to_ipynb
from sessions.operations import SessionRef
from sessions.overview import ENDED, LIVE, describe, list_sessions
from sessions.states import SessionState
from workbench.access.callers import owner_of
from workbench.api import shapes
from workbench.api.base import (
    CURSOR,
    LIMIT,
    NOT_JSON,
    SESSION_ENDED,
    TOO_LARGE,
    ApiView,
    SessionView,
    json_body,
    json_fields,
    no_content,
    origin_of,
    read_choice,
    read_cursor,
    read_number,
    ref_to,
)
from workbench.api.operation import Answer, Body, Parameter, operation
from workbench.dialects.base import json_response

STATE = Parameter(
    name="state",
    about="Only those in this state, or all that are live, or all that have ended.",
    choices=(LIVE, ENDED, *map(str, SessionState)),
)


class SessionsView(ApiView):
    """``sessions``."""

    tag = "Sessions"

    @operation(
        "open_session",
        body=Body(shape=shapes.NewSession, example={"identifier": "demo", "kernel": "python3"}),
        answers={
            HTTPStatus.CREATED: Answer(about="It is new.", shape=shapes.Opened),
            HTTPStatus.OK: Answer(about="It was open already.", shape=shapes.Opened),
        },
        failures=[
            NOT_JSON,
            TOO_LARGE,
            SessionNotFound,
            KernelspecNotFound,
            Conflict,
            SessionLimitReached,
            Unavailable,
            HostUnavailable,
            KernelStartFailed,
        ],
    )
    async def post(self, request: Request) -> HttpResponse:
        """Open a session, or find it if it is open.

        On request with the cells of another one, live or ended.
        """
        body = json_body(request, shapes.NewSession)
        policy = _policy(body)
        owner_id = await owner_of(request._request)
        identifier = _text(body, "identifier") or f"session-{secrets.token_hex(4)}"
        source = await _source(owner_id, _text(body, "notebook_of"))
        kernel_name = _text(body, "kernel") or (source.kernel_name if source else "")
        info = await operations.open_session(
            SessionRef(owner_id=owner_id, identifier=identifier),
            origin=origin_of(request),
            kernel_name=kernel_name,
            policy=policy,
        )
        if source and not info.created:
            raise Conflict(f"A session named {identifier!r} is open already. Choose another name.")
        if source:
            await _copy_notebook(source, info)
        answer = {"id": str(info.id), "identifier": info.identifier, "created": info.created}
        return json_response(answer, HTTPStatus.CREATED if info.created else HTTPStatus.OK)

    @operation(
        "list_sessions",
        query=[STATE, LIMIT, CURSOR],
        answers={HTTPStatus.OK: Answer(about="A page of them.", shape=shapes.Sessions)},
        failures=[SessionNotFound],
    )
    async def get(self, request: Request) -> HttpResponse:
        """List the sessions.

        All that are the caller's, the newest first, live and ended, whichever door opened them.
        """
        state = read_choice(request, STATE) if STATE.name in request.query_params else ""
        limit = read_number(request, LIMIT) or 1
        owner_id = await owner_of(request._request)
        page = await list_sessions(owner_id, limit=limit, before=read_cursor(request), state=state)
        last = None if page.is_last else str(page.sessions[-1].id)
        listed = [describe(session) for session in page.sessions]
        return json_response({"sessions": listed, "next_cursor": last})


class SessionAddressView(SessionView):
    """``sessions/<identifier>``."""

    tag = "Sessions"

    @operation(
        "read_session",
        answers={HTTPStatus.OK: Answer(about="It, as it is now.", shape=shapes.Session)},
    )
    async def get(self, request: Request, **where: Any) -> HttpResponse:
        """Look at a session.

        Live or ended. That it is busy shows in its executions.
        """
        return json_response(describe(await self.session_of(request)))

    @operation(
        "rename_session",
        body=Body(shape=shapes.NewName, example={"identifier": "another"}),
        answers={HTTPStatus.OK: Answer(about="It, with its new name.", shape=shapes.Session)},
        failures=[TOO_LARGE, SESSION_ENDED, Conflict, HostUnavailable],
    )
    async def patch(self, request: Request, **where: Any) -> HttpResponse:
        """Give a session another name.

        Its id stays, and so does all that is in it. The old name is free from then on.
        """
        name = json_fields(request, shapes.NewName).get("identifier")
        if not isinstance(name, str) or not name:
            raise InvalidValue("“identifier” must be text that is not empty.")
        session = await self.live_session(request, is_owners=True)
        await operations.rename_session(ref_to(session), name)
        await session.arefresh_from_db()
        return json_response(describe(session))

    @operation(
        "close_session",
        answers={HTTPStatus.NO_CONTENT: Answer(about="It has ended.")},
        failures=[SESSION_ENDED, HostUnavailable],
    )
    async def delete(self, request: Request, **where: Any) -> HttpResponse:
        """End a session.

        Its kernel and its files go, and what runs is interrupted; what it did can still be read.
        """
        session = await self.live_session(request, is_owners=True)
        await operations.close_session(ref_to(session))
        return no_content()


class KernelspecsView(ApiView):
    """``GET kernelspecs``."""

    tag = "Sessions"
    takes_guests = True

    @operation(
        "list_kernelspecs",
        answers={HTTPStatus.OK: Answer(about="All of them.", shape=shapes.Kernelspecs)},
        failures=[HostUnavailable],
    )
    async def get(self, request: Request) -> HttpResponse:
        """List the installed kernels, the default first.

        Their names are what `kernel` may be when a session is opened.
        """
        return json_response({"kernelspecs": await operations.kernelspecs()})


def _text(body: dict[str, Any], name: str) -> str:
    """An optional text of a body; empty if it is absent or null. Raises InvalidValue."""
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise InvalidValue(f"“{name}” must be text.")
    return value or ""


def _policy(body: dict[str, Any]) -> dict[str, Any]:
    """What a session asks to be allowed. Raises InvalidValue, also if it is open already."""
    names = ("network", "limits", "gpus", "labels")
    asked = {name: body[name] for name in names if body.get(name) is not None}
    if not isinstance(asked.get("limits", {}), dict):
        raise InvalidValue("“limits” must be an object of names and numbers.")
    policy_for(asked, settings.WORKBENCH_SESSION_LIMITS, settings.WORKBENCH_SESSION_NETWORK)
    return asked


async def _source(owner_id: int | None, name: str) -> Session | None:
    """The session whose notebook is wanted; None if none is. Raises SessionNotFound."""
    if not name:
        return None
    session = await Session.objects.visible_to(owner_id).named(name).afirst()
    if session is None:
        raise SessionNotFound("There is no session whose notebook could be copied.")
    return session


async def _copy_notebook(source: Session, target: operations.SessionInfo) -> None:
    document = await notebook.read_document(source)
    ipynb = await asyncio.to_thread(to_ipynb, document)
    cells = await asyncio.to_thread(lambda: notebook.cut_to_fit(cells_of(ipynb)))
    await notebook.add_cells(target.id, cells, metadata=document.metadata)


urlpatterns: list[URLPattern] = [
    path("sessions", SessionsView.as_view()),
    path("sessions/<path:identifier>", SessionAddressView.as_view()),
    path("kernelspecs", KernelspecsView.as_view()),
]
