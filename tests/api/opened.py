"""Which files this process has open, for tests that look whether they are closed."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def opened_below(directory: Path) -> list[str]:
    """The files open in a directory, deleted ones too."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found.append(os.readlink(descriptor))
    return [path for path in found if path.startswith(f"{directory}/")]
