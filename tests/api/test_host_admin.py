"""Hosts in the admin, and by command: where sessions run, and taking a host out of service."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from sessions import fleet, operations
from sessions.engines import close_engine
from sessions.exceptions import HostNotFound, HostUnavailable, NotSupported
from sessions.hosts import Claim
from sessions.models import AuditEntry, Host
from sessions.operations import SessionRef
from sessions.states import AuditAction, HostState

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "admin:workbench_sessions_host_changelist"
S = SessionRef(owner_id=None, identifier="s")


def take(name: str = "n0", **more) -> None:
    Claim(name=name, slots=4, **more).take()


def command(*arguments: str) -> str:
    out = StringIO()
    call_command("workbench", *arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def test_the_admin_shows_hosts_with_what_they_offer(admin_client):
    take(address="192.0.2.7", labels={"zone": "<a>"})

    page = admin_client.get(reverse(LIST))

    assert page.status_code == 200
    assert "192.0.2.7" in page.text
    assert "zone=&lt;a&gt;" in page.text


def test_an_operator_drains_a_host_and_has_it_go_on(admin_client):
    take()
    chosen = {"_selected_action": Host.objects.get().pk}

    drained = admin_client.post(reverse(LIST), {**chosen, "action": "drain"}, follow=True)
    assert "The host n0 opens no sessions any more." in drained.text
    assert Host.objects.get().is_draining
    resumed = admin_client.post(reverse(LIST), {**chosen, "action": "resume"}, follow=True)

    assert "The host n0 opens sessions again." in resumed.text
    assert not Host.objects.get().is_draining
    done = AuditEntry.objects.filter(action=AuditAction.HOST_DRAINED).order_by("id")
    assert [(each.account, each.what) for each in done] == [
        ("admin", "n0: no new sessions"),
        ("admin", "n0: new sessions again"),
    ]


def test_a_host_that_is_gone_cannot_be_drained(admin_client):
    take()
    Host.objects.update(state=HostState.GONE)

    page = admin_client.post(
        reverse(LIST), {"_selected_action": Host.objects.get().pk, "action": "drain"}, follow=True
    )

    assert "or it is not there" in page.text
    with pytest.raises(CommandError, match="There is no kernel host named 'n0'"):
        command("drain", "n0")


def test_hosts_are_listed_whether_they_answer_or_not():
    take()

    lines = command("cluster").splitlines()

    assert lines[0].split()[:3] == ["HOST", "STATE", "SESSIONS"]
    assert lines[1].split()[:5] == ["n0", "up,", "does", "not", "answer"]


def test_the_gpus_of_hosts_are_listed(admin_client):
    take("with", gpus=2, labels={"zone": "a"})
    take("without")

    lines = [line.split() for line in command("cluster").splitlines()]
    place = lines[0].index("GPUS") + 3  # beyond "up, does not answer"
    assert [line[place] for line in lines[1:]] == ["-/2", "-"]
    assert '<td class="field-shown_gpus">2</td>' in admin_client.get(reverse(LIST)).text


@pytest.mark.kernel
async def test_hosts_say_which_gpus_are_in_use(host, settings):
    settings.WORKBENCH_GPUS = (0, 1)
    await operations.open_session(S, origin="api", policy={"gpus": 1})

    (found,) = await fleet.list_hosts()

    assert (found.gpus, found.free_gpus) == (2, 1)


def test_without_any_host_a_sentence_says_so():
    with pytest.raises(CommandError, match="There is no kernel host, and was none"):
        command("cluster")


@pytest.mark.parametrize("arguments", [("drain",), ("cluster", "n0"), ("cluster", "--wait", "3")])
def test_what_does_not_fit_together_is_refused(arguments):
    with pytest.raises(CommandError):
        command(*arguments)


@pytest.mark.kernel
async def test_a_drained_host_keeps_its_sessions_and_opens_none(host):
    await operations.open_session(S, origin="api")
    await fleet.drain_host("inline")
    # Which it hears of by the row, within seconds; and at once when it starts.
    await operations.close_session(S)
    await close_engine()

    with pytest.raises(HostUnavailable, match="opens no sessions"):
        await operations.open_session(S, origin="api")

    await fleet.drain_host("inline", is_draining=False)
    with pytest.raises(HostNotFound):
        await fleet.drain_host("nobody")


@pytest.mark.kernel
async def test_hosts_say_what_they_have(host):
    await operations.run_code(S, "1", origin="api", create=True)

    (found,) = await fleet.list_hosts()
    assert (found.name, found.answers, found.sessions) == ("inline", True, 1)
    assert found.running == 0
    assert [each.identifier for each in await fleet.sessions_of("inline")] == [
        str((await operations.find_session(S)).id)
    ]
    assert await fleet.wait_until_empty("inline", 0) == 1
    with pytest.raises(HostNotFound):
        await fleet.sessions_of("nobody")
    with pytest.raises(NotSupported):
        await fleet.restart_host("inline")

    assert await fleet.close_sessions("inline") == 1
    assert await fleet.wait_until_empty("inline", 0) == 0
