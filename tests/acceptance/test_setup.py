"""What .setup/setup.sh makes once, and when it makes it anew; with a Python that only takes notes."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sessions.engines.lifetime import has_ended
from tests.running import ROOT

pytestmark = pytest.mark.acceptance

WAIT_SECONDS = 60.0
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


def started(place: Path) -> subprocess.Popen[bytes]:
    """It runs there, on a machine that has bubblewrap, so that it installs nothing on this one."""
    programs = place / "programs"
    programs.mkdir(exist_ok=True)
    (programs / "bwrap").write_text("#!/bin/sh")
    (programs / "bwrap").chmod(0o755)
    environment = {name: text for name, text in os.environ.items() if "WORKBENCH" not in name}
    environment["PATH"] = f"{programs}:{environment['PATH']}"
    return subprocess.Popen(
        [place / ".setup/setup.sh", "run"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def set_up(place: Path) -> int:
    """Run it there; how often the kernels' Python was asked for jedi's types so far."""
    assert started(place).wait(WAIT_SECONDS) == 0
    asked = (place / ".venv-kernels/asked").read_text().splitlines()
    return sum("jedi" in line for line in asked)


def copied_to(place: Path) -> None:
    """The script and its locks."""
    shutil.copytree(ROOT / ".setup", place / ".setup", ignore=shutil.ignore_patterns("vendor"))


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# What pip does if it is asked for something: it says so, and either never comes to an end, or to
# a bad one.
HANGS = """#!/bin/sh
echo $$ >"${0%/bin/python}/asked"
exec sleep 3600
"""
FAILS = """#!/bin/sh
echo $$ >"${0%/bin/python}/asked"
exit 1
"""


def begun(place: Path, **pips: str) -> subprocess.Popen[bytes]:
    """It runs there, and has asked pip for both environments, each of which behaves like that."""
    copied_to(place)
    for name, pip in pips.items():
        folder = place / f".{name.replace('_', '-')}"
        installed(folder)
        (folder / "bin/python").write_text(pip)
    process = started(place)
    asked = [place / ".venv/asked", place / ".venv-kernels/asked"]
    wait_until(lambda: all(file.exists() and file.read_text() for file in asked))
    return process


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_who_interrupts_it_interrupts_all_that_it_does(tmp_path, signum):
    process = begun(tmp_path, venv=HANGS, venv_kernels=HANGS)
    pips = [int((tmp_path / name / "asked").read_text()) for name in (".venv", ".venv-kernels")]

    process.send_signal(signum)

    assert process.wait(WAIT_SECONDS) == 130
    wait_until(lambda: all(has_ended(pid) for pid in pips))


@pytest.mark.parametrize("failing", ["venv", "venv_kernels"])
def test_it_fails_if_anything_of_it_fails(tmp_path, failing):
    pips = {"venv": PYTHON, "venv_kernels": PYTHON, failing: FAILS}

    assert begun(tmp_path, **pips).wait(WAIT_SECONDS) == 1


def test_jedis_types_are_made_once_in_each_place(tmp_path):
    """They are found by their paths: in another place they would only be in the way."""
    here, there = tmp_path / "here", tmp_path / "there"
    copied_to(here)
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
