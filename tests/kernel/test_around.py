"""Silent code around an execution, and the files it wrote."""

import asyncio

import pytest

from sessions.outcomes import fold
from tests.hosts import NAMED, event_of_type, run, run_arguments, started_host

pytestmark = pytest.mark.kernel


def files(result):
    return [
        (event["data"]["path"], event["data"]["size_bytes"])
        for event in result["events"]
        if event["type"] == "file"
    ]


async def test_code_before_and_after_is_silent(host):
    await run(host, "1")
    result = await run(host, "print(x)\nx + 1", before="x = 5; print('no')", after="del x")
    gone = await run(host, "'x' in globals()")

    assert fold(result["events"]).stdout == "5\n"
    assert fold(result["events"]).result == {"text/plain": "6"}
    assert fold(gone["events"]).result == {"text/plain": "False"}
    assert (result["execution_count"], gone["execution_count"]) == (2, 3)
    assert "no" not in str(host.recorder.events)


async def test_code_before_that_fails_ends_the_execution(host):
    result = await run(host, "print('ran')", before="1/0")

    assert result["state"] == "failed"
    assert "ZeroDivisionError: division by zero" in result["reason"]
    assert fold(result["events"]).stdout == ""
    assert fold(result["events"]).error is None


async def test_code_after_runs_also_after_an_error_and_a_timeout(host):
    for code, timeout in (("1/0", None), ("import time; time.sleep(30)", 0.5)):
        await run(host, code, before="x = 1", after="del x", timeout_seconds=timeout)
        result = await run(host, "'x' in globals()")
        assert fold(result["events"]).result == {"text/plain": "False"}


async def test_code_after_that_fails_changes_nothing(host):
    result = await run(host, "6", after="1/0")
    again = await run(host, "_ + 1")

    assert result["state"] == "succeeded"
    assert fold(again["events"]).result == {"text/plain": "7"}


async def test_a_kernel_that_dies_before_the_code(host):
    result = await run(host, "print('ran')", before="import os; os._exit(3)")

    assert (result["state"], result["reason"]) == ("failed", "The kernel exited with code 3.")
    assert (await run(host, "1"))["state"] == "succeeded"


async def test_written_files_are_events_before_the_end(host):
    await run(host, "open('old', 'w').write('1'); open('same', 'w').write('1')")
    code = (
        "import os\n"
        "os.makedirs('d/.cache')\n"
        "for name in ('old', 'd/new', 'd/.cache/hidden', '.dot'):\n"
        "    open(name, 'w').write('123')\n"
        "os.symlink('/etc/passwd', 'link')\n"
        "print('done')"
    )
    result = await run(host, code, watch_files=True)
    quiet = await run(host, "open('old').read()", watch_files=True)
    unwatched = await run(host, "open('more', 'w').close()")

    assert files(result) == [(".dot", 3), ("d/new", 3), ("old", 3)]
    assert [event["type"] for event in result["events"]][-2:] == ["file", "execution_finished"]
    assert (files(quiet), files(unwatched)) == ([], [])


async def test_files_of_code_that_failed(host):
    raised = await run(host, "open('a', 'w').close(); 1/0", watch_files=True)
    died = await run(host, "import os; open('b', 'w').close(); os._exit(1)", watch_files=True)
    late = await run(
        host,
        "import time; open('c', 'w').close(); time.sleep(30)",
        watch_files=True,
        timeout_seconds=0.5,
    )

    assert (files(raised), files(died)) == ([("a", 0)], [("b", 0)])
    # What counts for the caller is frozen when the time is over.
    assert (late["state"], files(late)) == ("timed_out", [])


async def test_output_held_back_comes_before_the_files(tmp_path):
    host = await started_host(tmp_path, max_output_bytes=100)
    code = "print('x' * 500); print('end'); open('a', 'w').close()"
    try:
        result = await run(host, code, watch_files=True)
    finally:
        await host.stop()
    types = [event["type"] for event in result["events"]]

    assert fold(result["events"]).stdout.endswith("end\n")
    assert types.index("file") > len(types) - 1 - types[::-1].index("stream")


async def test_silent_code_does_not_outlive_its_session(host):
    """Closing while code of ours hangs ends everything."""
    arguments = run_arguments("1", before="import time; time.sleep(60)")
    running = asyncio.create_task(host.run(**arguments))
    await event_of_type(host, "execution_started")
    await host.close_session(**NAMED)

    assert (await running)["state"] == "interrupted"
