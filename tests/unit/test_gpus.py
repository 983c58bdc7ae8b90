"""Who has which GPUs, and which devices go with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sessions.exceptions import SessionLimitReached
from sessions.kernels.gpus import Gpus, devices_of, facts_of
from sessions.kernels.sandbox import Sandbox


def test_a_gpu_is_one_sessions_until_it_is_given_back():
    gpus = Gpus([3, 0, 1])

    first, second = gpus.take(2), gpus.take(1)
    assert (first, second, gpus.free) == ((0, 1), (3,), 0)
    gpus.give_back(first)

    assert (gpus.take(1), gpus.free, gpus.total) == ((0,), 1, 3)


def test_who_needs_none_takes_none():
    gpus = Gpus([])

    assert gpus.take(0) == ()
    gpus.give_back(())


def test_too_few_that_are_free_is_said_and_nothing_is_taken():
    gpus = Gpus([0, 1])
    gpus.take(1)

    with pytest.raises(SessionLimitReached, match=r"needs 2 GPUs, and only 1 of 2 GPUs is free"):
        gpus.take(2)
    gpus.take(1)
    with pytest.raises(
        SessionLimitReached, match=r"needs 1 GPU, and all 2 GPUs are in use"
    ) as full:
        gpus.take(1)

    assert full.value.data == {"maximum": 2, "elsewhere": True}


def test_the_devices_are_its_own_and_what_all_share(tmp_path):
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "nvidia-caps"):
        (tmp_path / name).touch()

    found = [path.name for path in devices_of((1, 7), tmp_path)]

    assert found == ["nvidia1", "nvidia7", "nvidiactl", "nvidia-uvm", "nvidia-caps"]
    assert devices_of((), tmp_path) == []


def test_the_facts_are_those_of_the_driver_and_the_buses(tmp_path):
    for name in ("module/nvidia_uvm", "module/ext4", "bus/pci", "devices/pci0000:00", "fs/cgroup"):
        (tmp_path / name).mkdir(parents=True)

    found = [str(path.relative_to(tmp_path)) for path in facts_of((0,), tmp_path)]

    assert found == ["module/nvidia_uvm", "bus/pci", "devices/pci0000:00"]
    assert facts_of((), tmp_path) == []


@pytest.mark.parametrize(
    ("gpus", "contained", "visible"),
    [((), True, ""), ((), False, ""), ((1, 3), True, "0,1"), ((1, 3), False, "1,3")],
)
def test_cuda_is_told_which_there_are(gpus, contained, visible):
    """Inside walls it counts from 0 what it can open."""
    sandbox = Sandbox(
        workspace=Path("/tmp"), sockets=None, readable=(), gpus=gpus, contained=contained
    )

    assert sandbox.environment()["CUDA_VISIBLE_DEVICES"] == visible
