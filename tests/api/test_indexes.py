"""What is indexed: each index is paid for with every event that is written."""

from __future__ import annotations

from itertools import permutations
from typing import Any
from uuid import UUID

import pytest
from django.apps import apps
from django.db import connection

from sessions.models import Event, Execution, Session

pytestmark = pytest.mark.django_db

MODELS = [
    model
    for label in ("workbench_sessions", "workbench_files")
    for model in apps.get_app_config(label).get_models()
]


def indexes(model: Any) -> dict[str, dict[str, Any]]:
    """The indexes of a table's rows by name; not those of only some rows."""
    partial = {each.name for each in model._meta.constraints if getattr(each, "condition", None)}
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, model._meta.db_table)
    return {
        name: each
        for name, each in found.items()
        if name not in partial and (each["index"] or each["unique"] or each["primary_key"])
    }


@pytest.mark.parametrize("model", MODELS)
def test_no_index_is_the_beginning_of_another(model):
    redundant = [
        (name, other_name)
        for (name, one), (other_name, other) in permutations(indexes(model).items(), 2)
        if not one["unique"] and other["columns"][: len(one["columns"])] == one["columns"]
    ]

    assert not redundant


@pytest.mark.parametrize("model", MODELS)
def test_what_refers_to_a_row_is_found_by_an_index(model):
    first = {each["columns"][0] for each in indexes(model).values()}
    references = {each.column for each in model._meta.concrete_fields if each.remote_field}

    assert references <= first


ID = UUID(int=1)
# What is asked for each run, each notice and each page; tables have millions of rows.
ASKED_OFTEN = {
    "a log from a number on": Event.objects.filter(session=ID, number__gt=7).order_by("number"),
    "the events of an execution": Event.objects.filter(execution=ID).order_by("number"),
    "a live session by its name": Session.objects.visible_to(None).live().named("s"),
    "a session by its name": Session.objects.visible_to(7).named("s"),
    "an execution by its client's name": Execution.objects.filter(session=ID, client_id="x"),
    "the executions of a session": Execution.objects.filter(session=ID).order_by("-queued_at"),
    "the admin's first page of executions": Execution.objects.order_by("-queued_at")[:100],
}


@pytest.mark.parametrize("asked", ASKED_OFTEN)
def test_what_is_asked_often_reads_no_table_whole(asked):
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # An empty table is read whole in no time: unless that is forbidden.
            cursor.execute("SET LOCAL enable_seqscan = off")
    plan = ASKED_OFTEN[asked].explain()

    assert "Seq Scan" not in plan
    assert not [line for line in plan.splitlines() if "SCAN" in line and "INDEX" not in line]
