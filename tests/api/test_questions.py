"""Questions, comms and cells over the socket; and what the list says of memory."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from sessions import frames, operations
from sessions.models import Execution
from sessions.overview import list_overview
from tests.api.sockets import connected, ended_session, events_until, frame_of, ref

NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def asked(socket, kind, answer, **fields):
    """The answer to a question, or the error."""
    await socket.send_json_to({"type": kind, "question": "q1", **fields})
    return await frame_of(socket, answer)


@pytest.mark.kernel
async def test_questions_are_answered_while_code_runs(host, settings):
    await operations.open_session(ref("s"), origin="azure")

    async with connected("/ws/sessions/s/") as socket:
        code = "numbers = [3, 1]; rows = [{'a': 1}]\ninput()"
        await socket.send_json_to({"type": "execute", "code": code})
        await events_until(socket, "input_request")
        completion = await asked(socket, "complete", "completion", code="numb", cursor=4)
        inspection = await asked(socket, "inspect", "inspection", code="numbers", cursor=7)
        variables = await asked(socket, "variables", "variables")
        table = await asked(socket, "table", "table", name="rows", limit=10)
        resources = await asked(socket, "resources", "resources")

    answers = (completion, inspection, variables, table, resources)
    assert {answer["question"] for answer in answers} == {"q1"}
    assert "numbers" in completion["matches"]
    assert inspection["found"] is True
    assert [each["name"] for each in variables["variables"]] == ["numbers", "rows"]
    assert (table["name"], table["rows"], table["total_rows"]) == ("rows", [["1"]], 1)
    assert resources["memory_limit_bytes"] == settings.WORKBENCH_SESSION_LIMITS.memory_bytes


@pytest.mark.kernel
async def test_an_execution_knows_its_cell(host):
    await operations.open_session(ref("s"), origin="azure")
    cell = str(uuid4())

    async with connected("/ws/sessions/s/") as socket:
        await socket.send_json_to({"type": "execute", "code": "1", "cell": cell})
        queued = (await events_until(socket, "execution_queued"))[-1]
        await socket.send_json_to({"type": "execute", "code": "1", "cell": "no uuid"})
        error = await frame_of(socket, "error")

    assert queued["data"]["cell"] == cell
    assert (error["code"], error["in_reply_to"]) == ("invalid_value", "execute")


@pytest.mark.kernel
async def test_a_comm_goes_to_the_kernel_and_its_answer_to_the_log(host):
    await operations.open_session(ref("s"), origin="azure")
    code = (
        "import comm\n"
        "def opened(c, m): c.send(m['content']['data'], buffers=m['buffers'])\n"
        "comm.get_comm_manager().register_target('echo', opened)"
    )
    await operations.run_code(ref("s"), code, origin="azure")

    async with connected("/ws/sessions/s/") as socket:
        message = {"type": "comm", "kind": "open", "comm_id": "c1", "target_name": "echo"}
        await socket.send_json_to({**message, "data": {"n": 1}, "buffers": ["AAE="]})
        event = (await events_until(socket, "comm"))[-1]

    assert (event["data"]["kind"], event["data"]["comm_id"]) == ("msg", "c1")
    assert (event["data"]["data"], event["data"]["buffers"]) == ({"n": 1}, ["AAE="])


@pytest.mark.kernel
async def test_other_languages_say_that_they_have_no_variables(host):
    await operations.open_session(ref("s"), origin="azure", kernel_name="bash")

    async with connected("/ws/sessions/s/") as socket:
        error = await asked(socket, "variables", "error")

    assert (error["code"], error["question"]) == ("not_supported", "q1")
    assert error["message"].endswith(".")


@pytest.mark.parametrize(
    ("frame", "code", "question"),
    [
        ({"type": "complete", "question": "q", "code": "a"}, "invalid_value", "q"),
        ({"type": "complete", "code": "a", "cursor": 1}, "invalid_value", None),
        ({"type": "complete", "question": 1, "code": "a", "cursor": 1}, "invalid_value", None),
        *(
            ({"type": "complete", "question": "q", "code": "a", "cursor": cursor}, *rest)
            for cursor in (True, -1, 1.5, "1", 2**70)
            for rest in [("invalid_value", "q")]
        ),
        ({"type": "table", "question": "q", "name": "x", "descending": 1}, "invalid_value", "q"),
        ({"type": "variables", "question": "q"}, "session_not_found", "q"),
        ({"type": "comm", "kind": "msg", "comm_id": "c", "data": []}, "invalid_value", None),
        ({"type": "comm", "kind": "hum", "comm_id": "c"}, "invalid_value", None),
        ({"type": "comm", "kind": "msg", "comm_id": "c", "buffers": ["é"]}, "invalid_value", None),
        ({"type": "comm", "kind": "msg", "comm_id": "c", "buffers": "AA"}, "invalid_value", None),
    ],
)
async def test_bad_questions_and_comms_are_answered_with_their_question(
    host, frame, code, question
):
    await ended_session()

    async with connected("/ws/sessions/old/") as socket:
        await socket.send_json_to(frame)
        error = await frame_of(socket, "error")

    assert (error["code"], error.get("question")) == (code, question)
    assert error["in_reply_to"] == frame["type"]


def test_an_optional_field_may_be_null():
    text = '{"type": "execute", "code": "1", "cell": null}'

    assert frames.parse(text, frames.SESSION_FRAMES) == ("execute", {"code": "1"})


# The list


async def test_the_list_says_whose_it_is_and_since_when_something_runs(host, django_user_model):
    session = await ended_session()
    session.owner = await django_user_model.objects.acreate(username="ada")
    await session.asave()
    for state, started in (("running", NOW), ("queued", None)):
        await Execution.objects.acreate(
            session=session,
            code="1",
            origin="azure",
            state=state,
            queued_at=NOW,
            started_at=started,
        )

    (row,) = await list_overview(session.owner_id)

    assert (row["owner"], row["running_since"]) == ("ada", "2026-01-01T00:00:00Z")


@pytest.mark.kernel
async def test_the_list_says_who_waits_for_an_answer(host):
    session = await operations.open_session(ref("s"), origin="azure")
    await operations.submit(ref("s"), "input('Who? ')", origin="azure", allow_input=True)

    async with connected("/ws/sessions/s/") as socket:
        await events_until(socket, "input_request")
        (asking,) = await list_overview(None)
        await socket.send_json_to({"type": "input", "text": "me"})
        await events_until(socket, "execution_finished")
        (answered,) = await list_overview(None)

    assert (asking["id"], asking["asks"], answered["asks"]) == (str(session.id), True, False)


@pytest.mark.kernel
async def test_the_list_hears_of_memory_that_grows(host, monkeypatch):
    monkeypatch.setattr("sessions.kernels.host.SAMPLE_SECONDS", 0.05)
    monkeypatch.setattr("sessions.consumers.MEMORY_INTERVAL_SECONDS", 0.05)
    await operations.open_session(ref("s"), origin="azure")

    async with connected("/ws/sessions/") as socket:
        before = None
        while before is None:
            before = (await frame_of(socket, "sessions"))["sessions"][0]["memory_bytes"]
        code = "x = bytearray(300_000_000); x[::4096] = b'1' * len(x[::4096])"
        await operations.run_code(ref("s"), code, origin="azure")
        row = {"memory_bytes": 0}
        while row["memory_bytes"] < before + 200_000_000:
            row = (await frame_of(socket, "sessions"))["sessions"][0]

    assert row["memory_spark"][-1] == row["memory_bytes"]


async def test_a_session_that_has_ended_uses_nothing(host):
    await ended_session()

    async with connected("/ws/sessions/") as socket:
        row = (await frame_of(socket, "sessions"))["sessions"][0]

    assert (row["memory_bytes"], row["memory_spark"], row["owner"]) == (None, [], None)
