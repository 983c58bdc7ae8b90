"""The admin: everything can be seen, nothing can be changed, sessions can be acted on."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission
from django.test import AsyncClient
from django.urls import reverse

from sessions import operations
from sessions.models import Cell, Event, Execution, Notebook, Session
from sessions.operations import SessionRef

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOSTILE = "<script>alert('x')</script>"
MODELS = ["session", "execution", "event", "notebook", "cell"]


@pytest.fixture
def rows(db) -> list[object]:
    return seed("first")


def seed(identifier: str) -> list[object]:
    """A session with an execution and its events, all of them with markup in them."""
    session = Session.objects.create(
        identifier=identifier + HOSTILE,
        kernel_name="python3",
        origin="azure",
        state="died",
        reason="Out of memory " + HOSTILE,
        host="here",
        created_at=NOW,
        last_active_at=NOW,
    )
    execution = Execution.objects.create(
        session=session,
        code=HOSTILE,
        origin="azure",
        state="failed",
        queued_at=NOW,
        started_at=NOW,
        finished_at=NOW,
    )
    outputs = [
        ("stream", {"name": "stdout", "text": HOSTILE}),
        ("stream", {"name": "stderr", "text": HOSTILE}),
        ("execute_result", {"data": {"text/plain": HOSTILE}, "metadata": {}}),
        ("error", {"ename": "E", "evalue": HOSTILE, "traceback": [f"\x1b[31m{HOSTILE}\x1b[0m"]}),
    ]
    events = [
        Event.objects.create(
            session=session, execution=execution, number=n, type=kind, data=data, at=NOW
        )
        for n, (kind, data) in enumerate(outputs, 1)
    ]
    notebook = Notebook.objects.create(session=session, version=1, metadata={"title": HOSTILE})
    cell = Cell.objects.create(
        session=session,
        key=uuid4(),
        source=HOSTILE,
        position="1",
        metadata={"x": HOSTILE},
        outputs=[{"text": HOSTILE}],
        version=1,
        source_version=1,
    )
    return [session, execution, events[0], notebook, cell]


def url(model: str, page: str, *args: object) -> str:
    return reverse(f"admin:workbench_sessions_{model}_{page}", args=args)


def _permission(codename: str) -> Permission:
    label = "workbench_sessions"  # Django's own sessions have permissions of the same names
    return Permission.objects.get(content_type__app_label=label, codename=codename)


@pytest.mark.parametrize("model", MODELS)
def test_hostile_text_is_shown_as_text_in_lists_and_details(admin_client, rows, model):
    row = rows[MODELS.index(model)]

    pages = [
        admin_client.get(url(model, "changelist")),
        admin_client.get(url(model, "change", row.pk)),
    ]

    for page in pages:
        assert page.status_code == 200
        assert HOSTILE not in page.text
        assert "&lt;script&gt;" in page.text


@pytest.mark.parametrize("model", MODELS)
def test_nothing_can_be_added_changed_or_deleted(admin_client, rows, model):
    row = rows[MODELS.index(model)]
    change = url(model, "change", row.pk)

    assert admin_client.get(url(model, "add")).status_code == 403
    assert admin_client.post(change, {"state": "idle"}).status_code == 403
    assert admin_client.post(url(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    assert 'name="_save"' not in admin_client.get(change).text


@pytest.mark.parametrize(
    ("model", "query"),
    [
        ("session", "state__exact=died&origin=azure&kernel_name=python3"),
        ("session", "created_at__year=2026&q=first"),
        ("session", "q=script"),
        ("execution", "state__exact=failed&kind__exact=code&origin=azure"),
        ("execution", "queued_at__year=2026&q=script"),
        ("event", "type__exact=stream&q=first"),
        ("notebook", "q=first"),
        ("cell", "kind__exact=code&is_deleted__exact=0&q=script"),
    ],
)
def test_rows_are_found_by_filters_and_search(admin_client, rows, model, query):
    page = admin_client.get(f"{url(model, 'changelist')}?{query}")

    assert page.status_code == 200
    assert page.context["cl"].result_count > 0


def test_a_session_is_found_by_its_id(admin_client, rows):
    seed("second")

    page = admin_client.get(url("session", "changelist"), {"q": str(rows[0].pk)})

    assert [session.pk for session in page.context["cl"].result_list] == [rows[0].pk]


@pytest.mark.parametrize("model", MODELS)
def test_the_list_needs_as_many_queries_for_many_rows_as_for_few(
    admin_client, rows, model, django_assert_num_queries, django_assert_max_num_queries
):
    admin_client.get(url(model, "changelist"))
    with django_assert_max_num_queries(20) as few:
        admin_client.get(url(model, "changelist"))
    for n in range(10):
        seed(f"more-{n}")

    with django_assert_num_queries(len(few)):
        admin_client.get(url(model, "changelist"))


def test_the_pages_link_to_each_other(admin_client, rows):
    session, execution, event, notebook, cell = rows

    of_session = admin_client.get(url("session", "change", session.pk)).text
    of_execution = admin_client.get(url("execution", "change", execution.pk)).text
    of_event = admin_client.get(url("event", "change", event.pk)).text

    assert f"{url('execution', 'changelist')}?session__id__exact={session.pk}" in of_session
    assert f"{url('event', 'changelist')}?session__id__exact={session.pk}" in of_session
    assert url("session", "change", session.pk) in of_execution
    assert f"{url('event', 'changelist')}?execution__id__exact={execution.pk}" in of_execution
    assert url("execution", "change", execution.pk) in of_event
    for model, row in (("notebook", notebook), ("cell", cell)):
        page = admin_client.get(url(model, "change", row.pk)).text
        assert f"{url(model, 'changelist')}?session__id__exact={session.pk}" in of_session
        assert url("session", "change", session.pk) in page


@pytest.mark.parametrize("model", ["execution", "event", "notebook", "cell"])
def test_the_links_to_filtered_lists_work(admin_client, rows, model):
    seed("second")

    page = admin_client.get(url(model, "changelist"), {"session__id__exact": str(rows[0].pk)})

    assert {row.session_id for row in page.context["cl"].result_list} == {rows[0].pk}


def test_a_cell_links_to_what_ran_for_it(admin_client, rows):
    _, execution, _, _, cell = rows
    execution.cell = cell.key
    execution.save()
    seed("second")

    ran = {"session__id__exact": str(cell.session_id), "cell__exact": str(cell.key)}
    page = admin_client.get(url("execution", "changelist"), ran)

    assert [row.pk for row in page.context["cl"].result_list] == [execution.pk]
    assert f"cell__exact={cell.key}" in admin_client.get(url("cell", "change", cell.pk)).text


def test_an_execution_shows_what_came_out_without_colour_codes(admin_client, rows):
    page = admin_client.get(url("execution", "change", rows[1].pk)).text

    assert page.count('<pre class="workbench-code">') == 5
    assert "\x1b" not in page


def test_the_admin_bears_the_products_name(admin_client, db):
    page = admin_client.get(reverse("admin:index")).text

    assert "workbench/favicon.svg" in page
    assert "Workbench" in page


def test_who_may_only_look_is_offered_no_action(client, rows, django_user_model):
    user = django_user_model.objects.create_user("eve", is_staff=True)
    user.user_permissions.add(_permission("view_session"))
    client.force_login(user)

    page = client.get(url("session", "changelist"))

    assert page.status_code == 200
    assert 'value="close"' not in page.text


def test_actions_without_a_host_say_so_in_a_sentence(admin_client, rows, settings):
    settings.WORKBENCH_ENGINE = "local"
    data = {"action": "close", "_selected_action": [str(rows[0].pk)]}

    page = admin_client.post(url("session", "changelist"), data, follow=True)

    assert "kernel host does not answer" in page.text


@pytest.mark.kernel
async def test_a_session_is_closed_through_the_verb(host, admin_user):
    client = AsyncClient()
    await client.aforce_login(admin_user)
    info = await operations.open_session(SessionRef(owner_id=None, identifier="s"), origin="azure")
    data = {"action": "close", "_selected_action": [str(info.id)]}

    page = await client.post(url("session", "changelist"), data, follow=True)

    assert "1 session closed." in page.text
    assert (await Session.objects.aget()).state == "closed"


async def test_what_cannot_be_done_is_told_per_session(host, admin_user):
    client = AsyncClient()
    await client.aforce_login(admin_user)
    session = await Session.objects.acreate(
        identifier="old",
        kernel_name="python3",
        origin="azure",
        state="closed",
        host="gone",
        created_at=NOW,
        last_active_at=NOW,
        ended_at=NOW,
    )
    data = {"action": "interrupt", "_selected_action": [str(session.pk)]}

    page = await client.post(url("session", "changelist"), data, follow=True)

    told = [str(message) for message in page.context["messages"]]
    assert told == ["old: There is no session with this identifier."]


@pytest.mark.kernel
async def test_this_moment_is_shown_to_operators(host, admin_user):
    client = AsyncClient()
    await client.aforce_login(admin_user)
    busy = await operations.open_session(SessionRef(owner_id=None, identifier="s"), origin="azure")
    running = await operations.submit(
        SessionRef(owner_id=None, identifier="s"), "input()", origin="api", allow_input=True
    )
    await operations.submit(SessionRef(owner_id=None, identifier="s"), "2", origin="api")
    await _until_started(running.id)

    now = (await client.get(url("session", "live"))).json()

    assert now["problem"] == ""
    assert (now["totals"]["sessions"], now["totals"]["owners"]) == ("1", "1")
    assert (now["totals"]["running"], now["totals"]["waiting"]) == ("1", "1")
    shown = now["sessions"][str(busy.id)]
    assert (shown["state"], shown["colour"]) == ("busy", "busy")
    assert shown["now"].startswith("running for ")
    assert "1 waiting" in shown["now"]


async def _until_started(execution_id: object) -> None:
    async with asyncio.timeout(30):
        while not await Execution.objects.filter(pk=execution_id, state="running").aexists():
            await asyncio.sleep(0.02)


@pytest.mark.django_db(transaction=True)
def test_this_moment_without_a_host_is_a_sentence(admin_client, settings):
    settings.WORKBENCH_ENGINE = "local"

    now = admin_client.get(url("session", "live")).json()

    assert "kernel host does not answer" in now["problem"]
    assert (now["totals"], now["sessions"]) == ({}, {})


def test_this_moment_is_for_those_who_may_see_sessions(client, db, django_user_model):
    assert client.get(url("session", "live")).status_code == 302
    client.force_login(django_user_model.objects.create_user("eve", is_staff=True))
    assert client.get(url("session", "live")).status_code == 403


def test_a_session_tells_why_its_kernels_ended(admin_client, rows):
    session = rows[0]
    for number, data in (
        (5, {"state": "died", "reason": f"It used too much {HOSTILE}."}),
        (6, {"state": "idle", "reason": ""}),
        (7, {"state": "stopped", "reason": "The server was stopped."}),
    ):
        Event.objects.create(
            session=session, number=number, type="session_state", data=data, at=NOW
        )

    page = admin_client.get(url("session", "change", session.pk)).text

    assert "died. It used too much &lt;script&gt;" in page
    assert "stopped. The server was stopped." in page
    assert page.index("stopped. The server") < page.index("died. It used")  # the newest first


@pytest.mark.parametrize(
    ("value", "found"), [("yes", ["lives"]), ("no", ["over"]), ("x", ["lives", "over"])]
)
def test_sessions_are_told_apart_by_whether_they_live(admin_client, db, value, found):
    common = {"kernel_name": "python3", "origin": "api", "host": "here"}
    times = {"created_at": NOW, "last_active_at": NOW}
    Session.objects.create(identifier="lives", state="idle", **common, **times)
    Session.objects.create(identifier="over", state="closed", ended_at=NOW, **common, **times)

    page = admin_client.get(url("session", "changelist"), {"live": value}).text

    assert [name for name in ("lives", "over") if f">{name}</a>" in page] == found


def test_the_size_of_a_sessions_files_is_shown_and_ordered_by(admin_client, rows):
    session = rows[0]
    for name, size in (("a", 1024), ("b", 2 * 1024)):
        session.files.create(path=name, path_digest=name, size_bytes=size, modified_at=NOW)

    page = admin_client.get(url("session", "changelist"), {"o": "4"}).text

    assert ">3 KiB</a>" in page
    assert ">1</a>" in page  # executions, not multiplied by the files
