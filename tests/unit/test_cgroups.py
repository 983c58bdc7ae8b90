"""Control groups of this machine: real ones, with real processes in them."""

from __future__ import annotations

import os
import signal
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from sessions.kernels.cgroups import NOTE, ControlGroup, ControlGroups, _mounts, _share_controllers
from sessions.kernels.limits import Limits

MIB = 1024**2
# A shell that enters the group first; what it starts is in it too.
ENTER = 'for file in $FILES; do echo 0 >"$file" || exit 125; done; '


@pytest.fixture
def groups(tmp_path: Path) -> Iterator[ControlGroups]:
    found = ControlGroups.find(tmp_path)
    if not found.are_usable:
        pytest.skip(found.sentence)
    yield found
    found.close()


@pytest.fixture
def v2_directory() -> Iterator[Path]:
    """A group of our own in the tree of version 2, whatever controllers that has."""
    directory = None
    for _, mount, kind, _ in _mounts():
        if kind == "cgroup2" and os.access(mount, os.W_OK):
            directory = mount / f"workbench-test-{uuid.uuid4().hex}"
    if directory is None:
        pytest.skip("there is no writable tree of version 2")
    directory.mkdir()
    yield directory
    ControlGroup({"": directory}, is_v2=True).remove()


def shell(group: ControlGroup, script: str, **options: object) -> subprocess.Popen[str]:
    files = " ".join(map(str, group.procs_files))
    return subprocess.Popen(
        ["sh", "-c", ENTER + script],
        env={**os.environ, "FILES": files},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,
    )


def test_what_was_found_is_said_in_one_sentence(tmp_path):
    groups = ControlGroups.find(tmp_path)
    groups.close()

    assert groups.sentence.count(".") == 1
    assert groups.sentence.endswith(".")


def test_without_control_groups_there_is_no_group():
    nothing = ControlGroups("None.", {}, is_v2=False)

    assert nothing.create("s", Limits.none()) is None
    assert not nothing.are_usable
    nothing.close()


def test_a_process_and_its_children_are_in_the_group_from_the_start(groups):
    group = groups.create("s", Limits.none())
    with shell(group, "sleep 60 & echo $!; wait") as process:
        child = int(process.stdout.readline())
        inside = group.processes()
        group.remove()

    assert {process.pid, child} <= set(inside)
    assert process.returncode == -signal.SIGKILL


def test_a_process_can_be_moved_into_the_group(groups):
    group = groups.create("s", Limits.none())
    with subprocess.Popen(["sleep", "60"]) as process:
        group.add(process.pid)
        inside = group.processes()
        group.remove()

    assert inside == [process.pid]


def test_too_much_memory_ends_the_process_and_is_counted(groups):
    group = groups.create("s", Limits(memory_bytes=64 * MIB))
    if not group.limits_memory:
        pytest.skip("memory is not limited here")
    before = group.oom_kills()
    with shell(group, f"exec python3 -c 'bytearray({300 * MIB})'") as process:
        process.wait()

    assert process.returncode == -signal.SIGKILL
    assert (before, group.oom_kills()) == (0, 1)
    assert group.memory_peak() >= 60 * MIB
    assert Limits(memory_bytes=64 * MIB).why_it_ended(group, process.returncode)


def test_a_limit_can_be_lowered_and_raised(groups):
    group = groups.create("s", Limits(memory_bytes=64 * MIB))
    if not group.limits_memory:
        pytest.skip("memory is not limited here")
    allocate = f"exec python3 -c 'bytearray({100 * MIB})'"
    codes = []
    for size in (300 * MIB, 64 * MIB, None):
        group.set_limits(Limits(memory_bytes=size))
        with shell(group, allocate) as process:
            codes.append(process.wait())

    assert codes == [0, -signal.SIGKILL, 0]


def test_more_processes_than_allowed_are_refused(groups):
    group = groups.create("s", Limits(processes=16))
    if not group.limits_processes:
        pytest.skip("processes are not limited here")
    code = (
        "import os, sys\n"
        "for count in range(1000):\n"
        "    try:\n"
        "        if os.fork() == 0: os.read(0, 1); os._exit(0)\n"
        "    except OSError: break\n"
        "print(count)\n"
    )
    with shell(group, f"exec python3 -c '{code}'", stdin=subprocess.PIPE) as process:
        count = int(process.stdout.readline())
        group.kill_all()

    assert count < 100


def test_a_fork_bomb_is_ended_whole(groups):
    group = groups.create("s", Limits(processes=100))
    if not group.limits_processes:
        pytest.skip("processes are not limited here")
    bomb = "trap '' TERM INT HUP; b() { b | b & }; echo started; b; sleep 60"
    with shell(group, bomb) as process:
        process.stdout.readline()
        group.remove()

    assert group.processes() == []
    assert not any(file.exists() for file in group.procs_files)


def test_a_group_that_is_gone_can_be_asked_and_removed(groups):
    group = groups.create("s", Limits.none())
    group.remove()
    group.remove()
    group.kill_all()

    assert group.processes() == []
    assert group.oom_kills() == 0
    assert group.memory_peak() is None
    with pytest.raises(OSError, match=r"cgroup\.procs"):
        group.add(os.getpid())


def test_a_name_can_be_used_again(groups):
    first = groups.create("s", Limits.none())
    with shell(first, "echo started; sleep 60") as process:
        process.stdout.readline()
        second = groups.create("s", Limits.none())

    assert process.returncode == -signal.SIGKILL
    assert second.processes() == []


def test_the_next_host_ends_what_a_crashed_one_left(groups, tmp_path):
    left = groups.create("s", Limits.none())
    with shell(left, "echo started; sleep 60") as process:
        process.stdout.readline()
        again = ControlGroups.find(tmp_path)

    assert process.returncode == -signal.SIGKILL
    assert not any(file.exists() for file in left.procs_files)
    assert again.parents == groups.parents


def test_another_hosts_groups_are_left_alone(groups, tmp_path_factory):
    group = groups.create("s", Limits.none())
    with shell(group, "echo started; sleep 60") as process:
        process.stdout.readline()
        other = ControlGroups.find(tmp_path_factory.mktemp("other"))
        other.close()
        still = process.poll()
        group.kill_all()

    assert still is None


def test_a_note_that_names_other_directories_deletes_nothing(tmp_path):
    precious = tmp_path / "precious"
    (precious / "below").mkdir(parents=True)
    (tmp_path / NOTE).write_text(f"2 ={precious}\n")

    ControlGroups.find(tmp_path).close()

    assert (precious / "below").is_dir()


def test_nothing_is_left_after_close(tmp_path):
    groups = ControlGroups.find(tmp_path)
    groups.create("s", Limits.none())
    groups.close()

    assert not any(parent.exists() for parent in groups.parents.values())


def test_version_2_ends_all_processes_at_once(v2_directory):
    group = ControlGroup({"": v2_directory}, is_v2=True)
    with shell(group, "sleep 60 & sleep 60 & echo started; wait") as process:
        process.stdout.readline()
        inside = group.processes()
        group.kill_all()

    assert len(inside) == 3
    assert process.returncode == -signal.SIGKILL
    assert group.processes() == []


def test_version_2_moves_our_processes_aside_to_share_controllers(v2_directory):
    available = (v2_directory / "cgroup.controllers").read_text().split()
    if not available:
        pytest.skip("no controller is in the tree of version 2")
    group = ControlGroup({"": v2_directory}, is_v2=True)
    with shell(group, "echo started; sleep 60") as process:
        process.stdout.readline()
        shared = _share_controllers(v2_directory, f"+{available[0]}")
        moved = (v2_directory / "workbench-server/cgroup.procs").read_text().split()
        group.kill_all()

    assert shared
    assert str(process.pid) in moved
    assert available[0] in (v2_directory / "cgroup.subtree_control").read_text().split()
