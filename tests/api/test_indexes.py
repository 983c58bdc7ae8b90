"""What is indexed: each index is paid for with every event that is written."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from django.apps import apps
from django.db import connection

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
