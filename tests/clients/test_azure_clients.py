"""Other people's unmodified clients of the Azure contract, against the whole server."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.installed import programs_of
from tests.running import RunningServer

pytestmark = [pytest.mark.clients, pytest.mark.acceptance, pytest.mark.timeout(180)]

HERE = Path(__file__).parent
CLIENT_SECONDS = 150.0
POOL = "/subscriptions/s/resourceGroups/r/sessionPools/p"
# Where a client is pointed at, and what its sessions are called there.
ENDPOINTS = {"root": "", "pool": POOL}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server of the module's own."""
    with RunningServer(tmp_path_factory.mktemp("data")) as running:
        yield running


def drive(client: str, server: RunningServer, endpoint: str) -> Any:
    """What a client's script printed, run in the client's own environment."""
    python = programs_of(client) / "python"
    address = server.azure_url + ENDPOINTS[endpoint]
    done = subprocess.run(
        [str(python), str(HERE / f"{client}_client.py"), address, endpoint],
        env={"PATH": os.environ["PATH"], "HOME": str(server.data_dir), "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=CLIENT_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_langchain(server: RunningServer, endpoint: str) -> None:
    """Values, output, errors, pictures, files, and the end of a session; then the bash tool."""
    results = drive("langchain", server, endpoint)
    check_python_tool(results["python"])
    check_bash_tool(results["bash"])


def check_python_tool(results: dict[str, Any]) -> None:
    assert results["invoked"]["result"] == 42
    assert (results["printed"]["stdout"], results["printed"]["result"]) == ("hi\n", "abc")
    assert results["printed"]["status"] == "Success"
    assert results["failed"]["status"] == "Failure"
    assert "ZeroDivisionError" in results["failed"]["stderr"]
    plot = results["plotted"]["result"]
    assert (plot["type"], plot["format"]) == ("image", "png")
    assert base64.b64decode(plot["base64_data"], validate=True).startswith(b"\x89PNG\r\n\x1a\n")
    assert [kept["result"] for kept in results["kept"]] == ["", 42]

    assert results["uploaded"] == [["test1.txt", 16], ["a b é.txt", 1]]
    assert sorted(results["listed"]) == [["a b é.txt", 1], ["test1.txt", 16]]
    assert results["downloaded"] == ["hello world!!!!!", "x"]
    assert results["read"]["result"] == "x"

    assert results["listed_afterwards"] == []
    assert results["kept_afterwards"]["result"] is False


def check_bash_tool(results: dict[str, Any]) -> None:
    assert results["invoked"]["stdout"] == "hello\n"
    assert results["invoked"]["exitCode"] == 3
    assert results["complained"]["result"]["stderr"] == "oh no\n"
    assert results["uploaded"] == ["f.txt", 3]
    assert results["listed"] == [["f.txt", 3]]
    assert results["downloaded"] == "abc"
    assert results["read"]["result"]["stdout"] == "abc"
    assert results["listed_afterwards"] == []


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_autogen(server: RunningServer, endpoint: str) -> None:
    """Its list of packages, output and exit codes, and files there and back, sent in chunks."""
    results = drive("autogen", server, endpoint)

    assert results["ran"] == {"exit_code": 0, "output": "hello\n42"}
    assert results["failed"]["exit_code"] == 1
    assert "ZeroDivisionError" in results["failed"]["output"]
    assert {"numpy", "pandas", "matplotlib", "ipykernel"} <= set(results["packages"])
    assert results["read"] == {"exit_code": 0, "output": "data!"}
    assert results["listed"] == ["in.txt", "out.txt"]
    assert results["downloaded"] == ["data!", "made"]
