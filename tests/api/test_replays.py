"""Signed requests that somebody saw, and sends again or changes: Backend.AI's door."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.utils import timezone

from sessions.models import Session
from tests.api.doors import Answer, Headers, Question, ask
from tests.api.sockets import NOW, Socket
from workbench.access import callers, keys, replays, signatures
from workbench.access.failures import Failures
from workbench.access.keys import NewKey
from workbench.access.models import ApiKey
from workbench.access.replays import Replays
from workbench.access.signatures import Signed
from workbench.asgi import application

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("closed")]

VERSION = "v5.20191215"
TARGET = "/session/some?x=%2F"
FINE = timedelta(microseconds=1)


@pytest.fixture
def closed(host, settings, monkeypatch):
    settings.WORKBENCH_IS_OPEN = False
    monkeypatch.setattr(callers, "_failures", Failures(most=10_000, seconds=60))
    monkeypatch.setattr(callers, "_replays", Replays())


@pytest.fixture
async def key() -> NewKey:
    return await sync_to_async(keys.make_key_for)("ada")


def whole(at: datetime) -> datetime:
    return at.replace(microsecond=0)


def sent(
    key: NewKey,
    *,
    method: str = "POST",
    target: str = TARGET,
    date: str = "",
    content_type: str = "application/json",
    but_signed: dict[str, str] | None = None,
) -> Headers:
    """The headers of a request; ``but_signed`` is what is signed in place of what is sent."""
    date = date or timezone.now().isoformat()
    facts = {"method": method, "path": target, "date": date, "host": "localhost"}
    more = {"content_type": content_type.partition(";")[0].lower(), "version": VERSION}
    proof = signatures.sign(Signed(**{**facts, **more, **(but_signed or {})}), key.signing_secret)
    credential = f"BackendAI signMethod=HMAC-SHA256, credential={key.key.key_id}:{proof}"
    return (
        (b"authorization", credential.encode()),
        (b"date", date.encode()),
        (b"content-type", content_type.encode()),
        (b"x-backendai-version", VERSION.encode()),
    )


async def post(headers: Headers, body: bytes = b"{}", target: str = TARGET) -> Answer:
    return await ask(Question("POST", target, headers, body))


def is_let_in(answer: Answer) -> bool:
    """There is no such session: that is what whoever is let in hears."""
    assert answer.status in (401, 404)
    return answer.status == 404


# --- Others than were signed ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        {"method": "GET"},
        {"method": "post"},
        {"path": "/session/other?x=%2F"},
        {"path": "/session/some?x=/"},
        {"path": "/session/some"},
        {"path": "/session/some?x=%2F&y=1"},
        {"path": "/session/some?x=%2f"},
        {"path": "//localhost/session/some?x=%2F"},
        {"host": "localhost:8000"},
        {"host": "LOCALHOST"},
        {"content_type": "text/plain"},
        {"content_type": ""},
        {"version": "v4.20190615"},
        {"date": "2026-01-01T00:00:00.5Z"},
    ],
    ids=str,
)
async def test_what_was_signed_for_another_request_proves_nothing(key, other):
    assert not is_let_in(await post(sent(key, but_signed=other)))


async def test_what_is_in_a_body_is_not_signed(key):
    """The contract has it so: it is the digest of nothing that is signed. docs/access.md says it."""
    assert is_let_in(await post(sent(key), b'{"mode": "query", "code": "1"}'))
    assert is_let_in(await post(sent(key, content_type="application/json; charset=utf-8")))


async def test_the_signature_of_another_key_proves_nothing(key):
    other = await sync_to_async(keys.make_key_for)("bob")
    name, value = sent(key)[0]
    as_other = value.replace(key.key.key_id.encode(), other.key.key_id.encode())

    assert not is_let_in(await post(((name, as_other), *sent(key)[1:])))


@pytest.mark.parametrize("changed", ["revoked_at", "expires_at"])
async def test_a_key_that_has_ended_since_proves_nothing(key, changed):
    headers = sent(key)
    await ApiKey.objects.aupdate(**{changed: timezone.now() - FINE})

    assert not is_let_in(await post(headers))


async def test_an_account_that_was_closed_since_proves_nothing(key):
    headers = sent(key)
    await get_user_model().objects.aupdate(is_active=False)

    assert not is_let_in(await post(headers))


@pytest.mark.parametrize(
    ("minutes", "is_good"), [(-15.5, False), (-14.5, True), (14.5, True), (15.5, False)]
)
async def test_dates_are_good_for_a_quarter_of_an_hour(key, minutes, is_good):
    date = (timezone.now() + timedelta(minutes=minutes)).isoformat()

    assert is_let_in(await post(sent(key, date=date))) is is_good


@pytest.mark.parametrize(
    "form", ["%Y%m%dT%H%M%SZ", "%Y-%m-%dT%H:%M:%S", "%a, %d %b %Y %H:%M:%S GMT"]
)
async def test_a_date_may_be_written_in_several_ways(key, form):
    assert is_let_in(await post(sent(key, date=datetime.now(UTC).strftime(form))))


# --- Once more -----------------------------------------------------------------------------------


async def test_what_changes_something_counts_once(key):
    headers = sent(key)

    assert is_let_in(await post(headers))
    assert not is_let_in(await post(headers))
    assert not is_let_in(await post(headers, b'{"mode": "query", "code": "2"}'))
    assert is_let_in(await post(sent(key)))


async def test_nor_does_another_spelling_count_again(key):
    headers = sent(key)
    (name, value), *others = headers
    assert is_let_in(await post(headers))
    kind, _, proof = value.decode().rpartition(":")
    for again in (
        f"{kind}:{proof.upper()}",
        value.decode().replace(", ", ",   "),
        value.decode().replace("BackendAI", "Sorna"),
        value.decode() + "  ",
    ):
        assert not is_let_in(await post(((name, again.encode()), *others)))


async def test_a_refused_signature_takes_nobodys_turn(key):
    headers = sent(key)
    wrong = ((headers[0][0], headers[0][1][:-1] + b"x"), *headers[1:])
    for changed in (wrong, sent(key, but_signed={"path": "/other"})):
        assert not is_let_in(await post(changed))

    assert is_let_in(await post(headers))


async def test_looking_and_whole_seconds_may_come_again(key):
    """A client may well ask twice within a second: its dates do not tell one from the other."""
    looks = sent(key, method="GET")
    coarse = sent(key, date=whole(timezone.now()).isoformat())
    for _ in range(2):
        assert is_let_in(await ask(Question("GET", TARGET, looks)))
        assert is_let_in(await post(coarse))


async def test_a_socket_counts_once(key):
    """Its handshake only looks, and what it is for runs code."""
    await Session.objects.acreate(
        identifier="s",
        owner_id=key.key.owner_id,
        origin="test",
        state="idle",
        created_at=NOW,
        last_active_at=NOW,
    )
    path = "/ws/sessions/s/"
    headers: Any = [*sent(key, method="GET", target=path), (b"host", b"localhost")]
    seen = []
    for _ in range(2):
        socket = Socket(application, path, headers)
        is_accepted, _ = await socket.connect()
        seen.append(is_accepted)
        if is_accepted:
            await socket.disconnect()

    assert seen == [True, False]


# --- Memory --------------------------------------------------------------------------------------


def test_no_more_than_so_many_are_remembered():
    known = Replays(most=3)

    assert [known.is_one(f"{number:02x}") for number in range(5)] == [False] * 5
    assert len(known) == 3
    assert known.is_one("04")
    assert not known.is_one("00")  # the oldest: docs/access.md says so


def test_none_is_remembered_for_longer_than_its_date_is_good(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(replays.time, "monotonic", lambda: now[0])
    known = Replays()
    known.is_one("01")
    now[0] += 2 * signatures.MOST_SKEW.total_seconds() - 1
    assert known.is_one("01")
    known.is_one("02")

    now[0] += 2

    assert not known.is_one("03")
    assert len(known) == 2
