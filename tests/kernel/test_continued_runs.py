"""Continued runs over a host by itself: real commands in real sandboxes, real kernels."""

import asyncio
import os
import signal
import time

import pytest

from sessions.exceptions import (
    Conflict,
    ExecutionNotFound,
    InputNotRequested,
    InvalidValue,
    QueueLimitReached,
    SessionNotFound,
)
from sessions.kernels.command import RunningCommand
from sessions.kernels.flow import Flow
from sessions.kernels.sandbox import Sandbox
from sessions.kernels.stdin import can_be_watched
from sessions.outcomes import fold
from tests.hosts import NAMED, descendants, event_of_type, newcomers, run, started_host

pytestmark = pytest.mark.kernel

watched = pytest.mark.skipif(not can_be_watched(), reason="this machine does not show who reads")


def step(name, command=None, code=None):
    """A step; a command may be given as a line for the shell."""
    argv = ["sh", "-c", command] if isinstance(command, str) else command
    return {"name": name, "command": argv, "code": code}


def skipped(name):
    return step(name)


async def start(host, *steps, run_id="r", environment=None):
    await host.open_session(**NAMED, origin="test")
    await host.start_run(
        **NAMED, run_id=run_id, steps=list(steps), origin="test", environment=environment or {}
    )


async def follow(host, run_id="r", wait_seconds=20.0):
    """One answer and its output; told."""
    answer = await host.follow_run(**NAMED, run_id=run_id, wait_seconds=wait_seconds)
    assert await host.told_run(**NAMED, run_id=run_id, answer=answer)
    return answer, fold(events_of(host, answer))


def events_of(host, answer):
    return [
        event
        for event in host.recorder.events
        if event["execution"] in answer["executions"]
        and answer["after"] < event["number"] <= answer["until"]
    ]


async def follow_to_end(host, run_id="r"):
    """The markers as (step, exit code), and all output together."""
    markers, events = [], []
    while True:
        answer = await host.follow_run(**NAMED, run_id=run_id, wait_seconds=20)
        events += events_of(host, answer)
        assert await host.told_run(**NAMED, run_id=run_id, answer=answer)
        if answer["status"] == "step-finished":
            markers.append((answer["step"], answer["exit_code"]))
        if answer["is_last"]:
            return markers, fold(events)


async def is_known(host, run_id):
    """Whether there is such a run; asking does not keep it alive."""
    try:
        await host.answer_run(**NAMED, run_id=run_id, text="")
    except InputNotRequested:
        return True
    except ExecutionNotFound:
        return False
    raise AssertionError("nobody asked")


async def sleeping(host, run_id="r"):
    """Return when a command has printed that it is there."""
    while True:
        _, told = await follow(host, run_id, wait_seconds=0.05)
        if told.stdout:
            return


async def test_each_step_is_told_once_with_its_own_output(host):
    await start(host, step("clean", "echo a"), step("build", "echo b"), step("exec", "echo c"))

    told = [await follow(host) for _ in range(3)]

    steps = [(answer["step"], answer["exit_code"], answer["is_last"]) for answer, _ in told]
    assert steps == [("clean", 0, False), ("build", 0, False), ("exec", 0, True)]
    assert [outcome.stdout for _, outcome in told] == ["a\n", "b\n", "c\n"]


async def test_a_run_whose_end_was_told_is_unknown(host):
    await start(host, step("exec", "true"))
    await follow(host)

    with pytest.raises(ExecutionNotFound):
        await follow(host)


async def test_skipped_steps_are_told_and_make_no_executions(host):
    await start(host, skipped("clean"), step("build", "echo b"), skipped("exec"))

    markers, outcome = await follow_to_end(host)

    assert markers == [("clean", 0), ("build", 0), ("exec", 0)]
    assert outcome.stdout == "b\n"
    assert len(host.recorder.executions) == 1


async def test_after_a_failed_build_nothing_is_executed(host):
    await start(host, skipped("clean"), step("build", "exit 2"), step("exec", "echo never"))

    markers, outcome = await follow_to_end(host)

    states = [(each.state, each.exit_code) for each in host.recorder.executions.values()]
    assert markers == [("clean", 0), ("build", 2), ("exec", 127)]
    assert states == [("failed", 2), ("cancelled", 127)]
    assert outcome.stdout == ""


async def test_a_failed_clean_stops_nothing(host):
    await start(host, step("clean", "exit 1"), skipped("build"), step("exec", "echo c"))

    markers, outcome = await follow_to_end(host)

    assert markers == [("clean", 1), ("build", 0), ("exec", 0)]
    assert outcome.stdout == "c\n"


@pytest.mark.parametrize(
    ("command", "exit_code"),
    [
        (["python3", "-c", "import os; os.abort()"], 134),
        ("sh -c 'kill -TERM $$'; exit $?", 143),
        (["no-such-program"], 127),
        ("exit 7", 7),
    ],
)
async def test_exit_codes_are_those_of_a_shell(host, command, exit_code):
    await start(host, step("exec", command))

    markers, _ = await follow_to_end(host)

    assert markers == [("exec", exit_code)]


async def test_a_follower_hears_of_output_while_the_step_goes_on(host):
    await start(host, step("exec", "echo first; sleep 60"))
    await event_of_type(host, "stream")

    answer, outcome = await follow(host, wait_seconds=0.01)
    again, nothing = await follow(host, wait_seconds=0.01)

    assert (answer["status"], outcome.stdout) == ("continued", "first\n")
    assert (again["status"], nothing.stdout) == ("continued", "")


async def test_what_was_not_handed_over_is_told_again(host):
    await start(host, step("build", "echo b"), step("exec", "echo c"))
    first = await host.follow_run(**NAMED, run_id="r", wait_seconds=20)
    again = await host.follow_run(**NAMED, run_id="r", wait_seconds=20)

    assert again == first
    assert await host.told_run(**NAMED, run_id="r", answer=first)
    assert not await host.told_run(**NAMED, run_id="r", answer=again)
    assert (await follow(host))[0]["step"] == "exec"


async def test_commands_start_in_home_with_their_environment(host):
    command = "pwd; echo $GREETING $SHELL $TERM $PYTHONUNBUFFERED"
    await start(host, step("exec", command), environment={"GREETING": "hi there"})

    _, outcome = await follow_to_end(host)

    assert outcome.stdout == "/home/work\nhi there /bin/bash xterm 1\n"


async def test_an_interrupt_reaches_everything_a_command_started(host):
    before = descendants(os.getpid())
    await start(host, step("exec", "sh -c 'sleep 60; true'; true"))
    while "sleep 60" not in newcomers(before).values():  # before, a shell may miss a signal
        await asyncio.sleep(0.01)

    began = time.monotonic()
    await host.interrupt(**NAMED)
    markers, _ = await follow_to_end(host)

    assert markers == [("exec", 130)]
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("end", ["restart", "close_session"])
async def test_a_run_ends_at_once_with_its_session(host, end):
    stubborn = "trap '' INT TERM; echo here; while :; do sleep 60; done"
    await start(host, step("build", stubborn), step("exec", "echo never"))
    await sleeping(host)
    following = asyncio.create_task(follow(host, wait_seconds=60))
    await asyncio.sleep(0)

    ending = asyncio.create_task(getattr(host, end)(**NAMED))
    async with asyncio.timeout(30):
        answer, _ = await following

    assert (answer["step"], answer["exit_code"], answer["is_last"]) == ("exec", 130, True)
    await ending


async def test_a_run_of_a_session_that_has_ended_is_told_later(host):
    await start(host, step("exec", "sleep 60"))
    await host.close_session(**NAMED)

    answer, _ = await follow(host)

    assert (answer["exit_code"], answer["is_last"]) == (130, True)


async def test_runs_of_one_session_take_turns(host):
    await start(host, step("build", "echo a1"), step("exec", "echo a2"), run_id="a")
    await start(host, step("build", "echo b1"), step("exec", "echo b2"), run_id="b")

    (_, first), (_, second) = await asyncio.gather(
        follow_to_end(host, "a"), follow_to_end(host, "b")
    )

    texts = [event["data"]["text"] for event in host.recorder.events if event["type"] == "stream"]
    assert texts == ["a1\n", "a2\n", "b1\n", "b2\n"]
    assert (first.stdout, second.stdout) == ("a1\na2\n", "b1\nb2\n")


async def test_a_run_under_way_keeps_its_id(host):
    await start(host, step("exec", "sleep 60"))

    with pytest.raises(Conflict):
        await start(host, step("exec", "true"))
    assert len(host.recorder.executions) == 1


async def test_an_id_can_be_used_again_and_executions_keep_their_names(host):
    await start(host, step("exec", "echo 1"))
    await follow_to_end(host)
    await start(host, step("exec", "echo 2"))
    _, outcome = await follow_to_end(host)

    records = list(host.recorder.executions.values())
    assert outcome.stdout == "2\n"
    assert [each.client_id for each in records] == ["r/exec", ""]
    assert records[0].request == {"run": "r", "step": "exec"}


async def test_a_run_is_queued_whole_or_not_at_all(host, monkeypatch):
    monkeypatch.setattr("sessions.kernels.executions.MAX_QUEUED", 2)

    with pytest.raises(QueueLimitReached):
        await start(host, step("clean", "a"), step("build", "b"), step("exec", "c"))

    assert host.recorder.executions == {}
    with pytest.raises(ExecutionNotFound):
        await follow(host)


async def test_a_run_needs_a_session(host):
    with pytest.raises(SessionNotFound):
        await host.start_run(
            **NAMED, run_id="r", steps=[step("exec", "true")], origin="test", environment={}
        )


@pytest.mark.parametrize(
    ("steps", "run_id", "environment"),
    [
        ([], "r", {}),
        ([step("exec", [])], "r", {}),
        ([step("exec", "a\0b")], "r", {}),
        ([step("exec", "true")], "", {}),
        ([step("exec", "true")], "x" * 201, {}),
        ([step("exec", "true")], "r", {"A=B": "c"}),
        ([step("exec", "true")], "r", {"A": "b\0c"}),
        ([step("exec", "true")], "r", {"A": "x" * 200_000}),
    ],
)
async def test_bad_values_run_nothing(host, steps, run_id, environment):
    with pytest.raises(InvalidValue):
        await start(host, *steps, run_id=run_id, environment=environment)
    assert host.recorder.executions == {}


async def test_a_run_nobody_follows_after_its_end_is_forgotten(tmp_path, monkeypatch):
    monkeypatch.setattr("sessions.kernels.host.REAP_SECONDS", 0.01)
    monkeypatch.setattr("sessions.kernels.batch.ABANDONED_SECONDS", 0.05)
    host = await started_host(tmp_path)
    try:
        await start(host, step("exec", "true"))
        async with asyncio.timeout(20):
            while await is_known(host, "r"):
                await asyncio.sleep(0.01)
        assert [each.state for each in host.recorder.executions.values()] == ["succeeded"]
    finally:
        await host.stop()


# --- Queries ------------------------------------------------------------------------------


async def test_a_query_runs_in_the_kernel_and_ends_with_0(host):
    await run(host, "x = 6")
    await start(host, step("query", code="print(x * 7)"))

    markers, outcome = await follow_to_end(host)

    assert (markers, outcome.stdout) == ([("query", 0)], "42\n")


async def test_a_query_that_raises_ends_with_0_as_well(host):
    await start(host, step("query", code="1/0"))

    markers, outcome = await follow_to_end(host)

    assert markers == [("query", 0)]
    assert outcome.error["ename"] == "ZeroDivisionError"


async def test_a_query_whose_kernel_dies_ends_with_130(host):
    await start(host, step("query", code="import os; os._exit(1)"))

    assert (await follow_to_end(host))[0] == [("query", 130)]


async def test_a_query_may_ask(host):
    await start(host, step("query", code="import getpass; getpass.getpass('secret? ')"))

    answer, _ = await follow(host)
    prompts = [each for each in events_of(host, answer) if each["type"] == "input_request"]
    await host.answer_run(**NAMED, run_id="r", text="abc")
    _, outcome = await follow_to_end(host)

    assert (answer["status"], answer["is_password"]) == ("waiting-input", True)
    assert prompts[0]["data"]["prompt"] == "secret? "
    assert outcome.result == {"text/plain": "'abc'"}


# --- Input of commands --------------------------------------------------------------------

ASKS_TWICE = "a = input('one? '); b = input('two? '); print(a + b)"


@watched
async def test_a_program_that_reads_is_asked_for_and_gets_one_line_each(host):
    await start(host, step("exec", ["python3", "-c", ASKS_TWICE]))

    told = []
    for text in ("x", "y"):
        answer, outcome = await follow(host)
        told.append((answer["status"], outcome.stdout))
        await host.answer_run(**NAMED, run_id="r", text=text)
    markers, outcome = await follow_to_end(host)

    assert told == [("waiting-input", "one? "), ("waiting-input", "two? ")]
    assert (markers, outcome.stdout) == ([("exec", 0)], "xy\n")


@watched
async def test_any_door_can_answer_a_command_and_only_once(host):
    await start(host, step("exec", "read line; echo got $line; sleep 60"))
    await event_of_type(host, "input_request")

    await host.answer_input(**NAMED, text="it")
    with pytest.raises(InputNotRequested):
        await host.answer_input(**NAMED, text="again")
    with pytest.raises(InputNotRequested):
        await host.answer_run(**NAMED, run_id="r", text="again")

    assert (await event_of_type(host, "stream"))["data"]["text"] == "got it\n"
    assert await event_of_type(host, "input_answered")


@watched
async def test_a_compiled_program_is_asked_for(host):
    source = (
        "#include <stdio.h>\n"
        'int main() { int n; fputs("n? ", stdout); fflush(stdout);'
        ' scanf("%d", &n); printf("%d", n * 2); return 0; }'
    )
    write = ["python3", "-c", f"open('main.c', 'w').write({source!r})"]
    await start(host, step("clean", write), step("build", "cc main.c"), step("exec", "./a.out"))
    async with asyncio.timeout(30):
        while True:
            answer, outcome = await follow(host)
            if answer["status"] == "waiting-input":
                break
            assert answer["exit_code"] in (0, None), outcome.stderr
    await host.answer_run(**NAMED, run_id="r", text="21")

    markers, result = await follow_to_end(host)

    assert (markers, outcome.stdout, result.stdout) == ([("exec", 0)], "n? ", "42")


@watched
async def test_a_program_that_waits_can_be_interrupted(host):
    await start(host, step("exec", "cat"))
    assert (await follow(host))[0]["status"] == "waiting-input"

    await host.interrupt(**NAMED)

    assert (await follow_to_end(host))[0] == [("exec", 130)]


async def test_only_exec_reads(host):
    await start(host, step("clean", "cat"), step("build", "cat"), skipped("exec"))

    markers, _ = await follow_to_end(host)

    assert markers == [("clean", 0), ("build", 0), ("exec", 0)]


async def test_nobody_answers_a_run_that_does_not_ask(host):
    await start(host, step("exec", "sleep 60"))

    with pytest.raises(InputNotRequested):
        await host.answer_run(**NAMED, run_id="r", text="x")
    with pytest.raises(ExecutionNotFound):
        await host.answer_run(**NAMED, run_id="other", text="x")


# --- What a session is opened with --------------------------------------------------------


async def test_a_sessions_environment_is_its_kernels_and_its_commands(host):
    await host.open_session(**NAMED, origin="test", environment={"GREETING": "hi"})
    await start(host, step("exec", "echo $GREETING"), step("query", code="!echo $GREETING"))

    _, outcome = await follow_to_end(host)

    assert outcome.stdout.splitlines() == ["hi", "hi"]


async def test_an_environment_is_not_obeyed_outside_the_walls(host, tmp_path):
    opened = await host.open_session(
        **NAMED, origin="test", environment={"LD_DEBUG": "files", "LD_DEBUG_OUTPUT": "loaded"}
    )
    await start(host, step("exec", "true"))
    await follow_to_end(host)

    files = tmp_path / "data/sessions" / opened["id"] / "files"
    told = "".join(path.read_text() for path in files.glob("loaded*"))
    assert "needed by sh" in told
    assert "bwrap" not in told


async def test_a_bad_environment_opens_nothing(host):
    with pytest.raises(InvalidValue):
        await host.open_session(**NAMED, origin="test", environment={"1A": "x"})
    assert host.recorder.sessions == {}


async def test_a_renamed_session_is_found_under_its_new_name_only(host):
    opened = await host.open_session(**NAMED, origin="test")

    await host.rename_session(**NAMED, name="t")

    found = await host.find_session(owner_id=None, identifier="t")
    assert (found["id"], found["identifier"]) == (opened["id"], "t")
    with pytest.raises(SessionNotFound):
        await host.find_session(**NAMED)
    await host.close_session(owner_id=None, identifier="t")


async def test_a_taken_name_is_not_given_again(host):
    await host.open_session(**NAMED, origin="test")
    other = await host.open_session(owner_id=None, identifier="t", origin="test")

    for taken in ("t", other["id"]):
        with pytest.raises(Conflict):
            await host.rename_session(**NAMED, name=taken)
    with pytest.raises(InvalidValue):
        await host.rename_session(**NAMED, name="a b")
    assert (await host.find_session(**NAMED))["identifier"] == "s"


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("delay_seconds", [0, 0.0005, 0.001, 0.002, 0.004, 0.008])
async def test_a_command_that_is_ended_while_it_starts_leaves_nothing(
    tmp_path, signum, delay_seconds
):
    sandbox = Sandbox(workspace=tmp_path, sockets=None, readable=())
    for _ in range(5):
        command = await RunningCommand.start(
            ["sleep", "60"],
            sandbox=sandbox,
            environment=sandbox.environment(),
            stdin="",
            on_output=lambda name, text: None,
            flow=Flow(),
        )
        await asyncio.sleep(delay_seconds)
        command.signal(signum)
        await asyncio.wait({command.ended}, timeout=0.2)
        command.kill()
        async with asyncio.timeout(60):
            assert await command.ended != 0
