"""The yardstick: a plain ipykernel, driven by jupyter_client, without any server."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager

ROOT = Path(__file__).parents[2]


class Kernel(Protocol):
    """A kernel that we are compared with, however it is reached."""

    async def run(self, code: str) -> list[dict]:
        """Run code; its output messages, when both its reply and its idle have arrived."""

    async def stop(self) -> None:
        """End it."""


Start = Callable[[], Awaitable[Kernel]]


class RawKernel:
    """One kernel over ipc sockets, started and asked the way jupyter_client documents it."""

    def __init__(self, manager: AsyncKernelManager, client: AsyncKernelClient, folder: str) -> None:
        self._folder = folder
        self._manager = manager
        self._client = client

    @classmethod
    async def start(cls) -> RawKernel:
        specs = KernelSpecManager(ensure_native_kernel=False)
        specs.kernel_dirs = [str(ROOT / ".venv-kernels/share/jupyter/kernels")]
        folder = tempfile.mkdtemp(prefix="raw-")  # of its own: several may start at once
        manager = AsyncKernelManager(
            kernel_name="python3",
            kernel_spec_manager=specs,
            transport="ipc",
            ip=f"{folder}/s",
            connection_file=f"{folder}/kernel.json",
        )
        await manager.start_kernel()
        client = manager.client()
        client.start_channels()
        await client.wait_for_ready(timeout=60)
        return cls(manager, client, folder)

    async def run(self, code: str) -> list[dict]:
        """Run code; its output messages, when both its reply and its idle have arrived."""
        msg_id = self._client.execute(code)
        outputs = []
        while True:
            message = await self._client.get_iopub_msg(timeout=60)
            if message["parent_header"].get("msg_id") != msg_id:
                continue
            if message["content"].get("execution_state") == "idle":
                break
            outputs.append(message)
        while True:
            reply = await self._client.get_shell_msg(timeout=60)
            if reply["parent_header"].get("msg_id") == msg_id:
                return outputs

    async def stop(self) -> None:
        self._client.stop_channels()
        await self._manager.shutdown_kernel(now=True)
        shutil.rmtree(self._folder, ignore_errors=True)
