"""The one place where requests and sockets are let in, so that no address can forget to ask."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from dataclasses import replace
from http import HTTPStatus
from typing import Any
from urllib.parse import quote
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.cookie import parse_cookie
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.deprecation import MiddlewareMixin

from sessions.consumers import CloseCode
from sessions.database import NO_DATABASE
from sessions.kernels import trace
from sessions.kernels.trace import Asker
from sessions.models import Session
from workbench.access import shares
from workbench.access.audit import REFUSALS, introduce, note_refusal
from workbench.access.callers import (
    ANYBODY,
    LET_OUT,
    NOBODY,
    READ_ONLY,
    Asked,
    Caller,
    NotKnown,
    caller_of,
    find_again,
    find_caller,
    is_open,
)
from workbench.errors import Refused, refuse
from workbench.measures import NO_DOOR, door_of
from workbench.middleware import Direct, is_page
from workbench.origins import OTHER_SITE, is_foreign

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

logger = logging.getLogger(__name__)

READING = frozenset({"GET", "HEAD", "OPTIONS"})
# Between two looks at whether who is at a socket may still be there.
LOOK_SECONDS = 5.0
# The sockets of one session, by its id.
_OF_A_SESSION = re.compile(r"/ws/(?:sessions|notebooks)/([0-9a-f-]{36})/", re.ASCII)
_View = Callable[..., Any]


def public(view: _View) -> _View:
    """Say of a view that anybody may use it."""
    view.is_public = True  # type: ignore[attr-defined]
    return view


def for_guests(view: _View) -> _View:
    """Say of a view that it is for guests as well, about the sessions they have a link to."""
    view.takes_guests = True  # type: ignore[attr-defined]
    return view


class Access(Direct, MiddlewareMixin):
    """Says who asks, or refuses in the words of the contract at the address."""

    async def __acall__(self, request: Any) -> HttpResponseBase:
        response = await super().__acall__(request)
        if response.status_code in REFUSALS:
            with suppress(OperationalError, InterfaceError):
                await _name_person(request)
            match = request.resolver_match
            # The address as it is configured: what is in its place may be a secret.
            what = f"{request.method} /{match.route if match else ''}"
            await note_refusal(what, getattr(response, "code", "") or str(response.status_code))
        return response

    async def process_view(
        self, request: Any, view: _View, arguments: Any, keywords: Any
    ) -> HttpResponse | None:
        """Django calls this for each address that it knows."""
        request.caller = ANYBODY
        asker = Asker(address=request.META.get("REMOTE_ADDR", ""), door=_door(request))
        trace.asker.set(asker)
        try:
            if is_page(request) and is_foreign(request.method, request.headers, takes_links=True):
                # It could not read the page, but learn from its status whether it is there.
                raise Refused(HTTPStatus.FORBIDDEN, "cross_site_request", OTHER_SITE)
            if is_open() or is_public(request, view):
                if request.method not in READING:
                    await _name_person(request)
                return None
            request.caller = caller = await find_caller(asked_by(request))
            await introduce(asker._replace(account=caller.name, key_id=caller.key_id))
            if caller.is_guest:
                if not takes_guests(view):
                    raise NotKnown(NOBODY)
            elif not caller.may_run and not only_reads(request, view):
                raise Refused(HTTPStatus.FORBIDDEN, "read_only", READ_ONLY)
        except NotKnown as error:
            if request.method in ("GET", "HEAD") and is_person(request):
                return HttpResponseRedirect(
                    f"{reverse('login')}?next={quote(request.get_full_path())}"
                )
            return refuse(request, error)
        except (Refused, OperationalError, InterfaceError) as error:
            return refuse(request, error)
        return None


def _door(request: Any) -> str:
    """The door in the words of a session's origin."""
    door = door_of(request.resolver_match, request)
    # Our pages use the native API as programs do, and their browser says so.
    if door == "api":
        return "browser" if "Sec-Fetch-Site" in request.headers else door
    return "browser" if door in ("pages", NO_DOOR) and is_page(request) else door


async def _name_person(request: Any) -> None:
    """Say who is logged in, where Django's own middleware knows it and nobody has asked yet."""
    asker = trace.asker.get()
    if not asker.account and hasattr(request, "auser"):
        trace.asker.set(asker._replace(account=(await request.auser()).get_username()))


def is_public(request: HttpRequest, view: _View) -> bool:
    """Whether a view asks nobody, or asks itself, as the admin does."""
    match = request.resolver_match
    is_admins = match is not None and "admin" in match.app_names
    said = [getattr(each, "is_public", False) for each in (view, getattr(view, "view_class", view))]
    return is_admins or any(said)


def takes_guests(view: _View) -> bool:
    """Whether a view is for guests as well; what they may do there it asks itself."""
    return bool(getattr(getattr(view, "view_class", view), "takes_guests", False))


def only_reads(request: HttpRequest, view: _View) -> bool:
    """Whether nothing is changed: some contracts open a session for whoever reads."""
    if view_for := getattr(view, "view_for", None):  # the address of several faces
        view = view_for(request)
    cls = getattr(view, "view_class", None)
    return request.method in READING and (cls is None or cls.takes_links)


def is_person(request: HttpRequest) -> bool:
    """Whether a person waits for a page."""
    return "text/html" in request.headers.get("Accept", "")


def asked_by(request: Any) -> Asked:
    """What an HTTP request says of who asks."""
    scope = getattr(request, "scope", {})
    path = scope.get("raw_path") or quote(request.path_info).encode()
    query = request.META.get("QUERY_STRING", "")
    return Asked(
        headers=request.headers,
        cookies=request.COOKIES,
        method=request.method or "",
        raw_path=path.decode("latin1") + (f"?{query}" if query else ""),
        address=request.META.get("REMOTE_ADDR", ""),
        may_change=request.method not in READING,
    )


async def still_sees(request: HttpRequest, session: Session) -> bool:
    """Whether who sent a request, which takes its time, may still see a session."""
    try:
        now = await find_again(asked_by(request))
    except NotKnown:
        return False
    except (DatabaseError, InterfaceError):
        return True  # nobody is let out because nobody could look
    return now.owner_id == caller_of(request).owner_id and (
        now.owns(session) or session.id in now.shared
    )


class SocketAccess:
    """Puts who asks into the scope of a socket: ``viewer``, ``owner_id`` and ``may_run``.

    The sockets live below this package and cannot ask it. Who is not known is refused before the
    socket is accepted: with status 403. Who was let in is looked at again every few seconds, and
    let out when a key or a link is revoked, a login has ended, or an account is closed.
    """

    def __init__(self, app: Application) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = _asked_by_socket(scope)
        door = "browser" if scope["path"].startswith("/ws/") else "backendai"
        asker = Asker(address=asked.address, door=door)
        trace.asker.set(asker)
        try:
            caller = _at(scope["path"], await find_caller(asked))
            await introduce(asker._replace(account=caller.name, key_id=caller.key_id))
        except (Refused, OperationalError, InterfaceError) as error:
            if isinstance(error, Refused):
                await note_refusal("socket", error.code)
            # Browsers do not tell a page that comes back a status, but they do a code.
            if not isinstance(error, Refused):
                logger.warning("the database does not answer: %s", error)
                await send({"type": "websocket.accept"})
                await send(_UNAVAILABLE)
            elif isinstance(error, NotKnown) and _was_known(asked):
                await send({"type": "websocket.accept"})
                await send(_LET_OUT)
            else:
                await send({"type": "websocket.close"})
            return
        known = {"viewer": caller, "owner_id": caller.owner_id, "may_run": caller.may_run}
        inside = {**scope, **known}
        if is_open():
            await self.app(inside, receive, send)
        else:
            await _Visit(asked, caller, receive, send).last(self.app, inside)


def _closing(code: CloseCode, reason: str) -> Message:
    return {"type": "websocket.close", "code": code.value, "reason": reason}


_LET_OUT = _closing(CloseCode.LET_OUT, LET_OUT)
_UNAVAILABLE = _closing(CloseCode.UNAVAILABLE, NO_DATABASE)


class _Visit:
    """Somebody at a socket, until they go or are let out."""

    def __init__(self, asked: Asked, caller: Caller, receive: Receive, send: Send) -> None:
        self._asked, self._caller = asked, caller
        self._receive, self._send = receive, send
        self._is_out = False

    async def last(self, app: Application, scope: Scope) -> None:
        """Run the socket, and look again and again meanwhile."""
        looking = asyncio.create_task(self._look(scope["path"]), name="socket access")
        try:
            await app(scope, self._receive_while_in, self._send_while_in)
        finally:
            looking.cancel()

    async def _look(self, path: str) -> None:
        is_in = True
        while is_in:
            await asyncio.sleep(LOOK_SECONDS)
            is_in = await self._may_stay(path)
        self._is_out = True
        await self._send(_LET_OUT)

    async def _may_stay(self, path: str) -> bool:
        try:
            return _at(path, await find_again(self._asked)) == self._caller
        except NotKnown:
            return False
        except (DatabaseError, InterfaceError):
            return True  # nobody is let out because nobody could look

    async def _receive_while_in(self) -> Message:
        """What the client sends before its connection has ended counts no more."""
        message = await self._receive()
        while self._is_out and message["type"] == "websocket.receive":
            message = await self._receive()
        return message

    async def _send_while_in(self, message: Message) -> None:
        if not self._is_out:
            await self._send(message)


def _at(path: str, caller: Caller) -> Caller:
    """Who somebody is at the socket with this path: of their links only one to it counts.

    Raises NotKnown for a guest without one.
    """
    match = _OF_A_SESSION.fullmatch(path)
    shared: dict[UUID, bool] = {}
    if match:
        shared = {id_: run for id_, run in caller.shared.items() if str(id_) == match[1]}
    if caller.is_guest and not shared:
        raise NotKnown(NOBODY)
    return replace(caller, shared=shared)


def _was_known(asked: Asked) -> bool:
    return any(asked.cookies.get(name) for name in (settings.SESSION_COOKIE_NAME, shares.COOKIE))


def _asked_by_socket(scope: Scope) -> Asked:
    headers = {
        key.decode("latin1").title(): value.decode("latin1") for key, value in scope["headers"]
    }
    query = scope.get("query_string", b"").decode("latin1")
    path = (scope.get("raw_path") or quote(scope["path"]).encode()).decode("latin1")
    return Asked(
        headers={"X-BackendAI-Version": headers.pop("X-Backendai-Version", ""), **headers},
        cookies=parse_cookie(headers.get("Cookie", "")),
        method="GET",
        raw_path=path + (f"?{query}" if query else ""),
        address=(scope.get("client") or ("",))[0],
    )
