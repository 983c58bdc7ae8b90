"""A web process that sees nothing of the host's disk: every door reads and writes files through it."""

from __future__ import annotations

import io
import os
import re
import signal
import socket
import subprocess
import tarfile
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest

from tests.running import STOP_SECONDS, RunningServer, http

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]

MIB = 1024 * 1024
LARGE_BYTES = 128 * MIB
MOST_GROWTH = 32 * MIB
PIECE = os.urandom(MIB)
AZURE = "2025-10-02-preview"


class FarServer(RunningServer):
    """A host and a web process with a data directory each; they share database and socket."""

    def __init__(self, directory: Path) -> None:
        self.far_dir = directory / "host"
        (self.far_dir / "run").mkdir(parents=True, mode=0o700)
        data_dir = directory / "web"
        (data_dir / "run").mkdir(parents=True, mode=0o700)
        (data_dir / "run/host.sock").symlink_to(self.far_dir / "run/host.sock")
        super().__init__(
            data_dir,
            WORKBENCH_DATABASE_URL=f"sqlite:///{self.far_dir / 'workbench.sqlite3'}",
            WORKBENCH_SECRET_KEY="of both",
            WORKBENCH_MAX_UPLOAD_BYTES="200m",
            WORKBENCH_WARM_KERNELS="0",
        )
        # The host's, then the web process's.
        self.processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> FarServer:
        here = self.environment
        try:
            self.environment = here | {"WORKBENCH_DATA_DIR": str(self.far_dir)}
            assert self.manage("migrate").wait(60) == 0
            self.processes.append(self.manage("workbench", "host"))
            self.environment = here | {"WORKBENCH_FILES_THROUGH_HOST": "1"}
            self.processes.append(self.manage("workbench", "web"))
            self._wait_until_up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            process.wait(STOP_SECONDS)

    def peak_bytes(self) -> list[int]:
        """The most memory that host and web process have had since they started."""
        return [_peak_bytes(process.pid) for process in self.processes]

    def _wait_until_up(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                if http.get(f"{self.url}/healthz").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        raise RuntimeError(f"it did not start:\n{self.log.read_text()}")


def _peak_bytes(pid: int) -> int:
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) * 1024


@contextmanager
def running_server() -> Iterator[FarServer]:
    # Not pytest's directories: their paths are too long for a socket's.
    with TemporaryDirectory() as directory, FarServer(Path(directory)) as server:
        yield server


@pytest.fixture(scope="module")
def server() -> Iterator[FarServer]:
    with running_server() as running:
        yield running


@pytest.fixture
def client(server: FarServer) -> Iterator[httpx.Client]:
    with client_of(server) as found:
        yield found


def client_of(server: FarServer) -> httpx.Client:
    return httpx.Client(base_url=server.url, timeout=60, trust_env=False)


def opened(client: httpx.Client, identifier: str) -> str:
    """The address of a new session's files."""
    answer = client.post("/api/v1/sessions", json={"identifier": identifier})
    assert answer.is_success, answer.text
    return f"/api/v1/sessions/{identifier}/files"


def value_of(client: httpx.Client, identifier: str, code: str) -> Any:
    query = {"api-version": AZURE, "identifier": identifier}
    answer = client.post("/executions", params=query, json={"code": code}).json()
    assert answer["status"] == "Succeeded", answer
    return answer["result"]["executionResult"]


def test_every_door_reads_and_writes_what_code_does(
    server: FarServer, client: httpx.Client
) -> None:
    files = opened(client, "doors")
    azure = {"api-version": AZURE, "identifier": "doors"}

    client.put(f"{files}/content", params={"path": "d/native"}, content=b"1")
    client.post("/files", params=azure, files={"file": ("azure", b"2")})
    client.post("/sandbox/doors/files/upload/-/mnt/data/sandbox", content=b"3")
    client.post("/backendai/session/doors/upload", files={"src": ("backendai", b"4")})
    code = "[open(each).read() for each in ('d/native', 'azure', 'sandbox', 'backendai')]"
    assert value_of(client, "doors", code) == "['1', '2', '3', '4']"
    value_of(client, "doors", "open('d/code.csv', 'w').write('a,b\\n1,2\\n')")

    listed = client.get(files, params={"recursive": "1"}).json()["files"]
    names = ["azure", "backendai", "d", "d/code.csv", "d/native", "sandbox"]
    assert [each["path"] for each in listed] == names
    preview = client.get(f"{files}/preview", params={"path": "d/code.csv"}).json()
    assert (preview["kind"], preview["rows"]) == ("table", [["1", "2"]])
    part = client.get(f"{files}/content?path=d/code.csv", headers={"Range": "bytes=2-4"})
    assert (part.status_code, part.content) == (206, b"b\n1")
    packed = client.get(f"{files}/archive", params={"path": "d"}).content
    assert zipfile.ZipFile(io.BytesIO(packed)).read("d/native") == b"1"
    assert client.get("/files/azure/content", params=azure).content == b"2"
    assert client.get("/sandbox/doors/files/download/-/mnt/data/sandbox").content == b"3"
    document = client.post("/backendai/session/doors/download", json={"files": ["d"]})
    body = document.content.split(b"\r\n\r\n", 1)[1].rpartition(b"\r\n--")[0]
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        assert tar.getnames() == ["d", "d/code.csv", "d/native"]
    moved = client.patch(files, params={"path": "d"}, json={"path": "e/f"})
    assert moved.json()["path"] == "e/f"
    assert client.delete(files, params={"path": "e"}).status_code == 204
    gone = client.get(f"{files}/content", params={"path": "e/f/native"})
    assert (gone.status_code, gone.json()["code"]) == (404, "file_not_found")
    assert not (server.data_dir / "sessions").exists()
    assert list(server.far_dir.glob("sessions/*/files/azure"))


def test_large_files_take_no_memory_in_either_process(
    server: FarServer, client: httpx.Client
) -> None:
    address = f"{opened(client, 'large')}/content?path=large"
    client.put(address, content=PIECE * 2)
    before = server.peak_bytes()

    def pieces() -> Iterator[bytes]:
        for _ in range(LARGE_BYTES // MIB):
            yield PIECE

    answer = client.put(address, content=pieces())
    with socket.create_connection(("127.0.0.1", server.port)) as slow:
        slow.sendall(f"GET {address} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        assert slow.recv(15).endswith(b" 200 OK")
        # Meanwhile somebody else is served, and nothing piles up for who does not read.
        with client.stream("GET", address) as response:
            received = sum(len(piece) for piece in response.iter_raw())
    growth = [now - then for now, then in zip(server.peak_bytes(), before, strict=True)]

    assert (answer.status_code, answer.json()["size_bytes"]) == (201, LARGE_BYTES)
    assert received == LARGE_BYTES
    assert max(growth) < MOST_GROWTH


def test_what_a_killed_web_process_was_writing_is_gone_with_the_host() -> None:
    """The host would notice in minutes; it does so at once when it ends."""
    with running_server() as server, client_of(server) as client:
        address = f"{opened(client, 'cut')}/content?path=large"
        (workspace,) = server.far_dir.glob("sessions/*/files")
        with ThreadPoolExecutor(1) as threads:
            upload = threads.submit(client.put, address, content=PIECE * 48)
            while not (begun := os.listdir(workspace)):
                assert not upload.done()
                time.sleep(0.001)
            server.processes[1].kill()
            with pytest.raises(httpx.TransportError):
                upload.result()
        server.processes[0].send_signal(signal.SIGTERM)
        server.processes[0].wait(STOP_SECONDS)

        assert [name for name in begun if name.startswith(".workbench-tmp-")] == begun
        assert os.listdir(workspace) == []
