"""What a host that crashed left on the disk, or could not remove.

It is found when the next host starts, before that makes anything of its own, and removed while it
works, one tree after the other: code may have made trees that take long.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import threading
from collections.abc import Container, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from sessions.kernels.removal import TEMPORARY_PREFIX, remove_tree, temporary_name

logger = logging.getLogger(__name__)

_ASIDE = re.compile(rf"{re.escape(TEMPORARY_PREFIX)}[0-9a-f]{{16}}")


def set_aside(directory: Path) -> None:
    """Make the directory, empty; what was there gets another name beside it, to be removed."""
    with suppress(FileNotFoundError):
        directory.rename(directory.with_name(os.fsdecode(temporary_name())))
    directory.mkdir(mode=0o700, parents=True)


@dataclass(frozen=True)
class Leftovers:
    """Directories that nobody uses any more, as ``find`` found them.

    Names are taken for ours only as a whole: what somebody else has put there stays.
    """

    aside: list[Path] = field(default_factory=list)
    # By the session that they were of.
    sessions: dict[UUID, Path] = field(default_factory=dict)
    _is_over: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def find(cls, sessions: Path, *parents: Path) -> Leftovers:
        """What is left of sessions, and what has been set aside in the parents. Blocks."""
        aside = [path for parent in parents for path in _directories(parent)]
        return cls(
            [path for path in aside if _ASIDE.fullmatch(path.name)],
            {id_: path for path in _directories(sessions) if (id_ := _session(path.name))},
        )

    async def remove(self, kept: Container[UUID]) -> None:
        """Remove all but what is of a session that is ``kept``; ends early after ``stop``.

        What cannot be removed is logged, and stays.
        """
        ended = [path for id_, path in self.sessions.items() if id_ not in kept]
        for path in [*self.aside, *ended]:
            if self._is_over.is_set():
                return
            try:
                await asyncio.to_thread(remove_tree, path, self._is_over.is_set)
            except OSError as error:
                logger.warning("something in %s could not be removed: %s", path, error)

    def stop(self) -> None:
        """Let the next start go on with what is not removed yet."""
        self._is_over.set()


def _directories(parent: Path) -> Iterator[Path]:
    with suppress(FileNotFoundError), os.scandir(parent) as listing:
        yield from (Path(each.path) for each in listing if each.is_dir(follow_symlinks=False))


def _session(name: str) -> UUID | None:
    """The session whose directory has that name, exactly as we write it."""
    try:
        found = UUID(name)
    except ValueError:
        return None
    return found if str(found) == name else None
