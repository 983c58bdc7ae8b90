"""The requests that Semantic Kernel's SessionsPythonTool sends, without Semantic Kernel.

They are those of semantic-kernel 1.45.0, seen on their way to a server: it takes no http://
endpoint and brings too many packages to be installed for this.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.running import RunningServer

pytestmark = [pytest.mark.clients, pytest.mark.acceptance, pytest.mark.timeout(120)]

POOL = "/subscriptions/s/resourceGroups/r/sessionPools/p"
VERSION = "2024-02-02-preview"
SESSION = "semantic-kernel"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server of the module's own."""
    with RunningServer(tmp_path_factory.mktemp("data")) as running:
        yield running


async def without_tls(request: httpx.Request) -> None:
    """What docs/how-to/semantic-kernel.md gives to its client."""
    request.url = request.url.copy_with(scheme="http")


@pytest.fixture(params=["", POOL], ids=["root", "pool"])
async def plugin(server: RunningServer, request: pytest.FixtureRequest) -> Any:
    """Sends as the plugin does."""
    hooks = {"request": [without_tls]}
    async with httpx.AsyncClient(timeout=30, event_hooks=hooks, trust_env=False) as client:
        yield Plugin(client, server.url.replace("http:", "https:") + request.param)


class Plugin:
    """The plugin's addresses, headers and bodies, and what it reads of the answers."""

    def __init__(self, client: httpx.AsyncClient, endpoint: str) -> None:
        self._client = client
        self._endpoint = endpoint
        client.headers["Authorization"] = "Bearer any token"

    def _address(self, path: str) -> str:
        return f"{self._endpoint}/{path}?identifier={SESSION}&api-version={VERSION}"

    async def execute(self, code: str) -> dict[str, Any]:
        # It stays on the client, and labels all that is sent later: uploads, too.
        self._client.headers["Content-Type"] = "application/json"
        properties = {
            "codeInputType": "inline",
            "executionType": "synchronous",
            "code": code,
            "timeoutInSeconds": 100,
        }
        answer = await self._client.post(
            self._address("code/execute"), json={"properties": properties}
        )
        answer.raise_for_status()
        result = answer.json()["properties"]
        return {name: result[name] for name in ("status", "result", "stdout", "stderr")}

    async def upload(self, name: str, content: bytes) -> list[str]:
        """The names of all files afterwards: it looks for its own among them."""
        files = {"file": (f"/mnt/data/{name}", content, "application/octet-stream")}
        answer = await self._client.post(self._address("files/upload"), files=files)
        answer.raise_for_status()
        listed = (await self._client.get(self._address("files"))).raise_for_status()
        entries = [entry["properties"] for entry in listed.json()["value"]]
        return [f"{entry['filename']} {entry['size']}" for entry in entries]

    async def download(self, name: str) -> bytes:
        answer = await self._client.get(self._address(f"files/content/{name}"))
        return answer.raise_for_status().content


async def test_code_runs_and_says_what_came_of_it(plugin: Plugin) -> None:
    """All four fields are there, whatever happened; the plugin fails without one."""
    assert await plugin.execute("print('hi')\n6 * 7") == {
        "status": "Success",
        "result": 42,
        "stdout": "hi\n",
        "stderr": "",
    }
    failed = await plugin.execute("1 / 0")
    assert failed["status"] == "Failure"
    assert "ZeroDivisionError" in failed["stderr"]


async def test_files_go_up_and_down_after_code_has_run(plugin: Plugin) -> None:
    """Although they are labelled as JSON then, and named by their whole path."""
    await plugin.execute("1")

    assert "in.txt 5" in await plugin.upload("in.txt", b"hello")
    assert (await plugin.execute("open('/mnt/data/in.txt').read()"))["result"] == "hello"
    assert await plugin.download("in.txt") == b"hello"
