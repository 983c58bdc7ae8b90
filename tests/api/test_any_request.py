"""No request, whatever is in it, is a fault of the server's: at every door, in its own words.

And what is refused has written nothing. Addresses and methods are those of the configuration:
another contract needs an entry in doors.SHAPES and its vocabulary, another address nothing.
"""

from __future__ import annotations

import io
from functools import cache
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.apps import apps
from django.conf import settings as configured
from hypothesis import HealthCheck, given
from hypothesis import settings as how
from hypothesis import strategies as st

from files import operations as files
from sessions import operations
from sessions.exceptions import KernelBusy
from sessions.models import AuditEntry, Event, Host, Session
from tests.api.anything import METHODS, questions
from tests.api.doors import SHAPES, Answer, Question, ask, renderer_of, routes, shape_at
from tests.api.sockets import ref
from tests.api.vocabularies import FACES, NAME, PAGES, Face
from workbench.errors import render_problem

pytestmark = pytest.mark.usefixtures("host")

ROUTES = list(routes())
# What a kernel that is asked for completions has ten seconds for: documented, and no fault of ours.
NO_ANSWER = KernelBusy().message.encode()
# Repeated runs try the same requests.
SAME_EACH_TIME = how(
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
every_face = pytest.mark.parametrize("face", [*FACES, PAGES], ids=lambda face: face.name)


@cache
def questions_of(face: Face) -> st.SearchStrategy[Question]:
    return questions(face, [route for route in ROUTES if renderer_of(route) is face.render_error])


def check(question: Question, answer: Answer) -> None:
    """What is true of every answer."""
    assert answer.status < 500 or (answer.status == 503 and NO_ANSWER in answer.body)
    kind = answer.headers.get("content-type", "")
    if "json" in kind:
        answer.json()
    if answer.status < 400:
        return
    assert b"Traceback" not in answer.body
    assert str(configured.BASE_DIR).encode() not in answer.body
    shape = shape_at(question)
    if shape and not (
        kind.startswith("text/html") and (b"accept", b"text/html") in question.headers
    ):
        shape(answer)
    if answer.status == 405:
        assert answer.headers["allow"]


@sync_to_async
def written(*, with_events: bool = True) -> dict[str, Any]:
    """All that requests may have left: rows, and the files of sessions.

    Not the audit, which tells of refusals too, nor hosts, which write their own rows.
    """
    models = [
        model
        for label in ("workbench_sessions", "workbench_files")
        for model in apps.get_app_config(label).get_models()
        if model not in (AuditEntry, Host) and (with_events or model is not Event)
    ]
    rows: dict[str, Any] = {model.__name__: model.objects.count() for model in models}
    rows["names"] = list(Session.objects.order_by("id").values_list("identifier", "ended_at"))
    paths = (configured.WORKBENCH_DATA_DIR / "sessions").glob("*/files/**/*")
    rows["files"] = sorted((str(path), path.lstat().st_size) for path in paths if path.is_file())
    return rows


async def live_session() -> None:
    """A session called NAME and no other, with files "a" and "d/a"."""
    sessions = await operations.list_sessions(None)
    if [session.identifier for session in sessions] == [NAME]:
        return
    for session in sessions:
        await operations.close_session(ref(str(session.id)))
    info = await operations.open_session(ref(NAME), origin="test")
    for path in ("a", "d/a"):
        await files.save_file(info.id, path, io.BytesIO(b"x,y\n1,2\n"), origin="test")


def test_every_contract_is_asked() -> None:
    rendered = {renderer_of(route) for route in ROUTES}

    assert rendered == {face.render_error for face in FACES} | {None}
    assert set(SHAPES) == {face.render_error for face in FACES} | {render_problem}


async def test_every_address_answers_every_method(settings):
    settings.WORKBENCH_MAX_SESSIONS = 0  # what would be right opens no session either
    for route in ROUTES:
        for method in METHODS:
            for part in (NAME, "%00"):
                path = route.template % dict.fromkeys(route.parts, part)
                question = Question(method, f"/{path}", ((b"content-type", b"a/b"),), b"[")
                check(question, await ask(question))

    assert not any((await written()).values())


@every_face
@how(SAME_EACH_TIME, max_examples=150)
@given(data=st.data())
async def test_no_request_is_a_fault_of_the_servers(settings, face, data):
    settings.WORKBENCH_MAX_SESSIONS = 0
    question = data.draw(questions_of(face))

    check(question, await ask(question))

    assert not any((await written()).values())


@pytest.mark.kernel
@every_face
@how(SAME_EACH_TIME, max_examples=100)
@given(data=st.data())
async def test_no_request_is_a_fault_of_a_sessions(settings, face, data):
    settings.WORKBENCH_MAX_SESSIONS = 1
    question = data.draw(questions_of(face))
    await live_session()
    # Events are left out: the session itself tells of what it was asked before.
    before = await written(with_events=False)

    answer = await ask(question)

    check(question, answer)
    if answer.status >= 400:
        assert await written(with_events=False) == before
