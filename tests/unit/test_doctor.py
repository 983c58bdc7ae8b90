"""What the doctor finds, and how the command says it."""

from __future__ import annotations

import os
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from sessions.kernels.doctor import Finding, Verdict, are_contained, examine
from sessions.kernels.limits import Limits
from tests.hosts import needs_walls

LIMITS = Limits(memory_bytes=64 * 1024**2)


def by_subject(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.subject: finding for finding in findings}


@needs_walls
def test_every_finding_is_a_sentence_and_what_is_not_good_has_a_remedy(tmp_path):
    findings = examine(wants_walls=True, limits=Limits.none(), prefixes=[tmp_path])

    assert are_contained(findings)
    assert len(by_subject(findings)) == len(findings) >= 6
    for finding in findings:
        assert finding.sentence.endswith(".")
        assert bool(finding.remedy) == (finding.verdict is not Verdict.GOOD)


def test_walls_that_are_off_are_said(tmp_path):
    findings = examine(wants_walls=False, limits=LIMITS, prefixes=[tmp_path])

    walls = by_subject(findings)["Walls round code"]
    assert not are_contained(findings)
    assert walls.verdict is Verdict.BAD
    assert "WORKBENCH_SANDBOX" in walls.remedy


def test_without_bubblewrap_there_are_no_walls(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))

    findings = examine(wants_walls=True, limits=LIMITS, prefixes=[])

    assert not are_contained(findings)
    assert by_subject(findings)["Walls round code"].remedy == "Install bubblewrap."


def test_gpus_that_sessions_cannot_use_are_said(tmp_path):
    def finding(*gpus: int) -> Finding:
        about = {"wants_walls": False, "limits": LIMITS, "prefixes": [], "devices": tmp_path}
        return by_subject(examine(**about, gpus=gpus))["GPUs"]

    (tmp_path / "nvidia0").touch()
    (tmp_path / "nvidia0").chmod(0o666)
    (tmp_path / "nvidia1").touch(0o600)

    assert finding(0).verdict is Verdict.GOOD
    assert finding(0, 1).sentence.endswith(f"not everybody may use {tmp_path}/nvidia1.")
    assert finding(0, 2).sentence.endswith(f"there is no {tmp_path}/nvidia2.")
    assert finding(2).remedy


def test_more_memory_than_there_is_is_said():
    findings = examine(wants_walls=False, limits=Limits(memory_bytes=2**60), prefixes=[])

    memory = by_subject(findings)["Memory"]
    assert memory.verdict is Verdict.WEAKER
    assert "WORKBENCH_SESSION_MEMORY" in memory.remedy


@needs_walls
@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives sessions users of their own")
def test_an_environment_that_the_sessions_users_cannot_read_is_said(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)

    findings = by_subject(examine(wants_walls=True, limits=LIMITS, prefixes=[closed]))

    if findings["Users"].verdict is not Verdict.GOOD:
        pytest.skip(findings["Users"].sentence)
    assert findings["Kernels"].verdict is Verdict.BAD
    assert str(closed) in findings["Kernels"].sentence


@needs_walls
def test_the_command_prints_the_findings():
    out = StringIO()

    call_command("workbench", "doctor", stdout=out)

    for subject in ("Walls round code", "System calls", "Users", "Control groups", "Memory"):
        assert f"{subject}: " in out.getvalue()


def test_the_command_fails_where_sessions_would_run_without_walls(settings):
    settings.WORKBENCH_SANDBOX = "off"

    with pytest.raises(CommandError, match="without walls"):
        call_command("workbench", "doctor", stdout=StringIO())


def test_the_doctor_leaves_nothing(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    examine(wants_walls=True, limits=LIMITS, prefixes=[])

    assert list(tmp_path.iterdir()) == []
