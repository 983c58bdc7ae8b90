"""A closed server: who is let in where, and whose sessions they see."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.db import OperationalError
from django.test import AsyncClient
from django.utils import timezone

from sessions import operations
from sessions.models import Session
from sessions.operations import SessionRef
from tests.api.doors import Question, Route, ask, renderer_of, routes, shape_at
from tests.api.sockets import APPLICATION, NOW, Socket, frame_of
from workbench.access import callers, keys, signatures
from workbench.access.failures import Failures
from workbench.access.keys import NewKey
from workbench.access.models import ApiKey, Scope
from workbench.access.signatures import Signed

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("closed")]

PASSWORD = "correct horse"
SECRET = "tell-nobody"
KERNELS = "/api/v1/kernelspecs"
# Anybody may ask whether the server lives and what it speaks, log in, and open a link to a session
# (test_sharing.py walks all addresses with one); the admin asks for itself.
SHARED = "shared/%(token)s/"
PUBLIC = {"", "backendai", "backendai/", "healthz", "livez", "login/", "logout/", SHARED}
ROUTES = [route for route in routes() if not route.template.startswith("admin/")]
# The addresses that ask who is there, without those that are there for a slash only.
GUARDED = [
    route
    for route in ROUTES
    if route.template not in PUBLIC and not any(part.startswith("_") for part in route.parts)
]


async def made(name: str = "ada", **more: Any) -> NewKey:
    """A key of the account with this name."""
    return await sync_to_async(keys.make_key_for)(name, **more)


def bearer(text: str) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"authorization", b"Bearer " + text.encode()),)


def methods_of(route: Route) -> list[str]:
    return ["GET"] if renderer_of(route) is None else route.methods


def question(route: Route, method: str, headers: Any = (), *, name: str = "s") -> Question:
    path = route.template % dict.fromkeys(route.parts, name)
    return Question(
        method,
        f"/{path}?identifier={name}",
        ((b"content-type", b"application/json"), *headers),
        b"{}",
    )


def test_only_these_addresses_are_for_everybody():
    said = [
        (route.template, getattr(view, "is_public", False))
        for route in ROUTES
        for view in (route.view, getattr(route.view, "view_class", None))
    ]

    assert {address for address, is_public in said if is_public} == PUBLIC


async def test_no_other_address_answers_a_stranger():
    wrong = bearer("wb_ABCDEFGHJKLMNPQR_" + "x" * 43)
    for route in GUARDED:
        for method in route.methods:
            for headers in ((), wrong, ((b"authorization", b"Basic eDp5"),)):
                asked = question(route, method, headers)
                answer = await ask(asked)

                assert answer.status == 401, (method, route.template)
                assert answer.headers["www-authenticate"].startswith("Bearer")
                if shape := shape_at(asked):
                    shape(answer)
    assert not await Session.objects.aexists()


async def test_a_key_opens_every_door():
    key = bearer((await made()).text)
    for route in GUARDED:
        for method in methods_of(route):
            answer = await ask(question(route, method, key))

            assert answer.status not in (401, 403), (method, route.template, answer.body)


@pytest.mark.parametrize("how", ["revoked", "expired", "inactive", "another secret", "cut"])
async def test_a_key_that_is_not_good_any_more(how):
    key = await made()
    text = key.text
    match how:
        case "revoked":
            await ApiKey.objects.aupdate(revoked_at=timezone.now())
        case "expired":
            await ApiKey.objects.aupdate(expires_at=timezone.now() - timedelta(seconds=1))
        case "inactive":
            await get_user_model().objects.aupdate(is_active=False)
        case "another secret":
            text = f"wb_{key.key.key_id}_{'x' * 43}"
        case "cut":
            text = text[:-1]

    answer = await ask(Question("GET", KERNELS, bearer(text)))

    assert answer.status == 401


@pytest.mark.kernel
async def test_a_session_is_its_owners_alone():
    """Whatever somebody else asks for at whichever address, they see and change nothing of it."""
    mine, theirs = await made("ada"), bearer((await made("bob")).text)
    ref = SessionRef(owner_id=mine.key.owner_id, identifier="s")
    info = await operations.open_session(ref, origin="test")
    code = f"open('s', 'w').write('{SECRET}'); print('{SECRET}')"
    run = await operations.run_code(ref, code, origin="test")
    for path in (f"/api/v1/sessions/{info.id}/files", f"/workbench/{info.id}/"):
        assert (await ask(Question("GET", path, bearer(mine.text)))).status == 200
        assert (await ask(Question("GET", path, theirs))).status == 404

    names = ("s", str(info.id), str(run.id))
    for route in GUARDED:
        for name in names:
            for method in methods_of(route):
                answer = await ask(question(route, method, theirs, name=name))

                assert SECRET.encode() not in answer.body, (method, route.template)
                assert answer.status != 500
    assert (await operations.find_session(ref)).id == info.id
    still = await operations.run_code(ref, "print(open('s').read())", origin="test")
    assert [event["data"]["text"] for event in still.events if event["type"] == "stream"] == [
        f"{SECRET}\n"
    ]


async def test_a_key_that_may_only_read_changes_nothing():
    key = bearer((await made(scope=Scope.READ)).text)
    for route in GUARDED:
        for method in methods_of(route):
            answer = await ask(question(route, method, key))
            if method not in ("GET", "HEAD"):
                assert answer.status == 403, (method, route.template)
    assert not await Session.objects.aexists()


async def test_wrong_keys_are_slowed_down_and_good_ones_are_not(monkeypatch):
    monkeypatch.setattr(callers, "_failures", Failures(most=3, seconds=60))
    good = bearer((await made()).text)
    statuses = [(await ask(Question("GET", KERNELS, bearer("wb_x")))).status for _ in range(5)]

    assert statuses == [401, 401, 401, 429, 429]
    assert (await ask(Question("GET", KERNELS, good))).status == 200


async def test_a_use_is_noted_and_a_try_is_not(monkeypatch):
    monkeypatch.setattr(keys, "_noted", {})
    key = await made()
    wrong = bearer(f"wb_{key.key.key_id}_{'x' * 43}")
    forged = (
        (
            b"authorization",
            f"BackendAI signMethod=HMAC-SHA256, credential={key.key.key_id}:00".encode(),
        ),
    )
    for headers in (wrong, forged):
        await ask(Question("GET", KERNELS, headers))
    assert (await ApiKey.objects.aget()).last_used_at is None

    await ask(Question("GET", KERNELS, bearer(key.text)))

    assert (await ApiKey.objects.aget()).last_used_at is not None


async def test_without_a_database_nobody_is_called_a_stranger(monkeypatch):
    key = await made()

    def away(*_: Any) -> None:
        raise OperationalError("database is locked")

    monkeypatch.setattr(keys.ApiKey.objects, "select_related", away)
    for route in GUARDED:
        for method in methods_of(route):
            asked = question(route, method, bearer(key.text))
            answer = await ask(asked)

            assert answer.status == 503, (method, route.template)
            if shape := shape_at(asked):
                shape(answer)
    socket = Socket(APPLICATION, "/ws/sessions/", list(bearer(key.text)))
    await socket.connect()
    assert (await socket.receive_output())["code"] == 4503


# --- Signatures ----------------------------------------------------------------------------------


def signature_of(key: NewKey, target: str, **changes: str) -> tuple[tuple[bytes, bytes], ...]:
    date = timezone.now().isoformat()
    facts = {"method": "GET", "path": target, "date": date, "host": "localhost"}
    more = {"content_type": "text/plain", "version": "v5.20191215"}
    signed = Signed(**{**facts, **more, **changes})
    proof = signatures.sign(signed, key.signing_secret)
    credential = f"BackendAI signMethod=HMAC-SHA256, credential={key.key.key_id}:{proof}"
    return (
        (b"authorization", credential.encode()),
        (b"date", date.encode()),
        (b"content-type", b"text/plain"),
        (b"x-backendai-version", b"v5.20191215"),
    )


async def test_a_signed_request_is_let_in_and_a_changed_one_is_not():
    key = await made()
    target = "/backendai/session/a%20b?x=%2F"

    right = await ask(Question("GET", target, signature_of(key, target)))
    for changes in ({"path": "/other"}, {"method": "DELETE"}, {"host": "elsewhere"}):
        wrong = await ask(Question("GET", target, signature_of(key, target, **changes)))

        assert wrong.status == 401
        assert wrong.json()["type"].endswith("/auth-failed")
    assert right.status == 404


# --- Browsers ------------------------------------------------------------------------------------


@pytest.fixture
async def person():
    return await get_user_model().objects.acreate_user("eve", password=PASSWORD)


async def test_a_person_logs_in_and_out(person):
    client = AsyncClient()
    page = {"Accept": "text/html"}
    away = await client.get("/workbench/", headers=page)
    assert (away.status_code, away["Location"]) == (302, "/login/?next=/workbench/")

    await client.post("/login/", {"username": "eve", "password": "wrong"})
    assert (await client.get("/workbench/")).status_code == 401
    back = await client.post(
        "/login/", {"username": "eve", "password": PASSWORD, "next": "/workbench/"}
    )
    assert back["Location"] == "/workbench/"

    assert (await client.get("/workbench/", headers=page)).status_code == 200
    assert (await client.get(KERNELS)).status_code == 200
    await client.post("/logout/")
    assert (await client.get(KERNELS)).status_code == 401


async def test_passwords_cannot_be_guessed_at_leisure(person, monkeypatch):
    monkeypatch.setattr("workbench.access.pages._failures", Failures(most=2, seconds=60))
    client = AsyncClient()
    for _ in range(3):
        await client.post("/login/", {"username": "eve", "password": "wrong"})

    answer = await client.post("/login/", {"username": "eve", "password": PASSWORD})

    assert "Too many wrong passwords" in answer.content.decode()
    answer = await client.post("/admin/login/", {"username": "eve", "password": PASSWORD})
    assert "Too many wrong passwords" in answer.content.decode()


# --- Sockets -------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/ws/sessions/", "/ws/sessions/s/"])
async def test_a_socket_needs_a_key(path):
    for headers in ([], list(bearer("wb_x"))):
        is_accepted, _ = await Socket(APPLICATION, path, headers).connect()
        assert not is_accepted

    key = await made()
    socket = Socket(APPLICATION, path, list(bearer(key.text)))
    is_accepted, _ = await socket.connect()
    assert is_accepted
    await socket.disconnect()


async def test_who_may_only_read_may_watch_and_not_run():
    key = await made(scope=Scope.READ)
    await Session.objects.acreate(
        identifier="s",
        owner_id=key.key.owner_id,
        origin="test",
        state="idle",
        created_at=NOW,
        last_active_at=NOW,
    )
    socket = Socket(APPLICATION, "/ws/sessions/s/", list(bearer(key.text)))
    assert (await socket.connect())[0]
    await frame_of(socket, "session")

    await socket.send_json_to({"type": "execute", "code": "1"})

    assert (await frame_of(socket, "error"))["code"] == "not_allowed"
    await socket.disconnect()
