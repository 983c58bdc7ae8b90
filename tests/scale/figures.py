"""The figures that were measured, in measured.json: each with its unit and what gave it."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

PATH = Path(__file__).parent / "measured.json"


@dataclass(frozen=True)
class Figure:
    """One thing that was measured."""

    value: float
    unit: str
    # What it is, for people.
    what: str
    # How it is measured again: an argument of ``python -m tests.scale measure``, or in words.
    part: str


def load() -> dict[str, Figure]:
    """All figures by name."""
    return {name: Figure(**each) for name, each in _read()["figures"].items()}


def machine() -> dict[str, str]:
    """Where and when they were measured."""
    found: dict[str, str] = _read()["machine"]
    return found


def value(name: str) -> float:
    """One figure, in its unit. Raises KeyError."""
    return load()[name].value


def store(new: dict[str, Figure], *, best: bool = False) -> None:
    """Keep new figures, in place of those of the same part.

    ``best``: of each time or rate, the better of the two. On a machine with other work to do, that
    is the one that was disturbed less.
    """
    kept = load() if PATH.exists() else {}
    if best:
        new = {name: _better(each, kept.get(name, each)) for name, each in new.items()}
    parts = {each.part for each in new.values()}
    figures = {name: each for name, each in kept.items() if each.part not in parts} | new
    found = {name: asdict(figure) for name, figure in figures.items()}
    PATH.write_text(json.dumps({"machine": _this_machine(), "figures": found}, indent=2) + "\n")


def _better(one: Figure, other: Figure) -> Figure:
    """The larger rate, or the shorter time; one below nothing was a disturbance, too."""
    if one.unit == "/s":
        return max(one, other, key=lambda each: each.value)
    if one.unit not in ("s", "ms", "ms/s"):
        return one
    return min(one, other, key=lambda each: (each.value <= 0, each.value))


def _read() -> dict:
    return json.loads(PATH.read_text())


def _this_machine() -> dict[str, str]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return {
        "processors": f"{os.cpu_count()} x {model}",
        "memory": f"{memory:.0f} GiB",
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
        "measured": f"{datetime.now(UTC):%Y-%m-%d}",
    }
