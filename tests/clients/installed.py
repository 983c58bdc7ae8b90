"""Where other people's clients are installed, each in an environment of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.running import ROOT


def programs_of(client: str) -> Path:
    """The folder of a client's programs. In CI its absence is a failure: something is not set up.

    Elsewhere it skips the test: Backend.AI's client runs on Python 3.11 only, and who works on
    something else need not install them all.
    """
    programs = ROOT / ".venv-clients" / client / "bin"
    if not (programs / "python").exists():
        reason = f"{client} is not installed: .setup/setup.sh test"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)  # never in CI; see above
    return programs
