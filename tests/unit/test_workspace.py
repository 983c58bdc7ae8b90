"""What a workspace accepts, and what hostile code in it cannot do to the server."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions.exceptions import (
    FileExists,
    FileNotFound,
    FileTooLarge,
    PathInvalid,
    WorkspaceFull,
    WrongFileType,
)
from sessions.kernels.workspace import (
    ENTRY_BYTES,
    MAX_DEPTH,
    MAX_NAME_BYTES,
    MAX_PATH_BYTES,
    TEMPORARY_PREFIX,
    Workspace,
    workspace_path,
)

SECRET = b"the server's secret"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The directory as code in the session sees it."""
    return tmp_path / "session" / "files"


@pytest.fixture
def workspace(root: Path) -> Workspace:
    workspace = Workspace(root, max_bytes=None)
    workspace.create()
    return workspace


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory that no session may reach, with one file in it."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_bytes(SECRET)
    return outside


def read(workspace: Workspace, path: str) -> bytes:
    file, _ = workspace.open(path)
    with file:
        return file.read()


def paths(workspace: Workspace, directory: str = "", *, recursive: bool = False) -> list[str]:
    return [entry.path for entry in workspace.entries(directory, recursive=recursive)]


def bare(root: Path) -> Workspace:
    return Workspace(root, max_bytes=None)


# --- Paths ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "prefix", ["", "/mnt/data/", "mnt/data/", "/home/work/", "./", "/mnt//data/./"]
)
def test_the_names_of_the_workspace_all_mean_it(prefix: str) -> None:
    assert bare(Path()).relative(f"{prefix}a/b.txt") == PurePosixPath("a/b.txt")


@pytest.mark.parametrize("text", ["", ".", "/mnt/data", "/mnt/data/", "mnt/data", "/home/work"])
def test_the_workspace_itself_is_a_path(text: str) -> None:
    assert bare(Path()).relative(text).parts == ()


@pytest.mark.parametrize(
    "text",
    [
        "..",
        "a/../../b",
        "/mnt/data/../x",
        "/",
        "/etc/passwd",
        "/mnt/database/x",
        "/mnt",
        "a\0b",
        "\ud800",
        "x" * 300,
        "é" * 128,
        "/".join(["x" * 200] * 21),
        "/".join(["d"] * (MAX_DEPTH + 1)),
        f"a/{TEMPORARY_PREFIX}x",
    ],
)
def test_other_text_is_no_path(text: str) -> None:
    with pytest.raises(PathInvalid):
        bare(Path()).relative(text)


@given(
    st.text(st.characters(codec=None, exclude_categories=[]), max_size=60)
    | st.text("./a", max_size=9)
)
def test_any_text_is_a_safe_path_or_refused(text: str) -> None:
    try:
        path = bare(Path()).relative(text)
    except PathInvalid:
        return

    assert not path.is_absolute()
    assert ".." not in path.parts
    assert len(path.as_posix().encode()) <= MAX_PATH_BYTES
    assert all(0 < len(part.encode()) <= MAX_NAME_BYTES for part in path.parts)
    assert "\0" not in path.as_posix()


@given(
    st.lists(
        st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=20)
    )
)
def test_reading_a_path_twice_changes_nothing(parts: list[str]) -> None:
    try:
        path = bare(Path()).relative("/mnt/data/" + "/".join(parts))
    except PathInvalid:
        return

    assert bare(Path()).relative(f"/mnt/data/{path.as_posix()}") == path


def test_a_session_has_one_place() -> None:
    session_id = UUID("12345678-1234-5678-1234-567812345678")

    path = workspace_path(Path("/data"), session_id)

    assert path == Path("/data/sessions/12345678-1234-5678-1234-567812345678/files")


# --- Writing and reading ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["a.txt", "a b é.txt", "日本/語.txt", "line\nbreak", "-rf", "x" * 255]
)
def test_a_file_comes_back_as_it_was_written(workspace: Workspace, name: str) -> None:
    entry = workspace.write(name, [b"one ", b"two"])

    assert read(workspace, name) == b"one two"
    assert (entry.path, entry.size_bytes, entry.is_directory) == (name, 7, False)
    assert entry == workspace.stat(name)
    assert name in paths(workspace, recursive=True)


def test_an_empty_file_is_a_file(workspace: Workspace) -> None:
    assert workspace.write("empty", []).size_bytes == 0
    assert read(workspace, "empty") == b""


def test_new_files_can_be_used_by_another_user(workspace: Workspace, root: Path) -> None:
    before = os.umask(0o077)
    try:
        workspace.write("d/f", [b"x"])
    finally:
        os.umask(before)

    assert stat.S_IMODE((root / "d").stat().st_mode) == 0o755
    assert stat.S_IMODE((root / "d/f").stat().st_mode) == 0o644
    assert stat.S_IMODE(root.stat().st_mode) == 0o700


def test_new_files_are_given_to_the_owner(root: Path) -> None:
    me = (os.getuid(), 4242 if os.getuid() == 0 else os.getgid())
    workspace = Workspace(root, max_bytes=None, owner=me)
    workspace.create()

    workspace.write("d/f", [b"x"])

    for path in (root, root / "d", root / "d/f"):
        assert (path.stat().st_uid, path.stat().st_gid) == me


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_new_files_belong_to_whom_the_workspace_does(root: Path, workspace: Workspace) -> None:
    os.chown(root, 4242, 4243)

    workspace.write("d/e/f", [b"x"])
    workspace.make_directory("other")
    workspace.rename("d/e/f", "moved/f")

    found = [root / "d", root / "d/e", root / "other", root / "moved", root / "moved/f"]
    assert {(path.stat().st_uid, path.stat().st_gid) for path in found} == {(4242, 4243)}
    assert read(workspace, "moved/f") == b"x"


def test_a_file_is_replaced_only_if_it_may(workspace: Workspace) -> None:
    workspace.write("f", [b"old"])

    with pytest.raises(FileExists):
        workspace.write("f", [b"new"], overwrite=False)
    assert read(workspace, "f") == b"old"

    workspace.write("f", [b"new"])
    assert read(workspace, "f") == b"new"


def test_a_name_taken_during_the_upload_is_not_overwritten(
    workspace: Workspace, root: Path
) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"late"
        (root / "f").write_bytes(b"first")

    with pytest.raises(FileExists):
        workspace.write("f", chunks(), overwrite=False)

    assert read(workspace, "f") == b"first"
    assert os.listdir(root) == ["f"]


def test_writing_without_overwrite_leaves_one_name(workspace: Workspace, root: Path) -> None:
    workspace.write("f", [b"x"], overwrite=False)

    assert os.listdir(root) == ["f"]
    assert (root / "f").stat().st_nlink == 1


def test_too_large_leaves_nothing_behind(workspace: Workspace, root: Path) -> None:
    with pytest.raises(FileTooLarge):
        workspace.write("new/dir/f", [b"123", b"456"], max_bytes=5)

    assert os.listdir(root) == []


def test_an_interrupted_write_leaves_nothing_behind(workspace: Workspace, root: Path) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"half"
        raise ConnectionResetError

    workspace.write("kept", [b"old"])
    for name in ("new/f", "kept"):
        with pytest.raises(ConnectionResetError):
            workspace.write(name, chunks())

    assert os.listdir(root) == ["kept"]
    assert read(workspace, "kept") == b"old"


def test_the_limit_counts_what_is_there_and_what_is_replaced(root: Path) -> None:
    workspace = Workspace(root, max_bytes=2 * ENTRY_BYTES)
    workspace.create()
    workspace.write("a", [b"12345"])

    with pytest.raises(WorkspaceFull):
        workspace.write("b", [bytes(ENTRY_BYTES + 1)])
    workspace.write("a", [bytes(2 * ENTRY_BYTES)])
    with pytest.raises(WorkspaceFull):
        workspace.write("empty", [])

    assert os.listdir(root) == ["a"]
    assert workspace.size_bytes() == 2 * ENTRY_BYTES


def test_a_full_workspace_takes_no_new_directory(root: Path) -> None:
    workspace = Workspace(root, max_bytes=2 * ENTRY_BYTES)
    workspace.create()
    workspace.make_directory("a")
    workspace.write("f", [b"x"])

    with pytest.raises(WorkspaceFull):
        workspace.make_directory("b")
    with pytest.raises(WrongFileType):
        workspace.make_directory("f")

    assert workspace.make_directory("a").is_directory
    assert sorted(os.listdir(root)) == ["a", "f"]


def test_whatever_there_is_counts(workspace: Workspace, root: Path) -> None:
    (root / "empty").touch()
    (root / "link").symlink_to("x" * 50)
    (root / "long link").symlink_to("x" * 4000)
    (root / "directory").mkdir()
    os.mkfifo(root / "fifo")

    assert workspace.size_bytes() >= 5 * ENTRY_BYTES


def test_what_is_allocated_beyond_the_end_of_a_file_counts(
    workspace: Workspace, root: Path
) -> None:
    (root / "f").touch()
    allocated = subprocess.run(
        ["fallocate", "--keep-size", "--length", str(50 * ENTRY_BYTES), root / "f"], check=False
    )
    # Some file systems (ZFS, NFS) know no such blocks: then there is nothing to count.
    if allocated.returncode:
        pytest.skip("this file system allocates nothing ahead")

    assert (root / "f").stat().st_size == 0
    assert workspace.size_bytes() >= 50 * ENTRY_BYTES


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_a_full_workspace(workspace: Workspace, root: Path) -> None:
    upload = workspace.upload("f")
    upload.start()
    full = os.open("/dev/full", os.O_WRONLY)
    assert upload._file is not None
    os.dup2(full, upload._file)
    os.close(full)

    with pytest.raises(WorkspaceFull):
        upload.write(b"x")
    upload.discard()

    assert os.listdir(root) == []


def test_a_reader_sees_the_old_file_or_the_new_one(workspace: Workspace) -> None:
    """Replacement is atomic: never a mixture, never a missing name, never a part."""
    versions = [bytes([65 + number]) * 200_000 for number in range(2)]
    workspace.write("f", [versions[0]])
    over = threading.Event()

    def replace() -> None:
        for number in range(100):
            workspace.write("f", [versions[number % 2][:99], versions[number % 2][99:]])
        over.set()

    writer = threading.Thread(target=replace)
    writer.start()
    seen = []
    while not over.is_set():
        seen.append(read(workspace, "f"))
    writer.join()

    assert all(content in versions for content in seen)


def test_an_open_file_outlives_its_name(workspace: Workspace) -> None:
    workspace.write("f", [b"old"])
    file, entry = workspace.open("f")
    workspace.write("f", [b"newer"])
    workspace.delete("f")

    with file:
        assert file.read() == b"old"
    assert entry.size_bytes == 3


def test_a_discarded_upload_takes_no_more(workspace: Workspace, root: Path) -> None:
    upload = workspace.upload("f")
    upload.start()
    upload.discard()
    upload.discard()

    with pytest.raises(RuntimeError):
        upload.write(b"x")
    assert os.listdir(root) == []


@pytest.mark.parametrize("name", ["", "/mnt/data", "."])
def test_the_workspace_is_no_file(workspace: Workspace, name: str) -> None:
    with pytest.raises(PathInvalid):
        workspace.write(name, [b"x"])
    with pytest.raises(WrongFileType):
        workspace.open(name)
    assert workspace.stat(name).path == "."


def test_a_missing_workspace_has_nothing(root: Path) -> None:
    workspace = bare(root)

    with pytest.raises(FileNotFound):
        workspace.entries()
    with pytest.raises(FileNotFound):
        workspace.stat("f")
    with pytest.raises(FileNotFound):
        workspace.write("f", [b"x"])
    with pytest.raises(FileNotFound):
        workspace.make_directory("d")
    assert not root.exists()


# --- Listing ----------------------------------------------------------------------------------


def test_entries_are_sorted_and_of_one_level_unless_asked(workspace: Workspace) -> None:
    for name in ("b/two", "a", "b/c/three", ".hidden"):
        workspace.write(name, [b"x"])

    assert paths(workspace) == [".hidden", "a", "b"]
    assert paths(workspace, "/mnt/data/b") == ["b/c", "b/two"]
    assert paths(workspace, recursive=True) == [".hidden", "a", "b", "b/c", "b/c/three", "b/two"]


def test_listing_needs_a_directory(workspace: Workspace, outside: Path, root: Path) -> None:
    workspace.write("f", [b"x"])
    (root / "link").symlink_to(outside)

    with pytest.raises(FileNotFound):
        workspace.entries("missing")
    with pytest.raises(WrongFileType):
        workspace.entries("f")
    with pytest.raises(WrongFileType):
        workspace.entries("link")


def test_unfinished_uploads_are_not_listed(workspace: Workspace) -> None:
    upload = workspace.upload("f")
    upload.start()
    upload.write(b"abc")

    assert paths(workspace, recursive=True) == []
    assert workspace.size_bytes() == ENTRY_BYTES

    upload.finish()
    upload.discard()
    assert paths(workspace) == ["f"]


def test_only_names_that_begin_with_the_prefix_are_hidden(workspace: Workspace, root: Path) -> None:
    (root / f"{TEMPORARY_PREFIX}d").mkdir()
    (root / f"{TEMPORARY_PREFIX}d/f").touch()
    (root / f"not{TEMPORARY_PREFIX}").touch()

    assert paths(workspace, recursive=True) == [f"not{TEMPORARY_PREFIX}"]


def test_names_that_are_not_utf8_are_shown_and_found(workspace: Workspace, root: Path) -> None:
    raw = os.fsencode(root) + b"/caf\xe9"
    os.mkdir(raw)
    with open(raw + b"/\xff.txt", "wb") as file:
        file.write(b"data")

    assert paths(workspace, recursive=True) == ["caf\\xe9", "caf\\xe9/\\xff.txt"]
    assert read(workspace, "caf\\xe9/\\xff.txt") == b"data"

    workspace.delete("caf\\xe9", recursive=True)
    assert os.listdir(root) == []


def test_a_name_shown_like_another_wins_if_it_is_literal(workspace: Workspace, root: Path) -> None:
    (root / "\\xff").write_bytes(b"literal")
    with open(os.fsencode(root) + b"/\xff", "wb") as file:
        file.write(b"raw")

    assert paths(workspace) == ["\\xff"]
    assert read(workspace, "\\xff") == b"literal"


def test_an_escape_cannot_smuggle_a_separator(workspace: Workspace, outside: Path) -> None:
    with pytest.raises(FileNotFound):
        workspace.open("\\x2e\\x2e\\x2foutside\\x2fsecret.txt")


@pytest.mark.parametrize(("seconds", "year"), [(-(2**33), 1970), (2**33, 2242)])
def test_any_time_code_sets_can_be_shown(
    workspace: Workspace, root: Path, seconds: int, year: int
) -> None:
    (root / "f").touch()
    os.utime(root / "f", (seconds, seconds))

    modified_at = workspace.stat("f").modified_at

    # File systems clamp what they cannot hold; we must only survive it.
    assert modified_at.tzinfo is UTC
    assert datetime(1970, 1, 1, tzinfo=UTC) <= modified_at
    assert modified_at.year <= year


def test_a_sparse_file_has_its_length_but_takes_no_room(workspace: Workspace, root: Path) -> None:
    with open(root / "sparse", "wb") as file:
        file.truncate(2**40)

    assert workspace.stat("sparse").size_bytes == 2**40
    assert workspace.size_bytes() == ENTRY_BYTES


def test_a_file_with_two_names_takes_room_once(workspace: Workspace, root: Path) -> None:
    workspace.write("a", [b"12345"])
    os.link(root / "a", root / "b")

    assert workspace.size_bytes() == ENTRY_BYTES
    assert paths(workspace) == ["a", "b"]


# --- Links, FIFOs, devices --------------------------------------------------------------------


def test_a_link_to_a_file_is_not_followed(workspace: Workspace, root: Path, outside: Path) -> None:
    (root / "link").symlink_to(outside / "secret.txt")

    assert paths(workspace) == []
    with pytest.raises(WrongFileType):
        workspace.open("link")
    with pytest.raises(WrongFileType):
        workspace.stat("link")
    with pytest.raises(WrongFileType):
        workspace.rename("link", "other")


@pytest.mark.parametrize("target", ["..", "/", "/mnt/data", "."])
def test_a_link_to_a_directory_is_not_entered(
    workspace: Workspace, root: Path, target: str
) -> None:
    (root / "link").symlink_to(target)

    for path in ("link/x", "link/outside/secret.txt", "link/etc/passwd"):
        with pytest.raises(WrongFileType):
            workspace.open(path)
        with pytest.raises(WrongFileType):
            workspace.write(path, [b"x"])
        with pytest.raises(WrongFileType):
            workspace.delete(path)
        with pytest.raises(WrongFileType):
            workspace.make_directory(path)
    assert paths(workspace, recursive=True) == []


def test_writing_over_a_link_replaces_the_link(
    workspace: Workspace, root: Path, outside: Path
) -> None:
    (root / "link").symlink_to(outside / "secret.txt")

    workspace.write("link", [b"mine"])

    assert (outside / "secret.txt").read_bytes() == SECRET
    assert read(workspace, "link") == b"mine"
    assert not (root / "link").is_symlink()


def test_writing_over_a_hard_link_leaves_the_other_name(
    workspace: Workspace, root: Path, outside: Path
) -> None:
    os.link(outside / "secret.txt", root / "hard")

    workspace.write("hard", [b"mine"])

    assert (outside / "secret.txt").read_bytes() == SECRET
    assert read(workspace, "hard") == b"mine"


def test_deleting_a_link_leaves_what_it_points_to(
    workspace: Workspace, root: Path, outside: Path
) -> None:
    (root / "link").symlink_to(outside)

    workspace.delete("link", recursive=True)

    assert os.listdir(root) == []
    assert (outside / "secret.txt").read_bytes() == SECRET


def test_a_fifo_is_refused_at_once(workspace: Workspace, root: Path) -> None:
    os.mkfifo(root / "fifo")

    with pytest.raises(WrongFileType):
        workspace.open("fifo")
    assert paths(workspace) == []
    assert workspace.write("fifo", [b"x"]).size_bytes == 1


def test_a_socket_is_refused(
    workspace: Workspace, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)  # the whole path may be too long for a socket
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")

    with pytest.raises(WrongFileType):
        workspace.open("socket")


@pytest.mark.skipif(os.getuid() != 0, reason="only root makes devices")
def test_a_device_is_refused(workspace: Workspace, root: Path) -> None:
    try:
        os.mknod(root / "zero", stat.S_IFCHR | 0o666, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("this container makes no devices")

    with pytest.raises(WrongFileType):
        workspace.open("zero")
    assert paths(workspace) == []


def exchange(one: Path, other: Path) -> None:
    """Swap two names at one stroke, as code can: at no moment is either missing."""
    exchange_flag, here = 2, -100  # RENAME_EXCHANGE, AT_FDCWD
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(here, os.fsencode(one), here, os.fsencode(other), exchange_flag):
        raise OSError(ctypes.get_errno(), "renameat2")


@pytest.mark.parametrize("swap", ["parent", "file"])
def test_swapping_during_the_walk_never_leads_out(
    workspace: Workspace, root: Path, outside: Path, swap: str
) -> None:
    """Whatever moment code chooses: the answer is its own file, or an error."""
    workspace.write("d/secret.txt", [b"mine"])
    place = root / ("d" if swap == "parent" else "d/secret.txt")
    trap = root / "trap"
    trap.symlink_to(outside if swap == "parent" else outside / "secret.txt")
    over = threading.Event()

    def swap_until_over() -> None:
        while not over.is_set():
            exchange(place, trap)

    swapper = threading.Thread(target=swap_until_over)
    swapper.start()
    seen = set()
    try:
        for _ in range(2000):
            try:
                seen.add(read(workspace, "d/secret.txt"))
                workspace.entries("d")
                workspace.write("d/new.txt", [b"x"])
            except (FileNotFound, WrongFileType):
                continue
    finally:
        over.set()
        swapper.join()

    assert seen <= {b"mine"}
    assert os.listdir(outside) == ["secret.txt"]
    assert (outside / "secret.txt").read_bytes() == SECRET


# --- Changing the tree ------------------------------------------------------------------------


def test_a_directory_is_not_overwritten_by_a_file(workspace: Workspace) -> None:
    workspace.write("d/f", [b"x"])

    with pytest.raises(WrongFileType):
        workspace.write("d", [b"x"])
    with pytest.raises(WrongFileType):
        workspace.write("d/f/g", [b"x"])
    with pytest.raises(WrongFileType):
        workspace.make_directory("d/f")


def test_making_a_directory_twice_is_fine(workspace: Workspace) -> None:
    assert workspace.make_directory("a/b").is_directory
    assert workspace.make_directory("a/b").path == "a/b"


def test_a_full_directory_is_deleted_only_on_request(workspace: Workspace, root: Path) -> None:
    workspace.write("d/e/f", [b"x"])

    with pytest.raises(WrongFileType, match="not empty"):
        workspace.delete("d")
    workspace.delete("d", recursive=True)
    with pytest.raises(FileNotFound):
        workspace.delete("d")

    assert os.listdir(root) == []


@pytest.mark.parametrize("path", ["", ".", "/mnt/data", "mnt/data/"])
def test_the_workspace_itself_stays(workspace: Workspace, root: Path, path: str) -> None:
    with pytest.raises(PathInvalid):
        workspace.delete(path, recursive=True)
    with pytest.raises(PathInvalid):
        workspace.rename(path, "x")
    assert root.is_dir()


def test_renaming_moves_files_and_directories(workspace: Workspace) -> None:
    workspace.write("d/f", [b"x"])

    assert workspace.rename("d/f", "new/g").path == "new/g"
    assert workspace.rename("new", "d/n").is_directory

    assert paths(workspace, recursive=True) == ["d", "d/n", "d/n/g"]


def test_renaming_never_overwrites(workspace: Workspace) -> None:
    workspace.write("a", [b"a"])
    workspace.write("d/f", [b"f"])

    with pytest.raises(FileExists):
        workspace.rename("a", "d/f")
    with pytest.raises(FileExists):
        workspace.rename("d", "a")
    with pytest.raises(FileNotFound):
        workspace.rename("missing", "b")
    with pytest.raises(WrongFileType):
        workspace.rename("d", "d/e")

    assert paths(workspace, recursive=True) == ["a", "d", "d/f"]


# --- Hostile trees ----------------------------------------------------------------------------


def make_deep(root: Path, levels: int) -> None:
    """Nested directories, deeper than any path can say."""
    directory = os.open(root, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d", dir_fd=directory)
        below = os.open("d", os.O_RDONLY, dir_fd=directory)
        os.close(directory)
        directory = below
    os.close(directory)


def test_a_tree_of_any_depth_can_be_removed(workspace: Workspace, root: Path) -> None:
    make_deep(root, 3000)

    workspace.remove()

    assert not root.exists()


def test_a_tree_too_deep_is_listed_in_part_and_counts_as_full(
    workspace: Workspace, root: Path
) -> None:
    make_deep(root, MAX_DEPTH + 10)

    assert len(paths(workspace, recursive=True)) == MAX_DEPTH
    with pytest.raises(WorkspaceFull):
        workspace.size_bytes()

    workspace.delete("d", recursive=True)
    assert workspace.size_bytes() == 0


LOOKS_AS_NOBODY_SPECIAL = """
import sys
from pathlib import Path
from sessions.kernels.workspace import Workspace
workspace = Workspace(Path(sys.argv[1]), max_bytes=None)
print(workspace.size_bytes())
print([entry.path for entry in workspace.entries(recursive=True)])
"""


@pytest.mark.parametrize("mode", [0, 0o400, 0o100, 0o300])
def test_closing_directories_hides_nothing_from_an_ordinary_user(
    workspace: Workspace, root: Path, mode: int
) -> None:
    workspace.write("d/hidden/f", [bytes(5 * ENTRY_BYTES)])
    for directory in ("d/hidden", "d", "."):
        (root / directory).chmod(mode)

    told = as_ordinary_user(LOOKS_AS_NOBODY_SPECIAL, root)

    assert told == [str(7 * ENTRY_BYTES), "['d', 'd/hidden', 'd/hidden/f']"]


def as_ordinary_user(code: str, root: Path) -> list[str]:
    """What Python code prints for whom the permissions of his own files count."""
    before: list[str] = []
    if os.geteuid() == 0:
        if not (setpriv := shutil.which("setpriv")):
            pytest.fail("setpriv is not installed; on Debian and Ubuntu it is in util-linux")
        before = [setpriv, "--bounding-set", "-dac_override,-dac_read_search"]
    ran = subprocess.run(
        [*before, sys.executable, "-c", code, str(root)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


def test_removing_a_workspace_touches_nothing_outside(
    workspace: Workspace, root: Path, outside: Path
) -> None:
    (root / "to-directory").symlink_to(outside)
    (root / "to-file").symlink_to(outside / "secret.txt")
    (root / "loop").symlink_to("loop")
    os.link(outside / "secret.txt", root / "hard")
    os.mkfifo(root / "fifo")
    os.mkdir(os.fsencode(root) + b"/\xff\n")
    (root / "locked/inner").mkdir(parents=True)
    (root / "locked/inner/f").touch()
    (root / "locked/inner").chmod(0)
    (root / "locked").chmod(0)
    root.chmod(0o500)

    workspace.remove()
    workspace.remove()

    assert not root.exists()
    assert (outside / "secret.txt").read_bytes() == SECRET


def test_removing_ends_while_code_still_writes(workspace: Workspace, root: Path) -> None:
    started = threading.Event()

    def write_until_gone() -> None:
        for number in range(300):
            try:
                (root / "d" / str(number)).mkdir(parents=True)
            except OSError:
                break
            started.set()

    writer = threading.Thread(target=write_until_gone)
    writer.start()
    started.wait()
    with contextlib.suppress(OSError):  # the writer won a race; the next time it is gone
        workspace.remove()
    writer.join()
    workspace.remove()

    assert not root.exists()
