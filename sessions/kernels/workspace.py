"""The directory of one session, as the server touches it; code in it sees it as ``/mnt/data``.

That code is hostile: it puts links, FIFOs, devices, sparse files and odd names here, and swaps
them while we look. So nothing here trusts a path twice. Every path is walked part by part from
the descriptor of the root, never through a link (``openat`` with ``O_NOFOLLOW``); a file counts
only when its open descriptor says that it is regular; a new file is written under a temporary
name and moved into place whole.

Names are bytes on the disk and text outside. A byte that is not UTF-8 is shown as ``\\xNN`` (so
JSON and the database hold it), and a path with that text finds the file again.

All of this blocks: callers on an event loop use a thread. No Django.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from uuid import UUID

from sessions.exceptions import (
    FileExists,
    FileNotFound,
    FileTooLarge,
    PathInvalid,
    WorkbenchError,
    WorkspaceFull,
    WrongFileType,
)
from sessions.kernels.removal import (
    TEMPORARY_PREFIX,
    empty,
    open_to_empty,
    remove_tree,
    temporary_name,
)

# Where code in the session sees its workspace, and what clients therefore call it.
MOUNT_POINTS = ("/mnt/data", "/home/work")
# The limits of Linux, and one of ours: the directories that may stand above one another.
MAX_NAME_BYTES = 255
MAX_PATH_BYTES = 4096
MAX_DEPTH = 64
# Entries in one listing.
MAX_ENTRIES = 100_000
# Entries that are looked at to measure a workspace.
MAX_MEASURED_ENTRIES = 1_000_000
# What each file, directory or link counts for at least: an empty one takes of the disk as well.
ENTRY_BYTES = 4096

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: opening a FIFO must not wait for its other end.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# Code may run under another uid than the server.
_FILE_MODE = 0o644
_DIRECTORY_MODE = 0o755
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TOO_MUCH = "The workspace has too many files or levels to measure."
_LAST_MICROSECOND = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A regular file or a directory of a workspace, at one moment."""

    # Relative to the workspace, with "/" between the parts; "." is the workspace itself.
    path: str
    size_bytes: int
    # In UTC; code may set any time, so one before 1970 or after 9999 is moved to that end.
    modified_at: datetime
    is_directory: bool
    # Its type and permissions, as the system has them.
    mode: int = field(default=0, compare=False)


def workspace_path(data_dir: Path, session_id: UUID) -> Path:
    """Where the workspace of a session is, in the server's data directory."""
    return data_dir / "sessions" / str(session_id) / "files"


class Workspace:
    """The directory of one session. Holds nothing open: make one whenever it is needed.

    Every method but ``relative`` and ``remove`` raises FileNotFound while the directory does not
    exist. Paths are untrusted text, read by ``relative``.
    """

    def __init__(
        self,
        root: Path,
        *,
        max_bytes: int | None,
        owner: tuple[int, int] | None = None,
        full: str = "",
    ) -> None:
        """``max_bytes`` is what it may hold (None: no limit); only writes here look at it.

        ``full`` is the sentence for what does not fit; empty: that the workspace is full.

        ``owner`` is the uid and gid that new files and directories get; None: those of the root
        directory, so that the session's own user can change what we put there.
        """
        self.root = root
        self.max_bytes = max_bytes
        self.owner = owner
        self.full = full

    def create(self) -> None:
        """Make the directory, open to its owner only; one that exists keeps what it holds."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._directory(()) as root:
            os.fchmod(root, 0o700)
            self._give(root)

    def remove(self) -> None:
        """Delete the directory and all that is in it; does nothing if it is gone.

        Links are deleted, not followed; neither depth nor permissions stop it.
        """
        remove_tree(self.root)

    def relative(self, text: str) -> PurePosixPath:
        """The path that untrusted text names; see relative_path."""
        return relative_path(text)

    def entries(self, directory: str = "", *, recursive: bool = False) -> list[Entry]:
        """The files and directories in a directory (with ``recursive``, below it), by path.

        Leaves out links, devices, FIFOs, unfinished uploads, and what our limits make
        unreachable: more than MAX_DEPTH directories deep, or beyond the first MAX_ENTRIES.
        Raises PathInvalid, FileNotFound, WrongFileType.
        """
        parts = self.relative(directory).parts
        prefix = "".join(f"{part}/" for part in parts)
        levels = MAX_DEPTH - len(parts) if recursive else 1
        with _domain_errors(), self._directory(parts) as descriptor:
            found = islice(_listed(_walk(descriptor, prefix, levels)), MAX_ENTRIES)
            # Two names on the disk may be shown alike; the path names one of them.
            return [entry for _, entry in sorted({entry.path: entry for entry in found}.items())]

    def stat(self, path: str) -> Entry:
        """What is at ``path``. Raises PathInvalid, FileNotFound, WrongFileType."""
        relative = self.relative(path)
        with _domain_errors():
            if not relative.parts:
                with self._directory(()) as root:
                    return _entry(".", os.fstat(root))
            with self._directory(relative.parts[:-1]) as parent:
                return _entry(relative.as_posix(), _status(parent, relative.name))

    def open(self, path: str) -> tuple[BinaryIO, Entry]:
        """Open a regular file for reading; the caller closes it.

        Raises PathInvalid, FileNotFound, WrongFileType for anything but a regular file.
        """
        relative = self.relative(path)
        if not relative.parts:
            raise WrongFileType("This is a directory.")
        with _domain_errors(), self._directory(relative.parts[:-1]) as parent:
            # Looked at before it is opened, because opening a device can have effects; and the
            # open one once more, because it may have been swapped in between.
            _check_regular(_status(parent, relative.name))
            file = os.fdopen(os.open(_raw(parent, relative.name), _READ, dir_fd=parent), "rb")
            try:
                info = os.fstat(file.fileno())
                _check_regular(info)
            except BaseException:
                file.close()
                raise
            return file, _entry(relative.as_posix(), info)

    def write(
        self,
        path: str,
        chunks: Iterable[bytes],
        *,
        overwrite: bool = True,
        max_bytes: int | None = None,
    ) -> Entry:
        """Write a file whole, or not at all; see ``upload``, of which this is the short form."""
        upload = self.upload(path, overwrite=overwrite, max_bytes=max_bytes)
        try:
            upload.start()
            for chunk in chunks:
                upload.write(chunk)
            return upload.finish()
        finally:
            upload.discard()

    def upload(self, path: str, *, overwrite: bool = True, max_bytes: int | None = None) -> Upload:
        """A file to be written piece by piece; nothing happens yet.

        ``max_bytes`` is the size it may have (None: no limit). Raises PathInvalid.
        """
        relative = self.relative(path)
        if not relative.parts:
            raise PathInvalid("The path names the workspace itself, not a file in it.")
        return Upload(self, relative, overwrite=overwrite, max_bytes=max_bytes)

    def delete(self, path: str, *, recursive: bool = False) -> None:
        """Delete what is at ``path``; of a link, the link.

        Raises PathInvalid, FileNotFound, WrongFileType for a directory that is not empty unless
        ``recursive``.
        """
        relative = self._inside(path)
        with _domain_errors(), self._directory(relative.parts[:-1]) as parent:
            name = _raw(parent, relative.name)
            if not stat.S_ISDIR(_status(parent, relative.name).st_mode):
                os.unlink(name, dir_fd=parent)
            elif recursive:
                self._delete_tree(parent, name)
            else:
                os.rmdir(name, dir_fd=parent)

    def make_directory(self, path: str) -> Entry:
        """Make a directory, and those on the way; one that exists is fine.

        Raises PathInvalid, WorkspaceFull, WrongFileType if a part of the path is something else.
        """
        relative = self.relative(path)
        if self.max_bytes is not None and self.size_bytes() + ENTRY_BYTES > self.max_bytes:
            return self._existing_directory(path)
        with _domain_errors(), self._directory(relative.parts, create=True) as directory:
            return _entry(relative.as_posix(), os.fstat(directory))

    def rename(self, source: str, target: str) -> Entry:
        """Move a file or directory to another path; directories on the way are made.

        Raises PathInvalid, FileNotFound, FileExists, WrongFileType for a link or a device, or
        for a directory that would move into itself.
        """
        old, new = self._inside(source), self._inside(target)
        if old in new.parents:
            raise WrongFileType("A directory cannot be moved into itself.")
        with _domain_errors(), self._directory(old.parts[:-1]) as parent:
            entry = _entry(new.as_posix(), _status(parent, old.name))
            with self._directory(new.parts[:-1], create=True) as new_parent:
                name = _raw(new_parent, new.name)
                if _exists(new_parent, name):
                    raise FileExists
                os.rename(_raw(parent, old.name), name, src_dir_fd=parent, dst_dir_fd=new_parent)
        return entry

    def size_bytes(self) -> int:
        """What the workspace takes of the disk, for the quota.

        Whatever there is counts, with ENTRY_BYTES at least. A file counts once however many
        names it has, and a hole in it not at all; unfinished uploads count. Directories that
        their owner closed to himself are opened for that, and stay open. Raises WorkspaceFull
        for a tree too large or too deep to measure, which only code that hides from the quota
        makes.
        """
        total = 0
        counted: set[int] = set()
        with _domain_errors(), _unreadable_is_full(), self._directory(()) as root:
            for number, (path, info) in enumerate(_walk(root, "", MAX_DEPTH + 1, all_of=True)):
                if number >= MAX_MEASURED_ENTRIES or path.count("/") >= MAX_DEPTH:
                    raise WorkspaceFull(_TOO_MUCH)
                is_directory = stat.S_ISDIR(info.st_mode)
                if is_directory or info.st_ino not in counted:
                    total += _kept(info)
                if info.st_nlink > 1 and not is_directory:
                    counted.add(info.st_ino)
        return total

    @contextmanager
    def _directory(self, parts: Iterable[str], *, create: bool = False) -> Iterator[int]:
        """A descriptor of a directory, each part opened from the one before it."""
        descriptor = self._open_root()
        try:
            for part in parts:
                below = self._enter(descriptor, part, create=create)
                os.close(descriptor)
                descriptor = below
            yield descriptor
        finally:
            os.close(descriptor)

    def _open_root(self) -> int:
        """A descriptor of the workspace itself, also if code has closed it to its owner."""
        if ~os.stat(self.root, follow_symlinks=False).st_mode & 0o700:
            os.close(open_to_empty(os.fsencode(self.root), None))
        return os.open(self.root, _DIRECTORY)

    def _enter(self, directory: int, part: str, *, create: bool) -> int:
        name = _raw(directory, part)
        try:
            return os.open(name, _DIRECTORY, dir_fd=directory)
        except FileNotFoundError:
            if not create:
                raise
        with suppress(FileExistsError):  # made by another upload, just now
            os.mkdir(name, _DIRECTORY_MODE, dir_fd=directory)
        below = os.open(name, _DIRECTORY, dir_fd=directory)
        os.fchmod(below, _DIRECTORY_MODE)  # whatever the umask
        self._give(below)
        return below

    def _give(self, descriptor: int) -> None:
        """Give an open file or directory of ours to whom the workspace belongs."""
        root = os.stat(self.root, follow_symlinks=False)
        owner = self.owner or (root.st_uid, root.st_gid)
        info = os.fstat(descriptor)
        if owner != (info.st_uid, info.st_gid):
            os.fchown(descriptor, *owner)

    def _inside(self, path: str) -> PurePosixPath:
        relative = self.relative(path)
        if not relative.parts:
            raise PathInvalid("The workspace itself cannot be deleted or moved.")
        return relative

    def _existing_directory(self, path: str) -> Entry:
        """The directory, if there is one. Raises WorkspaceFull, PathInvalid, WrongFileType."""
        try:
            entry = self.stat(path)
        except FileNotFound:
            raise WorkspaceFull(self.full) from None
        if not entry.is_directory:
            raise WrongFileType("A part of the path is not a directory.")
        return entry

    def _delete_tree(self, parent: int, name: bytes) -> None:
        """Delete a directory: out of sight at once, then bit by bit."""
        below = open_to_empty(name, parent)
        try:
            with self._directory(()) as root:
                doomed = temporary_name()
                os.rename(name, doomed, src_dir_fd=parent, dst_dir_fd=root)
                empty(below)
                os.rmdir(doomed, dir_fd=root)
        finally:
            os.close(below)


class Upload:
    """A file on its way into a workspace: ``start``, ``write`` …, ``finish``; then ``discard``.

    Until ``finish`` the bytes are under a temporary name in the root of the workspace, so a
    refused or broken upload leaves nothing, not even the directories it asked for. ``discard``
    must follow in every case. The methods may be called from different threads: a caller whose
    waiting was cancelled can discard while its last ``write`` still runs.
    """

    def __init__(
        self,
        workspace: Workspace,
        path: PurePosixPath,
        *,
        overwrite: bool,
        max_bytes: int | None,
    ) -> None:
        self._workspace = workspace
        self._path = path
        self._overwrite = overwrite
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._temporary = temporary_name()
        self._written = 0
        # Bytes the workspace has room for; None: no limit.
        self._room: int | None = None
        # Descriptors; None until started, and after the end.
        self._root: int | None = None
        self._file: int | None = None
        self._over = False

    def start(self) -> None:
        """Look whether the file may be written, and begin.

        Raises FileNotFound without a workspace, FileExists, WorkspaceFull, WrongFileType.
        """
        with self._lock, _domain_errors():
            self._check_open()
            replaced = self._check_target()
            if (limit := self._workspace.max_bytes) is not None:
                self._room = limit - self._workspace.size_bytes() + replaced
            self._check_room()  # an empty file needs room, too
            self._root = self._workspace._open_root()
            self._file = os.open(self._temporary, _CREATE, 0o600, dir_fd=self._root)

    def write(self, chunk: bytes) -> None:
        """Add bytes. Raises FileTooLarge, WorkspaceFull."""
        with self._lock, _domain_errors():
            self._check_open()
            self._written += len(chunk)
            if self._max_bytes is not None and self._written > self._max_bytes:
                raise FileTooLarge(max_bytes=self._max_bytes)
            self._check_room()
            assert self._file is not None
            rest = memoryview(chunk)
            while rest:
                rest = rest[os.write(self._file, rest) :]

    def finish(self) -> Entry:
        """Give the file its name, and its owner. Raises FileExists, WorkspaceFull, WrongFileType."""
        with self._lock, _domain_errors():
            self._check_open()
            assert self._file is not None
            os.fchmod(self._file, _FILE_MODE)  # whatever the umask
            self._workspace._give(self._file)
            with self._workspace._directory(self._path.parts[:-1], create=True) as parent:
                self._move(parent, _raw(parent, self._path.name))
            return _entry(self._path.as_posix(), os.fstat(self._file))

    def discard(self) -> None:
        """End the upload; without ``finish``, nothing of it remains. Idempotent."""
        with self._lock:
            self._over = True
            descriptors = [found for found in (self._file, self._root) if found is not None]
            # After finish there is nothing to delete. Whatever else is wrong is not our caller's
            # affair: the name is hidden, and goes with the workspace.
            with suppress(OSError):
                if self._root is not None:
                    os.unlink(self._temporary, dir_fd=self._root)
            self._file = self._root = None
            for descriptor in descriptors:
                os.close(descriptor)

    def _check_open(self) -> None:
        if self._over:
            raise RuntimeError("The upload is over.")

    def _check_room(self) -> None:
        blocks = max(1, -(-self._written // ENTRY_BYTES))
        if self._room is not None and blocks * ENTRY_BYTES > self._room:
            raise WorkspaceFull(self._workspace.full)

    def _check_target(self) -> int:
        """Refuse early what ``finish`` would refuse; the bytes that will be replaced."""
        try:
            with self._workspace._directory(self._path.parts[:-1]) as parent:
                info = _status(parent, self._path.name)
        except FileNotFoundError:
            return 0
        if stat.S_ISDIR(info.st_mode):
            raise WrongFileType("A directory has this name.")
        if not self._overwrite:
            raise FileExists
        return _kept(info) if info.st_nlink == 1 else 0

    def _move(self, parent: int, name: bytes) -> None:
        assert self._root is not None
        if self._overwrite:
            os.rename(self._temporary, name, src_dir_fd=self._root, dst_dir_fd=parent)
            return
        # Unlike rename, link refuses a name that is taken: also one taken since we looked.
        os.link(
            self._temporary,
            name,
            src_dir_fd=self._root,
            dst_dir_fd=parent,
            follow_symlinks=False,
        )


# --- Text and names ---------------------------------------------------------------------------


def relative_path(text: str) -> PurePosixPath:
    """The path that untrusted text names, relative to the workspace, which is ``.``.

    ``a/b``, ``/mnt/data/a/b``, ``mnt/data/a/b`` and ``/home/work/a/b`` are the same. Raises
    PathInvalid, with a sentence that says why.
    """
    encoded = _encode(text)
    if len(encoded) > MAX_PATH_BYTES:
        raise PathInvalid(f"The path is longer than {MAX_PATH_BYTES} bytes.")
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise PathInvalid("The path may not contain '..'.")
    absolute = text.startswith("/")
    if absolute or parts[:2] == ["mnt", "data"]:
        parts = _below_mount_point(parts)
    for part in parts:
        _check_name(part)
    if len(parts) > MAX_DEPTH:
        raise PathInvalid(f"The path has more than {MAX_DEPTH} parts.")
    return PurePosixPath(*parts)


def _encode(text: str) -> bytes:
    try:
        encoded = text.encode()
    except UnicodeEncodeError as error:
        raise PathInvalid("The path is not valid Unicode text.") from error
    if b"\0" in encoded:
        raise PathInvalid("The path may not contain a NUL character.")
    return encoded


def _below_mount_point(parts: list[str]) -> list[str]:
    for mount_point in MOUNT_POINTS:
        if "/".join(["", *parts[:2]]) == mount_point:
            return parts[2:]
    raise PathInvalid("An absolute path must be below /mnt/data.")


def _check_name(name: str) -> None:
    if len(name.encode()) > MAX_NAME_BYTES:
        raise PathInvalid(f"A name in the path is longer than {MAX_NAME_BYTES} bytes.")
    if name.startswith(TEMPORARY_PREFIX):
        raise PathInvalid(f"Names that begin with {TEMPORARY_PREFIX} are reserved.")


def _shown(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


def _raw(directory: int, name: str) -> bytes:
    """The name on the disk that is shown as ``name``, or would be if it existed."""
    literal = name.encode()
    if "\\x" not in name or _exists(directory, literal):
        return literal
    escaped = re.sub(rb"\\x([0-9a-f]{2})", lambda match: bytes([int(match[1], 16)]), literal)
    # An escape that no listing shows (of "/", say) stands for itself.
    return escaped if _shown(escaped) == name and _exists(directory, escaped) else literal


# --- What is on the disk ----------------------------------------------------------------------


def _exists(directory: int, name: bytes) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _status(directory: int, name: str) -> os.stat_result:
    return os.stat(_raw(directory, name), dir_fd=directory, follow_symlinks=False)


def _is_ours(info: os.stat_result) -> bool:
    return stat.S_ISREG(info.st_mode) or stat.S_ISDIR(info.st_mode)


def _check_regular(info: os.stat_result) -> None:
    if stat.S_ISDIR(info.st_mode):
        raise WrongFileType("This is a directory.")
    if not stat.S_ISREG(info.st_mode):
        raise WrongFileType


def _entry(path: str, info: os.stat_result) -> Entry:
    if not _is_ours(info):
        raise WrongFileType
    microseconds = min(max(info.st_mtime_ns // 1000, 0), _LAST_MICROSECOND)
    return Entry(
        path=path,
        size_bytes=info.st_size,
        modified_at=_EPOCH + timedelta(microseconds=microseconds),
        is_directory=stat.S_ISDIR(info.st_mode),
        mode=info.st_mode,
    )


def _kept(info: os.stat_result) -> int:
    """Bytes of the disk that an entry takes: not the holes of a sparse file, but its inode."""
    return max(info.st_blocks * 512, ENTRY_BYTES)


def _walk(
    directory: int, prefix: str, levels: int, *, all_of: bool = False
) -> Iterator[tuple[str, os.stat_result]]:
    """All that is below an open directory, directories before what is in them.

    Keeps one descriptor per level open. What vanishes, is swapped for something else or is
    closed to us meanwhile is passed over; with ``all_of`` what is closed is opened, or it
    raises PermissionError.
    """
    below: list[tuple[bytes, os.stat_result]] = []
    passed_over = (FileNotFoundError,) if all_of else (FileNotFoundError, PermissionError)
    with os.scandir(directory) as listing:
        for item in listing:
            name = os.fsencode(item.name)
            try:
                info = item.stat(follow_symlinks=False)
            except passed_over:
                continue
            yield prefix + _shown(name), info
            if levels > 1 and stat.S_ISDIR(info.st_mode):
                below.append((name, info))
    for name, info in below:
        is_closed = ~info.st_mode & 0o500 and info.st_uid == os.geteuid()
        try:
            if all_of and is_closed:
                descriptor = open_to_empty(name, directory)
            else:
                descriptor = os.open(name, _DIRECTORY, dir_fd=directory)
        except (*passed_over, NotADirectoryError):
            continue
        try:
            yield from _walk(descriptor, f"{prefix}{_shown(name)}/", levels - 1, all_of=all_of)
        finally:
            os.close(descriptor)


def _listed(found: Iterable[tuple[str, os.stat_result]]) -> Iterator[Entry]:
    for path, info in found:
        if _is_ours(info) and f"/{TEMPORARY_PREFIX}" not in f"/{path}":
            yield _entry(path, info)


# --- Errors -----------------------------------------------------------------------------------

_MEANING: dict[int, WorkbenchError] = {
    errno.ENOENT: FileNotFound(),
    errno.EEXIST: FileExists(),
    errno.ENOSPC: WorkspaceFull(),
    errno.EDQUOT: WorkspaceFull(),
    errno.EFBIG: FileTooLarge(),
    errno.ENAMETOOLONG: PathInvalid("A name in the path is too long."),
    errno.EINVAL: PathInvalid(),
    errno.ENOTDIR: WrongFileType("A part of the path is not a directory."),
    errno.ELOOP: WrongFileType("The path leads through a link, and links are not followed."),
    errno.EISDIR: WrongFileType("This is a directory."),
    errno.ENOTEMPTY: WrongFileType("The directory is not empty."),
    errno.EACCES: WrongFileType("Its permissions forbid this."),
    errno.EPERM: WrongFileType("Its permissions forbid this."),
    errno.ENXIO: WrongFileType(),
}


@contextmanager
def _unreadable_is_full() -> Iterator[None]:
    """What may not be looked at cannot be measured."""
    try:
        yield
    except PermissionError as error:
        raise WorkspaceFull(_TOO_MUCH) from error


@contextmanager
def _domain_errors() -> Iterator[None]:
    """Turn what the system says into our words; what has no word is a bug and stays."""
    try:
        yield
    except OSError as error:
        meaning = _MEANING.get(error.errno or 0)
        if meaning is None:
            raise
        raise type(meaning)(meaning.message) from error
