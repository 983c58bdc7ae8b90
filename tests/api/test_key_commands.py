"""Keys by command: what an operator types, and what comes back."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.utils import timezone

from workbench.access import keys
from workbench.access.models import ApiKey, Scope

pytestmark = pytest.mark.django_db


def command(*arguments: str) -> str:
    out = StringIO()
    call_command("workbench", *arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def test_a_key_is_shown_once_and_opens():
    shown = dict(
        line.split(maxsplit=1)
        for line in command("key", "ada").replace(" key ", "_key ").splitlines()
    )
    found = keys.find_key(shown["key"])

    assert found is not None
    assert (found.owner.get_username(), found.scope, found.expires_at) == ("ada", Scope.RUN, None)
    assert not found.owner.has_usable_password()
    assert found.key_id in shown["access_key"]
    assert shown["key"].split("_", 2)[2] not in str(ApiKey.objects.values())


def test_a_key_may_expire_and_may_only_read():
    command("key", "ada", "--days", "30", "--read", "--label", "laptop")
    key = ApiKey.objects.get()

    assert (key.scope, key.label) == (Scope.READ, "laptop")
    assert abs(key.expires_at - timezone.now() - timedelta(days=30)) < timedelta(minutes=1)


def test_an_account_that_there_is_keeps_its_password():
    get_user_model().objects.create_user("ada", password="x")
    command("key", "ada")

    assert get_user_model().objects.get().has_usable_password()


def test_keys_are_listed_and_revoked():
    command("key", "ada", "--label", "laptop")
    key = ApiKey.objects.get()
    assert f"{key.key_id}  valid  run  ada  laptop" in command("keys")

    command("revoke", key.key_id)

    assert f"{key.key_id}  revoked" in command("keys")
    assert not keys.anybody_can_come_in()


@pytest.mark.parametrize(
    "arguments",
    [
        ["key"],
        ["key", "a b"],
        ["key", "x" * 200],
        ["key", "ada", "--days", "0"],
        ["key", "ada", "--dry-run"],
        ["revoke", "NOSUCHKEY"],
        ["keys", "ada"],
        ["status", "--read"],
    ],
)
def test_what_makes_no_sense_is_refused_and_makes_nothing(arguments):
    with pytest.raises(CommandError):
        command(*arguments)

    assert not ApiKey.objects.exists()
    assert not get_user_model().objects.exists()


def test_a_closed_server_does_not_start_before_somebody_could_come_in(settings):
    settings.WORKBENCH_IS_OPEN = False

    with pytest.raises(CommandError, match="workbench key NAME"):
        command("web")
