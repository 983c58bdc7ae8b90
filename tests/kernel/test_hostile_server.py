"""Code in a session of the whole server, as it is deployed, finds nothing of it."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.hostility import assert_refused, program
from tests.hosts import ROOT, descendants
from tests.running import RunningServer, http

pytestmark = [pytest.mark.kernel, pytest.mark.acceptance, pytest.mark.timeout(120)]

# Where a kernel's own sockets are.
WHERE_IT_IS = """
import ipykernel, os
print(os.path.dirname(ipykernel.get_connection_file()))
"""


def execute(server: RunningServer, identifier: str, code: str) -> Any:
    response = http.post(
        f"{server.url}/executions",
        params={"identifier": identifier},
        json={"code": code, "codeInputType": "inline", "executionType": "synchronous"},
        timeout=60,
    )
    assert response.status_code < 300, response.text
    return response.json()


def printed(answer: Any) -> str:
    """What the code wrote, wherever the contract puts it."""
    result = answer.get("result") or answer["properties"]
    return str(result["stdout"])


def test_keys_database_and_doors_of_the_server_are_out_of_reach(tmp_path: Path) -> None:
    data_dir = tmp_path / "server"
    data_dir.mkdir()
    key, token = f"key-{uuid4().hex}", f"token-{uuid4().hex}"
    with RunningServer(data_dir, WORKBENCH_SECRET_KEY=key, A_TOKEN=token) as server:
        assert server.process is not None
        # Both before we look: the kernel that one is given has been waiting, with its sockets.
        of_neighbour = printed(execute(server, "neighbour", WHERE_IT_IS)).strip()
        own = printed(execute(server, "attacker", WHERE_IT_IS)).strip()
        found = {str(path) for path in data_dir.rglob("*") if path.is_socket()}
        found |= sockets_of({server.process.pid, *descendants(server.process.pid)})
        assert {own, of_neighbour} <= {str(Path(path).parent) for path in found}
        sockets = sorted(path for path in found if str(Path(path).parent) != own)
        reach = program(
            "reach",
            secrets=[key, token, "workbench.sqlite3"],
            paths=[f"{data_dir}/workbench.sqlite3", f"{data_dir}/sessions", f"{ROOT}/manage.py"],
            sockets=sockets,
            readable=[],
            own=[own],
            pids=[server.process.pid, server.child("web"), server.child("host")],
            is_root=os.getuid() == 0,
        )
        network = program(
            "network", port=server.port, address=socket.gethostname(), abstract="workbench"
        )
        for text in (reach, network):
            said = printed(execute(server, "attacker", text))
            outcomes = json.loads(said.strip().splitlines()[-1])
            assert_refused({k: v for k, v in outcomes.items() if "netlink" not in k})
        assert "still" in printed(execute(server, "neighbour", "print('still')"))
        assert http.get(f"{server.url}/healthz").status_code == 200

    with closing(sqlite3.connect(data_dir / "workbench.sqlite3")) as database:
        assert database.execute("pragma integrity_check").fetchone() == ("ok",)


def sockets_of(pids: set[int]) -> set[str]:
    """The named sockets that processes of the server have opened."""
    inodes = set()
    for pid in pids:
        # One may have ended, or be a kernel's first process, which lets nobody look into it.
        with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            for path in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(FileNotFoundError):
                    inodes.add(os.readlink(path))
    lines = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    named = [line for line in lines if len(line) == 8 and line[7].startswith("/")]
    return {line[7] for line in named if f"socket:[{line[6]}]" in inodes}
