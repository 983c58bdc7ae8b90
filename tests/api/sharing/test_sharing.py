"""Links to sessions: who comes in by one, where to, and what they may do there."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from http.cookies import SimpleCookie
from typing import Any
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.db import OperationalError, connection
from django.test import AsyncClient
from django.utils import timezone

from sessions import operations, retention
from sessions.models import AuditEntry, Session
from sessions.operations import SessionRef
from tests.api.doors import Question, ask, shape_at
from tests.api.sharing.links import (
    PASSWORD,
    PUBLIC,
    ROUTES,
    cookie_of,
    guest,
    is_for_guests,
    key_of,
    link_to,
    live_session,
    manage,
    methods_of,
    question,
    visit,
)
from tests.api.sockets import ended_session
from workbench.access import shares
from workbench.access.models import Scope, Share

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("closed")]


# --- Coming in -----------------------------------------------------------------------------------


async def test_a_link_leads_to_its_session_and_leaves_the_address(theirs):
    _, token = await link_to(theirs)

    answer = await visit(token)

    assert (answer.status, answer.headers["location"]) == (302, f"/workbench/{theirs.id}/")
    assert answer.headers["cache-control"] == "no-store"
    cookie = SimpleCookie(answer.headers["set-cookie"])[shares.COOKIE]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/")
    assert token not in cookie.value
    page = await ask(Question("GET", f"/workbench/{theirs.id}/", cookie_of(answer)))
    assert page.status == 200
    assert b"Read only" in page.body
    assert b"data-share" not in page.body


async def test_the_cookie_goes_over_https_alone_where_there_is_https(theirs, settings):
    settings.SESSION_COOKIE_SECURE = True
    _, token = await link_to(theirs)

    answer = await visit(token)

    assert SimpleCookie(answer.headers["set-cookie"])[shares.COOKIE]["secure"]


@pytest.mark.parametrize("how", ["revoked", "expired", "inactive", "mistyped", "cut"])
async def test_a_link_that_is_not_good_says_so(theirs, how):
    _, token = await link_to(theirs)
    match how:
        case "revoked":
            await Share.objects.aupdate(revoked_at=timezone.now())
        case "expired":
            await Share.objects.aupdate(expires_at=timezone.now() - timedelta(seconds=1))
        case "inactive":
            await get_user_model().objects.aupdate(is_active=False)
        case "mistyped":
            token = "x" * 43
        case "cut":
            token = token[:-1]

    answer = await visit(token)

    assert answer.status == 404
    assert b"This link leads nowhere" in answer.body
    assert "set-cookie" not in answer.headers


async def test_without_a_database_a_link_is_not_called_wrong(theirs, monkeypatch):
    _, token = await link_to(theirs)

    def away() -> None:
        raise OperationalError("database is locked")

    monkeypatch.setattr(shares, "good_shares", away)

    assert (await visit(token)).status == 503


async def test_who_comes_too_late_learns_it_before_logging_in(theirs):
    headers = await guest(theirs)
    hint = b"The link you came by does not work any more"
    assert hint not in (await ask(Question("GET", "/login/", headers))).body
    await Share.objects.aupdate(revoked_at=timezone.now())

    away = await ask(
        Question("GET", f"/workbench/{theirs.id}/", (*headers, (b"accept", b"text/html")))
    )

    assert away.headers["location"] == f"/login/?next=/workbench/{theirs.id}/"
    assert hint in (await ask(Question("GET", away.headers["location"], headers))).body


async def test_a_browser_keeps_several_links_and_not_too_many(owner, theirs, monkeypatch):
    monkeypatch.setattr(shares, "MOST_KEPT", 2)
    sessions = [theirs, await live_session("t", owner), await live_session("u", owner)]
    headers: Any = ()
    for session in sessions:
        _, token = await link_to(session)
        headers = cookie_of(await visit(token, cookies=headers[0][1].decode() if headers else ""))

    paths = [f"/api/v1/sessions/{session.id}" for session in sessions]
    assert [(await ask(Question("GET", path, headers))).status for path in paths] == [404, 200, 200]


async def test_a_forged_cookie_lets_nobody_in(theirs):
    share, _ = await link_to(theirs, Scope.RUN)
    for text in (share.id, json.dumps([share.id]), f"{share.id}:{'x' * 43}", "ünd", ":::"):
        headers = ((b"cookie", f"{shares.COOKIE}={text}".encode()),)
        answer = await ask(Question("GET", f"/api/v1/sessions/{theirs.id}", headers))
        assert answer.status == 401


async def test_who_is_logged_in_stays_who_they_are(theirs):
    await get_user_model().objects.acreate_user("bob", password=PASSWORD)
    client = AsyncClient()
    await client.post("/login/", {"username": "bob", "password": PASSWORD})
    assert (await client.get(f"/workbench/{theirs.id}/")).status_code == 404
    _, token = await link_to(theirs, Scope.RUN)

    await client.get(f"/shared/{token}/")

    page = (await client.get(f"/workbench/{theirs.id}/")).content.decode()
    assert ">bob</span>" in page
    assert "Shared</span>" in page
    assert (await client.get("/workbench/")).status_code == 200
    assert (await client.get(f"/api/v1/sessions/{theirs.id}/shares")).status_code == 403
    assert (await client.delete(f"/api/v1/sessions/{theirs.id}")).status_code == 403
    await client.post("/logout/")
    assert (await client.get(f"/api/v1/sessions/{theirs.id}")).status_code == 401


async def test_who_shares_does_not_choose_what_others_names_mean(owner, theirs):
    """A shared session is reached by its id alone, whatever it is called."""
    bob = await get_user_model().objects.acreate_user("bob", password=PASSWORD)
    own = await live_session("mine", bob)
    await Session.objects.filter(id=theirs.id).aupdate(identifier=str(own.id))
    _, token = await link_to(theirs)
    client = AsyncClient()
    await client.post("/login/", {"username": "bob", "password": PASSWORD})
    await client.get(f"/shared/{token}/")

    found = [(await client.get(f"/api/v1/sessions/{name}")).json() for name in (own.id, theirs.id)]

    assert [each["id"] for each in found] == [str(own.id), str(theirs.id)]
    assert (await client.get("/api/v1/sessions/s")).status_code == 404


# --- What a guest may do -------------------------------------------------------------------------


async def test_a_guest_is_a_stranger_everywhere_else(theirs):
    headers = await guest(theirs, Scope.RUN)
    strange = [route for route in ROUTES if not is_for_guests(route)]
    for route in (each for each in strange if each.template not in PUBLIC):
        if any(part.startswith("_") for part in route.parts):  # there for a slash only
            continue
        for method in route.methods:
            for name in ("s", str(theirs.id)):
                asked = question(route, method, headers, name)
                answer = await ask(asked)

                assert answer.status == 401, (method, route.template)
                if shape := shape_at(asked):
                    shape(answer)
    assert await Session.objects.acount() == 1


@pytest.mark.parametrize("scope", list(Scope))
async def test_a_guest_sees_one_session_and_no_other(owner, theirs, scope):
    other = await live_session("other", owner)
    ownerless = await live_session("open", None)
    headers = await guest(theirs, scope)
    for route in filter(is_for_guests, ROUTES):
        if "identifier" not in route.parts:
            continue
        for name in ("s", "open", "other", str(other.id), str(ownerless.id), str(uuid4())):
            for method in methods_of(route):
                answer = await ask(question(route, method, headers, name))

                is_shapeless = answer.status in (400, 415)  # refused before anybody looks
                assert answer.status == 404 or is_shapeless, (method, route.template, name)


@pytest.mark.parametrize("how", ["revoked", "expired", "inactive"])
async def test_a_link_that_was_good_lets_nobody_in_any_more(theirs, how):
    headers = await guest(theirs, Scope.RUN)
    match how:
        case "revoked":
            await Share.objects.aupdate(revoked_at=timezone.now())
        case "expired":
            await Share.objects.aupdate(expires_at=timezone.now() - timedelta(seconds=1))
        case "inactive":
            await get_user_model().objects.aupdate(is_active=False)
    for route in filter(is_for_guests, ROUTES):
        for method in methods_of(route):
            answer = await ask(question(route, method, headers, str(theirs.id)))

            assert answer.status == 401, (method, route.template)


@pytest.mark.kernel
async def test_a_link_to_look_changes_nothing(owner):
    session, ref = await opened(owner)
    headers = await guest(session)
    code = "open('a', 'w').write('1'); print('out')"
    run = await operations.run_code(ref, code, origin="test")
    route_of = {route.template: route for route in ROUTES if is_for_guests(route)}
    root = f"/api/v1/sessions/{session.id}"

    for route in route_of.values():
        for method in set(methods_of(route)) - {"GET", "HEAD"}:
            answer = await ask(question(route, method, headers, str(session.id)))

            assert answer.status in (400, 403), (method, route.template, answer.body)
    for method, path, body in changes(run.id):
        label = (b"content-type", b"application/json")
        answer = await ask(Question(method, root + path, (label, *headers), body))
        assert (answer.status, answer.json()["code"]) == (403, "not_allowed"), (method, path)
    for path in (
        "",
        "/files",
        "/files/content?path=a",
        "/notebook.ipynb",
        "/executions",
        "/events",
    ):
        assert (await ask(Question("GET", root + path, headers))).status == 200, path
    assert (await operations.find_session(ref)).id == session.id
    still = await operations.run_code(ref, "print(open('a').read())", origin="test")
    assert texts_of(still) == ["1\n"]
    assert await session.executions.acount() == 2


@pytest.mark.kernel
async def test_a_link_to_run_runs_as_the_session(owner):
    session, ref = await opened(owner)
    headers = ((b"content-type", b"application/json"), *await guest(session, Scope.RUN))
    root = f"/api/v1/sessions/{session.id}"

    body = b'{"code": "print(6 * 7)"}'
    ran = await ask(Question("POST", f"{root}/executions?wait=60", headers, body))
    put = await ask(Question("PUT", f"{root}/files/content?path=a", headers, b"1"))

    assert ran.json()["outputs"]["stdout"] == "42\n"
    assert put.status == 201
    assert (await ask(Question("POST", f"{root}/interrupt", headers))).status == 204
    assert (await ask(Question("DELETE", root, headers))).status == 403
    assert texts_of(await operations.run_code(ref, "print(open('a').read())", origin="test")) == [
        "1\n"
    ]


async def opened(owner: Any) -> tuple[Session, SessionRef]:
    info = await operations.open_session(
        SessionRef(owner_id=owner.pk, identifier="s"), origin="test"
    )
    return await Session.objects.aget(id=info.id), SessionRef(
        owner_id=owner.pk, identifier=str(info.id)
    )


def changes(execution: Any) -> list[tuple[str, str, bytes]]:
    """Well-formed requests, each of which would change something."""
    notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}
    return [
        ("POST", "/executions", b'{"code": "1"}'),
        ("POST", f"/executions/{execution}/cancel", b""),
        ("POST", "/interrupt", b""),
        ("POST", "/restart", b""),
        ("POST", "/input", b'{"text": "x"}'),
        ("PUT", "/files/content?path=a", b"2"),
        ("PATCH", "/files?path=a", b'{"path": "b"}'),
        ("DELETE", "/files?path=a", b""),
        ("POST", "/files/directories", b'{"path": "d"}'),
        ("PUT", "/notebook?mode=replace", json.dumps(notebook).encode()),
        ("DELETE", "", b""),
    ]


def texts_of(run: Any) -> list[str]:
    return [event["data"]["text"] for event in run.events if event["type"] == "stream"]


# --- Making and revoking -------------------------------------------------------------------------


async def test_an_owner_makes_sees_and_revokes_links(theirs):
    key = await key_of("ada")

    made = await manage(key, "POST", "", {"scope": "run", "expires_in_seconds": 3600.0})
    listed = await manage(key, "GET", "")
    token = made.json()["url"].rstrip("/").rpartition("/")[2]
    opened = await visit(token)
    used = await manage(key, "GET", "")
    revoked = await manage(key, "DELETE", f"/{made.json()['id']}")

    assert made.status == 201
    assert made.json()["url"].startswith("http://localhost/shared/")
    (share,) = listed.json()["shares"]
    assert share == {name: value for name, value in made.json().items() if name != "url"}
    assert (share["scope"], share["made_by"], share["last_used_at"]) == ("run", "ada", None)
    assert token not in listed.body.decode()
    assert token not in str(await Share.objects.values().aget())
    assert opened.status == 302
    assert used.json()["shares"][0]["last_used_at"] is not None
    assert revoked.status == 204
    assert (await manage(key, "GET", "")).json() == {"shares": []}
    assert (await manage(key, "DELETE", f"/{made.json()['id']}")).status == 404
    assert (await visit(token)).status == 404


async def test_links_are_their_sessions_owners_affair(theirs):
    share, _ = await link_to(theirs)
    bob, reader = await key_of("bob"), await key_of("ada", Scope.READ)

    assert (await manage(bob, "GET", "")).status == 404
    assert (await manage(bob, "POST", "", {})).status == 404
    assert (await manage(bob, "DELETE", f"/{share.id}")).status == 404
    assert (await manage(reader, "GET", "")).status == 200
    assert (await manage(reader, "POST", "", {})).status == 403
    assert (await manage(reader, "DELETE", f"/{share.id}")).status == 403


async def test_one_sessions_link_is_not_revoked_through_another(owner, theirs):
    share, _ = await link_to(await live_session("other", owner))

    answer = await manage(await key_of("ada"), "DELETE", f"/{share.id}")

    assert (answer.status, answer.json()["code"]) == (404, "share_not_found")


@pytest.mark.parametrize(
    "body",
    [
        {"scope": "write"},
        {"scope": 1},
        {"expires_in_seconds": 59},
        {"expires_in_seconds": 10**9},
        {"expires_in_seconds": True},
        {"expires_in_seconds": "60"},
        {"expires_at": "2030-01-01T00:00:00Z"},
        [],
    ],
)
async def test_a_link_that_cannot_be_is_refused(theirs, body):
    answer = await manage(await key_of("ada"), "POST", "", body)

    assert (answer.status, answer.json()["code"]) == (400, "invalid_value")
    assert not await Share.objects.aexists()


async def test_a_session_has_so_many_links_and_no_more(theirs, monkeypatch):
    monkeypatch.setattr(shares, "MOST_OF_SESSION", 1)
    key = await key_of("ada")
    first = await manage(key, "POST", "", {})

    assert (await manage(key, "POST", "", {})).json()["code"] == "too_many_shares"
    await manage(key, "DELETE", f"/{first.json()['id']}")
    assert (await manage(key, "POST", "", {})).status == 201


async def test_a_link_goes_with_the_history_of_its_session(owner):
    session = await ended_session("old", owner=owner, events=1)
    _, token = await link_to(session)
    assert (await visit(token)).status == 302

    await sync_to_async(retention.delete_history)([session.id])

    assert not await Share.objects.aexists()
    assert (await visit(token)).status == 404


async def test_at_the_open_door_links_lead_to_what_everybody_sees(owner, theirs, settings):
    _, hidden = await link_to(theirs)
    settings.WORKBENCH_IS_OPEN = True
    await live_session("open", None)
    path = "/api/v1/sessions/open/shares"

    made = await ask(Question("POST", path, ((b"content-type", b"application/json"),), b"{}"))

    assert made.json()["made_by"] is None
    token = made.json()["url"].rstrip("/").rpartition("/")[2]
    assert (await visit(token)).status == 302
    assert (await visit(hidden)).status == 404


async def test_there_are_never_more_links_than_there_may_be(theirs, monkeypatch):
    """Also if many are made at once, each by a thread with a connection of its own."""
    monkeypatch.setattr(shares, "MOST_OF_SESSION", 3)

    def make() -> bool:
        try:
            shares.make_share(theirs, scope=Scope.READ, made_by=theirs.owner_id, expires_at=None)
        except shares.TooManyShares:
            return False
        finally:
            connection.close()
        return True

    made = await asyncio.gather(*(asyncio.to_thread(make) for _ in range(16)))

    assert sum(made) == 3
    assert await Share.objects.acount() == 3


# --- The audit -----------------------------------------------------------------------------------


async def test_links_and_what_guests_do_are_in_the_audit(owner):
    ref = SessionRef(owner_id=owner.pk, identifier="audited")
    info = await operations.open_session(ref, origin="test")
    session = await Session.objects.aget(pk=info.id)
    share, token = await link_to(session, Scope.RUN)
    headers = (*cookie_of(await visit(token)), (b"content-type", b"application/json"))
    path = f"/api/v1/sessions/{info.id}/executions?wait=60"

    ran = await ask(Question("POST", path, headers, b'{"code": "1"}'))
    count = await sync_to_async(shares.revoke)(Share.objects.filter(pk=share.pk))
    again = await sync_to_async(shares.revoke)(Share.objects.filter(pk=share.pk))

    assert (ran.status, count, again) == (200, 1, 0)
    kept = {entry.action: entry async for entry in AuditEntry.objects.all()}
    assert kept["execution_ended"].key_id == share.id
    assert kept["execution_ended"].account == ""
    for action, what in (("link_made", f"{share.id}, to run code"), ("link_revoked", share.id)):
        entry = kept[action]
        assert (entry.what, entry.session_id, entry.identifier) == (what, info.id, "audited")
    assert token not in json.dumps([entry.what for entry in kept.values()])
    await operations.close_session(ref)
