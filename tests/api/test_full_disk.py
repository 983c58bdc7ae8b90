"""A session with more files than it may keep: every door says so, and lets files be deleted."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from sessions import operations
from sessions.exceptions import WorkspaceFull
from tests.api.sockets import connected, frame_of, ref

pytestmark = pytest.mark.kernel

MIB = 1024 * 1024
FILLS = """
import os
file = os.open("large", os.O_CREAT | os.O_RDWR)
os.posix_fallocate(file, 0, 6 * 1024 * 1024)
os.close(file)
"""
SENTENCE = (
    "The session keeps 6 MiB of files, more than its 4 MiB. Delete some, then run code again."
)


async def post(api: Any, path: str, body: Any) -> Any:
    return await api.post(path, json.dumps(body), content_type="application/json")


async def ways_to_run(api: Any, name: str) -> dict[str, Any]:
    """What each REST door answers to code."""
    azure = f"/executions?api-version=2025-10-02-preview&identifier={name}"
    query = {"mode": "query", "code": "1", "runId": None}
    return {
        "rce": await post(api, "/sessions/execute", {"session_id": name, "code": "1"}),
        "sandbox": await post(api, f"/sandbox/{name}/execute", {"code": "1"}),
        "azure": await post(api, azure, {"code": "1"}),
        "backendai": await post(api, f"/session/{name}", query),
    }


async def test_nothing_runs_through_any_door_until_files_are_deleted(api, settings) -> None:
    limits = replace(settings.WORKBENCH_SESSION_LIMITS, workspace_bytes=4 * MIB)
    settings.WORKBENCH_SESSION_LIMITS = limits
    name = (await post(api, "/sessions/create", {})).json()["session_id"]
    await operations.run_code(ref(name), FILLS, origin="test")
    async with asyncio.timeout(50):
        while True:
            try:
                await operations.run_code(ref(name), "1", origin="test")
            except WorkspaceFull:
                break

    refused = await ways_to_run(api, name)
    async with connected(f"/ws/sessions/{name}/") as socket:
        await socket.send_json_to({"type": "execute", "code": "1"})
        frame = await frame_of(socket, "error")
    files = f"/api/v1/sessions/{name}/files"
    more = await api.put(f"{files}/content?path=more", b"x", content_type="text/plain")
    download = await api.get(f"{files}/content?path=large")
    size = sum([len(piece) async for piece in download.streaming_content])
    deleted = await api.delete(f"{files}?path=large")
    ran = await ways_to_run(api, name)

    told = {door: (answer.status_code, answer.json()) for door, answer in refused.items()}
    assert told["rce"] == (507, {"detail": SENTENCE})
    assert told["sandbox"] == (507, {"error": SENTENCE})
    error = {"code": "SessionStorageFull", "message": SENTENCE}
    assert told["azure"] == (507, {"error": error})
    status, problem = told["backendai"]
    assert (status, problem["type"]) == (412, "https://api.backend.ai/probs/quota-exceeded")
    assert problem["msg"] == SENTENCE
    assert (frame["code"], frame["message"]) == ("workspace_full", SENTENCE)
    assert (more.status_code, more.json()["code"]) == (507, "workspace_full")
    assert size == 6 * MIB
    assert deleted.status_code < 300, deleted.content
    assert {door: answer.status_code for door, answer in ran.items()} == {
        "rce": 200,
        "sandbox": 200,
        "azure": 200,
        "backendai": 200,
    }
