"""Behind a proxy with TLS, with the settings that docs/operations.md prints."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.csrf import CsrfViewMiddleware
from django.middleware.security import SecurityMiddleware
from django.utils.module_loading import import_string

from tests.running import ROOT

pytestmark = pytest.mark.acceptance

ASK = """
import asyncio, sys
from workbench.asgi import application
from tests.api.doors import Question, ask
for scheme in (b"https", b"http"):
    headers = ((b"host", b"code.example.org"), (b"x-forwarded-proto", scheme))
    answer = asyncio.run(ask(Question("GET", "/admin/login/", headers)))
    print(answer.status, answer.headers.get("strict-transport-security"))
    print(answer.headers["set-cookie"])
"""


def documented() -> dict[str, str]:
    """The settings that the documentation recommends."""
    text = (ROOT / "docs/operations.md").read_text()
    (block,) = re.findall(r"```ini\n(WORKBENCH_.*?)```", text, re.DOTALL)
    return dict(line.split("=", 1) for line in block.splitlines())


def python(data_dir: Path, *arguments: str, **chosen: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if "WORKBENCH" not in name}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=inherited | chosen | {"WORKBENCH_DATA_DIR": str(data_dir)},
        capture_output=True,
        text=True,
        timeout=60,
    )


def check(data_dir: Path, **chosen: str) -> subprocess.CompletedProcess[str]:
    command = ["manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    return python(data_dir, *command, **chosen)


def test_the_documented_settings_pass_the_check(tmp_path):
    checked = check(tmp_path, **documented())

    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize(
    ("chosen", "warnings"),
    [
        ({}, {"security.W010", "workbench.W001"}),
        ({"WORKBENCH_HTTPS": "1"}, {"workbench.W002"}),
        ({**documented(), "WORKBENCH_SECRET_KEY": "short"}, {"security.W009"}),
        ({**documented(), "WORKBENCH_DEBUG": "1"}, {"security.W018"}),
    ],
)
def test_others_do_not(tmp_path, chosen, warnings):
    checked = check(tmp_path, **chosen)

    assert checked.returncode == 1
    assert set(re.findall(r"\((\w+\.W\d+)\)", checked.stderr)) == warnings


def test_what_is_not_checked_is_there_all_the_same():
    """The silenced checks look for these by name."""
    ours = [import_string(name) for name in settings.MIDDLEWARE]

    for wanted in (SecurityMiddleware, XFrameOptionsMiddleware, CsrfViewMiddleware):
        assert any(issubclass(each, wanted) for each in ours)


def test_cookies_are_for_https_and_browsers_stay_there(tmp_path):
    asked = python(tmp_path, "-c", ASK, **documented())

    assert asked.returncode == 0, asked.stderr
    over_https, cookie, over_http, _ = asked.stdout.splitlines()
    assert over_https == "200 max-age=31536000"
    assert over_http == "200 None"
    assert cookie.startswith("csrftoken=")
    assert "; Secure" in cookie


def test_without_a_proxy_nobody_is_believed(tmp_path):
    asked = python(
        tmp_path,
        "-c",
        ASK,
        WORKBENCH_ALLOWED_HOSTS="code.example.org",
        WORKBENCH_HSTS_SECONDS="3600",
    )

    assert asked.returncode == 0, asked.stderr
    over_https, cookie, *_ = asked.stdout.splitlines()
    assert over_https == "200 None"
    assert "Secure" not in cookie
