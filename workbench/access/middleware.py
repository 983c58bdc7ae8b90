"""The one place where requests and sockets are let in, so that no address can forget to ask."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.cookie import parse_cookie
from django.urls import reverse
from django.utils.deprecation import MiddlewareMixin

from workbench.access.callers import (
    ANYBODY,
    READ_ONLY,
    Asked,
    NotKnown,
    find_caller,
    is_open,
)
from workbench.errors import Refused, refuse
from workbench.middleware import Direct

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

READING = frozenset({"GET", "HEAD", "OPTIONS"})
_View = Callable[..., Any]


def public(view: _View) -> _View:
    """Say of a view that anybody may use it."""
    view.is_public = True  # type: ignore[attr-defined]
    return view


class Access(Direct, MiddlewareMixin):
    """Says who asks, or refuses in the words of the contract at the address."""

    async def process_view(
        self, request: Any, view: _View, arguments: Any, keywords: Any
    ) -> HttpResponse | None:
        """Django calls this for each address that it knows."""
        request.caller = ANYBODY
        if is_open() or is_public(request, view):
            return None
        try:
            request.caller = caller = await find_caller(asked_by(request))
            if not caller.may_run and not only_reads(request, view):
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


def is_public(request: HttpRequest, view: _View) -> bool:
    """Whether a view asks nobody, or asks itself, as the admin does."""
    match = request.resolver_match
    is_admins = match is not None and "admin" in match.app_names
    said = [getattr(each, "is_public", False) for each in (view, getattr(view, "view_class", view))]
    return is_admins or any(said)


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
    )


class SocketAccess:
    """Puts who asks into the scope of a socket: ``owner_id`` and ``may_run``.

    The sockets live below this package and cannot ask it. Who is not known is refused before the
    socket is accepted: with status 403.
    """

    def __init__(self, app: Application) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            caller = await find_caller(_asked_by_socket(scope))
        except (Refused, OperationalError, InterfaceError):
            await send({"type": "websocket.close"})
            return
        known = {"owner_id": caller.owner_id, "may_run": caller.may_run}
        await self.app({**scope, **known}, receive, send)


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
