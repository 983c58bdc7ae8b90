"""How much work a refusal takes tells nothing: an unknown name costs what a wrong secret costs.

No clock is asked: what is counted are the statements to the database and the calls of what hashes
and compares, whichever of Python's it is.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from workbench.access import audit, callers, keys, pages, signatures
from workbench.access.callers import Asked, NotKnown
from workbench.access.failures import Failures
from workbench.access.models import ApiKey
from workbench.access.signatures import Signed

pytestmark = pytest.mark.django_db

HASHES = ("sha256", "sha512", "digest", "hexdigest", "new", "pbkdf2_hmac", "compare_digest", "hmac")
HASHING = {"_hashlib", "_operator", "_sha2", "hmac", "hashlib"}


@pytest.fixture
def cheap_passwords() -> None:
    """As on a server: it is about that work."""


def work_of(act: Callable[[], Any]) -> tuple[Counter[str], list[str]]:
    """What of hashing and comparing is called, and how the statements to the database begin."""
    called: Counter[str] = Counter()

    def look(frame: Any, event: str, argument: Any) -> None:
        if event == "c_call":
            module = (
                getattr(argument, "__module__", None)
                or type(getattr(argument, "__self__", None)).__module__
            )
            name = argument.__name__
            if module in HASHING and any(part in name for part in HASHES):
                called[name] += 1

    with CaptureQueriesContext(connection) as queries:
        before = sys.getprofile()
        sys.setprofile(look)
        try:
            act()
        finally:
            sys.setprofile(before)
    return called, [re.split("WHERE|VALUES", query["sql"])[0] for query in queries.captured_queries]


@pytest.fixture
def closed(settings, monkeypatch):
    settings.WORKBENCH_IS_OPEN = False
    for module in (callers, pages):
        monkeypatch.setattr(module, "_failures", Failures(most=10_000, seconds=60))
    monkeypatch.setattr(audit, "_written", Counter())


# --- Keys ----------------------------------------------------------------------------------------


def test_an_unknown_key_takes_the_work_of_a_wrong_secret(closed):
    key = keys.make_key_for("ada").key
    expired, revoked = keys.make_key_for("ada").key, keys.make_key_for("ada").key
    now = timezone.now()
    ApiKey.objects.filter(pk=expired.pk).update(expires_at=now - timedelta(seconds=1))
    ApiKey.objects.filter(pk=revoked.pk).update(revoked_at=now)
    secret = "x" * 43
    texts = [f"wb_{each.key_id}_{secret}" for each in (key, expired, revoked)]
    texts += [f"wb_{'A' * 16}_{secret}", "wb_x", "", "x" * 80]

    works = [work_of(lambda text=text: keys.find_key(text)) for text in texts]

    called, statements = works[0]
    assert called["compare_digest"] == 1
    assert sum(called.values()) > 1
    assert len(statements) == 1
    assert works == [works[0]] * len(works)


def test_an_unknown_key_takes_the_work_of_a_wrong_signature(closed):
    key = keys.make_key_for("ada").key
    expired = keys.make_key_for("ada", expires_at=timezone.now() - timedelta(seconds=1)).key

    def ask(key_id: str) -> None:
        date = timezone.now().isoformat()
        authorization = f"BackendAI signMethod=HMAC-SHA256, credential={key_id}:{'0' * 64}"
        asked = Asked(
            headers={"Authorization": authorization, "Date": date, "Host": "localhost"},
            cookies={},
            method="POST",
            raw_path="/session",
            address="192.0.2.1",
        )
        with pytest.raises(NotKnown, match="Signature mismatch"):
            callers._by_signature(authorization, asked)

    works = [work_of(lambda id_=id_: ask(id_)) for id_ in (key.key_id, expired.key_id, "A" * 16)]

    assert works[0][0]["compare_digest"] == 1
    assert works == [works[0]] * len(works)


def test_only_who_can_sign_hears_that_a_key_has_ended(closed):
    made = keys.make_key_for("ada", expires_at=timezone.now() - timedelta(seconds=1))
    date = timezone.now().isoformat()
    facts = {"method": "POST", "path": "/session", "date": date, "host": "localhost"}
    signed = Signed(**facts, content_type=signatures.DEFAULT_CONTENT_TYPE, version="")
    proof = signatures.sign(signed, made.signing_secret)
    authorization = f"BackendAI signMethod=HMAC-SHA256, credential={made.key.key_id}:{proof}"
    asked = Asked(
        headers={"Date": date, "Host": "localhost"},
        cookies={},
        method="POST",
        raw_path="/session",
        address="",
    )

    with pytest.raises(NotKnown, match="Access key not found"):
        callers._by_signature(authorization, asked)


# --- Passwords -----------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["/login/", "/admin/login/"])
def test_an_unknown_name_takes_the_work_of_a_wrong_password(closed, address):
    User = get_user_model()
    User.objects.create_user("ada", password="correct horse")
    User.objects.create_superuser("root", password="correct horse")
    User.objects.create_user("gone", password="correct horse", is_active=False)
    keys.make_key_for("program")  # has no password
    client = Client()

    def log_in(name: str) -> bytes:
        answer = client.post(address, {"username": name, "password": "wrong"})
        assert answer.status_code == 200
        return answer.content.replace(name.encode(), b"NAME")

    log_in("ada")  # what is made once
    names = ("ada", "root", "gone", "program", "nobody")
    works = [work_of(lambda name=name: log_in(name)) for name in names]

    hashed = [called["pbkdf2_hmac"] for called, _ in works]
    assert hashed == [1] * len(names)
    statements = [sent for _, sent in works]
    assert statements == [statements[0]] * len(names)


@pytest.mark.parametrize("address", ["/login/", "/admin/login/"])
def test_a_refused_login_says_the_same_to_everybody(closed, address):
    User = get_user_model()
    User.objects.create_user("ada", password="correct horse")
    User.objects.create_user("gone", password="correct horse", is_active=False)
    keys.make_key_for("program")
    client = Client()

    def said(name: str) -> list[str]:
        answer = client.post(address, {"username": name, "password": "wrong"})
        form = answer.context["form"]
        return [*form.non_field_errors(), *form.errors]

    assert said("ada") == said("gone") == said("program") == said("nobody")
    assert said("ada")


def test_who_may_log_in_cannot_guess_for_others(closed, monkeypatch):
    """An own password that is right does not make an address's wrong ones forgotten."""
    monkeypatch.setattr(pages, "_failures", Failures(most=3, seconds=60))
    get_user_model().objects.create_user("eve", password="correct horse")

    def log_in(name: str, password: str) -> Any:
        client = Client(REMOTE_ADDR="192.0.2.1")
        return client.post("/login/", {"username": name, "password": password})

    for number in range(4):
        assert log_in(f"name-{number}", "guessed").status_code == 200
        if number < 3:
            assert log_in("eve", "correct horse").status_code == 302

    assert "Too many wrong passwords" in log_in("ada", "guessed").content.decode()
    assert "Too many wrong passwords" in log_in("eve", "correct horse").content.decode()
