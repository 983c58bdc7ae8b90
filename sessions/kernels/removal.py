"""Deleting what code has made: however deep it is, whatever its permissions, links not followed."""

from __future__ import annotations

import errno
import os
import secrets
from contextlib import suppress
from pathlib import Path

# Names that begin so are ours: unfinished uploads, directories being deleted. Never listed, and
# users may not take them.
TEMPORARY_PREFIX = ".workbench-tmp-"


def remove_tree(path: Path) -> None:
    """Delete a directory and all that is in it; does nothing if it is gone. Raises OSError."""
    with suppress(FileNotFoundError):
        root = open_to_empty(os.fsencode(path), None)
        try:
            empty(root)
        finally:
            os.close(root)
        os.rmdir(path)


def temporary_name() -> bytes:
    """A name that nothing else has."""
    return f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}".encode()


def empty(directory: int) -> None:
    """Delete all that is in an open directory, however deep.

    Instead of descending, it lifts what is below up to the top, level by level: depth costs
    neither descriptors nor recursion. Ends when a look finds nothing, so it also outlives a
    process that still writes there.
    """
    while names := os.listdir(directory):
        for name in names:
            with suppress(FileNotFoundError):  # somebody else deletes as well
                _take_apart(os.fsencode(name), directory)


def _take_apart(name: bytes, top: int) -> None:
    if _unlinked(name, top):
        return
    below = open_to_empty(name, top)
    try:
        for item in os.listdir(below):
            child = os.fsencode(item)
            if not _unlinked(child, below):
                os.close(open_to_empty(child, below))  # moving one needs the right to write it
                os.rename(child, temporary_name(), src_dir_fd=below, dst_dir_fd=top)
    finally:
        os.close(below)
    try:
        os.rmdir(name, dir_fd=top)
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:  # the next look finds what came in
            raise


def _unlinked(name: bytes, directory: int) -> bool:
    """Delete anything but a directory; False if it is one."""
    try:
        os.unlink(name, dir_fd=directory)
    except IsADirectoryError:
        return False
    return True


def open_to_empty(name: bytes, parent: int | None) -> int:
    """Open a directory that is going to be deleted, whatever its permissions."""
    handle = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        # The only way on Linux to change the mode of a directory that may not be opened, and of
        # no other: by the descriptor's name, which no rename can bend.
        itself = f"/proc/self/fd/{handle}"
        with suppress(PermissionError):  # another user's; its mode may be good enough
            os.chmod(itself, 0o700)
        return os.open(itself, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    finally:
        os.close(handle)
