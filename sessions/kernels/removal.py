"""Deleting what code has made: however deep it is, whatever its permissions, links not followed."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

# Names that begin so are ours: unfinished uploads, directories being deleted. Never listed, and
# users may not take them.
TEMPORARY_PREFIX = ".workbench-tmp-"


def _never() -> bool:
    return False


def remove_tree(path: Path, is_over: Callable[[], bool] = _never) -> None:
    """Delete a directory and all that is in it; does nothing if it is gone.

    Ends early, without an error, once ``is_over`` says so. What cannot be deleted stays, alone;
    then it raises OSError.
    """
    with suppress(FileNotFoundError):
        root = open_to_empty(os.fsencode(path), None)
        try:
            empty(root, is_over)
        finally:
            os.close(root)
        if not is_over():
            os.rmdir(path)


def temporary_name() -> bytes:
    """A name that nothing else has."""
    return f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}".encode()


def empty(directory: int, is_over: Callable[[], bool] = _never) -> None:
    """Delete all that is in an open directory, however deep; the rest as ``remove_tree``.

    Instead of descending, it lifts what is below up to the top, level by level: depth costs
    neither descriptors nor recursion. Ends when a look finds nothing but what could not be
    deleted, so it also outlives a process that still writes there.
    """
    stuck: dict[str, OSError] = {}
    while names := [name for name in os.listdir(directory) if name not in stuck]:
        for name in names:
            if is_over():
                return
            try:
                _take_apart(os.fsencode(name), directory, is_over)
            except FileNotFoundError:
                pass  # somebody else deletes as well
            except OSError as error:
                stuck[name] = error
    for why in stuck.values():
        raise why


def _take_apart(name: bytes, top: int, is_over: Callable[[], bool]) -> None:
    if _removed(name, top):
        return
    below = open_to_empty(name, top)
    stuck: OSError | None = None
    try:
        for item in os.listdir(below):
            if is_over():
                return
            try:
                _lift(os.fsencode(item), below, top)
            except FileNotFoundError:
                pass
            except OSError as error:
                stuck = error
    finally:
        os.close(below)
    if not _removed(name, top) and stuck:
        raise stuck  # without it, the next look finds what came in


def _lift(name: bytes, below: int, top: int) -> None:
    """Delete an entry, or move it up if it is a directory with something in it."""
    if not _removed(name, below):
        os.close(open_to_empty(name, below))  # moving one needs the right to write it
        os.rename(name, temporary_name(), src_dir_fd=below, dst_dir_fd=top)


def _removed(name: bytes, directory: int) -> bool:
    """Delete an entry; False if it is a directory with something in it."""
    try:
        os.unlink(name, dir_fd=directory)
    except IsADirectoryError:
        try:
            os.rmdir(name, dir_fd=directory)
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
            return False
    return True


def open_to_empty(name: bytes, parent: int | None) -> int:
    """Open a directory that is going to be deleted, whatever its permissions."""
    handle = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        # The only way on Linux to change the mode of a directory that may not be opened, and of
        # no other: by the descriptor's name, which no rename can bend.
        itself = f"/proc/self/fd/{handle}"
        if ~os.fstat(handle).st_mode & 0o700:
            with suppress(PermissionError):  # another user's; its mode may be good enough
                os.chmod(itself, 0o700)
        return os.open(itself, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    finally:
        os.close(handle)
