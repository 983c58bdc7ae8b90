"""What a crash leaves is removed, whatever it is, and nothing else."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from sessions.kernels.leftovers import Leftovers, set_aside
from sessions.kernels.removal import TEMPORARY_PREFIX, remove_tree

ASIDE = f"{TEMPORARY_PREFIX}0123456789abcdef"
FS_IOC_SETFLAGS, FS_IMMUTABLE_FL = 0x40086602, 0x10


@pytest.fixture
def sessions(tmp_path: Path) -> Path:
    return tmp_path / "data/sessions"


def workspace(sessions: Path, name: str) -> Path:
    (sessions / name / "files").mkdir(parents=True)
    (sessions / name / "files/f").write_text("content")
    return sessions / name


async def remove_what_is_left(sessions: Path, live: set[UUID] | None = None) -> None:
    await Leftovers.find(sessions, sessions.parent).remove(live or set())


async def test_only_sessions_that_have_ended_lose_their_workspace(sessions: Path) -> None:
    ended, live = uuid4(), uuid4()
    for each in (ended, live):
        workspace(sessions, str(each))

    await remove_what_is_left(sessions, {live})

    assert os.listdir(sessions) == [str(live)]


async def test_a_name_is_a_sessions_only_as_a_whole(sessions: Path) -> None:
    ended = "abcdefab-1234-4234-8234-123456789abc"
    others = {
        ended[:-1],
        ended[:8],
        f"{ended}0",
        f"{ended}.bak",
        f"x{ended}",
        ended.upper(),
        ended.replace("-", ""),
        f"{{{ended}}}",
        f"urn:uuid:{ended}",
    }
    for name in (ended, *others):
        workspace(sessions, name)

    await remove_what_is_left(sessions)

    assert set(os.listdir(sessions)) == others
    assert all((sessions / name / "files/f").exists() for name in others)


async def test_an_id_that_begins_like_another_is_another(sessions: Path) -> None:
    live = UUID("12345678-1234-4234-8234-123456789abc")
    ended = UUID("12345678-1234-4234-8234-123456789abd")
    for each in (live, ended):
        workspace(sessions, str(each))

    await remove_what_is_left(sessions, {live})

    assert os.listdir(sessions) == [str(live)]


async def test_links_and_files_are_left_alone(sessions: Path, tmp_path: Path) -> None:
    outside = workspace(tmp_path, "outside")
    sessions.mkdir(parents=True)
    (sessions / str(uuid4())).symlink_to(outside)
    (sessions / str(uuid4())).touch()
    (sessions.parent / ASIDE).symlink_to(outside)
    inside = workspace(sessions, str(uuid4()))
    (inside / "files/link").symlink_to(outside)
    (inside / "link").symlink_to(outside)

    await remove_what_is_left(sessions)

    assert not inside.exists()
    assert len(os.listdir(sessions)) == 2
    assert (outside / "files/f").read_text() == "content"


async def test_what_was_set_aside_is_removed_and_its_place_is_empty(sessions: Path) -> None:
    waiting = sessions.parent / "waiting"
    workspace(waiting, "one")
    alike = [f"{ASIDE}0", ASIDE[:-1], f"x{ASIDE}", f"{TEMPORARY_PREFIX}mine"]
    for name in alike:
        workspace(sessions.parent, name)

    set_aside(waiting)
    empty = os.listdir(waiting)
    await remove_what_is_left(sessions)

    assert empty == []
    assert set(os.listdir(sessions.parent)) == {*alike, "waiting"}


async def test_nothing_to_remove_is_no_error(tmp_path: Path) -> None:
    set_aside(tmp_path / "new/place")

    await remove_what_is_left(tmp_path / "missing/sessions")

    assert os.listdir(tmp_path / "new/place") == []


async def test_no_tree_is_too_deep_or_too_closed(sessions: Path) -> None:
    top = workspace(sessions, str(uuid4()))
    dig(top / "files", 3_000)
    (top / "files/closed/inner").mkdir(parents=True)
    (top / "files/closed/inner/f").touch()
    for name in ("closed/inner", "closed", "."):
        (top / "files" / name).chmod(0)

    await remove_what_is_left(sessions)

    assert os.listdir(sessions) == []


async def test_what_cannot_be_removed_stays_alone(sessions: Path) -> None:
    top, other = workspace(sessions, str(uuid4())), workspace(sessions, str(uuid4()))
    (top / "files/below/d").mkdir(parents=True)
    for name in ("a", "m", "z", "d/f"):
        (top / "files/below" / name).touch()
    with immutable(top / "files/below/m"):
        await remove_what_is_left(sessions)
        with pytest.raises(OSError, match="not permitted"):
            remove_tree(top)
        left = [name for _, _, names in os.walk(top) for name in names]
    gone = not other.exists()
    await remove_what_is_left(sessions)

    assert left == ["m"]
    assert gone
    assert os.listdir(sessions) == []


async def test_who_stops_leaves_the_rest_to_the_next_start(sessions: Path) -> None:
    for _ in range(3):
        workspace(sessions, str(uuid4()))
    left = Leftovers.find(sessions)

    left.stop()
    await left.remove(set())

    assert len(os.listdir(sessions)) == 3


def test_a_removal_can_be_given_up(tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / f"top/{number}/below").mkdir(parents=True)
    looks = iter([False, False, True])

    remove_tree(tmp_path / "top", lambda: next(looks, True))

    assert 0 < len(os.listdir(tmp_path / "top")) < 11


def dig(directory: Path, levels: int) -> None:
    """Nested directories, deeper than any path can say."""
    descriptor = os.open(directory, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d", dir_fd=descriptor)
        below = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(descriptor)


@contextmanager
def immutable(path: Path) -> Iterator[None]:
    """A file that not even root may delete, to the end of the block."""
    with path.open() as file:
        try:
            fcntl.ioctl(file, FS_IOC_SETFLAGS, struct.pack("l", FS_IMMUTABLE_FL))
        except OSError as error:
            # The file system has no such flag (tmpfs, overlays), or we may not set it (no root, no
            # capability): nothing to install would change that.
            if error.errno in (errno.EPERM, errno.ENOTTY, errno.EOPNOTSUPP):
                pytest.skip("no file can be made immutable here")
            raise
        try:
            yield
        finally:
            with suppress(OSError):
                fcntl.ioctl(file, FS_IOC_SETFLAGS, struct.pack("l", 0))
