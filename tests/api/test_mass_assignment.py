"""Nobody gets more by naming it: what a body, a form or a frame may not say is refused or nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.apps import apps
from django.contrib.auth import get_user_model
from django.test import AsyncClient, Client

from files.models import SessionFile
from sessions import operations
from sessions.models import Event, Execution, Session
from sessions.operations import SessionRef
from tests.api.doors import Headers, Route, ask, renderer_of
from tests.api.probes import addresses, probes
from tests.api.sockets import Socket, frame_of
from workbench.access import callers, keys
from workbench.access.failures import Failures
from workbench.access.models import ApiKey, Scope
from workbench.api import errors as native
from workbench.asgi import application

pytestmark = [pytest.mark.django_db(transaction=True)]

MARK = "evil-mark"
ID = "8e03978e-40d5-43e8-bc93-6894a57f9324"
PASSWORD = "correct horse"
# What rows have, and requests must not.
EXTRA: dict[str, Any] = {
    "owner": 1,
    "owner_id": 1,
    "user": 1,
    "userId": "1",
    "ownerAccessKey": MARK,
    "owner_access_key": MARK,
    "id": ID,
    "pk": ID,
    "session": ID,
    "sessionId": ID,
    "state": "lost",
    "status": "lost",
    "reason": MARK,
    "host": MARK,
    "policy": {"network": "host", "mark": MARK},
    "environment": {"MARK": MARK},
    "origin": MARK,
    "scope": "run",
    "may_run": True,
    "is_staff": True,
    "is_superuser": True,
    "is_active": True,
    "groups": [1],
    "kernel_name": MARK,
    "created_at": "2001-01-01T00:00:00Z",
    "ended_at": "2001-01-01T00:00:00Z",
    "last_event_number": 4_000_000_000,
    "idle_timeout_seconds": 4_000_000,
    "secret_hash": MARK,
    "key_id": MARK,
    "__class__": MARK,
    "_state": MARK,
    "session__owner_id": 1,
}
# Fields of a contract have these names as well.
SPOKEN = {"id", "name", "session_id", "identifier", "runId", "mode", "code"}


@pytest.fixture
def closed(host, settings, monkeypatch):
    settings.WORKBENCH_IS_OPEN = False
    settings.WORKBENCH_MAX_SESSIONS = 6
    monkeypatch.setattr(callers, "_failures", Failures(most=10_000, seconds=60))


def everything() -> str:
    """Every row of ours, as text; without what code and requests are remembered by."""
    labels = ("workbench_sessions", "workbench_files", "workbench_access", "auth")
    rows = [
        f"{model.__name__} {row}"
        for label in labels
        for model in apps.get_app_config(label).get_models()
        for row in model.objects.values()
    ]
    return "\n".join(rows)


def asked(route: Route, method: str, asks: Headers, extra: dict[str, Any]) -> Iterator[Any]:
    extra = {name: value for name, value in extra.items() if name not in SPOKEN}
    for question in probes(route, method, asks, session="mine", extra=extra):
        yield question
        body = json.loads(question.body) if question.body.startswith(b"{") else None
        if body is not None:
            for around in ("properties", "config", "options", "metadata"):
                if around == "metadata" and "/cells" in route.template:
                    continue  # anybody's own, in the format of notebooks
                nested = {**body, around: {**extra, **(body.get(around) or {})}}
                without = {key: value for key, value in nested.items() if key not in extra}
                yield type(question)(
                    method, question.target, question.headers, json.dumps(without).encode()
                )


WRITING = [
    (route, method)
    for route in addresses()
    for method in route.methods
    if method in ("POST", "PUT", "PATCH") and route.template not in ("login/", "logout/")
]


@pytest.mark.kernel
async def test_no_body_says_whose_or_what_a_row_is(closed):
    ada = (await sync_to_async(keys.make_key_for)("ada")).key
    key = await sync_to_async(keys.make_key_for)("bob", scope=Scope.RUN)
    bob = key.key.owner_id
    asks = ((b"authorization", f"Bearer {key.text}".encode()),)
    await sync_to_async(get_user_model().objects.filter(pk=ada.owner_id).update)(first_name="Ada")
    theirs = SessionRef(owner_id=ada.owner_id, identifier="theirs")
    await operations.open_session(theirs, origin="test")
    accounts = await sync_to_async(lambda: list(get_user_model().objects.order_by("pk").values()))()
    extra = {**EXTRA, "owner": ada.owner_id, "owner_id": ada.owner_id}
    mine = SessionRef(owner_id=bob, identifier="mine")

    for route, method in WRITING:
        await operations.open_session(mine, origin="test")  # some of these end it
        for question in asked(route, method, asks, extra):
            answer = await ask(question)

            assert answer.status < 500, (question, answer)
            if renderer_of(route) is native.render_error and b'"owner_id"' in question.body:
                is_file = route.template.endswith("/notebook")  # a format of its own
                assert answer.status == (200 if is_file else 400), (question, answer)
        for each in await operations.list_sessions(bob):
            if each.identifier != "mine":
                await operations.close_session(SessionRef(owner_id=bob, identifier=str(each.id)))

    rows = await sync_to_async(everything)()
    assert MARK not in rows
    assert ID not in rows.replace(f"'client_id': '{ID}'", "")
    assert "2001" not in str([each async for each in Session.objects.values("created_at")])
    owners = {row.identifier: row.owner_id async for row in Session.objects.all()}
    assert owners.pop("theirs") == ada.owner_id
    assert set(owners.values()) == {bob}
    assert {row.state async for row in Session.objects.all()} <= {
        "starting",
        "idle",
        "busy",
        "closed",
        "restarting",
    }
    assert not await Execution.objects.filter(session__owner_id=ada.owner_id).aexists()
    assert not await SessionFile.objects.filter(session__owner_id=ada.owner_id).aexists()
    assert [each async for each in get_user_model().objects.order_by("pk").values()] == accounts
    assert await ApiKey.objects.acount() == 2


# --- Frames --------------------------------------------------------------------------------------


@pytest.mark.kernel
async def test_no_frame_says_whose_or_what_a_row_is(closed):
    ada = (await sync_to_async(keys.make_key_for)("ada")).key
    key = await sync_to_async(keys.make_key_for)("bob")
    headers = [(b"authorization", f"Bearer {key.text}".encode()), (b"host", b"localhost")]
    extra = {**EXTRA, "owner_id": ada.owner_id, "owner": ada.owner_id}

    list_socket = Socket(application, "/ws/sessions/", headers)
    await list_socket.connect()
    await list_socket.send_json_to({**extra, "type": "open", "identifier": "mine"})
    told = await frame_of(list_socket, "opened", "error")
    await list_socket.disconnect()
    assert told["type"] == "opened", told

    socket = Socket(application, "/ws/sessions/mine/", headers)
    await socket.connect()
    await socket.send_json_to({**extra, "type": "execute", "code": "6 * 7"})
    while True:
        events = (await frame_of(socket, "events"))["events"]
        if any(event["type"] == "execution_finished" for event in events):
            break
    await socket.disconnect()

    rows = await sync_to_async(everything)()
    assert MARK not in rows
    assert ID not in rows
    session = await Session.objects.aget()
    assert session.owner_id == key.key.owner_id
    assert (await Execution.objects.aget()).origin == session.origin == "browser"


# --- Forms ---------------------------------------------------------------------------------------


def test_a_login_changes_nothing_but_when_it_was(client: Client, settings):
    settings.WORKBENCH_IS_OPEN = False
    user = get_user_model().objects.create_user("eve", password=PASSWORD)
    before = get_user_model().objects.values().get()

    answer = client.post(
        "/login/",
        {
            **{name: str(value) for name, value in EXTRA.items()},
            "username": "eve",
            "password": PASSWORD,
        },
    )

    assert answer.status_code == 302
    assert answer["Location"] == "/workbench/"
    after = get_user_model().objects.values().get()
    assert {name for name in before if before[name] != after[name]} == {"last_login"}
    assert user.pk == after["id"]


@pytest.mark.parametrize(
    "where",
    [
        "https://elsewhere.example/",
        "//elsewhere.example",
        "/\\elsewhere.example",
        "javascript:alert(1)",
    ],
)
def test_a_login_leads_nowhere_else(client: Client, where):
    get_user_model().objects.create_user("eve", password=PASSWORD)

    answer = client.post("/login/", {"username": "eve", "password": PASSWORD, "next": where})

    assert answer["Location"] == "/workbench/"


def test_the_form_of_a_key_changes_what_it_shows(admin_client: Client, settings):
    made = keys.make_key_for("ada", scope=Scope.READ, label="old").key
    before = ApiKey.objects.values().get()
    form = {**{name: str(value) for name, value in EXTRA.items()}, "label": "new", "scope": "run"}

    answer = admin_client.post(f"/admin/workbench_access/apikey/{made.pk}/change/", form)

    assert answer.status_code == 302, answer.context["errors"]
    after = ApiKey.objects.values().get()
    assert {name for name in before if before[name] != after[name]} == {"label"}
    assert after["scope"] == Scope.READ


def test_the_admin_has_no_form_for_what_the_machine_writes(admin_client: Client):
    for model in ("session", "execution", "event", "cell", "notebook"):
        answer = admin_client.post(f"/admin/workbench_sessions/{model}/add/", EXTRA)
        assert answer.status_code == 403, model
    assert not Session.objects.exists()
    assert not Event.objects.exists()


# --- What is remembered and shown to nobody ------------------------------------------------------


@pytest.mark.kernel
async def test_an_environment_is_shown_nowhere(closed, admin_client):
    """Not to others, not in the admin, and not to its owner."""
    key = await sync_to_async(keys.make_key_for)("bob")
    mine = SessionRef(owner_id=key.key.owner_id, identifier="mine")
    secret = {"TOKEN": "tell-nobody"}
    info = await operations.open_session(
        mine, origin="backendai", environment=secret, request={"image": "python", "mark": MARK}
    )
    assert (await Session.objects.aget()).environment == secret
    asks = ((b"authorization", f"Bearer {key.text}".encode()),)

    for route in addresses():
        if "GET" not in route.methods:
            continue
        for question in probes(route, "GET", asks, session="mine"):
            answer = await ask(question)
            assert b"tell-nobody" not in answer.body, route.template
            assert MARK.encode() not in answer.body, route.template
    staff = AsyncClient()
    staff.cookies = admin_client.cookies
    for page in ("", f"{info.id}/change/"):
        shown = await staff.get(f"/admin/workbench_sessions/session/{page}")
        assert shown.status_code == 200
        assert b"mine" in shown.content
        assert b"tell-nobody" not in shown.content
        assert MARK.encode() not in shown.content
