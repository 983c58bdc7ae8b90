"""Quotas of owners at every door: each says "too many" in its own words, and only to whom it is."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.routing import URLRouter
from django.contrib.auth import get_user_model
from django.test import AsyncClient, Client

from sessions import operations
from sessions.engines import close_engine
from sessions.exceptions import QuotaReached
from sessions.kernels import host as host_module
from sessions.kernels.quotas import Quota
from sessions.models import Execution
from sessions.models import Quota as QuotaRow
from sessions.operations import SessionRef
from tests.api.sockets import Socket, connected, frame_of, ref
from workbench.access import keys
from workbench.access.middleware import SocketAccess
from workbench.dialects.backendai import stream

pytestmark = [pytest.mark.kernel, pytest.mark.django_db(transaction=True)]

MIB = 1024 * 1024
STREAMS = SocketAccess(URLRouter(stream.websocket_urlpatterns))
QUERY = {"mode": "query", "code": "1", "runId": None}


async def post(api: AsyncClient, path: str, body: Any, **headers: str) -> Any:
    return await api.post(
        path, json.dumps(body), content_type="application/json", headers=headers or None
    )


async def ways_to_open(api: AsyncClient, name: str, **headers: str) -> dict[str, Any]:
    """What each door answers to who wants a session."""
    new, old = (
        f"api-version={date}&identifier={name}"
        for date in ("2025-10-02-preview", "2024-02-02-preview")
    )
    code = {"properties": {"codeInputType": "inline", "executionType": "synchronous", "code": "1"}}
    return {
        "native": await post(api, "/api/v1/sessions", {"identifier": name}, **headers),
        "azure": await post(api, f"/executions?{new}", {"code": "1"}, **headers),
        "old azure": await post(api, f"/code/execute?{old}", code, **headers),
        "backendai": await post(api, "/session", {"name": name, "image": "python"}, **headers),
        "rce": await post(api, "/sessions/create", {}, **headers),
        "sandbox": await post(api, f"/sandbox/{name}/execute", {"code": "1"}, **headers),
    }


async def ways_to_run(api: AsyncClient, name: str) -> dict[str, Any]:
    """What each door answers to who wants to run code in a session."""
    new, old = (
        f"api-version={date}&identifier={name}"
        for date in ("2025-10-02-preview", "2024-02-02-preview")
    )
    code = {"properties": {"codeInputType": "inline", "executionType": "synchronous", "code": "1"}}
    return {
        "native": await post(api, f"/api/v1/sessions/{name}/executions?wait=60", {"code": "1"}),
        "azure": await post(api, f"/executions?{new}", {"code": "1"}),
        "old azure": await post(api, f"/code/execute?{old}", code),
        "backendai": await post(api, f"/session/{name}", QUERY),
        "rce": await post(api, "/sessions/execute", {"session_id": name, "code": "1"}),
        "sandbox": await post(api, f"/sandbox/{name}/execute", {"code": "1"}),
    }


def said(answers: dict[str, Any]) -> dict[str, tuple[int, str, str]]:
    """Each door's status, its word for programs (if it has one), and its sentence."""
    found = {}
    for door, answer in answers.items():
        body, error = answer.json(), answer.json().get("error", {})
        match door:
            case "native":
                code, sentence = body["code"], body["detail"]
            case "azure" | "old azure":
                code, sentence = error["code"], error["message"]
            case "backendai":
                code, sentence = body["type"].rpartition("/")[2], body["msg"]
            case "rce":
                code, sentence = "", body["detail"]
            case _:
                code, sentence = "", error
        found[door] = (answer.status_code, code, sentence)
    return found


async def usage(api: AsyncClient, **headers: str) -> dict[str, tuple[float, int | None]]:
    answer = (await api.get("/api/v1/usage", headers=headers or None)).json()
    assert answer["period_seconds"] == 24 * 60 * 60
    return {each["name"]: (each["used"], each["most"]) for each in answer["quotas"]}


async def test_no_door_opens_more_sessions_than_an_owner_may_have(api, settings):
    settings.WORKBENCH_OWNER_QUOTA = Quota(sessions=1)
    await post(api, "/api/v1/sessions", {"identifier": "first"})

    told = said(await ways_to_open(api, "second"))

    sentence = (
        "You have 1 session open, and may have 1 at once. Close one, or ask the operator for more "
        "(WORKBENCH_OWNER_SESSIONS)."
    )
    assert told == {
        "native": (429, "session_limit_reached", sentence),
        "azure": (429, "SessionsCountExceedsLimit", sentence),
        "old azure": (429, "SessionsCountExceedsLimit", sentence),
        "backendai": (412, "quota-exceeded", sentence),
        "rce": (429, "", sentence),
        "sandbox": (429, "", sentence),
    }
    assert (await usage(api))["sessions"] == (1, 1)


async def test_no_door_runs_more_at_once_than_an_owner_may(api, settings):
    settings.WORKBENCH_OWNER_QUOTA = Quota(executions=1)
    name = (await post(api, "/sessions/create", {})).json()["session_id"]
    waiting = await operations.submit(ref(name), "import time; time.sleep(600)", origin="test")

    refused = await ways_to_run(api, name)
    async with connected(f"/ws/sessions/{name}/") as socket:
        await socket.send_json_to({"type": "execute", "code": "1"})
        frame = await frame_of(socket, "error")
    one = Socket(STREAMS, f"/stream/session/{name}/execute")
    await one.connect()
    await one.send_to(json.dumps({"mode": "query", "code": "1", "options": {}}))
    streamed = await one.receive_output()
    await one.disconnect()
    counted = await Execution.objects.acount()
    at_once = (await usage(api))["executions"]
    await operations.cancel(ref(name), str(waiting.id))
    await operations.wait(ref(name), str(waiting.id), timeout_seconds=60)
    ran = await ways_to_run(api, name)

    sentence = (
        "You have 1 execution running or waiting, and may have 1 at once. Wait for one to end, "
        "cancel one, or ask the operator for more (WORKBENCH_OWNER_EXECUTIONS)."
    )
    assert said(refused) == {
        "native": (429, "queue_limit_reached", sentence),
        "azure": (429, "TooManyRequests", sentence),
        "old azure": (429, "TooManyRequests", sentence),
        "backendai": (429, "rate-limit-exceeded", sentence),
        "rce": (429, "", sentence),
        "sandbox": (429, "", sentence),
    }
    assert (frame["code"], frame["message"]) == ("queue_limit_reached", sentence)
    assert sentence in str(streamed)
    assert (counted, at_once) == (1, (1, 1))
    assert {answer.status_code for answer in ran.values()} <= {200, 201, 202}


async def test_every_door_says_when_there_is_more_for_today(api, settings):
    settings.WORKBENCH_OWNER_QUOTA = Quota(output_bytes=1024)
    name = (await post(api, "/sessions/create", {})).json()["session_id"]
    await operations.run_code(ref(name), "print('x' * 1100)", origin="test")

    refused = await ways_to_run(api, name)
    async with connected(f"/ws/sessions/{name}/") as socket:
        await socket.send_json_to({"type": "execute", "code": "1"})
        frame = await frame_of(socket, "error")

    told = said(refused)
    sentence = told["rce"][2]
    assert sentence.startswith("Your code put out 1 KiB in the last 24 hours, as much as it may.")
    assert told == {
        "native": (429, "quota_reached", sentence),
        "azure": (429, "TooManyRequests", sentence),
        "old azure": (429, "TooManyRequests", sentence),
        "backendai": (412, "quota-exceeded", sentence),
        "rce": (429, "", sentence),
        "sandbox": (429, "", sentence),
    }
    assert (frame["code"], frame["message"]) == ("quota_reached", sentence)
    assert 23 * 3600 < int(refused["native"]["Retry-After"]) <= 24 * 3600 + 300
    used, most = (await usage(api))["output_bytes"]
    assert (used >= 1101, most) == (True, 1024)


async def upload(api: AsyncClient, session: str, name: str, size: int) -> Any:
    path = f"/api/v1/sessions/{session}/files/content?path={name}"
    return await api.put(path, b"x" * size, content_type="text/plain")


async def test_uploads_fill_no_more_than_an_owner_may_store(api, settings):
    settings.WORKBENCH_OWNER_QUOTA = Quota(storage_bytes=2 * MIB)
    for name in "ab":
        await operations.open_session(ref(name), origin="test")
    fits = [await upload(api, "a", "f", MIB), await upload(api, "b", "f", MIB // 2)]

    refused = await upload(api, "b", "g", MIB)
    replaced = await upload(api, "a", "f", MIB)
    directory = await post(api, "/api/v1/sessions/b/files/directories", {"path": "d"})

    assert [answer.status_code for answer in (*fits, replaced, directory)] == [201] * 4
    assert (refused.status_code, refused.json()["code"]) == (507, "workspace_full")
    assert refused.json()["detail"] == (
        "The files of your sessions would together take more than 2 MiB. Delete some, close a "
        "session, or ask the operator for more (WORKBENCH_OWNER_STORAGE)."
    )
    used, most = (await usage(api))["storage_bytes"]
    assert used == pytest.approx(1.5 * MIB, rel=0.05)
    assert most == 2 * MIB


async def test_uploads_keep_to_what_the_session_itself_asked_for(api):
    asked = {"identifier": "small", "limits": {"workspace_bytes": MIB}}
    await post(api, "/api/v1/sessions", asked)

    answer = await upload(api, "small", "f", 2 * MIB)

    assert (answer.status_code, answer.json()["code"]) == (507, "workspace_full")


# --- Accounts ----------------------------------------------------------------------------------


@pytest.fixture
def closed(settings):
    settings.WORKBENCH_IS_OPEN = False


async def key_of(name: str) -> dict[str, str]:
    key = await sync_to_async(keys.make_key_for)(name)
    return {"Authorization": f"Bearer {key.text}"}


async def test_owners_do_not_count_for_each_other(api, settings, closed):
    settings.WORKBENCH_OWNER_QUOTA = Quota(sessions=1)
    ada, bob = await key_of("ada"), await key_of("bob")
    await post(api, "/api/v1/sessions", {"identifier": "s"}, **ada)

    refused = await post(api, "/api/v1/sessions", {"identifier": "t"}, **ada)
    opened = await post(api, "/api/v1/sessions", {"identifier": "s"}, **bob)

    assert (refused.status_code, opened.status_code) == (429, 201)
    assert "or the quota of your account" in refused.json()["detail"]
    assert (await usage(api, **ada))["sessions"] == (1, 1)
    stranger = await api.get("/api/v1/usage")
    assert stranger.status_code == 401


async def test_what_the_admin_grants_an_account_counts_soon(
    api, settings, closed, monkeypatch, admin_user
):
    monkeypatch.setattr(host_module, "GRANT_SECONDS", 0.02)
    settings.WORKBENCH_OWNER_QUOTA = Quota(sessions=1, executions=3)
    ada = await key_of("ada")
    account = await get_user_model().objects.aget(username="ada")
    await post(api, "/api/v1/sessions", {"identifier": "s"}, **ada)

    def grant(**values: str) -> Any:
        client = Client()
        client.force_login(admin_user)
        empty = dict.fromkeys(
            ("sessions", "executions", "storage_bytes", "execution_seconds", "output_bytes"), ""
        )
        return client.post(
            "/admin/workbench_sessions/quota/add/", {"account": account.pk, **empty, **values}
        )

    wrong = await sync_to_async(grant)(sessions="-1")
    granted = await sync_to_async(grant)(sessions="2", executions="0")
    async with asyncio.timeout(60):
        while (await usage(api, **ada))["sessions"] != (1, 2):
            await asyncio.sleep(0.02)
    second = await post(api, "/api/v1/sessions", {"identifier": "t"}, **ada)
    third = await post(api, "/api/v1/sessions", {"identifier": "u"}, **ada)

    assert (wrong.status_code, granted.status_code) == (200, 302)
    assert (second.status_code, third.status_code) == (201, 429)
    assert (await usage(api, **ada))["executions"] == (0, None)
    assert (await usage(api, **await key_of("bob")))["executions"] == (0, 3)


async def test_the_admin_lists_quotas_in_words(db, admin_client):
    account = await get_user_model().objects.acreate(username="ada")
    await QuotaRow.objects.acreate(account=account, sessions=0, storage_bytes=3 * MIB)

    page = await sync_to_async(admin_client.get)("/admin/workbench_sessions/quota/")

    text = page.content.decode()
    assert all(words in text for words in ("no limit", "as the server says", "3 MiB"))


async def test_the_day_outlasts_the_server(api, settings, closed):
    settings.WORKBENCH_OWNER_QUOTA = Quota(output_bytes=1000)
    ada = SessionRef(
        owner_id=(await sync_to_async(keys.make_key_for)("ada")).key.owner_id, identifier="s"
    )
    await operations.run_code(ada, "print('x' * 1000)", origin="test", create=True)
    await operations.run_code(ref("s"), "print('x' * 10)", origin="test", create=True)
    before = [await operations.usage(each.owner_id) for each in (ada, ref("s"))]

    await close_engine()

    after = [await operations.usage(each.owner_id) for each in (ada, ref("s"))]
    for then, now in zip(before, after, strict=True):
        for one, other in zip(then["quotas"], now["quotas"], strict=True):
            if one["name"] == "execution_seconds":  # measured by two clocks
                assert other["used"] == pytest.approx(one["used"], abs=0.5)
            else:
                assert other == one
    with pytest.raises(QuotaReached):
        await operations.run_code(ada, "1", origin="test")
    assert (await operations.run_code(ref("s"), "1", origin="test")).state == "succeeded"
