"""The GPUs of a host: each is one session's, or nobody's."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path

from sessions.exceptions import SessionLimitReached
from sessions.kernels.needs import gpus_text

# What CUDA needs besides the GPUs themselves, as far as it is there.
_SHARED = ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-caps")
# Where CUDA looks for its driver, the buses and the memory beside each: without, it does not begin.
_FACTS = ("module/nvidia*", "bus/pci", "devices/pci*", "devices/system")


class Gpus:
    """Those that sessions may have, by their numbers. It may be used from any thread."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self._free = sorted(numbers)
        self.total = len(self._free)
        self._taking = threading.Lock()

    @property
    def free(self) -> int:
        """How many nobody has."""
        return len(self._free)

    def take(self, count: int) -> tuple[int, ...]:
        """So many, the lowest numbers first, until they are given back.

        Raises SessionLimitReached.
        """
        with self._taking:
            if count > len(self._free):
                raise all_in_use(count, self.total, len(self._free))
            taken, self._free = self._free[:count], self._free[count:]
        return tuple(taken)

    def give_back(self, numbers: Iterable[int]) -> None:
        """Nothing uses them any more."""
        with self._taking:
            self._free = sorted([*self._free, *numbers])


def all_in_use(count: int, total: int, free: int) -> SessionLimitReached:
    """The refusal where there are enough GPUs, but too few that nobody has."""
    left = f"only {free} of {gpus_text(total)} {'is' if free == 1 else 'are'} free"
    return SessionLimitReached(
        f"The session needs {gpus_text(count)}, and "
        f"{left if free else f'all {gpus_text(total)} are in use'}. "
        "Close a session that has some, or try again later.",
        maximum=total,
        elsewhere=True,
    )


def facts_of(numbers: tuple[int, ...], directory: Path) -> list[Path]:
    """What a session with these GPUs reads of the machine, below ``directory``, which is /sys."""
    patterns = _FACTS if numbers else ()
    return [path for pattern in patterns for path in sorted(directory.glob(pattern))]


def device(number: int, directory: Path) -> Path:
    """The device of a GPU."""
    return directory / f"nvidia{number}"


def devices_of(numbers: tuple[int, ...], directory: Path) -> list[Path]:
    """The devices that a session with these GPUs opens, below ``directory``; none without GPUs.

    Its own are listed whether they exist or not, what is shared if it does: a session that would
    not have its GPUs does not start.
    """
    if not numbers:
        return []
    shared = [path for name in _SHARED if (path := directory / name).exists()]
    return [*(device(number, directory) for number in numbers), *shared]
