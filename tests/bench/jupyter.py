"""The other yardstick: Jupyter Server, asked as JupyterLab asks it, with the same kernels.

It is installed by ``make bench`` alone, into an environment of its own. It listens on loopback,
wants a token, and keeps its files in a folder that goes with it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import secrets
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.running import free_port

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / ".venv-bench/bin/jupyter-server"
# What JupyterLab speaks: a message is a frame of parts that need not be read to be passed on.
PROTOCOL = "v1.kernel.websocket.jupyter.org"
START_SECONDS = 60.0
STOP_SECONDS = 30.0


class JupyterServer:
    """One server, for the length of a ``with`` block; ``start`` gives kernels."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._token = secrets.token_hex()
        self._address = f"127.0.0.1:{free_port()}"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> JupyterServer:
        host, _, port = self._address.partition(":")
        own = {
            "JUPYTER_TOKEN": self._token,
            "JUPYTER_NO_CONFIG": "1",
            "JUPYTER_CONFIG_DIR": str(self._folder / "config"),
            "JUPYTER_DATA_DIR": str(self._folder / "data"),
            "JUPYTER_RUNTIME_DIR": str(self._folder / "run"),
            "JUPYTER_PATH": str(ROOT / ".venv-kernels/share/jupyter"),
        }
        options = {
            "ServerApp.ip": host,
            "ServerApp.port": port,
            "ServerApp.port_retries": "0",
            "ServerApp.open_browser": "False",
            "ServerApp.allow_root": "True",
            "ServerApp.root_dir": str(self._folder),
            # A machine that is busy starting kernels answers late, and must not be given up.
            "ServerApp.websocket_ping_interval": "0",
        }
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [str(PROGRAM), *(f"--{name}={value}" for name, value in options.items())],
                env=os.environ | own,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                if self._get("/api/status").status_code == 200:
                    return self
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        self.__exit__()
        raise RuntimeError(f"did not start:\n{(self._folder / 'log').read_text()}")

    def __exit__(self, *exception: object) -> None:
        assert self._process is not None
        self._process.terminate()  # it ends its kernels, then itself
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def kernel_processes(self) -> list[int]:
        """The process ids of its kernels."""
        assert self._process is not None
        pid = self._process.pid
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]

    async def start(self) -> JupyterKernel:
        """A new kernel, with a connection of its own."""
        client = httpx.AsyncClient(
            base_url=f"http://{self._address}",
            headers=self._authorization,
            timeout=120,
            trust_env=False,
        )
        answer = await client.post("/api/kernels", json={"name": "python3"})
        answer.raise_for_status()
        kernel_id = answer.json()["id"]
        socket = await connect(
            f"ws://{self._address}/api/kernels/{kernel_id}/channels?session_id={uuid4()}",
            additional_headers=self._authorization,
            subprotocols=[Subprotocol(PROTOCOL)],
            open_timeout=120,
            ping_interval=None,
            max_size=None,
            proxy=None,
        )
        return JupyterKernel(client, kernel_id, socket)

    @property
    def _authorization(self) -> dict[str, str]:
        return {"Authorization": f"token {self._token}"}

    def _get(self, path: str) -> httpx.Response:
        url = f"http://{self._address}{path}"
        return httpx.get(url, headers=self._authorization, trust_env=False)


class JupyterKernel:
    """One kernel of the server's."""

    def __init__(self, client: httpx.AsyncClient, kernel_id: str, socket: ClientConnection) -> None:
        self._client = client
        self._id = kernel_id
        self._socket = socket

    async def run(self, code: str) -> list[dict]:
        """Run code; its output messages, when both its reply and its idle have arrived."""
        header = {
            "msg_id": uuid4().hex,
            "msg_type": "execute_request",
            "username": "bench",
            "session": "bench",
            "date": "2026-01-01T00:00:00Z",
            "version": "5.3",
        }
        await self._socket.send(_frame("shell", header, {"code": code, "silent": False}))
        outputs: list[dict] = []
        missing = {"reply", "idle"}
        while missing:
            async with asyncio.timeout(60):
                channel, message = _parts(await self._socket.recv())
            if message["parent_header"].get("msg_id") != header["msg_id"]:
                continue
            if channel == "shell":
                missing.discard("reply")
            elif message["content"].get("execution_state") == "idle":
                missing.discard("idle")
            elif channel == "iopub":
                outputs.append(message)
        return outputs

    async def stop(self) -> None:
        await self._socket.close()
        answer = await self._client.delete(f"/api/kernels/{self._id}")
        answer.raise_for_status()
        await self._client.aclose()


@contextmanager
def running_server() -> Iterator[JupyterServer | None]:
    """A server; None if none is installed."""
    if not PROGRAM.exists():
        print("Jupyter Server is not installed (make bench does it): it is not measured")
        yield None
        return
    with tempfile.TemporaryDirectory() as folder, JupyterServer(Path(folder)) as server:
        yield server


def _frame(channel: str, header: dict[str, Any], content: dict[str, Any]) -> bytes:
    parts = [channel.encode(), *(json.dumps(part).encode() for part in (header, {}, {}, content))]
    offset = 8 * (len(parts) + 2)
    numbers = [len(parts) + 1, offset]
    for part in parts:
        numbers.append(numbers[-1] + len(part))
    return b"".join([*(number.to_bytes(8, "little") for number in numbers), *parts])


def _parts(frame: str | bytes) -> tuple[str, dict[str, Any]]:
    assert isinstance(frame, bytes)
    count = int.from_bytes(frame[:8], "little")
    offsets = [int.from_bytes(frame[8 * i : 8 * i + 8], "little") for i in range(1, count + 1)]
    channel, *parts = (frame[start:end] for start, end in itertools.pairwise(offsets))
    names = ("header", "parent_header", "metadata", "content")
    return channel.decode(), dict(
        zip(names, map(json.loads, parts), strict=False)
    )  # buffers may follow
