"""Links to sessions, as tests make and open them, and the addresses that are for guests."""

from __future__ import annotations

import json
from http.cookies import SimpleCookie
from typing import Any

from asgiref.sync import sync_to_async

from sessions.models import Session
from tests.api.doors import Answer, Question, Route, ask, renderer_of, routes
from tests.api.sockets import NOW
from workbench.access import keys, shares
from workbench.access.models import Scope, Share

PASSWORD = "correct horse"
PUBLIC = {"", "backendai", "backendai/", "healthz", "livez", "login/", "logout/"} | {
    "shared/%(token)s/"
}
# Where somebody with a link is let in.
FOR_GUESTS = {"workbench/%(identifier)s/", "output-frame/", "api/v1/kernelspecs"}
NATIVE = "api/v1/sessions/%(identifier)s"
ROUTES = [route for route in routes() if not route.template.startswith("admin/")]


async def live_session(name: str, owner: Any) -> Session:
    times = {"created_at": NOW, "last_active_at": NOW}
    fields = {"kernel_name": "python3", "origin": "test", "state": "idle", "host": "gone"}
    session: Session = await Session.objects.acreate(
        identifier=name, owner=owner, **fields, **times
    )
    return session


async def link_to(session: Session, scope: Scope = Scope.READ, **more: Any) -> tuple[Share, str]:
    made: tuple[Share, str] = await sync_to_async(shares.make_share)(
        session, scope=scope, made_by=session.owner_id, **{"expires_at": None, **more}
    )
    return made


async def visit(token: str, *, cookies: str = "") -> Answer:
    headers = ((b"cookie", cookies.encode()),) if cookies else ()
    return await ask(Question("GET", f"/shared/{token}/", headers))


async def guest(session: Session, scope: Scope = Scope.READ) -> tuple[tuple[bytes, bytes], ...]:
    """The headers of a browser that has opened a link."""
    _, token = await link_to(session, scope)
    return cookie_of(await visit(token))


def cookie_of(answer: Answer) -> tuple[tuple[bytes, bytes], ...]:
    cookie = SimpleCookie(answer.headers["set-cookie"])[shares.COOKIE]
    return ((b"cookie", f"{shares.COOKIE}={cookie.value}".encode()),)


def bearer(text: str) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"authorization", b"Bearer " + text.encode()),)


def question(route: Route, method: str, headers: Any, name: str) -> Question:
    path = route.template % {**dict.fromkeys(route.parts, "x"), "identifier": name}
    label = (b"content-type", b"application/json")
    return Question(method, f"/{path}?identifier={name}", (label, *headers), b"{}")


def is_for_guests(route: Route) -> bool:
    is_of_a_session = route.template.startswith(NATIVE)
    return route.template in FOR_GUESTS or (is_of_a_session and "/shares" not in route.template)


def methods_of(route: Route) -> list[str]:
    return ["GET"] if renderer_of(route) is None else route.methods


async def manage(key: str, method: str, path: str, body: Any = None) -> Answer:
    label = (b"content-type", b"application/json")
    content = b"" if body is None else json.dumps(body).encode()
    return await ask(
        Question(method, f"/api/v1/sessions/s/shares{path}", (label, *bearer(key)), content)
    )


async def key_of(name: str, scope: Scope = Scope.RUN) -> str:
    text: str = (await sync_to_async(keys.make_key_for)(name, scope=scope)).text
    return text
