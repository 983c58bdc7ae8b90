"""Users of their own for sessions: numbers that no account of the machine has.

Only root can have processes run as somebody else. As an ordinary user, all sessions run as that
user, each in a user namespace that keeps it from the others.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import shutil
import socket
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

from sessions.exceptions import SessionLimitReached
from sessions.kernels.sandbox import why_not_contained

# One host has so many numbers; several hosts of a machine have different blocks.
BLOCK = 4096
MAX_BLOCKS = 64

# Where the blocks begin, the best first: what systemd's table of user ids keeps for nobody; and,
# where only the lowest 65536 exist (in many containers), what is above ordinary accounts there.
_BASES = (1_900_000_000, 200_000, 40_000)
# Capabilities, by their number: to make the walls, to give files away, to end and to look into
# what runs.
_NEEDED = {
    0: "CHOWN",
    1: "DAC_OVERRIDE",
    3: "FOWNER",
    5: "KILL",
    6: "SETGID",
    7: "SETUID",
    8: "SETPCAP",
    19: "SYS_PTRACE",
    21: "SYS_ADMIN",
}

Range = tuple[int, int]  # the first number, and how many


class Identities:
    """The numbers one host gives to its sessions: uid and gid alike, from ``find`` to ``close``."""

    def __init__(self, first: int, count: int, lock: socket.socket | None = None) -> None:
        self.first = first
        self.count = count
        self._lock = lock
        # What was given back long ago comes first: leftovers of a session find no heir soon.
        self._free = deque(range(first, first + count))
        self._taken: set[int] = set()

    @classmethod
    def find(cls) -> Identities | None:
        """A block that no other host of this machine has; None: see ``why_no_identities``."""
        if why_no_identities():
            return None
        for first in _blocks(_mapped(), _accounts()):
            if lock := _locked(first):
                if not why_not_contained(first):
                    return cls(first, BLOCK, lock)
                lock.close()
                break  # with another it would be the same
        return None

    def allocate(self) -> int:
        """A number for a session that no other has. Raises SessionLimitReached."""
        if not self._free:
            raise SessionLimitReached("There is no user left for another session.")
        uid = self._free.popleft()
        self._taken.add(uid)
        return uid

    def free(self, uid: int) -> None:
        """Give a number back, once nothing of its session is left. Idempotent."""
        if uid in self._taken:
            self._taken.remove(uid)
            self._free.append(uid)

    def close(self) -> None:
        """Leave the block to other hosts. Idempotent."""
        if self._lock is not None:
            self._lock.close()


def why_no_identities() -> str:
    """Why sessions cannot have users of their own here, in one sentence; empty if they can."""
    if os.geteuid() != 0:
        return "The server is not root, so all sessions run as its user, in user namespaces."
    missing = [name for bit, name in _NEEDED.items() if not _capabilities() >> bit & 1]
    if missing:
        return f"The server is root, but without the capabilities {', '.join(missing)}."
    if shutil.which("setpriv") is None:
        return "setpriv is not installed (on Debian and Ubuntu it is in util-linux)."
    if next(_blocks(_mapped(), _accounts()), None) is None:
        return "This container has too few user ids for the sessions to have their own."
    return ""


def _blocks(mapped: Iterable[Range], accounts: set[int]) -> Iterator[int]:
    """The first numbers of the blocks that exist here and that no account is in."""
    mapped = list(mapped)
    for base in _BASES:
        for first in range(base, base + BLOCK * MAX_BLOCKS, BLOCK):
            exists = any(at <= first and first + BLOCK <= at + count for at, count in mapped)
            is_empty = not any(first <= number < first + BLOCK for number in accounts)
            # 65534 is nobody, and what numbers from outside a container look like.
            if exists and is_empty and not first <= 65534 < first + BLOCK:
                yield first


def _mapped() -> list[Range]:
    """The user ids that exist in this user namespace and are groups too."""
    maps = [_map(Path("/proc/self", name)) for name in ("uid_map", "gid_map")]
    return [
        (max(a, b), min(a + m, b + n) - max(a, b))
        for a, m in maps[0]
        for b, n in maps[1]
        if max(a, b) < min(a + m, b + n)
    ]


def _map(file: Path) -> list[Range]:
    lines = [line.split() for line in file.read_text().splitlines()]
    return [(int(first), int(count)) for first, _, count in lines]


def _accounts() -> set[int]:
    """Numbers with a name, and those that users may give to their containers (subuid)."""
    named = {user.pw_uid for user in pwd.getpwall()} | {group.gr_gid for group in grp.getgrall()}
    for file in ("/etc/subuid", "/etc/subgid"):
        with contextlib.suppress(OSError, ValueError):
            for line in Path(file).read_text().splitlines():
                _, first, count = line.split(":")
                # One in each block is enough to keep us out of it.
                named.update(range(int(first), int(first) + int(count), BLOCK))
                named.add(int(first) + int(count) - 1)
    return named


def _capabilities() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def _locked(first: int) -> socket.socket | None:
    """Hold a block against other hosts; None if one has it.

    A name in the abstract namespace is gone with the process that bound it, however it ends.
    """
    lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        lock.bind(f"\0workbench-users-{first}")
    except OSError:
        lock.close()
        return None
    return lock
