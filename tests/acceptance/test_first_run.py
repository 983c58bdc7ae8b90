"""The first minutes with the server: a directory that does not exist, and a first request."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.running import ROOT, RunningServer, http

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]

MAX_SOCKET_PATH_BYTES = 107
README_ADDRESS = "http://127.0.0.1:8000"
# In the README's answer, but another each time.
VARYING = {"id", "executionTimeInMilliseconds"}
AZURE_ID = {"identifier": "first"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    """A server whose data directory is new, and too deep for a socket to lie in it."""
    data_dir = tmp_path / "a directory with a long name, in Zürich" / ("d" * 80) / "data"
    assert len(os.fsencode(data_dir)) > MAX_SOCKET_PATH_BYTES
    server = RunningServer(data_dir)
    server.log = tmp_path / "log"
    with server:
        yield server


def run(address: str, code: str) -> httpx.Response:
    """Run code through the Azure contract."""
    return http.post(f"{address}/executions", params=AZURE_ID, json={"code": code}, timeout=30)


def test_first_run_in_a_deep_directory(server: RunningServer) -> None:
    """Everything is made on the way: the directory, for this user only, database and sessions."""
    for address in (server.url, server.azure_url):
        response = run(address, "6 * 7")
        assert response.status_code == 200
        assert response.json()["result"]["executionResult"] == 42

    assert stat.S_IMODE(server.data_dir.stat().st_mode) == 0o700
    listed = http.get(f"{server.url}/files", params=AZURE_ID)
    assert listed.json() == {"value": []}
    page = http.get(server.url, headers={"Accept": "text/html"}, follow_redirects=True)
    assert page.status_code == 200
    assert page.url.path == "/workbench/"


def test_first_run_says_where_it_is(server: RunningServer) -> None:
    """The first lines say what is done, where to look, and how to end it."""
    said = server.log.read_text().splitlines()

    # A machine that cannot contain code has a warning between these.
    assert [line for line in said if line.startswith("==>")] == [
        "==> Preparing the database",
        "==> Starting the kernel host",
        "==> Starting the web server",
        f"==> Workbench runs at {server.url}/workbench/",
        f"==> The Azure contract's own address answers too: {server.azure_url}",
        "==> Press Ctrl-C to stop",
    ]


def test_first_request_of_the_readme(server: RunningServer) -> None:
    """The README's command does what the README says, on a server nobody has used yet."""
    readme = (ROOT / "README.md").read_text()
    commands = re.findall(r"^```shell\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    command = next(command for command in commands if command.startswith("curl "))
    printed = json.loads(re.search(r"^```json\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)[1])
    done = subprocess.run(
        ["bash", "-c", command.replace(README_ADDRESS, server.url)],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        timeout=30,
        check=True,
    )
    answer = json.loads(done.stdout)

    assert README_ADDRESS in command
    # The README says in words that there is one key more.
    assert answer.keys() - printed.keys() == {"rawResult"}
    del answer["rawResult"]
    assert without_varying(answer) == without_varying(printed)


def without_varying(answer: dict[str, Any]) -> dict[str, Any]:
    """An execution, with true for what no two of them share."""
    result = {name: name in VARYING or value for name, value in answer["result"].items()}
    return {name: name in VARYING or value for name, value in (answer | {"result": result}).items()}
