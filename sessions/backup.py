"""A copy of all that a server keeps, in one file, and a data directory made of one.

The file is a tar (compressed if its name ends in ``gz``): ``manifest.json`` first, then the
database, the secret key, and the workspaces of sessions that have not ended, below ``sessions/``. It
is made while the server runs: the database as of one moment, files as they are read. A database that
is not in a file has tools of its own, and is left to them.

Code may change its workspace meanwhile, also into links: nothing here follows one.
"""

from __future__ import annotations

import io
import json
import os
import re
import sqlite3
import stat
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from uuid import UUID

from django.db import connection
from django.utils import timezone

from sessions.kernels.workspace import workspace_path
from sessions.models import Session

FORMAT, VERSION = "workbench-backup", 1
MANIFEST, DATABASE, SECRET_KEY = "manifest.json", "workbench.sqlite3", "secret-key"
MAX_MANIFEST_BYTES = 64 * 1024 * 1024
MAX_DEPTH = 200  # directories in directories; what is deeper is left out
PIECE_BYTES = 1024 * 1024
_MEMBER = re.compile(
    r"sessions/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/files(?:/.*)?", re.DOTALL
)

Say = Callable[[str], None]


class BackupFailed(Exception):
    """Why there is no backup, or nothing was restored: a sentence."""


@dataclass
class Copied:
    """What is in a backup, or was left out of it."""

    sessions: int = 0
    files: int = 0
    # What could not be read, is too deep, or is neither file, directory nor link.
    left_out: int = 0
    has_database: bool = False


# --- Backup -------------------------------------------------------------------------------------


def back_up(data_dir: Path, target: Path, say: Say) -> Copied:
    """Write a backup to ``target``, which must not exist. Raises BackupFailed; nothing is left then."""
    if target.exists():
        raise BackupFailed(f"{target} exists already. Choose another name.")
    copied = Copied()
    try:
        with (
            _written_whole(target) as file,
            tempfile.TemporaryDirectory(dir=target.parent) as beside,
            _tar(file, is_compressed=target.name.endswith("gz")) as tar,
        ):
            say("Copying the database")
            database = _copy_of_database(Path(beside, DATABASE))
            copied.has_database = database is not None
            sessions = _live_sessions(database)
            _add_manifest(tar, sessions)
            if database:
                tar.add(database, DATABASE)
            with suppress(FileNotFoundError):  # the key may be in the environment instead
                tar.add(data_dir / SECRET_KEY, SECRET_KEY)
            say(f"Copying the files of {len(sessions):,} sessions")
            for session_id in sessions:
                _add_workspace(tar, workspace_path(data_dir, session_id), session_id, copied)
    except (OSError, sqlite3.Error) as error:
        raise BackupFailed(f"The backup could not be written: {error}.") from error
    return copied


def _tar(file: IO[bytes], *, is_compressed: bool) -> tarfile.TarFile:
    if is_compressed:  # the fastest level: it halves text, and more takes long
        return tarfile.open(fileobj=file, mode="w:gz", compresslevel=1, format=tarfile.PAX_FORMAT)
    return tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT)


@contextmanager
def _written_whole(target: Path) -> Iterator[IO[bytes]]:
    """A file that is there once it is whole, readable by its owner only."""
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}-", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.link(name, target)  # unlike a rename, never in the place of another
    finally:
        os.unlink(name)


def _copy_of_database(path: Path) -> Path | None:
    """The database as of one moment; None if it is not in a file of ours."""
    if connection.vendor != "sqlite":
        return None
    with (
        closing(sqlite3.connect(connection.settings_dict["NAME"], timeout=60)) as source,
        closing(sqlite3.connect(path)) as copy,
    ):
        source.backup(copy)
    return path


def _live_sessions(database: Path | None) -> list[UUID]:
    """Those whose files matter: of the copy, as the other may have moved on."""
    if database is None:
        return list(Session.objects.live().values_list("id", flat=True))
    table = Session._meta.db_table
    with closing(sqlite3.connect(database)) as copy:
        query = f"select id from {table} where ended_at is null"  # noqa: S608  # a name of ours
        return [UUID(row[0]) for row in copy.execute(query)]


def _add_manifest(tar: tarfile.TarFile, sessions: list[UUID]) -> None:
    about = {
        "format": FORMAT,
        "version": VERSION,
        "made_at": timezone.now().isoformat(),
        "database": connection.vendor,
        "sessions": [str(each) for each in sessions],
    }
    text = json.dumps(about, indent=2).encode()
    info = tarfile.TarInfo(MANIFEST)
    info.size, info.mode = len(text), 0o600
    tar.addfile(info, io.BytesIO(text))


def _add_workspace(tar: tarfile.TarFile, path: Path, session_id: UUID, copied: Copied) -> None:
    try:
        root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return  # it has ended since
    try:
        copied.sessions += 1
        _add_directory(tar, root, f"sessions/{session_id}/files", MAX_DEPTH, copied)
    finally:
        os.close(root)


def _add_directory(
    tar: tarfile.TarFile, directory: int, name: str, levels: int, copied: Copied
) -> None:
    """Add an open directory and all that is in it."""
    tar.addfile(_info(name, os.fstat(directory), tarfile.DIRTYPE))
    try:
        entries = sorted(os.listdir(directory))
    except OSError:
        copied.left_out += 1
        return
    for entry in entries:
        try:
            _add_entry(tar, directory, entry, f"{name}/{entry}", levels, copied)
        except (FileNotFoundError, PermissionError, NotADirectoryError, IsADirectoryError):
            copied.left_out += 1  # it is gone, another thing by now, or closed to us


def _add_entry(
    tar: tarfile.TarFile, directory: int, entry: str, name: str, levels: int, copied: Copied
) -> None:
    status = os.stat(entry, dir_fd=directory, follow_symlinks=False)
    kept = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    if stat.S_ISDIR(status.st_mode) and levels:
        below = os.open(entry, kept | os.O_DIRECTORY, dir_fd=directory)
        try:
            _add_directory(tar, below, name, levels - 1, copied)
        finally:
            os.close(below)
    elif stat.S_ISREG(status.st_mode):
        with os.fdopen(os.open(entry, kept, dir_fd=directory), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise FileNotFoundError
            info = _info(name, status, tarfile.REGTYPE)
            info.size = status.st_size
            tar.addfile(info, _Exactly(file, status.st_size))
            copied.files += 1
    elif stat.S_ISLNK(status.st_mode):
        info = _info(name, status, tarfile.SYMTYPE)
        info.linkname = os.readlink(entry, dir_fd=directory)
        tar.addfile(info)
    else:
        copied.left_out += 1


def _info(name: str, status: os.stat_result, kind: bytes) -> tarfile.TarInfo:
    """About a member; its user is nobody's affair, as the next host gives it another."""
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.mtime = kind, status.st_mode & 0o777, int(status.st_mtime)
    return info


class _Exactly(io.RawIOBase):
    """So many bytes of a file, whatever becomes of it: zeros for those that it has lost."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self._left = size

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        wanted = min(self._left, PIECE_BYTES if size < 0 else size)
        self._left -= wanted
        return self._file.read(wanted).ljust(wanted, b"\0")


# --- Restore ------------------------------------------------------------------------------------


def restore(source: Path, data_dir: Path, say: Say) -> Copied:
    """Make a data directory of a backup. Raises BackupFailed; nothing has changed then.

    The directory must be empty, but for a secret key, which the backup's replaces.
    """
    if others := [each.name for each in _entries(data_dir) if each.name != SECRET_KEY]:
        raise BackupFailed(
            f"{data_dir} is not empty (there is {others[0]}). Restore into a new WORKBENCH_DATA_DIR."
        )
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(prefix=".restore-", dir=data_dir) as beside,
            tarfile.open(source) as tar,
        ):
            _check_manifest(tar)
            say("Unpacking")
            copied = _unpack(tar, Path(beside))
            if copied.has_database:
                _check_database(Path(beside, DATABASE))
            for each in _entries(Path(beside)):
                each.rename(data_dir / each.name)
    except (tarfile.TarError, EOFError) as error:
        said = str(error).partition("\n")[0].rstrip(":. ")  # one line for each format it tried
        raise BackupFailed(f"{source} is broken, or no backup: {said}.") from error
    except (OSError, sqlite3.Error) as error:
        raise BackupFailed(f"{source} could not be restored: {error}.") from error
    return copied


def _entries(directory: Path) -> list[Path]:
    with suppress(FileNotFoundError):
        return sorted(directory.iterdir())
    return []


def _check_manifest(tar: tarfile.TarFile) -> None:
    first = tar.next()
    if first is None or first.name != MANIFEST or first.size > MAX_MANIFEST_BYTES:
        raise BackupFailed("This is no backup of a workbench.")
    file = tar.extractfile(first)
    try:
        about = json.loads(file.read()) if file else None
    except ValueError:
        about = None
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise BackupFailed("This is no backup of a workbench.")
    if about.get("version") != VERSION:
        raise BackupFailed(
            f"This backup has version {about.get('version')!r}, and this server reads {VERSION}. "
            "Use the version of the server that made it."
        )


def _unpack(tar: tarfile.TarFile, target: Path) -> Copied:
    copied, sessions = Copied(), set()
    closed: list[tarfile.TarInfo] = []  # directories get their permissions when all is in them
    for member in tar:
        if member.name == MANIFEST:
            continue
        if not (member.name in (DATABASE, SECRET_KEY) and member.isreg()):
            if not _MEMBER.fullmatch(member.name) or ".." in member.name.split("/"):
                raise BackupFailed(f"No backup of ours holds {member.name[:100]!r}.")
            sessions.add(member.name.split("/")[1])
        if not (member.isreg() or member.isdir() or member.issym()):
            raise BackupFailed(f"No backup of ours holds a thing like {member.name[:100]!r}.")
        if _leads_through_a_link(target, member.name):
            raise BackupFailed(f"{member.name[:100]!r} would be written through a link.")
        tar.extract(
            member.replace(mode=0o700 if member.isdir() else member.mode & 0o777, deep=False),
            target,
            numeric_owner=True,
            filter="fully_trusted",  # what it would check is checked above, but links may lead anywhere
        )
        copied.files += member.isreg() and member.name not in (DATABASE, SECRET_KEY)
        if member.isdir():
            closed.append(member)
    for member in reversed(closed):
        os.chmod(target / member.name, member.mode & 0o777)
    copied.sessions = len(sessions)
    copied.has_database = (target / DATABASE).exists()
    return copied


def _leads_through_a_link(target: Path, name: str) -> bool:
    path = target
    for part in name.split("/")[:-1]:
        path = path / part
        if path.is_symlink():
            return True
    return (target / name).is_symlink()


def _check_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        said = database.execute("pragma quick_check(1)").fetchone()[0]
    if said != "ok":
        raise BackupFailed(f"The database in it is damaged: {said}.")
