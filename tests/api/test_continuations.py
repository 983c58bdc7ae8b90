"""Continued runs over the inline engine: real commands, real rows."""

import asyncio

import pytest

from sessions import continuations, operations
from sessions.continuations import Step
from sessions.exceptions import Conflict, ExecutionNotFound, InputNotRequested, SessionNotFound
from sessions.kernels.stdin import can_be_watched
from sessions.models import Execution, Session
from sessions.operations import SessionRef
from sessions.outcomes import fold

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("host")]

REF = SessionRef(owner_id=None, identifier="s")


def shell(name, line):
    return Step(name=name, command=["sh", "-c", line])


async def start(*steps, **more):
    await operations.open_session(REF, origin="test")
    return await continuations.start_run(REF, list(steps), origin="test", **more)


async def follow(run_id, wait_seconds=20.0):
    return await continuations.follow_run(REF, run_id, wait_seconds=wait_seconds)


async def follow_to_end(run_id):
    """Every answer, the last one included."""
    answers = [await follow(run_id)]
    while not answers[-1].is_last:
        answers.append(await follow(run_id))
    return answers


async def test_a_run_is_told_from_the_rows_and_nothing_twice():
    run_id = await start(Step(name="clean"), shell("build", "echo b"), shell("exec", "exit 3"))

    answers = await follow_to_end(run_id)

    told = [(each.step, each.exit_code, fold(each.events).stdout) for each in answers]
    assert told == [("clean", 0, ""), ("build", 0, "b\n"), ("exec", 3, "")]
    assert [each.status for each in answers] == ["step-finished"] * 3
    assert {event["type"] for each in answers for event in each.events} == {"stream"}


async def test_each_step_is_an_execution_with_its_origin():
    await start(shell("build", "true"), shell("exec", "true"), run_id="mine")
    await follow_to_end("mine")

    rows = [row async for row in Execution.objects.order_by("queued_at")]
    assert [row.client_id for row in rows] == ["mine/build", "mine/exec"]
    assert [row.request for row in rows] == [
        {"run": "mine", "step": "build"},
        {"run": "mine", "step": "exec"},
    ]
    assert {(row.kind, row.origin, row.state) for row in rows} == {("command", "test", "succeeded")}


async def test_output_arrives_in_pieces_without_loss_or_repetition():
    code = "import time\nfor n in range(50): print(n, flush=True); time.sleep(0.01)"
    run_id = await start(Step(name="query", code=code))

    events = []
    while True:
        answer = await follow(run_id, wait_seconds=0.05)
        events += answer.events
        if answer.is_last:
            break

    assert fold(events).stdout == "".join(f"{n}\n" for n in range(50))
    assert [each["number"] for each in events] == sorted({each["number"] for each in events})


async def test_a_call_that_goes_away_loses_nothing():
    run_id = await start(shell("exec", "sleep 0.3; echo done"))
    gone = asyncio.create_task(follow(run_id))
    await asyncio.sleep(0)
    gone.cancel()
    await operations.wait(REF, f"{run_id}/exec")

    answer = await follow(run_id)

    assert (answer.step, fold(answer.events).stdout) == ("exec", "done\n")


async def test_of_many_who_follow_one_run_each_thing_is_told_to_one():
    run_id = await start(
        shell("clean", "echo 1"), shell("build", "echo 2"), shell("exec", "echo 3")
    )

    answers = await asyncio.gather(*(follow(run_id) for _ in range(3)))

    assert sorted(each.step for each in answers) == ["build", "clean", "exec"]
    assert sorted(fold(each.events).stdout for each in answers) == ["1\n", "2\n", "3\n"]


@pytest.mark.skipif(not can_be_watched(), reason="this machine does not show who reads")
async def test_a_prompt_is_told_after_what_was_printed_and_answered_once():
    program = "name = input('name? '); print('hello ' + name)"
    run_id = await start(Step(name="exec", command=["python3", "-c", program]))

    asked = await follow(run_id)
    await continuations.answer_run(REF, run_id, "Ada")
    with pytest.raises(InputNotRequested):
        await continuations.answer_run(REF, run_id, "Grace")
    (answer,) = await follow_to_end(run_id)

    assert (asked.status, asked.is_password) == ("waiting-input", False)
    assert [event["type"] for event in asked.events] == ["stream", "input_request"]
    assert (fold(asked.events).stdout, fold(answer.events).stdout) == ("name? ", "hello Ada\n")


async def test_a_run_of_a_closed_session_is_told_to_its_end():
    run_id = await start(shell("exec", "sleep 60"))
    following = asyncio.create_task(follow(run_id, wait_seconds=60))
    await asyncio.sleep(0)

    await operations.close_session(REF)

    answer = await following
    assert (answer.step, answer.is_last, answer.exit_code) == ("exec", True, 130)


async def test_unknown_runs_and_sessions_are_not_found():
    with pytest.raises(SessionNotFound):
        await continuations.start_run(REF, [Step(name="exec")], origin="test")
    with pytest.raises(ExecutionNotFound):
        await follow("nothing")
    with pytest.raises(ExecutionNotFound):
        await continuations.answer_run(REF, "nothing", "text")


async def test_other_owners_do_not_find_a_run():
    run_id = await start(shell("exec", "true"))

    with pytest.raises(ExecutionNotFound):
        await continuations.follow_run(
            SessionRef(owner_id=7, identifier="s"), run_id, wait_seconds=0
        )


async def test_what_a_session_was_opened_with_is_remembered():
    request = {"image": "python:3.11", "environ": ["A"]}
    opened = await operations.open_session(
        REF, origin="test", environment={"A": "secret"}, request=request
    )

    row = await Session.objects.aget(id=opened.id)
    assert (opened.request, row.request) == (request, request)


async def test_a_renamed_session_keeps_its_rows_and_its_runs():
    run_id = await start(shell("exec", "echo 1"))
    await operations.rename_session(REF, "t")
    new = SessionRef(owner_id=None, identifier="t")

    answer = await continuations.follow_run(new, run_id, wait_seconds=20)

    row = await Session.objects.aget()
    assert (row.identifier, answer.step) == ("t", "exec")
    assert (await operations.wait(new, f"{run_id}/exec")).state == "succeeded"


async def test_two_who_want_one_name_do_not_both_get_it():
    await operations.open_session(REF, origin="test")
    other = SessionRef(owner_id=None, identifier="u")
    await operations.open_session(other, origin="test")

    results = await asyncio.gather(
        operations.rename_session(REF, "t"),
        operations.rename_session(other, "t"),
        return_exceptions=True,
    )

    assert sorted(type(each) for each in results if each) == [Conflict]
    assert await Session.objects.filter(identifier="t").acount() == 1
