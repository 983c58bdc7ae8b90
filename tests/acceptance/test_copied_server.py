"""A whole server, copied while it works, and begun again from the copy somewhere else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.running import ROOT, RunningServer, http

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]


def command(server: RunningServer, *arguments: str) -> str:
    """What a management command says; it succeeds."""
    done = subprocess.run(
        [sys.executable, "manage.py", "workbench", *arguments],
        cwd=ROOT,
        env=server.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def run(server: RunningServer, code: str, operation: str) -> Any:
    answer = http.post(
        f"{server.url}/executions",
        params={"identifier": "s"},
        json={"code": code},
        headers={"operation-id": operation},
        timeout=120,
    )
    answer.raise_for_status()
    return answer.json()


def test_a_copy_goes_on_where_the_server_was(tmp_path: Path) -> None:
    backup = tmp_path / "backup.tar.gz"
    (tmp_path / "one").mkdir()
    with RunningServer(tmp_path / "one") as server:
        first = run(server, "open('note', 'w').write('kept'); print('said')", "first")
        assert "1 file of 1 session" in command(server, "backup", str(backup))
        run(server, "open('note', 'w').write('later')", "second")

    (tmp_path / "log").mkdir()
    other = RunningServer(tmp_path / "two")
    other.log = tmp_path / "log/log"  # the directory has to be empty
    assert "Restored into" in command(other, "restore", str(backup))
    with other:
        again = http.get(f"{other.url}/executions/first", params={"identifier": "s"}).json()
        assert again["result"]["stdout"] == first["result"]["stdout"] == "said\n"
        note = run(other, "open('note').read()", "third")
        assert note["result"]["executionResult"] == "kept"
