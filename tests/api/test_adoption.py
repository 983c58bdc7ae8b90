"""Sessions from before a server was closed, and who owns them from then on."""

from __future__ import annotations

from datetime import UTC, datetime
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from sessions.engines.process import only_host
from sessions.models import Session

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def session(identifier: str, owner: object = None, *, has_ended: bool = False) -> Session:
    return Session.objects.create(
        identifier=identifier,
        owner=owner,
        kernel_name="python3",
        origin="api",
        state="closed" if has_ended else "stopped",
        host="local",
        created_at=NOW,
        last_active_at=NOW,
        ended_at=NOW if has_ended else None,
    )


def command(*arguments: str) -> str:
    out = StringIO()
    call_command("workbench", *arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


@pytest.fixture
def ada(django_user_model):
    return django_user_model.objects.create_user("ada")


@pytest.fixture
def eve(django_user_model):
    return django_user_model.objects.create_user("eve")


def test_an_account_gets_the_sessions_without_an_owner(ada, eve):
    live, ended, eves = session("live"), session("over", has_ended=True), session("eve's", eve)

    said = command("adopt", "ada")

    assert "2 sessions" in said
    assert {each.identifier: each.owner for each in Session.objects.all()} == {
        live.identifier: ada,
        ended.identifier: ada,
        eves.identifier: eve,
    }


def test_a_live_session_whose_name_is_taken_gets_another(ada):
    session("demo", ada)
    session("demo-2")
    orphan = session("demo")
    long, longer = session("x" * 256, ada), session("x" * 256)
    ended = session("demo", has_ended=True)

    said = command("adopt", "ada")

    names = dict(Session.objects.values_list("pk", "identifier"))
    assert names[orphan.pk] == "demo-3"
    assert names[long.pk] == "x" * 256
    assert names[longer.pk] == "x" * 254 + "-2"
    assert names[ended.pk] == "demo"  # what has ended stands in nobody's way
    assert "demo is demo-3 now" in said


def test_only_an_account_that_there_is_adopts(ada):
    orphan = session("live")
    with pytest.raises(CommandError, match="no account named “adda”"):
        command("adopt", "adda")
    with pytest.raises(CommandError, match="NAME"):
        command("adopt")
    orphan.refresh_from_db()
    assert orphan.owner is None


def test_nothing_changes_while_a_host_has_the_sessions(ada):
    orphan = session("live")

    with only_host(), pytest.raises(CommandError, match="runs for this data directory"):
        command("adopt", "ada")

    orphan.refresh_from_db()
    assert orphan.owner is None
