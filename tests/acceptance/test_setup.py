"""What .setup/setup.sh makes once, and when it makes it anew; with a Python that only takes notes."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.running import ROOT

pytestmark = pytest.mark.acceptance

# Does what it is asked for as far as setup.sh can see, and writes down what that was.
PYTHON = """#!/bin/sh
echo "$*" >>"${0%/bin/python}/asked"
case "$*" in
*jedi*) mkdir -p "$XDG_CACHE_HOME/jedi/types" && touch "$XDG_CACHE_HOME/jedi/types/$$.pkl" ;;
*font_manager*) mkdir -p "$MPLCONFIGDIR" && touch "$MPLCONFIGDIR/fontlist-1.json" ;;
*install*) mkdir -p .venv-kernels/share/jupyter/kernels/python3 .venv-kernels/share/jupyter/kernels/bash
    echo "$PWD/.venv-kernels/bin/python" >.venv-kernels/share/jupyter/kernels/python3/kernel.json
    touch .venv-kernels/share/jupyter/kernels/bash/kernel.json ;;
esac
"""


def installed(folder: Path, *locks: str) -> None:
    """An environment with all of these in it."""
    for name in ("bin", ".locks"):
        (folder / name).mkdir(parents=True)
    (folder / "bin/python").write_text(PYTHON)
    (folder / "bin/python").chmod(0o755)
    for lock in locks:
        # As sha256sum prints what comes through a pipe.
        digest = hashlib.sha256((ROOT / f".setup/{lock}.txt").read_bytes()).hexdigest()
        (folder / ".locks" / lock).write_text(f"{digest}  -\n")


def set_up(place: Path) -> int:
    """Run it there; how often the kernels' Python was asked for jedi's types so far."""
    environment = {name: text for name, text in os.environ.items() if "WORKBENCH" not in name}
    subprocess.run(
        [place / ".setup/setup.sh", "run"], env=environment, check=True, capture_output=True
    )
    asked = (place / ".venv-kernels/asked").read_text().splitlines()
    return sum("jedi" in line for line in asked)


# The script that is tried here would change the machine; in CI it is there, or this fails.
@pytest.mark.skipif(
    shutil.which("bwrap") is None and "CI" not in os.environ,
    reason="it would install bubblewrap: .setup/setup.sh test",
)
def test_jedis_types_are_made_once_in_each_place(tmp_path):
    """They are found by their paths: in another place they would only be in the way."""
    here, there = tmp_path / "here", tmp_path / "there"
    shutil.copytree(ROOT / ".setup", here / ".setup", ignore=shutil.ignore_patterns("vendor"))
    installed(here / ".venv", "server")
    installed(here / ".venv-kernels", "kernels")
    types = "share/workbench/jedi/types"

    made_here = [set_up(here), set_up(here)]
    (old,) = os.listdir(here / ".venv-kernels" / types)
    here.rename(there)
    made_there = [set_up(there), set_up(there)]

    assert (made_here, made_there) == ([1, 1], [2, 2])
    (new,) = os.listdir(there / ".venv-kernels" / types)
    assert new != old
