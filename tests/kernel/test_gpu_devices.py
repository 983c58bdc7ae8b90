"""Sessions with GPUs of their own: what they can open, and what becomes of the GPUs.

The devices are real, but those of no GPU: each is another /dev/null.
"""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from sessions.exceptions import InvalidValue, SessionLimitReached, WorkbenchError
from sessions.kernels.host import Host
from sessions.outcomes import fold
from tests.hosts import needs_walls, run_arguments, started_host
from tests.kernel.test_taken_back import a_host

pytestmark = [pytest.mark.kernel, needs_walls]

START_SECONDS = 120
NULL = os.makedev(1, 3)
# The devices that a session sees, all of which it can write, and what CUDA is told.
LOOK = """
import os, pathlib
seen = sorted(path.name for path in pathlib.Path("/dev").glob("nvidia*") if path.is_char_device())
for name in seen:
    open(f"/dev/{name}", "r+b", buffering=0).write(b"x")
below = [path.name for path in pathlib.Path("/dev/nvidia-caps").glob("*")]
told = ["/sys"] if os.path.isdir("/sys/devices/system/cpu") else []
print(",".join(seen + below + told), os.environ["CUDA_VISIBLE_DEVICES"], sep=" | ")
"""


@pytest.fixture
def devices(tmp_path: Path) -> Path:
    """Devices of three GPUs, with what GPUs share."""
    directory = tmp_path / "devices"
    (directory / "nvidia-caps").mkdir(parents=True)
    names = ("nvidia0", "nvidia1", "nvidia3", "nvidiactl", "nvidia-uvm", "nvidia-caps/nvidia-cap1")
    for name in names:
        try:
            os.mknod(directory / name, stat.S_IFCHR | 0o666, NULL)
            (directory / name).chmod(0o666)
            (directory / name).write_bytes(b"x")
        except PermissionError:
            # A right of the machine, nothing that could be installed.
            pytest.skip("only root makes devices, and not on every disk")
    return directory


async def opened(host: Host, identifier: str, **policy: Any) -> dict[str, Any]:
    named = {"owner_id": None, "identifier": identifier}
    return await host.open_session(**named, origin="test", policy=policy)


async def looked(host: Host, identifier: str) -> str:
    """What code in a session sees."""
    result = await host.run(**run_arguments(LOOK, identifier=identifier))
    seen = fold(result["events"])
    assert result["state"] == "succeeded", (result["reason"], seen.error)
    return seen.stdout.strip()


async def closed(host: Host, identifier: str) -> None:
    await host.close_session(owner_id=None, identifier=identifier)


async def test_a_session_sees_its_own_gpus_and_no_others(tmp_path, devices):
    async with a_host(tmp_path, gpus=(3, 1), devices=devices) as host:
        await opened(host, "a", gpus=1)
        await opened(host, "b", gpus=1)
        await opened(host, "none")

        assert await looked(host, "a") == "nvidia-uvm,nvidia1,nvidiactl,nvidia-cap1,/sys | 0"
        assert await looked(host, "b") == "nvidia-uvm,nvidia3,nvidiactl,nvidia-cap1,/sys | 0"
        assert await looked(host, "none") == "|"

        command = ["sh", "-c", "echo /dev/nvidia[0-9] $CUDA_VISIBLE_DEVICES"]
        ran = await host.run(**run_arguments("", identifier="b", kind="command", command=command))
        assert fold(ran["events"]).stdout == "/dev/nvidia3 0\n"


async def test_gpus_are_given_back_when_a_session_ends(tmp_path, devices):
    async with a_host(tmp_path, gpus=(0, 1), devices=devices) as host:
        await opened(host, "a", gpus=2)
        assert (await host.offer())["free_gpus"] == 0
        told = (await host.metrics()).splitlines()
        assert {"workbench_gpus 2.0", "workbench_gpus_in_use 2.0"} <= set(told)
        with pytest.raises(SessionLimitReached, match="all 2 GPUs are in use"):
            await opened(host, "b", gpus=1)
        with pytest.raises(InvalidValue, match="What there is: 2 GPUs"):
            await opened(host, "b", gpus=3)
        assert [each["identifier"] for each in await host.list_sessions(owner_id=None)] == ["a"]

        await closed(host, "a")

        assert (await host.offer())["free_gpus"] == 2
        await opened(host, "b", gpus=1)
        assert (await host.offer())["free_gpus"] == 1


async def test_of_many_at_once_as_many_are_let_in_as_there_are_gpus(tmp_path, devices):
    async with a_host(tmp_path, gpus=(0, 1), devices=devices) as host:
        answers = await asyncio.gather(
            *(opened(host, f"s{number}", gpus=1) for number in range(5)), return_exceptions=True
        )

        refused = [each for each in answers if isinstance(each, SessionLimitReached)]
        assert len(refused) == 3
        assert len(await host.list_sessions(owner_id=None)) == 2


async def test_a_name_can_be_opened_again_at_once_with_the_same_gpus(tmp_path, devices):
    async with a_host(tmp_path, gpus=(0,), devices=devices) as host:
        await opened(host, "a", gpus=1)
        closing = asyncio.create_task(closed(host, "a"))
        while await host.list_sessions(owner_id=None):
            await asyncio.sleep(0)

        await opened(host, "a", gpus=1)

        await closing
        assert (await looked(host, "a")).endswith("| 0")


async def test_the_next_host_gives_them_to_whom_had_them(tmp_path, devices):
    async with a_host(tmp_path, gpus=(0, 1), devices=devices) as first:
        await opened(first, "a", gpus=1)
        await opened(first, "b", gpus=1)
        await closed(first, "a")

    async with a_host(tmp_path, first, gpus=(0, 3)) as second:
        assert (await second.offer())["free_gpus"] == 1
        assert (await looked(second, "b")).startswith("nvidia-uvm,nvidia0,")

    async with a_host(tmp_path, second, gpus=()) as third:
        found = await third.find_session(owner_id=None, identifier="b")
        assert found["policy"]["gpus"] == 0
        assert await looked(third, "b") == "|"


async def test_kernels_that_wait_are_for_sessions_without_gpus(tmp_path, devices):
    host = await started_host(
        tmp_path, forks=True, warm_kernels=1, gpus=(0,), labels={"zone": "a"}, devices=devices
    )
    try:
        async with asyncio.timeout(START_SECONDS):
            while (await host.offer())["warm_kernels"] < 1:
                await asyncio.sleep(0.05)
        await opened(host, "a", gpus=1)
        assert (await host.offer())["warm_kernels"] == 1
        assert (await looked(host, "a")).startswith("nvidia-uvm,nvidia0,")

        await opened(host, "labelled", labels={"zone": "a"})
        assert (await host.offer())["warm_kernels"] == 0
    finally:
        await host.stop()


async def test_a_gpu_without_a_device_is_a_reason_that_is_told(tmp_path, devices):
    async with a_host(tmp_path, gpus=(7,), devices=devices) as host:
        await opened(host, "a", gpus=1)
        with pytest.raises(WorkbenchError, match="nvidia7"):
            await host.restart(owner_id=None, identifier="a")


async def test_without_walls_a_session_is_only_told_which_are_its_own(tmp_path):
    async with a_host(tmp_path, gpus=(1, 3), contained=False) as host:
        await opened(host, "a", gpus=1)
        await opened(host, "b", gpus=1)
        await opened(host, "none")

        said = [(await looked(host, name)).partition("|")[2] for name in ("a", "b", "none")]
        assert said == [" 1", " 3", ""]
