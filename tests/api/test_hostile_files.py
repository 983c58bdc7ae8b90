"""Whatever code makes of its workspace, every way to its files answers, and leads nowhere else."""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from django.test import AsyncClient

from files.workspaces import workspace_of
from sessions import operations
from sessions.kernels.limits import Limits
from sessions.operations import SessionRef
from sessions.outcomes import fold
from tests.hostility import ATTACKS

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("host")]

REF = SessionRef(owner_id=None, identifier="zoo")
BASE = "/api/v1/sessions/zoo/files"
ANSWER_SECONDS = 20
REFUSALS = {400, 404, 409, 413}


async def run(code: str, ref: SessionRef = REF) -> Any:
    return await operations.run_code(ref, code, origin="test", create=True)


@pytest.fixture(autouse=True)
def _unlimited(settings: Any) -> None:
    """So much nesting cannot be measured, and would count as too much."""
    settings.WORKBENCH_SESSION_LIMITS = Limits.none()


@pytest.fixture
async def zoo() -> dict[str, list[str]]:
    """What is in the workspace, by kind, as the API shows its names."""
    result = await run((ATTACKS / "zoo.py").read_text())
    assert result.state == "succeeded", fold(result.events).error
    made = json.loads(fold(result.events).stdout)
    return {kind: [shown(bytes.fromhex(each)) for each in names] for kind, names in made.items()}


def shown(name: bytes) -> str:
    """A name as the API shows it: a byte that is no text as ``\\xNN``."""
    return name.decode("utf-8", "backslashreplace")


async def answer(method: str, route: str, body: Any = None, **query: str) -> Any:
    """An answer in time, its content read; never an error of the server's."""
    options = {} if body is None else {"data": body, "content_type": "application/json"}
    async with asyncio.timeout(ANSWER_SECONDS):
        send = getattr(AsyncClient(), method)
        response = await send(f"{BASE}{route}?{urlencode(query)}", **options)
        if response.streaming:
            response.body = b"".join([piece async for piece in response])
    assert response.status_code < 500, (method, route, query)
    return response


@pytest.mark.usefixtures("place")
async def test_the_zoo_is_listed_and_read_and_leads_nowhere(zoo: dict[str, list[str]]) -> None:
    listed = (await answer("get", "")).json()["files"]
    everything = (await answer("get", "", recursive="true")).json()["files"]
    names = {each["path"] for each in listed}

    assert names >= {*zoo["file"], *zoo["large"], *zoo["directory"]}
    assert not names & set(zoo["closed"])
    assert not [each for each in everything if each["path"].startswith("to-")]
    for name in zoo["file"]:
        got = await answer("get", "/content", path=name)
        assert got.status_code == 200, name
        assert "\n" not in got["Content-Disposition"]
        assert (await answer("get", "/preview", path=name)).status_code == 200, name
    for name in zoo["closed"]:
        for route in ("", "/content", "/preview", "/archive"):
            assert (await answer("get", route, path=name)).status_code in REFUSALS, (name, route)
    for path in (
        "to-root/etc/passwd",
        "up/x",
        "to-proc/environ",
        "to-server/etc",
        "real/etc/passwd",
    ):
        assert (await answer("get", "/content", path=path)).status_code in REFUSALS, path
        assert (await answer("put", "/content", "{}", path=path)).status_code in REFUSALS, path
        assert (await answer("delete", "", path=path)).status_code in REFUSALS, path


@pytest.mark.usefixtures("place")
async def test_the_zoo_is_packed_without_what_is_no_file(zoo: dict[str, list[str]]) -> None:
    too_large = await answer("get", "/archive")
    await answer("delete", "", path="sparse")
    packed = await answer("get", "/archive")

    assert too_large.status_code == 413
    assert packed.status_code == 200
    with zipfile.ZipFile(io.BytesIO(packed.body)) as archive:
        names = archive.namelist()
        assert b"root:" not in b"".join(archive.read(each) for each in names)
    assert "real/plain" in names
    assert not [each for each in names if each.startswith(("/", "to-")) or ".." in each.split("/")]
    assert not [each for each in names if "\\" in each]


async def test_the_zoo_is_moved_overwritten_and_deleted_where_it_stands(
    zoo: dict[str, list[str]], tmp_path: Path
) -> None:
    passwd = Path("/etc/passwd").read_bytes()
    for name in zoo["file"]:
        moved = await answer("patch", "", {"path": "moved"}, path=name)
        assert moved.status_code == 200, name
        back = await answer("patch", "", {"path": name}, path="moved")
        assert back.status_code == 200, name
        assert (await answer("put", "/content", "{}", path=name)).status_code == 201, name
    for name in zoo["closed"]:
        target = f"taken/{name.rpartition('/')[2]}"
        assert (await answer("patch", "", {"path": target}, path=name)).status_code in REFUSALS
        written = await answer("put", "/content", "{}", path=name)
        assert written.status_code in {201, *REFUSALS}, name
    for name in [*zoo["closed"], *zoo["file"], *zoo["large"], *zoo["directory"], "real"]:
        gone = await answer("delete", "", path=name)
        assert gone.status_code in {204, 404}, name

    assert Path("/etc/passwd").read_bytes() == passwd
    left = {each["path"] for each in (await answer("get", "")).json()["files"]}
    assert left <= {"taken"}


async def test_every_contract_lists_the_zoo(zoo: dict[str, list[str]]) -> None:
    client = AsyncClient()
    async with asyncio.timeout(ANSWER_SECONDS):
        azure = await client.get(
            "/files", {"api-version": "2024-10-02-preview", "identifier": "zoo"}
        )
        await run((ATTACKS / "zoo.py").read_text(), SessionRef(owner_id=None, identifier="default"))
        statuses = [azure.status_code]
        for name in (*zoo["closed"], *zoo["file"]):
            response = await client.get(f"/files/download/-/mnt/data/{quote(name)}")
            statuses.append(response.status_code)
            if response.streaming:
                _ = [piece async for piece in response]

    assert azure.status_code == 200
    assert not [status for status in statuses if status >= 500]


async def test_a_session_with_a_zoo_closes_and_leaves_nothing(zoo: dict[str, list[str]]) -> None:
    session = await operations.find_session(REF)
    other = await run("print(1)", SessionRef(owner_id=None, identifier="neighbour"))

    async with asyncio.timeout(30):
        await operations.close_session(REF)

    assert other.state == "succeeded"
    assert not workspace_of(session.id).root.exists()


async def test_what_is_swapped_while_it_is_read_never_leads_out() -> None:
    """Code exchanges a file and a link, and a directory and a link, as fast as it can."""
    swap = """
import os, threading, time
os.makedirs("d/e"); open("d/e/f", "w").write("inside"); open("f", "w").write("inside")
os.symlink("/etc/passwd", "l"); os.symlink("/etc", "m"); os.makedirs("x"); open("x/passwd", "w").write("inside")
import ctypes
libc = ctypes.CDLL(None)
def swap():
    end = time.monotonic() + 2
    while time.monotonic() < end:
        libc.renameat2(-100, b"f", -100, b"l", 2)
        libc.renameat2(-100, b"x", -100, b"m", 2)
threading.Thread(target=swap).start()
"""
    assert (await run(swap)).state == "succeeded"
    inside = Path("/etc/passwd").read_bytes()[:20]
    seen = set()
    for _ in range(30):
        for route, path in (("/content", "f"), ("/content", "x/passwd"), ("/archive", "")):
            response = await answer("get", route, path=path)
            seen.add(response.status_code)
            body = getattr(response, "body", b"")
            if route == "/archive" and response.status_code == 200:
                with zipfile.ZipFile(io.BytesIO(body)) as archive:
                    body = b"".join(archive.read(each) for each in archive.namelist())
            assert inside not in body

    assert 200 in seen
