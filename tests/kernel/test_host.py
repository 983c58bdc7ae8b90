"""A host by itself: no Django, no database, real kernels."""

import asyncio
import os

import pytest

from sessions.exceptions import (
    Conflict,
    ExecutionFinished,
    ExecutionIdTaken,
    ExecutionNotFound,
    InputNotRequested,
    InvalidValue,
    KernelspecNotFound,
    SessionLimitReached,
    SessionNotFound,
)
from sessions.outcomes import fold
from tests.hosts import (
    NAMED,
    ROOT,
    descendants,
    event_of_type,
    newcomers,
    run,
    run_arguments,
    started_host,
)

pytestmark = pytest.mark.kernel


async def test_code_runs_and_state_is_kept(host):
    await run(host, "x = 6")
    result = await run(host, "print('hi'); x * 7")

    assert result["state"] == "succeeded"
    outcome = fold(result["events"])
    assert (outcome.stdout, outcome.result) == ("hi\n", {"text/plain": "42"})


async def test_events_are_numbered_without_gaps(host):
    await run(host, "print(1)")
    await run(host, "1/0")

    numbers = [event["number"] for event in host.recorder.events]
    assert numbers == list(range(1, len(numbers) + 1))


async def test_an_exception_fails_the_execution(host):
    result = await run(host, "1/0")

    assert result["state"] == "failed"
    assert fold(result["events"]).error["ename"] == "ZeroDivisionError"


async def test_the_workspace_is_the_working_directory_under_both_names(host, tmp_path):
    result = await run(
        host,
        "import os; open('a.txt', 'w').write('x')\n"
        "(os.getcwd(), os.path.exists('/mnt/data/a.txt'), os.path.exists('/home/work/a.txt'))",
    )

    assert fold(result["events"]).result["text/plain"] == "('/mnt/data', True, True)"
    assert (tmp_path / "data/sessions" / result["session_id"] / "files/a.txt").read_text() == "x"


async def test_sessions_do_not_see_the_server(host, monkeypatch):
    monkeypatch.setenv("WORKBENCH_SECRET_KEY", "do-not-tell")

    code = f"""
import os, glob
environments = []
for path in glob.glob("/proc/*/environ"):
    try:
        environments.append(open(path, "rb").read())
    except PermissionError:
        pass
(any(b"do-not-tell" in each for each in environments), os.path.exists({str(ROOT / "manage.py")!r}))
"""
    result = await run(host, code)

    assert fold(result["events"]).result["text/plain"] == "(False, False)"


async def test_a_timeout_freezes_what_counts_and_the_next_run_works(host):
    result = await run(
        host, "import time; print('before', flush=True); time.sleep(60)", timeout_seconds=1
    )

    assert result["state"] == "timed_out"
    assert fold(result["events"]).stdout == "before\n"
    assert (await run(host, "1 + 1"))["state"] == "succeeded"


async def test_code_that_ignores_the_interrupt_loses_its_kernel(host, monkeypatch):
    monkeypatch.setattr("sessions.kernels.runs.INTERRUPT_GRACE_SECONDS", 0.5)
    stubborn = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(60)"

    result = await run(host, stubborn, timeout_seconds=1)

    assert result["state"] == "timed_out"
    assert fold((await run(host, "'time' in globals()"))["events"]).result == {
        "text/plain": "False"
    }


async def test_only_one_execution_is_at_the_kernel(host):
    first = await host.submit(**run_arguments("import time; time.sleep(60)"))
    second = await host.submit(**run_arguments("2"))
    await event_of_type(host, "execution_started")

    states = {str(key): record.state for key, record in host.recorder.executions.items()}
    assert (states[first["id"]], states[second["id"]]) == ("running", "queued")


async def test_a_queued_execution_can_be_cancelled(host):
    await host.submit(**run_arguments("import time; time.sleep(60)"))
    queued = await host.submit(**run_arguments("print('never')"))

    await host.cancel(**NAMED, execution_id=queued["id"])

    states = {str(key): record.state for key, record in host.recorder.executions.items()}
    assert states[queued["id"]] == "cancelled"


async def test_an_interrupt_passes_a_running_execution(host):
    running = asyncio.create_task(run(host, "import time; print(1, flush=True); time.sleep(60)"))
    await event_of_type(host, "stream")

    await host.interrupt(**NAMED)

    result = await running
    assert result["state"] == "interrupted"
    assert fold(result["events"]).error["ename"] == "KeyboardInterrupt"


async def test_questions_are_answered_while_code_runs(host):
    await run(host, "wonderful = 1")
    await host.submit(**run_arguments("import time; print(1, flush=True); time.sleep(60)"))
    await event_of_type(host, "stream")

    completion = await host.complete(**NAMED, code="wonderf", cursor=7)
    inspection = await host.inspect(**NAMED, code="wonderful", cursor=3, detail=0)

    assert completion["matches"] == ["wonderful"]
    assert inspection["found"]


async def test_input_is_answered_once(host):
    running = asyncio.create_task(run(host, "input('name? ')", allow_input=True))
    prompt = await event_of_type(host, "input_request")
    await host.answer_input(**NAMED, text="Ada")

    with pytest.raises(InputNotRequested):
        await host.answer_input(**NAMED, text="Grace")
    assert prompt["data"] == {"prompt": "name? ", "password": False}
    assert fold((await running)["events"]).result == {"text/plain": "'Ada'"}


async def test_input_fails_at_once_where_nobody_can_answer(host):
    result = await run(host, "input()")

    assert fold(result["events"]).error["ename"] == "StdinNotImplementedError"


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("import os; os._exit(3)", "The kernel exited with code 3."),
        ("import os; os.kill(os.getpid(), 9)", "The kernel was ended by signal 9."),
    ],
)
async def test_a_dying_kernel_fails_its_execution_and_is_replaced(host, code, sentence):
    result = await run(host, code)

    assert (result["state"], result["reason"]) == ("failed", sentence)
    assert (await run(host, "1"))["state"] == "succeeded"


async def test_a_kernel_that_dies_while_idle_is_told_and_replaced(host):
    code = "import os, threading; threading.Timer(0.2, os._exit, (5,)).start()"
    await run(host, code)
    async with asyncio.timeout(60):
        while (await host.find_session(**NAMED))["state"] != "died":
            await asyncio.sleep(0.01)

    assert (await host.find_session(**NAMED))["reason"] == "The kernel exited with code 5."
    assert (await run(host, "1"))["state"] == "succeeded"


async def test_output_of_threads_after_the_end_is_in_the_log_but_not_in_the_answer(host):
    code = "import threading; threading.Timer(0.3, print, ('late',), {'end': ''}).start()"
    result = await run(host, code)

    late = await event_of_type(host, "stream")
    assert fold(result["events"]).stdout == ""
    assert (late["execution"], late["data"]["text"]) == (result["id"], "late")


async def test_a_restart_interrupts_what_runs_and_cancels_what_waits(host):
    running = asyncio.create_task(run(host, "x = 1; import time; time.sleep(60)"))
    await event_of_type(host, "execution_started")
    waiting = asyncio.create_task(run(host, "2"))
    while len(host.recorder.executions) < 2:
        await asyncio.sleep(0)

    await host.restart(**NAMED)

    assert (await running)["state"] == "interrupted"
    assert (await waiting)["state"] == "cancelled"
    assert (await run(host, "x"))["state"] == "failed"


async def test_a_command_sees_the_workspace_and_gives_its_exit_code(host):
    await run(host, "open('a.txt', 'w').write('content')")

    result = await run(
        host,
        "",
        kind="command",
        command=["sh", "-c", "cat a.txt; cat; echo oops >&2; exit 3"],
        stdin=" and input",
    )

    outcome = fold(result["events"])
    assert (result["state"], result["exit_code"]) == ("failed", 3)
    assert (outcome.stdout, outcome.stderr) == ("content and input", "oops\n")


async def test_a_command_ends_with_its_timeout_and_takes_its_children_along(host):
    before = descendants(os.getpid())

    result = await run(
        host, "", kind="command", command=["sh", "-c", "sleep 60 & sleep 60"], timeout_seconds=1
    )
    await run(host, "1")

    sleeping = [command for command in newcomers(before).values() if command == "sleep 60"]
    assert (result["state"], sleeping) == ("timed_out", [])


async def test_a_program_that_does_not_exist_fails_in_words(host):
    result = await run(host, "", kind="command", command=["no-such-program"])

    assert result["state"] == "failed"
    assert "no-such-program" in fold(result["events"]).stderr


async def test_the_same_submission_under_one_client_id_runs_once(host):
    first = await host.submit(**run_arguments("print(1)", client_id="mine"))
    again = await run(host, "print(1)", client_id="mine")

    assert again["id"] == first["id"]
    assert len(host.recorder.executions) == 1
    with pytest.raises(ExecutionIdTaken):
        await run(host, "print(2)", client_id="mine")


async def test_a_caller_who_goes_away_stops_nothing(host):
    caller = asyncio.create_task(run(host, "import time; time.sleep(1); print('done')"))
    await event_of_type(host, "execution_started")
    caller.cancel()

    finished = await event_of_type(host, "execution_finished")

    assert finished["data"]["state"] == "succeeded"


async def test_too_much_output_keeps_head_and_tail(tmp_path):
    host = await started_host(tmp_path, max_output_bytes=1000)
    try:
        result = await run(host, "print('a' * 600); print('b' * 5000); print('c' * 600)")
    finally:
        await host.stop()

    outcome = fold(result["events"])
    assert outcome.stdout[:500] == "a" * 500
    assert outcome.stdout[-500:] == "c" * 499 + "\n"
    assert outcome.dropped_bytes == 601 + 5001 + 601 - 1000


async def test_closing_removes_everything_and_frees_the_name(host, tmp_path):
    first = await run(host, "open('a.txt', 'w').write('x')")

    await host.close_session(**NAMED)

    assert list((tmp_path / "run/k").iterdir()) == []
    assert not (tmp_path / "data/sessions" / first["session_id"] / "files").exists()
    with pytest.raises(SessionNotFound):
        await host.find_session(**NAMED)
    second = await run(host, "import os; os.listdir()")
    assert second["session_id"] != first["session_id"]
    assert fold(second["events"]).result == {"text/plain": "[]"}


async def test_who_opens_a_name_that_is_closing_gets_a_fresh_session(host):
    first = await host.open_session(**NAMED, origin="test")

    closing = asyncio.create_task(host.close_session(**NAMED))
    while await host.list_sessions(owner_id=None):
        await asyncio.sleep(0)
    second = await host.open_session(**NAMED, origin="test")
    await closing

    assert second["created"]
    assert second["id"] != first["id"]


async def test_many_who_open_one_name_share_one_session(host):
    opened = await asyncio.gather(*(host.open_session(**NAMED, origin="test") for _ in range(5)))

    assert len({each["id"] for each in opened}) == 1
    assert sum(each["created"] for each in opened) == 1


async def test_owners_do_not_see_each_others_sessions(host):
    mine = await host.open_session(owner_id=1, identifier="s", origin="test")

    for name in ("s", mine["id"]):
        with pytest.raises(SessionNotFound):
            await host.find_session(owner_id=2, identifier=name)
    assert await host.list_sessions(owner_id=2) == []
    other = await host.open_session(owner_id=2, identifier="s", origin="test")
    assert other["id"] != mine["id"]


async def test_an_idle_session_expires(tmp_path, monkeypatch):
    monkeypatch.setattr("sessions.kernels.host.REAP_SECONDS", 0.05)
    host = await started_host(tmp_path, idle_timeout_seconds=1)
    try:
        opened = await host.open_session(**NAMED, origin="test")
        async with asyncio.timeout(20):
            while await host.list_sessions(owner_id=None):
                await asyncio.sleep(0.05)
        record = next(iter(host.recorder.sessions.values()))
        while record.ended_at is None:
            await asyncio.sleep(0.01)
        assert (str(record.id), record.state) == (opened["id"], "expired")
    finally:
        await host.stop()


async def test_the_number_of_sessions_is_limited(tmp_path):
    host = await started_host(tmp_path, max_sessions=1)
    try:
        await host.open_session(**NAMED, origin="test")
        with pytest.raises(SessionLimitReached):
            await host.open_session(owner_id=None, identifier="t", origin="test")
        assert len(host.recorder.sessions) == 1
    finally:
        await host.stop()


async def test_of_many_sessions_at_once_as_many_are_opened_as_may_be(tmp_path):
    """Those that were refused counted against the others: none was opened."""
    host = await started_host(tmp_path, max_sessions=2)
    try:
        await asyncio.gather(
            *(host.open_session(**{**NAMED, "identifier": name}, origin="test") for name in "abc"),
            return_exceptions=True,
        )
        assert len(host.recorder.sessions) == 2
    finally:
        await host.stop()


@pytest.mark.parametrize("identifier", ["", "a b", "a\n", "a\0", "x" * 257])
async def test_bad_identifiers_open_nothing(host, identifier):
    with pytest.raises(InvalidValue):
        await host.open_session(owner_id=None, identifier=identifier, origin="test")
    assert host.recorder.sessions == {}


async def test_an_unknown_kernel_opens_nothing(host):
    with pytest.raises(KernelspecNotFound):
        await host.open_session(**NAMED, origin="test", kernel_name="cobol")
    assert host.recorder.sessions == {}


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), 1e9])
async def test_bad_timeouts_run_nothing(host, seconds):
    with pytest.raises(InvalidValue):
        await run(host, "1", timeout_seconds=seconds)
    assert host.recorder.executions == {}


async def test_unknown_executions_are_told_from_finished_ones(host):
    done = await run(host, "1")

    with pytest.raises(ExecutionFinished):
        await host.cancel(**NAMED, execution_id=done["id"])
    with pytest.raises(ExecutionNotFound):
        await host.cancel(**NAMED, execution_id="nothing")


async def test_a_taken_name_is_a_conflict(host):
    await host.open_session(**NAMED, origin="test")
    record = next(iter(host.recorder.sessions.values()))

    with pytest.raises(Conflict):
        await host.recorder.create_session(record)


async def test_garbage_on_the_kernels_own_sockets_harms_nobody(host):
    code = """
import json, zmq
from ipykernel.kernelapp import IPKernelApp
info = json.load(open(IPKernelApp.instance().abs_connection_file))
socket = zmq.Context.instance().socket(zmq.DEALER)
socket.connect(f"ipc://{info['ip']}-{info['shell_port']}")
socket.send_multipart([b"<IDS|MSG>", b"bad signature", b"{", b"}", b"", b""])
session = IPKernelApp.instance().session
iopub = IPKernelApp.instance().iopub_socket
session.send(iopub, "stream", content={"name": "stdout", "text": 7})
session.send(iopub, "display_data", content=b'["no"]')
print("still here")
"""
    result = await run(host, code)

    assert result["state"] == "succeeded", fold(result["events"]).error
    assert fold(result["events"]).stdout == "still here\n"
