"""A setting that cannot be ends every way to start with one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running import ROOT

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]

WAYS = {
    "the server": ["manage.py", "workbench"],
    "another command": ["manage.py", "migrate"],
    "daphne": ["-m", "daphne", "-u", "{data}/socket", "workbench.asgi:application"],
}


PRINT_WHAT_A_DEBUG_PAGE_SHOWS = """
from django.views.debug import get_default_exception_reporter_filter
print(get_default_exception_reporter_filter().get_safe_settings())
"""


def start(data_dir: Path, way: str, **settings: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if "WORKBENCH" not in name}
    environment = inherited | {"WORKBENCH_DATA_DIR": str(data_dir)} | settings
    return subprocess.run(
        [sys.executable, *(part.format(data=data_dir) for part in WAYS[way])],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("way", WAYS)
def test_a_bad_setting_ends_every_start_with_one_sentence(tmp_path, way):
    ended = start(tmp_path, way, WORKBENCH_SESSION_MEMORY="2 zebras")

    assert ended.returncode == 1
    assert ended.stdout + ended.stderr == (
        "workbench: WORKBENCH_SESSION_MEMORY is '2 zebras'; it must be a size like 512m or 2g, "
        "64 MiB to 1024 TiB, or none.\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "text", "rule"),
    [
        ("SESSIONS", "-1", "be a whole number, 1 to 100000, or none"),
        ("STORAGE", "much", "be a size like 512m or 2g, 1 MiB to 1024 TiB, or none"),
        ("SECONDS", "a day", "be a whole number, 1 to 1000000000, or none"),
    ],
)
def test_a_quota_that_cannot_be_is_refused(tmp_path, name, text, rule):
    ended = start(tmp_path, "another command", **{f"WORKBENCH_OWNER_{name}": text})

    assert ended.returncode == 1
    assert ended.stderr == f"workbench: WORKBENCH_OWNER_{name} is {text!r}; it must {rule}.\n"


def test_a_data_directory_nobody_can_make_is_named(tmp_path):
    (tmp_path / "file").touch()

    ended = start(tmp_path / "file" / "data", "another command")

    assert ended.returncode == 1
    assert ended.stderr.startswith(f"workbench: WORKBENCH_DATA_DIR is '{tmp_path}/file/data'; ")
    assert ended.stderr.count("\n") == 1


def test_a_setting_that_does_not_exist_is_a_warning(tmp_path):
    ended = start(tmp_path, "another command", WORKBENCH_SESION_MEMORY="2g")

    assert ended.returncode == 0
    assert ended.stderr == (
        "There is no setting WORKBENCH_SESION_MEMORY; the nearest is WORKBENCH_SESSION_MEMORY.\n"
    )


def test_a_debug_page_shows_no_password(tmp_path):
    ended = subprocess.run(
        [sys.executable, "manage.py", "shell", "--no-imports", "-c", PRINT_WHAT_A_DEBUG_PAGE_SHOWS],
        cwd=ROOT,
        env=os.environ
        | {
            "WORKBENCH_DATA_DIR": str(tmp_path),
            "WORKBENCH_DATABASE_URL": "postgres://ada:geheim@h/name",
            "WORKBENCH_REDIS_URL": "redis://ada:geheim@h",
        },
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert "WORKBENCH_DATA_DIR" in ended.stdout, ended.stderr
    assert "RedisPubSubChannelLayer" in ended.stdout
    assert "geheim" not in ended.stdout
