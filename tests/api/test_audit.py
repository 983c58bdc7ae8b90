"""The audit: who did what, through which door, from where, with which outcome."""

from __future__ import annotations

import asyncio
import csv
import json
from collections import Counter, OrderedDict
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import AsyncClient
from django.urls import reverse
from django.utils import timezone

from sessions import audit, operations, retention
from sessions.hosts import Claim
from sessions.kernels import records, trace
from sessions.kernels.records import ExecutionRecord, SessionRecord
from sessions.kernels.trace import Asker
from sessions.models import AuditEntry, Event, Execution, Quota, Session
from sessions.operations import SessionRef
from sessions.recorder import DatabaseRecorder
from sessions.states import AuditAction, ExecutionState
from tests.api.doors import Answer, Question, ask
from tests.api.sockets import APPLICATION, Socket, ended_session, events_until
from tests.locked import locked_database
from workbench.access import audit as access_audit
from workbench.access import callers, keys
from workbench.access.keys import NewKey
from workbench.access.models import ApiKey, Scope
from workbench.measures import metrics

pytestmark = pytest.mark.django_db(transaction=True)

CODE = "print(6 * 7)"
AZURE = "api-version=2025-10-02-preview&identifier=s"
KERNELS = "/api/v1/kernelspecs"
PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """Nothing was written before, nobody is known."""
    monkeypatch.setattr(access_audit, "_written", Counter())
    monkeypatch.setattr(access_audit, "_minute", -1)
    monkeypatch.setattr(access_audit, "_used", OrderedDict())
    monkeypatch.setattr(callers, "_known", OrderedDict())


@pytest.fixture
def closed(host, settings):
    settings.WORKBENCH_IS_OPEN = False


async def made(name: str = "ada", **more: Any) -> NewKey:
    return await sync_to_async(keys.make_key_for)(name, **more)


def bearer(key: NewKey | None) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"authorization", f"Bearer {key.text}".encode()),) if key else ()


def posted(path: str, body: dict[str, Any], headers: Any = ()) -> Question:
    kind = ((b"content-type", b"application/json"), *headers)
    return Question("POST", path, kind, json.dumps(body).encode())


async def entries(action: AuditAction, **lookups: Any) -> list[AuditEntry]:
    found = AuditEntry.objects.filter(action=action, **lookups).order_by("id")
    return [entry async for entry in found]


async def entry(action: AuditAction, **lookups: Any) -> AuditEntry:
    """The only one."""
    (found,) = await entries(action, **lookups)
    return found


def everything() -> str:
    return json.dumps(list(AuditEntry.objects.values()), default=str)


# --- What runs -----------------------------------------------------------------------------------

# How each door is asked to run something in the session "s", the first of which opens it.
RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "azure": (f"/executions?{AZURE}", {"code": CODE}),
    "rce": ("/rce/sessions/execute", {"session_id": "s", "code": CODE}),
    "sandbox": ("/sandbox/s/execute", {"code": CODE}),
    "backendai": ("/backendai/session/s", {"mode": "query", "code": CODE, "runId": "r"}),
    "api": ("/api/v1/sessions/s/executions?wait=60", {"code": CODE}),
}


@pytest.mark.kernel
@pytest.mark.parametrize("is_open", [True, False], ids=["open", "closed"])
async def test_what_runs_through_every_door_is_in_the_audit(host, settings, is_open):
    settings.WORKBENCH_IS_OPEN = is_open
    key = None if is_open else await made()
    account, key_id = (key.key.owner.get_username(), key.key.key_id) if key else ("", "")
    who = {"account": account, "key_id": key_id, "address": "127.0.0.1"}
    for door, (path, body) in RUNS.items():
        answer = await ask(posted(path, body, bearer(key)))
        assert answer.status < 300, (door, answer.body)

        ran = await entry(AuditAction.EXECUTION_ENDED, door=door, **who)
        execution = await Execution.objects.select_related("session").aget(id=ran.execution_id)
        assert (ran.what, ran.outcome, ran.identifier) == (CODE, "succeeded", "s")
        assert ran.request_id == answer.headers["x-request-id"]
        assert ran.session_id == execution.session_id
        assert ran.duration_seconds is not None
        assert (execution.origin, execution.asked_by["request_id"]) == (door, ran.request_id)
    await _run_in_browser(key)
    assert (await entry(AuditAction.EXECUTION_ENDED, door="browser", **who)).what == CODE

    opened = await entry(AuditAction.SESSION_OPENED)
    assert (opened.door, opened.account, opened.identifier) == ("azure", account, "s")
    assert len(await entries(AuditAction.KEY_USED)) == bool(key)


async def _run_in_browser(key: NewKey | None) -> None:
    number = (await Session.objects.aget()).last_event_number
    socket = Socket(APPLICATION, f"/ws/sessions/s/?since={number}", list(bearer(key)))
    socket.scope["client"] = ["127.0.0.1", 50000]
    assert (await socket.connect())[0]
    await socket.send_json_to({"type": "execute", "code": CODE})
    await events_until(socket, "execution_finished")
    await socket.disconnect()


@pytest.mark.kernel
async def test_what_is_done_to_a_session_is_there_with_who_did_it(closed):
    key = await made()
    ada = bearer(key)
    path = "/api/v1/sessions/s"
    await ask(posted(f"/executions?{AZURE}", {"code": "import time; print(1)"}, ada))
    files = f"{path}/files"
    await ask(Question("PUT", f"{files}/content?path=data/a.csv", ada, b"1,2"))
    moved = ((b"content-type", b"application/json"), *ada)
    await ask(Question("PATCH", f"{files}?path=data/a.csv", moved, b'{"path": "b.csv"}'))
    await ask(posted(f"{files}/directories", {"path": "new"}, ada))
    await ask(Question("DELETE", f"{files}?path=b.csv", ada))
    running = await ask(posted(f"{path}/executions", {"code": "time.sleep(600)"}, ada))
    await ask(posted(f"{path}/interrupt", {}, ada))
    await ask(posted(f"{path}/restart", {}, ada))
    await ask(Question("DELETE", path, ada))

    told = [
        (each.action, each.what, each.outcome)
        async for each in AuditEntry.objects.filter(
            account="ada", key_id=key.key.key_id, address="127.0.0.1", identifier="s"
        ).order_by("id")
    ]
    assert sorted(told) == sorted(
        [
            ("session_opened", "", ""),
            ("execution_ended", "import time; print(1)", "succeeded"),
            ("file_written", "data/a.csv", ""),
            ("file_renamed", "data/a.csv\nb.csv", ""),
            ("file_written", "new/", ""),
            ("file_deleted", "b.csv", ""),
            ("execution_interrupted", "", ""),
            ("execution_ended", "time.sleep(600)", "interrupted"),
            ("session_restarted", "", "succeeded"),
            ("session_ended", "", "closed"),
        ]
    )
    interrupted = await entry(AuditAction.EXECUTION_INTERRUPTED)
    assert str(interrupted.execution_id) == running.json()["id"]


@pytest.mark.kernel
async def test_entries_outlive_the_history_and_what_is_secret_is_not_in_them(closed):
    key = await made()
    environment = {"TOKEN": "in-the-environment"}
    ref = SessionRef(owner_id=key.key.owner_id, identifier="s")
    await operations.open_session(ref, origin="test", environment=environment)
    code = "x = input()\n" + "#" * 2_000 + "the end"
    run = await operations.submit(ref, code, origin="test", allow_input=True)
    while not await Event.objects.filter(type="input_request").aexists():
        await asyncio.sleep(0.01)
    await operations.answer_input(ref, "typed-in-secret")
    await operations.wait(ref, str(run.id))
    await operations.close_session(ref)
    await ask(Question("GET", f"{KERNELS}?token=in-the-query", bearer(key)))
    await ask(Question("GET", f"{KERNELS}?token=in-the-query"))

    await sync_to_async(retention.delete_history)([run.session_id])

    assert not await Session.objects.aexists()
    ran = await entry(AuditAction.EXECUTION_ENDED)
    assert (ran.session_id, ran.execution_id) == (run.session_id, run.id)
    assert ran.what == code[: records.MAX_AUDITED] + records.CUT
    kept = await sync_to_async(everything)()
    for secret in (key.text, key.signing_secret, "in-the-query", "typed-in-secret", *environment):
        assert secret not in kept
    assert environment["TOKEN"] not in kept


async def test_what_a_host_that_was_killed_ran_is_told_by_the_next():
    """The first one never ends anything; what it knew of the asker is in the row."""
    first = DatabaseRecorder(lambda _: None)
    await first.start(Claim(name="h", slots=1))
    session = SessionRecord(
        identifier="s",
        owner_id=None,
        kernel_name="python3",
        origin="azure",
        host="h",
        idle_timeout_seconds=None,
    )
    await first.create_session(session)
    trace.request_id.set("req-1")
    trace.asker.set(Asker("ada", "KEY", "192.0.2.7", "azure"))
    execution = ExecutionRecord(session_id=session.id, kind="code", code=CODE, origin="azure")
    trace.asker.set(trace.NOBODY)
    execution.state = ExecutionState.RUNNING
    first.changed(execution)
    await first.stop()

    second = DatabaseRecorder(lambda _: None)
    await second.start(Claim(name="h", slots=1))
    await second.stop()

    lost = await entry(AuditAction.EXECUTION_ENDED)
    assert (lost.outcome, lost.what, lost.identifier) == ("lost", CODE, "s")
    assert (lost.account, lost.key_id, lost.address) == ("ada", "KEY", "192.0.2.7")
    assert (lost.request_id, lost.execution_id, lost.door) == ("req-1", execution.id, "azure")


# --- Who comes and goes --------------------------------------------------------------------------


async def test_logins_failures_and_logouts(closed):
    await get_user_model().objects.acreate_user("eve", password=PASSWORD)
    client = AsyncClient()
    for name, word in (("eve", "wrong"), ("my-password-in-the-wrong-field", "x")):
        await client.post("/login/", {"username": name, "password": word})
    await client.post("/login/", {"username": "eve", "password": PASSWORD})
    await client.post("/logout/")
    await client.post("/admin/login/", {"username": "eve", "password": "wrong"})

    known, unknown, admins = await entries(AuditAction.LOGIN_FAILED)
    assert (known.account, known.outcome, known.door) == ("eve", "wrong_password", "browser")
    assert (unknown.account, unknown.what, unknown.outcome) == ("", "", "unknown")
    assert (admins.account, admins.door) == ("eve", "admin")
    for action in (AuditAction.LOGIN, AuditAction.LOGOUT):
        went = await entry(action)
        assert (went.account, went.address, went.door) == ("eve", "127.0.0.1", "browser")
    kept = await sync_to_async(everything)()
    assert PASSWORD not in kept
    assert "wrong-field" not in kept


async def test_keys_are_made_used_and_revoked(closed):
    key = await made(scope=Scope.READ)
    id_ = key.key.key_id
    for address in ("192.0.2.1", "192.0.2.1", "192.0.2.2"):
        await _from(address, Question("GET", KERNELS, bearer(key)))
    await sync_to_async(call_command)("workbench", "revoke", id_, stdout=StringIO())
    await key.key.adelete()

    assert (await entry(AuditAction.KEY_MADE)).what == f"{id_} of ada, to only read"
    assert (await entry(AuditAction.KEY_REVOKED)).what == f"{id_} of ada"
    assert (await entry(AuditAction.KEY_DELETED)).what == id_
    used = await entries(AuditAction.KEY_USED)
    assert [(each.key_id, each.account, each.address) for each in used] == [
        (id_, "ada", "192.0.2.1"),
        (id_, "ada", "192.0.2.2"),
    ]


async def test_what_an_operator_does_in_the_admin_bears_their_name(admin_user, host):
    client = AsyncClient()
    await client.aforce_login(admin_user)
    key = await made()
    old = await ended_session("old")
    users = get_user_model()
    person = await users.objects.aget(username="ada")

    chosen = {"action": "revoke", "_selected_action": [key.key.key_id]}
    await client.post(reverse("admin:workbench_access_apikey_changelist"), chosen)
    chosen = {"action": "delete_history", "_selected_action": [str(old.pk)], "confirmed": "1"}
    await client.post(reverse("admin:workbench_sessions_session_changelist"), chosen)
    page = reverse("admin:auth_user_delete", args=[person.pk])
    await client.post(page, {"post": "yes"})

    assert not await users.objects.filter(username="ada").aexists()
    for action, what, identifier in (
        (AuditAction.KEY_REVOKED, f"{key.key.key_id} of ada", ""),
        (AuditAction.HISTORY_DELETED, "", "old"),
        (AuditAction.KEY_DELETED, key.key.key_id, ""),
        (AuditAction.ACCOUNT_DELETED, "ada", ""),
    ):
        done = await entry(action)
        assert (done.account, done.door) == ("admin", "admin")
        assert (done.what, done.identifier) == (what, identifier)


# --- Who is refused ------------------------------------------------------------------------------


async def _from(address: str, question: Question) -> Answer:
    class There(Question):
        @property
        def scope(self) -> dict[str, Any]:
            return {**super().scope, "client": [address, 50000]}

    return await ask(There(question.method, question.target, question.headers, question.body))


NAME = "somebodys-own"
REFUSED = [
    ("azure", f"/executions?{AZURE}"),
    ("rce", "/rce/sessions/execute"),
    ("sandbox", f"/sandbox/{NAME}/execute"),
    ("backendai", f"/backendai/session/{NAME}"),
    ("api", f"/api/v1/sessions/{NAME}/executions"),
]


async def test_refusals_at_every_door(closed):
    reader = await made(scope=Scope.READ)
    for door, path in REFUSED:
        for headers, status, code, account in (
            ((), 401, "unauthorized", ""),
            (bearer(reader), 403, "read_only", "ada"),
        ):
            answer = await ask(posted(path, {}, headers))
            refused = await entry(AuditAction.REFUSED, door=door, account=account)

            assert answer.status == status
            assert (refused.outcome, refused.address) == (code, "127.0.0.1")
            assert refused.request_id == answer.headers["x-request-id"]
            # As configured: names of sessions, or links that are secrets, are not in it.
            assert refused.what.startswith("POST /")
            assert NAME not in refused.what
    socket = Socket(APPLICATION, "/ws/sessions/s/?token=secret")
    assert not (await socket.connect())[0]
    assert (await entry(AuditAction.REFUSED, door="browser")).what == "socket"


async def test_strangers_cannot_fill_the_disk(closed, monkeypatch):
    monkeypatch.setattr(callers._failures, "_most", 1_000)
    monkeypatch.setattr(access_audit, "_clock", lambda: 120.0)
    monkeypatch.setattr(access_audit, "MOST_OF_ALL", 14)
    before = _left_out()
    for _ in range(20):
        await _from("192.0.2.1", Question("GET", KERNELS))
    for last in range(10):
        await _from(f"192.0.2.{last + 100}", Question("GET", KERNELS))

    refused = await entries(AuditAction.REFUSED)
    assert Counter(each.address for each in refused)["192.0.2.1"] == access_audit.MOST_OF_ADDRESS
    assert len(refused) == 14
    assert _left_out() - before == 30 - 14

    monkeypatch.setattr(access_audit, "_clock", lambda: 180.0)
    await _from("192.0.2.1", Question("GET", KERNELS))
    assert len(await entries(AuditAction.REFUSED)) == 15


def _left_out() -> float:
    name = "workbench_audit_left_out_total"
    lines = metrics.exposition(is_host_up=True).splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(name))


async def test_a_proxys_word_counts_only_if_it_is_trusted(closed, settings):
    said = ((b"x-forwarded-for", b"198.51.100.1, 203.0.113.9"),)
    nonsense = ((b"x-forwarded-for", b"<script>"),)
    await ask(Question("GET", KERNELS, said))
    settings.WORKBENCH_FORWARDED_FOR = True
    for headers in (said, nonsense, ()):
        await ask(Question("GET", KERNELS, headers))

    addresses = [each.address for each in await entries(AuditAction.REFUSED)]
    assert addresses == ["127.0.0.1", "203.0.113.9", "127.0.0.1", "127.0.0.1"]


async def test_a_locked_database_refuses_nobody_for_the_audits_sake(closed, monkeypatch):
    key = await made()
    await ask(Question("GET", KERNELS, bearer(key)))  # a host starts
    access_audit._used.clear()
    options = connection.settings_dict["OPTIONS"]
    monkeypatch.setitem(options, "timeout", 0.1)
    with locked_database():
        good = await ask(Question("GET", KERNELS, bearer(key)))
        bad = await ask(Question("GET", KERNELS))

    assert (good.status, bad.status) == (200, 401)


# --- Reading it ----------------------------------------------------------------------------------

FORMULA = '=HYPERLINK("http://203.0.113.9")'


@pytest.fixture
def written(db) -> list[AuditEntry]:
    """Entries of some days, with what a spreadsheet would calculate."""
    now = timezone.now()
    texts = [FORMULA, "+1", "-1", "@x", "\tx", 'a "b", c\nd', "ünïcode <b>"]
    return [
        AuditEntry.objects.create(
            at=now - timedelta(days=days),
            action=AuditAction.EXECUTION_ENDED,
            account="ada" if days % 2 else "bob",
            what=text,
            outcome="succeeded",
            duration_seconds=0.5,
        )
        for days, text in enumerate(texts)
    ]


def printed(*arguments: str) -> str:
    out = StringIO()
    call_command("workbench", "audit", *arguments, stdout=out)
    return out.getvalue()


def test_json_lines_say_what_the_rows_say(written, monkeypatch):
    monkeypatch.setattr(audit, "ROWS_AT_ONCE", 2)
    rows = [json.loads(line) for line in printed().splitlines()]

    assert [row["what"] for row in rows] == [each.what for each in written]
    for row, each in zip(rows, written, strict=True):
        assert row.keys() == set(audit.COLUMNS)
        assert (row["id"], row["account"], row["duration_seconds"]) == (each.id, each.account, 0.5)
        assert row["at"] == records.timestamp(each.at)


def test_a_spreadsheet_calculates_nothing(written):
    rows = list(csv.DictReader(StringIO(printed("--format", "csv"))))

    assert tuple(rows[0]) == audit.COLUMNS
    assert [row["what"] for row in rows] == [
        f"'{each.what}" if each.what[0] in "=+-@\t" else each.what for each in written
    ]


def test_the_command_chooses_by_time_and_account(written):
    day = f"{written[2].at:%Y-%m-%dT%H:%M:%S.%f}"
    since = [json.loads(line)["id"] for line in printed("--since", day).splitlines()]
    until = [json.loads(line)["id"] for line in printed("--until", day).splitlines()]
    ada = [json.loads(line)["account"] for line in printed("--account", "ada").splitlines()]

    assert since == [each.id for each in written[:3]]
    assert until == [each.id for each in written[3:]]
    assert set(ada) == {"ada"}
    assert printed("--account", "nobody") == ""


@pytest.mark.parametrize(
    "arguments", [["audit", "--since", "yesterday"], ["keys", "--since", "2026-01-01"]]
)
def test_what_cannot_be_meant_is_refused_in_a_sentence(db, arguments):
    with pytest.raises(CommandError, match=r"--since.*\.$"):
        call_command("workbench", *arguments)


@pytest.mark.parametrize(("action", "kind"), [("as_csv", "csv"), ("as_json_lines", "jsonl")])
async def test_the_admin_exports_all_that_match_as_the_command_does(
    admin_user, written, action, kind
):
    client = AsyncClient()
    await client.aforce_login(admin_user)
    await AuditEntry.objects.filter(action="login").adelete()
    page = reverse("admin:workbench_sessions_auditentry_changelist")
    data = {"action": action, "select_across": "1", "_selected_action": [written[0].pk]}

    answer = await client.post(f"{page}?account=ada", data)
    pieces = [piece async for piece in answer.streaming_content]

    assert b"".join(pieces).decode() == await sync_to_async(printed)(
        "--account", "ada", "--format", kind
    )
    assert f'filename="audit-{timezone.now():%Y-%m-%d}.{kind}"' in answer["Content-Disposition"]


def test_the_admin_shows_searches_and_changes_nothing(admin_client, written):
    listed = reverse("admin:workbench_sessions_auditentry_changelist")
    detail = reverse("admin:workbench_sessions_auditentry_change", args=[written[6].pk])

    for query, count in (
        ("", 9),  # and the operator's account and login
        ("?q=HYPERLINK", 1),
        ("?account=ada", 3),
        ("?outcome=succeeded", 7),
        ("?door=azure", 0),
        ("?action__exact=login", 1),
    ):
        page = admin_client.get(listed + query)
        assert page.context["cl"].result_count == count, query
    assert "ünïcode &lt;b&gt;" in admin_client.get(detail).text
    assert admin_client.post(detail, {"what": "x"}).status_code == 403
    assert admin_client.post(listed, {"action": "delete_selected"}).status_code in (200, 302)
    assert AuditEntry.objects.count() == 9


def test_the_admin_links_there_and_back_while_there_is_something(admin_client, transactional_db):
    at = timezone.now()
    about = {"origin": "azure", "state": "closed", "created_at": at, "last_active_at": at}
    session = Session.objects.create(identifier="s", ended_at=at, **about)
    execution = Execution.objects.create(
        session=session, code=CODE, origin="azure", state="lost", queued_at=at, finished_at=at
    )
    ran = AuditEntry.objects.create(
        at=at,
        action=AuditAction.EXECUTION_ENDED,
        session_id=session.id,
        execution_id=execution.id,
    )
    detail = reverse("admin:workbench_sessions_auditentry_change", args=[ran.pk])
    pages = {
        reverse("admin:workbench_sessions_session_change", args=[session.id]): "session_id",
        reverse("admin:workbench_sessions_execution_change", args=[execution.id]): "execution_id",
    }
    for address, name in pages.items():
        assert f'href="{address}"' in admin_client.get(detail).text
        listed = reverse("admin:workbench_sessions_auditentry_changelist")
        back = f"{listed}?{name}__exact={getattr(ran, name)}"
        assert f'href="{back}"' in admin_client.get(address).text
        assert admin_client.get(back).context["cl"].result_count == 1

    retention.delete_history([session.id])

    gone = admin_client.get(detail).text
    assert f"{session.id} (deleted)" in gone
    assert f"{execution.id} (deleted)" in gone


def test_who_may_only_look_may_export_and_others_see_nothing(client, django_user_model, db):
    client.force_login(django_user_model.objects.create_user("staff", is_staff=True))

    assert client.get(reverse("admin:workbench_sessions_auditentry_changelist")).status_code == 403


def test_what_is_old_is_deleted(written, monkeypatch, transactional_db):
    monkeypatch.setattr(retention, "EVENTS_AT_ONCE", 2)

    pruned = retention.prune_audit(2.5)

    assert str(pruned) == "4 entries of the audit"
    left = AuditEntry.objects.order_by("id").values_list("id", flat=True)
    assert list(left) == [each.id for each in written[:3]]


async def test_a_host_deletes_old_entries_by_itself(transactional_db):
    old = await AuditEntry.objects.acreate(
        at=timezone.now() - timedelta(days=2), action=AuditAction.LOGIN
    )

    async with retention.history_kept(0, 1), asyncio.timeout(30):
        while await AuditEntry.objects.filter(pk=old.pk).aexists():
            await asyncio.sleep(0.01)


def test_a_key_that_is_revoked_twice_is_revoked_once(db):
    key = keys.make_key_for("ada").key

    assert [keys.revoke(ApiKey.objects.filter(pk=key.pk)) for _ in range(2)] == [1, 0]
    assert AuditEntry.objects.filter(action=AuditAction.KEY_REVOKED).count() == 1


def test_quotas_of_single_accounts_are_given_changed_and_taken(django_user_model, db):
    ada = django_user_model.objects.create_user("ada")
    quota = Quota.objects.create(account=ada, sessions=3)
    quota.sessions, quota.output_bytes = None, 0
    quota.save()
    quota.delete()

    said = AuditEntry.objects.filter(action=AuditAction.QUOTA_CHANGED).order_by("id")

    assert [each.what for each in said] == ["ada sessions=3", "ada output_bytes=0", "ada"]
