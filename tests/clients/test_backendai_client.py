"""Backend.AI's own unmodified client, as a library and as a command, against the whole server."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.installed import programs_of
from tests.running import ROOT, RunningServer, made_key

pytestmark = [pytest.mark.clients, pytest.mark.acceptance, pytest.mark.timeout(180)]

CLIENT_SECONDS = 150.0
BIN = ROOT / ".venv-clients/backendai/bin"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server of the module's own."""
    programs_of("backendai")
    with RunningServer(tmp_path_factory.mktemp("data")) as running:
        yield running


def run(
    directory: Path,
    *argv: str,
    address: str = "",
    key_id: str = "AKIATESTACCESSKEY000",
    secret: str = "s" * 40,
) -> subprocess.CompletedProcess[str]:
    """A program of the client's, in an empty directory: it loads any ``.env`` it finds."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(directory.parent),
        "LANG": "C.UTF-8",
        "BACKEND_ENDPOINT": address,
        "BACKEND_ENDPOINT_TYPE": "api",
        "BACKEND_ACCESS_KEY": key_id,
        "BACKEND_SECRET_KEY": secret,
    }
    # Of its own accord the client can hang for ever: in a group of its own, ended as a whole.
    return subprocess.run(
        ["timeout", "-k", "5", str(CLIENT_SECONDS), *argv],
        env=environment,
        cwd=directory,
        input="Alice\n",
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(("root", "suffix"), [("", "one"), ("/backendai", "two")])
def test_the_library(server: RunningServer, tmp_path: Path, root: str, suffix: str) -> None:
    """Sessions, queries, batches, input, files, a socket, another language, and the end."""
    directory = tmp_path / "empty"
    directory.mkdir()
    script = Path(__file__).parent / "backendai_client.py"
    done = run(directory, str(BIN / "python"), str(script), server.url + root, suffix)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)

    assert results["version"] == [5, "20191215"]
    assert results["created"] == [True, False, "RUNNING"]
    assert results["same"]
    assert results["taken"][:2] == [400, "session-already-exists"]
    assert results["image"][:2] == [404, "image-not-found"]
    assert results["renamed"] == f"new-{suffix}"
    assert results["info"]["lang"] == "python"
    assert results["info"]["numQueriesExecuted"] > 0
    assert "hello world" in results["logs"]["result"]["logs"]
    assert results["destroyed"]["stats"] is not None
    assert results["gone"][:2] == [404, "session-not-found"]
    check_files(results["files"])
    check_runs(results["runs"])
    check_stream(results["stream"])
    assert results["c"]["stdout"] == "7\n"
    assert results["c"]["exit_codes"] == [0, 0, 5]


def test_a_closed_server_knows_its_clients_by_their_signatures(
    server: RunningServer, tmp_path: Path
) -> None:
    """Each kind of request is signed as the client does it, the socket's as well."""
    directory = tmp_path / "empty"
    directory.mkdir()
    closed = RunningServer(tmp_path / "data", WORKBENCH_ACCESS="closed")
    key = made_key(closed, "ada")
    argv = [str(BIN / "python"), str(Path(__file__).parent / "backendai_client.py")]
    with closed:
        secrets = {"key_id": key["access key"], "secret": key["secret key"]}
        done = run(directory, *argv, closed.url, "closed", **secrets)
        wrong = run(tmp_path, *argv, closed.url, "wrong", key_id=key["access key"])

    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    check_files(results["files"])
    check_runs(results["runs"])
    check_stream(results["stream"])
    assert wrong.returncode != 0
    assert "Signature mismatch" in wrong.stderr


def check_files(results: dict[str, Any]) -> None:
    assert (results["uploaded"], results["twenty"]) == (204, 204)
    assert results["many"] == [400, "invalid-api-params", "Too many files"]
    assert results["large"] == [400, "invalid-api-params", "Too large file"]
    assert results["listed"] == ["a b_é.txt"]
    assert results["at_home"]
    assert results["missing"][:2] == [404, "object-not-found"]
    members = ["main.py", "src", "src/deep", "src/deep/a b_é.txt"]
    assert results["downloaded"] == {"file_names": members}
    assert results["read"] == "nested"
    assert results["six"][0] == 400
    assert results["absent"] == [400, "invalid-api-params", "The file is not found."]


def check_runs(results: dict[str, Any]) -> None:
    assert results["query"]["stdout"] == "hello world\n"
    assert "ZeroDivisionError" in results["query"]["stderr"]
    assert results["query"]["exit_codes"] == [0]
    assert results["input"]["stdout"].endswith("hi Alice\n")
    assert results["python"]["stdout"].endswith("hi Alice\n")
    assert results["python"]["exit_codes"] == [0, 0, 3]
    assert "waiting-input" in results["python"]["told"]
    assert results["failed"]["exit_codes"] == [0, 7, 127]
    assert results["long"]["stdout"] == "a\nb\n"
    assert "continued" in results["long"]["told"]
    assert "print" in results["completed"]["result"]["completions"]
    assert "NameError" in results["restarted"]["stderr"]


def check_stream(frames: list[dict[str, Any]]) -> None:
    console = [item for frame in frames for item in frame["console"]]
    told = [frame["status"] for frame in frames if frame["status"] != "continued"]
    assert told == ["clean-finished", "build-finished", "waiting-input", "finished"]
    assert "hi Alice\n" in "".join(data for kind, data in console if kind == "stdout")
    assert frames[-1]["exitCode"] == 3


def test_the_command(server: RunningServer, tmp_path: Path) -> None:
    """``backend.ai run`` with the defaults of every step, then files, then the end."""
    directory = tmp_path / "empty"
    directory.mkdir()
    (directory / "main.py").write_text("print('hi ' + input('name? '))\n")
    command = str(BIN / "backend.ai")

    ran = run(
        directory,
        *(command, "run", "python:3.11", "--name", "cli-sess-01", "main.py", "--basedir", "."),
        address=server.url,
    )
    listed = run(directory, command, "session", "ls", "cli-sess-01", address=server.url)
    downloaded = run(
        directory,
        *(command, "session", "download", "cli-sess-01", "main.py", "--dest", "out"),
        address=server.url,
    )
    destroyed = run(directory, command, "session", "destroy", "cli-sess-01", address=server.url)

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "hi Alice" in ran.stdout
    assert "Execution finished. (exit code = 0)" in ran.stdout + ran.stderr
    assert "main.py" in listed.stdout
    assert (directory / "out/main.py").read_text().startswith("print")
    assert downloaded.returncode == destroyed.returncode == 0
