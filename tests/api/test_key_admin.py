"""Keys made in the admin: their secrets are seen once, by who made them."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from workbench.access import keys
from workbench.access.models import ApiKey, Scope

pytestmark = pytest.mark.django_db

ADD = "/admin/workbench_access/apikey/add/"
CHOSEN = {"label": "laptop", "scope": "read", "expires_at_0": "2126-01-01", "expires_at_1": "12:00"}


@pytest.fixture
def ada() -> Any:
    return get_user_model().objects.create(username="ada")


def test_the_secrets_are_on_the_page_after_saving_and_nowhere_else(admin_client, ada, caplog):
    caplog.set_level(logging.DEBUG)
    answer = admin_client.post(ADD, {**CHOSEN, "owner": ada.pk})

    page = answer.content.decode()
    key = ApiKey.objects.get()
    text = page.partition(f"wb_{key.key_id}_")[2].partition("<")[0]
    found = keys.find_key(f"wb_{key.key_id}_{text}")
    assert found is not None
    assert (found.owner, found.label, found.scope) == (ada, "laptop", Scope.READ)
    assert found.expires_at is not None
    assert "no-store" in answer["Cache-Control"]
    secrets = (text, keys.signing_secret(key.key_id))
    listing = reverse("admin:workbench_access_apikey_changelist")
    alone = reverse("admin:workbench_access_apikey_change", args=[key.pk])
    elsewhere = [
        admin_client.get(listing).content.decode(),
        admin_client.get(alone).content.decode(),
        str(list(LogEntry.objects.values())),
        answer.cookies.output(),
        caplog.text,
    ]
    for secret in secrets:
        assert secret in page
        assert not any(secret in text for text in elsewhere)
    assert LogEntry.objects.get().object_id == key.key_id


def test_too_many_are_refused_in_words(admin_client, ada, monkeypatch):
    monkeypatch.setattr(keys, "MOST_VALID", 1)
    keys.make_key(ada)

    answer = admin_client.post(ADD, {**CHOSEN, "owner": ada.pk}, follow=True)

    assert keys.TooManyKeys().message in answer.content.decode()
    assert ApiKey.objects.count() == 1


def test_what_is_wrong_makes_no_key(admin_client, ada):
    for wrong in ({"scope": "admin"}, {"owner": "0"}, {"expires_at_0": "soon"}):
        answer = admin_client.post(ADD, {**CHOSEN, "owner": ada.pk, **wrong})
        assert answer.status_code == 200

    assert not ApiKey.objects.exists()


def test_a_key_stays_as_it_was_made_but_for_its_label_and_end(admin_client, ada):
    key = keys.make_key(ada).key
    change = reverse("admin:workbench_access_apikey_change", args=[key.pk])

    admin_client.post(change, {**CHOSEN, "label": "desk", "owner": "1"})

    key.refresh_from_db()
    assert (key.label, key.owner, key.scope) == ("desk", ada, Scope.RUN)
    assert ApiKey.objects.count() == 1


def test_who_may_only_look_makes_none(ada):
    ada.is_staff = True
    ada.save()
    ada.user_permissions.set(Permission.objects.filter(codename="view_apikey"))
    client = Client()
    client.force_login(ada)

    assert client.get(ADD).status_code == 403
    assert client.post(ADD, {**CHOSEN, "owner": ada.pk}).status_code == 403
    assert not ApiKey.objects.exists()
