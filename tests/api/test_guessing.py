"""What belongs to somebody else is not there: the same answer as for what never was, everywhere."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from sessions import operations
from sessions.models import Event, Session
from sessions.operations import SessionRef
from tests.api.doors import Answer, Headers, Question, Route, ask
from tests.api.notebooks import edit, new_cell
from tests.api.probes import addresses, probes
from tests.api.sockets import Socket, frame_of
from workbench.access import callers, keys
from workbench.access.failures import Failures
from workbench.asgi import application

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("closed"),
    pytest.mark.kernel,
]

# As long as each other, so that what is as long as a name is as well.
THEIRS, NOBODYS = "tell-nobody", "tell-noone1"
ID = "5b0e0c1e-71d2-4222-8333-944455556666"  # of nothing at all
SECRET = "the-secret-itself"
ADDRESSES = addresses()
# What tells of the server, or of all one has, as it is at the moment.
NAMELESS = ("login/", "logout/", "metrics", "workbench/", "api/v1/keys")
# What is another one for each request.
_OWN_HEADERS = {"x-request-id", "set-cookie", "content-security-policy", "content-length"}
_TOKENS = re.compile(r"(nonce|value)=\"[\w-]{22,64}\"")


@pytest.fixture
def places() -> int:
    """How many sessions there may be: Ada's and Bob's, so that no request opens another."""
    return 2


@pytest.fixture
def closed(host, settings, monkeypatch, places):
    settings.WORKBENCH_IS_OPEN = False
    settings.WORKBENCH_MAX_SESSIONS = places
    monkeypatch.setattr(callers, "_failures", Failures(most=10_000, seconds=60))


@dataclass
class World:
    """Ada has a session, with all that a session may have; Bob asks, and has one as well."""

    ada: SessionRef
    bob: SessionRef
    asks: Headers
    session: Session
    execution: str

    @property
    def names(self) -> list[tuple[str, str]]:
        """What is Ada's, and what would be its name if there were something."""
        session = str(self.session.id)
        return [
            (THEIRS, NOBODYS),
            (session, ID),
            (session.upper(), ID.upper()),
            (session.replace("-", ""), ID.replace("-", "")),
        ]


@pytest.fixture
async def world(closed) -> World:
    made = [await sync_to_async(keys.make_key_for)(name) for name in ("ada", "bob")]
    ada, bob = (SessionRef(owner_id=key.key.owner_id, identifier=THEIRS) for key in made)
    code = f"open('secret.txt', 'w').write('{SECRET}'); print('{SECRET}')"
    ran = await operations.run_code(ada, code, origin="test", create=True, client_id="their-run")
    bob = replace(bob, identifier="mine")
    await operations.open_session(bob, origin="test")
    session = await Session.objects.aget(identifier=THEIRS)
    await edit(session, new_cell(source=SECRET))
    asks = ((b"authorization", f"Bearer {made[1].text}".encode()), (b"host", b"localhost"))
    return World(ada, bob, asks, session, str(ran.id))


def said(answer: Answer, *names: str) -> tuple[int, dict[str, str], str]:
    """An answer without the names that were asked for, and without what is new each time."""

    def masked(text: str) -> str:
        for name in names:
            text = text.replace(name, "NAME")
        return text

    headers = {
        name: masked(value) for name, value in answer.headers.items() if name not in _OWN_HEADERS
    }
    body = _TOKENS.sub("", answer.body.decode("latin1"))
    return answer.status, headers, masked(body)


async def same_answers(world: World, route: Route, method: str, theirs: Any, nobodys: Any) -> None:
    """Raise AssertionError if what is Ada's is answered in another way than what is nobody's."""
    one = probes(route, method, world.asks, **theirs)
    other = probes(route, method, world.asks, **nobodys)
    for asked, asked_too in zip(one, other, strict=True):
        answers = [await ask(each) for each in (asked, asked_too)]
        assert SECRET.encode() not in answers[0].body
        assert said(answers[0], *theirs.values()) == said(answers[1], *nobodys.values()), asked


async def test_no_address_tells_a_foreign_session_from_none(world):
    for route in ADDRESSES:
        if route.template in NAMELESS:
            continue
        for method in route.methods:
            for theirs, nobodys in world.names:
                await same_answers(world, route, method, {"session": theirs}, {"session": nobodys})
    assert (await operations.find_session(world.ada)).id == world.session.id


async def test_no_address_tells_a_foreign_execution_from_none(world):
    routes = [each for each in ADDRESSES if {"execution", "execution_id"} & set(each.parts)]
    names = [
        (world.execution, ID),
        ("their-run", "other-run"),
        ("their-run/query", "other-run/query"),
    ]
    assert len(routes) >= 4
    running = next(each for each in ADDRESSES if each.template == "session/%(name)s")
    asked = [(route, method) for route in routes for method in route.methods]
    for route, method in [*asked, (running, "POST")]:
        for theirs, nobodys in names:
            for session in ("mine", THEIRS):
                await same_answers(
                    world,
                    route,
                    method,
                    {"execution": theirs, "session": session},
                    {"execution": nobodys, "session": session},
                )


async def test_no_cursor_and_no_key_tells_of_others(world):
    """Ids in queries, headers and bodies: pages of a list, cells, a client's own ids."""
    mine = "/api/v1/sessions/mine/executions"
    cell = str((await world.session.cells.aget()).key)
    labelled = ((b"content-type", b"application/json"), *world.asks)
    for theirs, nobodys in ((world.execution, ID), (cell, ID)):
        pages = [
            await ask(Question("GET", f"{mine}?cursor={id_}", world.asks))
            for id_ in (theirs, nobodys)
        ]
        assert said(pages[0], theirs) == said(pages[1], nobodys)

    body = json.dumps({"code": "print('mine')"}).encode()
    key = (b"idempotency-key", b"their-run")
    ran = await ask(Question("POST", f"{mine}?wait=60", (*labelled, key), body))

    assert ran.json()["outputs"]["stdout"] == "mine\n"
    assert ran.json()["session"] != str(world.session.id)


# --- Sockets -------------------------------------------------------------------------------------


async def heard(path: str, asks: Headers, *frames: dict[str, Any]) -> Any:
    """Whether a socket is accepted, and what it says until its end, or to each of the frames."""
    socket = Socket(application, path, list(asks))
    is_accepted, _ = await socket.connect()
    if not is_accepted:
        return False
    seen: list[Any] = []
    if not frames:
        while (message := await socket.receive_output())["type"] != "websocket.close":
            seen.append(message)
        return [*seen, message]
    await frame_of(socket, "live")
    for frame in frames:
        await socket.send_json_to(frame)
        seen.append(await frame_of(socket, "error", "opened"))
    await socket.disconnect()
    return seen


async def test_no_socket_tells_a_foreign_session_from_none(world):
    for theirs, nobodys in world.names:
        for path in (
            "/ws/sessions/{}/",
            "/ws/sessions/{}/?since=1",
            "/ws/notebooks/{}/",
            "/ws/notebooks/{}/?since=1",
            "/stream/session/{}/execute",
            "/backendai/stream/kernel/{}/execute",
        ):
            heard_of = [await heard(path.format(name), world.asks) for name in (theirs, nobodys)]
            assert heard_of[0] == heard_of[1], path


async def test_the_list_of_sessions_acts_on_nobody_elses(world):
    for theirs, nobodys in world.names:
        asked = [
            [
                {"type": kind, "identifier": name}
                for kind in ("interrupt", "restart", "close", "open")
            ]
            for name in (theirs, nobodys)
        ]
        answers = [await heard("/ws/sessions/", world.asks, *frames) for frames in asked]
        assert answers[0] == answers[1]
    assert (await operations.find_session(world.ada)).id == world.session.id


async def test_frames_of_a_session_name_nothing_of_anothers(world):
    """Executions to be cancelled, cells to run for, comms: all of the socket's own session."""
    cell = str((await world.session.cells.aget()).key)
    path = "/ws/sessions/mine/"
    for theirs, nobodys in ((world.execution, ID), ("their-run", "other-run")):
        answers = [
            await heard(path, world.asks, {"type": "cancel", "execution": id_})
            for id_ in (theirs, nobodys)
        ]
        assert answers[0] == answers[1]

    socket = Socket(application, path, list(world.asks))
    await socket.connect()
    await socket.send_json_to(
        {"type": "execute", "code": "1", "client_id": "their-run", "cell": cell}
    )
    queued = await _first_event(socket, "execution_queued")
    await socket.disconnect()

    assert queued["execution"] != world.execution
    # Their cell is as it was; that a run of ours says its key touches nobody.
    assert (await world.session.cells.aget()).source == SECRET
    assert (
        await Event.objects.filter(session=world.session, execution_id=queued["execution"]).acount()
        == 0
    )


async def _first_event(socket: Socket, kind: str) -> dict[str, Any]:
    while True:
        for event in (await frame_of(socket, "events"))["events"]:
            if event["type"] == kind:
                return dict(event)


# --- The same name -------------------------------------------------------------------------------

OPENING = {
    "native": ("POST", "/api/v1/sessions", {"identifier": "{}"}),
    "backendai": ("POST", "/session", {"name": "{}", "image": "python"}),
    "azure": ("GET", "/files?api-version=2025-10-02-preview&identifier={}", {}),
    "sandbox": ("POST", "/sandbox/{}/files/upload/-/mine.txt", {}),
}


@pytest.mark.parametrize("places", [10])
@pytest.mark.parametrize("door", OPENING)
async def test_a_name_that_somebody_else_has_is_free(world, door):
    method, target, body = OPENING[door]
    for name in (THEIRS, str(world.session.id)):
        filled = json.dumps(body).replace("{}", name).encode() if body else b"x"
        labelled = ((b"content-type", b"application/json"), *world.asks)

        answer = await ask(Question(method, target.format(name), labelled, filled))

        assert answer.status in (200, 201), answer.body
        opened = await Session.objects.aget(identifier=name, owner_id=world.bob.owner_id)
        assert opened.id != world.session.id
        assert str(world.session.id) not in answer.body.decode().replace(name, "")
        listed = await ask(Question("GET", f"/api/v1/sessions/{opened.id}/files", world.asks))
        assert b"secret.txt" not in listed.body


# --- Before the server was closed ----------------------------------------------------------------


@pytest.mark.parametrize("places", [10])
async def test_a_stranger_hears_nothing_of_sessions_without_an_owner(world):
    """They are of the time when the server was open; ``/`` is for everybody, and told of one."""
    nobodys = SessionRef(owner_id=None, identifier="default")
    before = (await ask(Question("GET", "/"))).json()
    await operations.open_session(nobodys, origin="sandbox")

    for asks in ((), world.asks):
        assert (await ask(Question("GET", "/", asks))).json() == before
