"""Running code over the native API: submit, wait, look, list, cancel, answer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from sessions import operations
from sessions.engines import close_engine
from sessions.exceptions import ExecutionIdTaken
from sessions.history import wait_for_event
from sessions.kernels import executions
from sessions.models import Event, Execution, Session
from sessions.operations import SessionRef
from tests.api.sockets import NOW, ended_session

pytestmark = pytest.mark.usefixtures("host")

REF = SessionRef(owner_id=None, identifier="s")
HERE = "/api/v1/sessions/s"
# The id of nothing; the same each time, as tests are named by it.
NOBODY = "8d3c5a70-61be-4f92-9a04-c7e2b15d8f36"
ENDLESS = "import time\nwhile True: time.sleep(60)"


async def post(api: Any, address: str, body: Any = None, **headers: str) -> Any:
    json = {"content_type": "application/json", "data": {} if body is None else body}
    return await api.post(f"{HERE}/{address}", headers=headers, **json)


async def run(api: Any, code: str, *, wait: int = 60, **headers: str) -> Any:
    """Run code and wait for its end; what comes back."""
    return await post(api, f"executions?wait={wait}", {"code": code}, **headers)


async def opened() -> None:
    await operations.open_session(REF, origin="test")


async def event_of_type(kind: str) -> Event:
    """The first event of a type, once it is there."""
    session = await Session.objects.aget()
    since = 0
    while session.is_live:
        async for event in session.events.filter(number__gt=since).order_by("number"):
            since = event.number
            if event.type == kind:
                return event
        await wait_for_event(session, since, 60)
        await session.arefresh_from_db()
    raise AssertionError("the session has ended")


# --- Submit ------------------------------------------------------------------------------------


@pytest.mark.kernel
async def test_code_that_is_waited_for_comes_back_with_what_it_put_out(api):
    await opened()
    code = (
        "import sys\n"
        "from IPython.display import display\n"
        "print('out'); print('err', file=sys.stderr); display('shown'); 6 * 7"
    )

    answer = await run(api, code)

    told = answer.json()
    assert (answer.status_code, told["state"], told["kind"]) == (200, "succeeded", "code")
    assert (told["code"], told["origin"], told["idempotency_key"]) == (code, "api", None)
    outputs = told["outputs"]
    assert (outputs["stdout"], outputs["stderr"]) == ("out\n", "err\n")
    assert outputs["result"]["text/plain"] == "42"
    assert [each["text/plain"] for each in outputs["displays"]] == ["'shown'"]
    assert (outputs["error"], outputs["dropped_bytes"]) == (None, 0)
    assert told["started_at"] <= told["finished_at"]
    assert told["duration_seconds"] >= 0
    assert (await api.get(answer["Location"])).json() == told


@pytest.mark.kernel
async def test_code_that_nobody_waits_for_is_accepted_and_can_be_looked_at(api):
    await opened()

    accepted = await post(api, "executions", {"code": "1/0"})
    ended = await api.get(accepted["Location"] + "?wait=60")

    assert (accepted.status_code, accepted.json()["outputs"]) == (202, None)
    assert accepted.json()["state"] in ("queued", "running")
    assert (ended.status_code, ended.json()["state"]) == (200, "failed")
    assert ended.json()["outputs"]["error"]["ename"] == "ZeroDivisionError"


@pytest.mark.kernel
async def test_a_command_runs_with_its_input_and_its_exit_code(api):
    await opened()
    command = {"command": ["sh", "-c", "cat; exit 3"], "stdin": "given", "timeout_seconds": 60}

    answer = await post(api, "executions", command, Prefer="respond-async, wait=999")

    told = answer.json()
    assert (answer.status_code, told["kind"], told["exit_code"]) == (200, "command", 3)
    assert told["outputs"]["stdout"] == "given"


@pytest.mark.kernel
async def test_the_wait_ends_before_the_code(api):
    await opened()

    answer = await post(api, "executions", {"code": ENDLESS}, Prefer="wait=0")
    later = await api.get(answer["Location"] + "?wait=1")

    assert (answer.status_code, later.status_code) == (202, 200)
    assert later.json()["finished_at"] is None


@pytest.mark.kernel
async def test_a_timeout_ends_the_code(api):
    await opened()

    answer = await post(api, "executions?wait=60", {"code": ENDLESS, "timeout_seconds": 0.2})

    assert answer.json()["state"] == "timed_out"


# --- Idempotency -------------------------------------------------------------------------------


@pytest.mark.kernel
async def test_the_same_key_and_body_lead_to_the_same_execution(api):
    await opened()

    first = await run(api, "print('once')", **{"Idempotency-Key": '"a key"'})
    again = await post(api, "executions", {"code": "print('once')"}, **{"Idempotency-Key": "a key"})

    assert again.json() == first.json()
    assert first.json()["idempotency_key"] == "a key"
    assert await Execution.objects.acount() == 1


@pytest.mark.kernel
@pytest.mark.parametrize(
    "body", [{"code": "2"}, {"code": "1", "timeout_seconds": 5}, {"command": ["1"]}]
)
async def test_the_same_key_with_another_body_is_refused(api, body):
    await opened()
    key = {"Idempotency-Key": "k"}
    await run(api, "1", **key)

    answer = await post(api, "executions", body, **key)

    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert await Execution.objects.acount() == 1


@pytest.mark.kernel
async def test_a_key_is_known_to_the_next_host(api):
    await opened()
    key = {"Idempotency-Key": "k"}
    first = await run(api, "print('once')", **key)
    await close_engine()  # as a restart of the server does; the session is taken back

    again = await run(api, "print('once')", **key)
    other = await run(api, "print('twice')", **key)
    with pytest.raises(ExecutionIdTaken):
        await operations.run_code(REF, "another", origin="azure", client_id="k")

    assert again.json() == first.json()
    assert other.status_code == 422
    assert await Execution.objects.acount() == 1


@pytest.mark.parametrize("key", ["", '""', "a\tb", "x" * 257, "\x7f"])
async def test_a_bad_key_is_refused(api, key):
    answer = await post(api, "executions", {"code": "1"}, **{"Idempotency-Key": key})

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_value")


# --- Bad input ---------------------------------------------------------------------------------

RUN = {"code": "1"}


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({}, "either"),
        ({"code": None}, "either"),
        ({"code": "1", "command": ["ls"]}, "either"),
        ({"code": 1}, "“code”"),
        ({"code": ["1"]}, "“code”"),
        ({"command": "ls"}, "“command”"),
        ({"command": []}, "“command”"),
        ({"command": ["ls", 1]}, "“command”"),
        ({**RUN, "stdin": "x"}, "“stdin”"),
        ({"command": ["ls"], "stdin": 5}, "“stdin”"),
        ({"command": ["ls"], "allow_input": True}, "“allow_input”"),
        ({"command": ["ls"], "cell": NOBODY}, "“cell”"),
        ({**RUN, "allow_input": 1}, "“allow_input”"),
        ({**RUN, "cell": "first"}, "“cell”"),
        ({**RUN, "cell": 5}, "“cell”"),
        ({**RUN, "timeout_seconds": 0}, "“timeout_seconds”"),
        ({**RUN, "timeout_seconds": -1}, "“timeout_seconds”"),
        ({**RUN, "timeout_seconds": "5"}, "“timeout_seconds”"),
        ({**RUN, "timeout_seconds": True}, "“timeout_seconds”"),
        ({**RUN, "timeout_seconds": 10**400}, "“timeout_seconds”"),
        ({**RUN, "timeout": 5}, "“timeout”"),
        ([], "object"),
    ],
)
async def test_a_bad_body_is_refused_in_words(api, body, word):
    answer = await post(api, "executions", body)

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_value")
    assert word in answer.json()["detail"]
    assert answer["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("method", "address"),
    [
        ("post", "executions?wait=x"),
        ("post", "executions?wait=61"),
        ("post", "executions?wait=-1"),
        ("post", "executions?wait=٣"),
        ("get", "executions?limit=0"),
        ("get", "executions?limit=201"),
        ("get", "executions?state=odd"),
        ("get", "executions?state="),
        ("get", "executions?cursor=x"),
        ("get", "executions?page=2"),
        ("get", f"executions/{NOBODY}?wait="),
        ("get", "events?since=x"),
        ("get", "events?since=-1"),
        ("get", "events?limit=1001"),
        ("get", "events?format=xml"),
        ("get", "events?wait=1.5"),
    ],
)
async def test_a_bad_parameter_is_refused(api, session, method, address):
    is_post = method == "post"
    answer = await (post(api, address, RUN) if is_post else api.get(f"{HERE}/{address}"))

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_value")


@pytest.mark.parametrize(
    ("address", "body"),
    [
        ("executions", RUN),
        ("interrupt", {}),
        ("restart", {}),
        ("input", {"text": "x"}),
    ],
)
async def test_a_session_that_has_ended_runs_nothing(api, session, address, body):
    answer = await post(api, address, body)

    assert (answer.status_code, answer.json()["code"]) == (409, "session_ended")


@pytest.mark.parametrize(
    ("method", "address"),
    [
        ("post", "executions"),
        ("get", "executions"),
        ("get", f"executions/{NOBODY}"),
        ("post", f"executions/{NOBODY}/cancel"),
        ("post", "interrupt"),
        ("post", "restart"),
        ("post", "input"),
        ("get", "events"),
        ("get", "events?format=sse"),
        ("get", ""),
        ("delete", ""),
    ],
)
async def test_a_session_that_never_was_is_not_found(api, method, address):
    body = {"input": {"text": "x"}, "executions": RUN}.get(address, {})
    more = {"data": body, "content_type": "application/json"} if method == "post" else {}

    answer = await getattr(api, method)(f"{HERE}/{address}".rstrip("/"), **more)

    assert (answer.status_code, answer.json()["code"]) == (404, "session_not_found")


@pytest.mark.parametrize("address", ["interrupt", "restart", f"executions/{NOBODY}/cancel"])
async def test_what_takes_no_body_refuses_one(api, session, address):
    answer = await post(api, address, {"force": True})

    assert (answer.status_code, "“force”" in answer.json()["detail"]) == (400, True)


async def test_a_form_of_another_site_cannot_run_code(api, session):
    answer = await api.post(f"{HERE}/executions", '{"code": "1"}', content_type="text/plain")

    assert answer.status_code == 415


@pytest.mark.kernel
async def test_a_queue_that_is_full_says_when_to_come_again(api, monkeypatch):
    monkeypatch.setattr(executions, "MAX_QUEUED", 0)
    await opened()

    answer = await post(api, "executions", RUN)

    assert (answer.status_code, answer.json()["code"]) == (429, "queue_limit_reached")
    assert int(answer["Retry-After"]) > 0
    assert not await Execution.objects.aexists()


# --- List --------------------------------------------------------------------------------------


async def some_executions(session: Session, count: int, **more: Any) -> list[UUID]:
    """Executions that have ended, two at each point of time; the newest first."""
    rows = [
        Execution(
            session=session,
            code=f"{n}",
            origin="test",
            state="failed" if n % 3 == 0 else "succeeded",
            queued_at=NOW + timedelta(seconds=n // 2),
            finished_at=NOW + timedelta(seconds=n),
            **more,
        )
        for n in range(count)
    ]
    await Execution.objects.abulk_create(rows)
    rows.sort(key=lambda row: (row.queued_at, row.id), reverse=True)
    return [row.id for row in rows]


@pytest.mark.parametrize("limit", [1, 3, 200])
async def test_pages_have_every_execution_once_the_newest_first(api, session, limit):
    ids = await some_executions(session, 9)

    found, cursor = [], ""
    while cursor is not None:
        answer = (await api.get(f"{HERE}/executions?limit={limit}{cursor}")).json()
        found += [each["id"] for each in answer["executions"]]
        assert len(answer["executions"]) <= limit
        cursor = answer["next_cursor"] and f"&cursor={answer['next_cursor']}"

    assert found == [str(id_) for id_ in ids]


async def test_a_list_has_one_state_and_the_beginnings_of_the_code(api, session):
    await some_executions(session, 4)
    await Execution.objects.filter(state="failed").aupdate(code="x" * 5_000)

    listed = (await api.get(f"{HERE}/executions?state=failed")).json()["executions"]

    assert {each["state"] for each in listed} == {"failed"}
    assert [(len(each["code"]), each["code_length"]) for each in listed] == [(1_000, 5_000)] * 2
    assert "outputs" not in listed[0]


async def test_what_ended_with_its_session_is_not_cancelled(api, session):
    (id_,) = await some_executions(session, 1)

    answer = await post(api, f"executions/{id_}/cancel")

    assert (answer.status_code, answer.json()["code"]) == (409, "session_ended")


async def test_an_execution_of_another_session_is_not_found(api, session):
    other = await ended_session("other")
    (theirs,) = await some_executions(other, 1)

    answers = [
        await api.get(f"{HERE}/executions/{theirs}"),
        await api.get(f"{HERE}/executions/nothing"),
        await api.get(f"{HERE}/executions?cursor={theirs}"),
    ]

    assert [answer.status_code for answer in answers] == [404, 404, 404]
    assert {answer.json()["code"] for answer in answers} == {"execution_not_found"}


# --- Stop, and answer --------------------------------------------------------------------------


@pytest.mark.kernel
async def test_what_waits_is_cancelled_and_what_runs_is_interrupted(api):
    await opened()
    running = (await post(api, "executions", {"code": f"print(1)\n{ENDLESS}"})).json()["id"]
    waiting = (await post(api, "executions", {"code": "2"})).json()["id"]

    cancelled = await post(api, f"executions/{waiting}/cancel")
    await event_of_type("stream")
    interrupted = await post(api, f"executions/{running}/cancel")
    ended = await api.get(f"{HERE}/executions/{running}?wait=60")
    too_late = await post(api, f"executions/{waiting}/cancel")

    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    assert interrupted.status_code == 200
    assert ended.json()["state"] == "interrupted"
    assert (too_late.status_code, too_late.json()["code"]) == (409, "execution_finished")


@pytest.mark.kernel
async def test_an_interrupt_ends_what_runs_and_a_restart_forgets(api):
    await opened()
    id_ = (await post(api, "executions", {"code": f"kept = 1\nprint(1)\n{ENDLESS}"})).json()["id"]
    await event_of_type("stream")

    interrupted = await post(api, "interrupt")
    ended = await api.get(f"{HERE}/executions/{id_}?wait=60")
    before = await run(api, "kept")
    restarted = await post(api, "restart")
    after = await run(api, "kept")

    assert (interrupted.status_code, restarted.status_code) == (204, 204)
    assert ended.json()["state"] == "interrupted"
    assert before.json()["outputs"]["result"]["text/plain"] == "1"
    assert after.json()["outputs"]["error"]["ename"] == "NameError"


@pytest.mark.kernel
async def test_a_question_of_the_code_is_answered_once(api):
    await opened()
    nobody = await post(api, "input", {"text": "x"})
    asked = await post(api, "executions", {"code": "print(input('?'))", "allow_input": True})
    await event_of_type("input_request")

    answered = await post(api, "input", {"text": "said"})
    ended = await api.get(asked["Location"] + "?wait=60")

    assert (nobody.status_code, nobody.json()["code"]) == (409, "input_not_requested")
    assert answered.status_code == 204
    assert ended.json()["outputs"]["stdout"] == "said\n"


@pytest.mark.kernel
async def test_a_session_is_shown_and_ended(api):
    await opened()

    live = (await api.get(HERE)).json()
    ended = await api.delete(HERE)
    twice = await api.delete(HERE)

    assert (live["identifier"], live["is_live"], live["ended_at"]) == ("s", True, None)
    assert (ended.status_code, ended.content) == (204, b"")
    assert (twice.status_code, twice.json()["code"]) == (409, "session_ended")
    assert (await api.get(HERE)).json()["state"] == "closed"


async def test_the_limits_are_the_operators(api, settings):
    settings.WORKBENCH_MAX_SESSIONS = 7
    settings.WORKBENCH_IDLE_TIMEOUT_SECONDS = 0
    settings.WORKBENCH_MAX_UPLOAD_BYTES = 1_000

    limits = (await api.get("/api/v1/limits")).json()

    assert limits["sessions"]["live"] == 7
    assert limits["sessions"]["idle_seconds"] is None
    assert limits["sessions"]["network"] == ["none"]
    assert limits["sessions"]["uses"] == settings.WORKBENCH_SESSION_LIMITS.to_wire()
    assert limits["transfers"]["upload_bytes"] == 1_000
    assert limits["executions"]["wait_seconds"] == 60
