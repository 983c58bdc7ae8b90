"""One's own keys over the native API: made, listed, revoked."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.test import AsyncClient
from django.utils import timezone

from workbench.access import keys
from workbench.access.keys import NewKey
from workbench.access.models import ApiKey, Scope

pytestmark = pytest.mark.django_db(transaction=True)

KEYS = "/api/v1/keys"


async def made(name: str = "ada", **more: Any) -> NewKey:
    return await sync_to_async(keys.make_key_for)(name, **more)


class Program:
    """Who asks with a key."""

    def __init__(self, text: str) -> None:
        self.headers = {"Authorization": f"Bearer {text}"}
        self.client = AsyncClient()

    async def get(self, url: str = KEYS) -> Any:
        return await self.client.get(url, headers=self.headers)

    async def make(self, **fields: Any) -> Any:
        return await self.client.post(
            KEYS, fields, content_type="application/json", headers=self.headers
        )

    async def revoke(self, key_id: str) -> Any:
        return await self.client.delete(f"{KEYS}/{key_id}", headers=self.headers)


@pytest.fixture
async def ada(closed) -> Program:
    return Program((await made()).text)


async def test_a_key_is_shown_once_and_opens(ada):
    answer = await ada.make(label="laptop")

    new = answer.json()
    assert (answer.status_code, answer["Cache-Control"]) == (201, "no-store")
    assert (new["label"], new["scope"], new["state"]) == ("laptop", "run", "valid")
    assert new["key"].startswith(f"wb_{new['id']}_")
    assert new["secret_key"] == keys.signing_secret(new["id"])
    listed = await Program(new["key"]).get()
    assert listed.json()["keys"][0]["id"] == new["id"]
    for secret in (new["key"].removeprefix(f"wb_{new['id']}_"), new["secret_key"]):
        assert secret not in listed.content.decode()
        assert secret not in str([row async for row in ApiKey.objects.values()])


async def test_a_key_may_expire_and_may_only_read(ada):
    new = (await ada.make(scope="read", days=0.5)).json()

    expires_at = datetime.fromisoformat(new["expires_at"])
    assert timedelta(hours=11) < expires_at - timezone.now() <= timedelta(hours=12)
    reader = Program(new["key"])
    assert (await reader.get()).status_code == 200
    for answer in (await reader.make(), await reader.make(scope="read", days=0.1)):
        assert (answer.status_code, answer.json()["code"]) == (403, "read_only")
    assert (await reader.revoke(new["id"])).status_code == 403


@pytest.mark.parametrize(("days", "status"), [(None, 403), (3, 403), (2.1, 403), (1.9, 201)])
async def test_a_key_makes_none_that_outlives_it(closed, days, status):
    until = timezone.now() + timedelta(days=2)
    short = Program((await made(expires_at=until)).text)

    answer = await short.make(days=days)

    assert answer.status_code == status
    assert status == 201 or answer.json()["code"] == "key_outlives"
    assert await ApiKey.objects.filter(expires_at__isnull=True).acount() == 0


async def test_a_key_that_is_revoked_lets_nobody_in(ada, monkeypatch):
    monkeypatch.setattr("workbench.access.callers.KNOWN_SECONDS", 0)
    new = (await ada.make()).json()

    for _ in range(2):
        assert (await ada.revoke(new["id"])).status_code == 204

    assert (await Program(new["key"]).get()).status_code == 401
    revoked = next(key for key in (await ada.get()).json()["keys"] if key["id"] == new["id"])
    assert revoked["state"] == "revoked"
    assert revoked["revoked_at"]


async def test_keys_of_others_are_neither_seen_nor_revoked(ada):
    theirs = (await made("bob")).key

    for key_id in (theirs.key_id, "NOTHING"):
        answer = await ada.revoke(key_id)
        assert (answer.status_code, answer.json()["code"]) == (404, "key_not_found")

    assert theirs.key_id not in (await ada.get()).content.decode()
    assert (await ApiKey.objects.aget(pk=theirs.pk)).revoked_at is None


async def test_an_account_has_so_many_valid_keys(ada, monkeypatch):
    monkeypatch.setattr(keys, "MOST_VALID", 3)
    ids = [(await ada.make()).json()["id"] for _ in range(2)]

    answer = await ada.make()
    assert (answer.status_code, answer.json()["code"]) == (429, "too_many_keys")

    await ada.revoke(ids[0])
    assert (await ada.make()).status_code == 201
    assert await ApiKey.objects.acount() == 4


async def test_a_list_has_all_that_are_valid_and_the_newest_of_the_others(ada, monkeypatch):
    monkeypatch.setattr("workbench.api.keys.OTHERS_LISTED", 2)
    ids = [(await ada.make(label=str(n))).json()["id"] for n in range(5)]
    for key_id in ids[:4]:
        await ada.revoke(key_id)

    listed = (await ada.get()).json()["keys"]

    assert [key["label"] for key in listed] == ["4", "3", "2", ""]


@pytest.mark.parametrize(
    "fields",
    [
        {"label": 5},
        {"label": "a\nb"},
        {"label": "x" * 101},
        {"scope": "admin"},
        {"scope": ["run"]},
        {"days": 0},
        {"days": -1},
        {"days": True},
        {"days": "30"},
        {"days": 36_501},
        {"expires": "never"},
    ],
)
async def test_a_bad_wish_is_refused_and_makes_no_key(ada, fields):
    answer = await ada.make(**fields)

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_value")
    assert await ApiKey.objects.acount() == 1


async def test_a_person_makes_keys_in_the_browser(closed):
    await get_user_model().objects.acreate_user("eve", password="correct horse")
    browser = AsyncClient()
    await browser.alogin(username="eve", password="correct horse")

    own = {"Sec-Fetch-Site": "same-origin"}
    new = await browser.post(KEYS, {}, content_type="application/json", headers=own)
    assert new.status_code == 201
    assert (await ApiKey.objects.select_related("owner").aget()).owner.get_username() == "eve"

    other = {"Sec-Fetch-Site": "cross-site"}
    for answer in (
        await browser.post(KEYS, {}, content_type="application/json", headers=other),
        await browser.post(KEYS, "{}", content_type="text/plain", headers=own),
        await browser.delete(f"{KEYS}/{new.json()['id']}", headers=other),
    ):
        assert answer.status_code in (403, 415)
    assert await keys.valid_keys().acount() == 1


async def test_the_open_door_says_what_to_do_instead(api):
    key = (await made(scope=Scope.RUN)).key
    answers = [
        await api.get(KEYS),
        await api.post(KEYS, {}, content_type="application/json"),
        await api.delete(f"{KEYS}/{key.key_id}"),
    ]

    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (409, "no_account")
        assert "WORKBENCH_ACCESS=closed" in answer.json()["detail"]
    assert await keys.valid_keys().acount() == 1
