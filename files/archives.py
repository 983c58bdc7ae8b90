"""A file or a directory of a workspace as a tar or zip archive, in a temporary file.

All of this blocks, and runs where the workspace is.
"""

from __future__ import annotations

import os
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, cast

from django.conf import settings

from files.info import FileInfo, content_type_of
from files.streams import PIECE_BYTES
from sessions.exceptions import Conflict, FileNotFound, FileTooLarge, WrongFileType
from sessions.kernels.workspace import Entry, Workspace

# Bytes of one archive: a sparse file may claim to be larger than any disk.
MAX_ARCHIVE_BYTES = 1024 * 1024 * 1024
_BLOCK_BYTES = 512
_MS_DOS_DIRECTORY = 0x10
# Bytes from which a file is taken to be worth compressing, or not.
_SAMPLE_BYTES = 64 * 1024


def packed_tar(workspace: Workspace, path: str, name: str) -> tuple[BinaryIO, FileInfo]:
    """An uncompressed tar of what is at ``path``, open, called ``name`` with ".tar" behind it.

    Its members are named from the last part of the path on: ``src/main.c`` for the directory
    ``a/src``; the workspace itself is ``.``. Only regular files and directories are in it; no
    link is followed. Raises PathInvalid, FileNotFound, WrongFileType, FileTooLarge beyond
    MAX_ARCHIVE_BYTES, Conflict if a file became shorter meanwhile.
    """
    return _packed(_write_tar, workspace, path, f"{name}.tar")


def packed_zip(workspace: Workspace, path: str, name: str) -> tuple[BinaryIO, FileInfo]:
    """A zip of what is at ``path``, open, called ``name`` with ".zip" behind it.

    Its members are named as those of a tar, but what is in the workspace itself stands at the
    top. A file that changes meanwhile is in it as it was read. Raises PathInvalid, FileNotFound,
    WrongFileType, FileTooLarge beyond MAX_ARCHIVE_BYTES.
    """
    return _packed(_write_zip, workspace, path, f"{name}.zip")


# --- Packing ----------------------------------------------------------------------------------

# A name in the archive, and what has it; the first one is what was asked for.
Members = list[tuple[str, Entry]]
Writer = Callable[[BinaryIO, Workspace, Members], None]


def _packed(write: Writer, workspace: Workspace, path: str, name: str) -> tuple[BinaryIO, FileInfo]:
    members = list(_members(workspace, workspace.stat(path)))
    size = sum(_BLOCK_BYTES * 3 + entry.size_bytes for _, entry in members)
    if size > MAX_ARCHIVE_BYTES:
        raise FileTooLarge(f"An archive may have {MAX_ARCHIVE_BYTES} bytes at most.")
    file = _temporary_file()
    try:
        write(file, workspace, members)
        file.seek(0)
        return file, _info(name, os.fstat(file.fileno()))
    except BaseException:
        file.close()
        raise


def _temporary_file() -> BinaryIO:
    """One without a name, on the disk that workspaces are on: /tmp may be memory."""
    directory = Path(settings.WORKBENCH_DATA_DIR) / "tmp"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return cast(BinaryIO, tempfile.TemporaryFile(dir=directory))


def _info(name: str, status: os.stat_result) -> FileInfo:
    return FileInfo(
        path=name,
        name=name,
        directory=".",
        size_bytes=status.st_size,
        modified_at=datetime.fromtimestamp(status.st_mtime, UTC),
        is_directory=False,
        content_type=content_type_of(name),
    )


def _members(workspace: Workspace, top: Entry) -> Iterator[tuple[str, Entry]]:
    """The name in the archive, and the file or directory, of all that is at and below ``top``."""
    base = PurePosixPath(top.path)
    name = base.name or "."
    yield name, top
    if top.is_directory:
        for entry in workspace.entries(top.path, recursive=True):
            yield f"{name}/{PurePosixPath(entry.path).relative_to(base)}", entry


def _opened(
    workspace: Workspace, entry: Entry, *, is_top: bool
) -> tuple[BinaryIO, Entry] | tuple[None, None]:
    """The open file; nothing if it was deleted or replaced while we were on the way.

    What was asked for itself has to be there: then its absence is an error.
    """
    try:
        return workspace.open(entry.path)
    except (FileNotFound, WrongFileType):
        if is_top:
            raise
        return None, None


# --- tar --------------------------------------------------------------------------------------


def _write_tar(file: BinaryIO, workspace: Workspace, members: Members) -> None:
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for number, (name, entry) in enumerate(members):
            _add(tar, workspace, name, entry, is_top=number == 0)


def _add(
    tar: tarfile.TarFile, workspace: Workspace, name: str, entry: Entry, *, is_top: bool
) -> None:
    info = tarfile.TarInfo(name)
    info.mtime = int(entry.modified_at.timestamp())
    info.mode = entry.mode & 0o777
    if entry.is_directory:
        info.type = tarfile.DIRTYPE
        tar.addfile(info)
        return
    file, now = _opened(workspace, entry, is_top=is_top)
    if file is None or now is None:
        return
    with file:
        info.size = min(now.size_bytes, MAX_ARCHIVE_BYTES)
        try:
            tar.addfile(info, file)
        except OSError as error:
            if error.errno is not None:  # the system's; tarfile's own has no number
                raise
            raise Conflict("A file became shorter while it was read.") from error


# --- zip --------------------------------------------------------------------------------------


def _write_zip(file: BinaryIO, workspace: Workspace, members: Members) -> None:
    # The fastest level: it halves text, and costs less time than sending the rest.
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number, (name, entry) in enumerate(members):
            shown = name.removeprefix(".").removeprefix("/") if members[0][0] == "." else name
            if shown:
                _zip_one(archive, workspace, shown, entry, is_top=number == 0)


def _zip_one(
    archive: zipfile.ZipFile, workspace: Workspace, name: str, entry: Entry, *, is_top: bool
) -> None:
    if entry.is_directory:
        archive.writestr(_zip_info(f"{name}/", entry), b"")
        return
    source, now = _opened(workspace, entry, is_top=is_top)
    if source is None or now is None:
        return
    with source:
        info = _zip_info(name, entry)
        info.compress_type = _method_for(source)
        with archive.open(info, "w", force_zip64=True) as target:
            _copy(source, target, min(now.size_bytes, MAX_ARCHIVE_BYTES))


def _copy(source: BinaryIO, target: IO[bytes], size: int) -> None:
    """Copy up to ``size`` bytes: of a file that grows, no more."""
    while size and (piece := source.read(min(size, PIECE_BYTES))):
        size -= target.write(piece)


def _method_for(source: BinaryIO) -> int:
    """Pictures, archives and the like become no smaller, and trying takes most of the time."""
    sample = source.read(_SAMPLE_BYTES)
    source.seek(0)
    shrinks = len(zlib.compress(sample, 1)) < 0.9 * len(sample)
    return zipfile.ZIP_DEFLATED if shrinks else zipfile.ZIP_STORED


def _zip_info(name: str, entry: Entry) -> zipfile.ZipInfo:
    # To some that unpack it, a backslash is a separator, and "..\\" leads out.
    info = zipfile.ZipInfo(name.replace("\\", "_"), _zip_time(entry.modified_at))
    info.external_attr = (entry.mode & 0xFFFF) << 16
    if entry.is_directory:
        info.external_attr |= _MS_DOS_DIRECTORY
    return info


def _zip_time(at: datetime) -> tuple[int, int, int, int, int, int]:
    """The format knows no time before 1980 or after 2107."""
    year = min(max(at.year, 1980), 2107)
    return (year, at.month, at.day, at.hour, at.minute, at.second)
