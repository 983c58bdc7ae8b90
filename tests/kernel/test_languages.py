"""Any installed kernelspec can be a session's kernel; commands run whatever the machine has."""

import asyncio
import shutil

import pytest

from sessions.outcomes import fold
from tests.hosts import NAMED, run

pytestmark = pytest.mark.kernel

C_PROGRAM = """
#include <stdio.h>
int main(void) { printf("%d\\n", 6 * 7); return 3; }
"""


async def test_a_bash_session_runs_bash_in_the_workspace(host):
    await host.open_session(**NAMED, origin="test", kernel_name="bash")

    await run(host, "x=6")
    result = await run(host, "echo $((x * 7)) > answer.txt; cat /mnt/data/answer.txt")

    assert result["state"] == "succeeded"
    assert fold(result["events"]).stdout == "42\n"


async def test_a_failing_bash_command_says_so(host):
    await host.open_session(**NAMED, origin="test", kernel_name="bash")

    result = await run(host, "ls /no/such/directory")

    assert result["state"] == "failed"
    assert "/no/such/directory" in fold(result["events"]).stdout


async def test_what_would_be_dropped_is_read_even_if_nothing_should_be(host):
    """A kernel that does not wait for its readers: what it puts out cannot wait there.

    Lines fewer than zmq holds back for a socket: on a busy machine a kernel that prints more drops
    some before its own thread has sent them.
    """
    await host.open_session(**NAMED, origin="test", kernel_name="bash")
    await run(host, "true")

    host.recorder.flow.close()
    async with asyncio.timeout(60):
        result = await run(host, "seq 1 500")

    assert fold(result["events"]).stdout.split() == [str(n) for n in range(1, 501)]


async def test_the_installed_kernels_are_listed_default_first(host):
    names = [spec["name"] for spec in await host.kernelspecs()]

    assert names[0] == "python3"
    assert "bash" in names


@pytest.mark.skipif(shutil.which("gcc") is None, reason="this machine has no C compiler")
async def test_a_command_can_compile_and_run_c(host):
    await run(host, f"open('a.c', 'w').write({C_PROGRAM!r})")

    result = await run(host, "", kind="command", command=["sh", "-c", "gcc -o a a.c && ./a"])

    assert fold(result["events"]).stdout == "42\n", fold(result["events"]).stderr
    assert result["exit_code"] == 3
