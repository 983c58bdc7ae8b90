"""Where calls go when there are several hosts, and how their answers become one."""

from __future__ import annotations

from uuid import UUID

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sessions.engines.routes import (
    TO_ALL,
    TO_ANY,
    Target,
    may_open,
    needs_of,
    target_of,
)
from sessions.exceptions import InvalidValue
from sessions.kernels.host import VERBS
from sessions.kernels.needs import Needs

ID = "0a1b2c3d-0000-4000-8000-000000000001"
NAMED = {"owner_id": 7, "identifier": "s"}


def test_every_verb_has_a_way():
    """Those without a session are everybody's; a new verb has to say where it goes."""
    of_nobody = {
        "health",
        "kernelspecs",
        "list_resources",
        "list_sessions",
        "metrics",
        "offer",
        "survey",
        "usage",
    }

    assert TO_ALL.keys() | TO_ANY | {"offer"} == of_nobody
    assert of_nobody < VERBS


def test_a_call_is_about_the_session_it_names():
    assert target_of({**NAMED, "code": "1"}) == Target(7, "s")
    assert target_of({"session_id": ID, "do": "stat"}) == Target(session_id=UUID(ID))
    assert target_of({"topic": f"notebook:{ID}", "number": 3}) == Target(session_id=UUID(ID))
    with pytest.raises(InvalidValue):
        target_of({"session_id": "nothing"})


def test_only_who_wants_to_opens():
    assert may_open("open_session", NAMED)
    assert may_open("run", {**NAMED, "create": True})
    assert not may_open("run", {**NAMED, "create": False})
    assert not may_open("wait", NAMED)


@pytest.mark.parametrize(
    ("policy", "needs"),
    [
        ({}, Needs()),
        (None, Needs()),
        ({"labels": {"zone": "a"}, "gpus": 2}, Needs(gpus=2, labels={"zone": "a"})),
    ],
)
def test_needs_are_in_the_policy(policy, needs):
    assert needs_of({**NAMED, "policy": policy}) == needs


def test_what_cannot_be_needed_is_refused_before_a_host_is_asked():
    with pytest.raises(InvalidValue):
        needs_of({**NAMED, "policy": {"gpus": "many"}})


def test_sessions_of_all_hosts_are_in_their_order():
    of = {
        "n0": [{"id": "b", "created_at": "2026-01-02"}],
        "n1": [{"id": "a", "created_at": "2026-01-01"}, {"id": "c", "created_at": "2026-01-03"}],
    }

    assert [each["id"] for each in TO_ALL["list_sessions"](of)] == ["a", "b", "c"]


def test_all_hosts_are_well_together():
    one = {"hosts": ["n1"], "sessions": 2, "started_at": "2026-01-02T00:00:00Z"}
    other = {"hosts": ["n0"], "sessions": 1, "started_at": "2026-01-01T00:00:00Z"}

    assert TO_ALL["health"]({"n1": one, "n0": other}) == {
        "hosts": ["n0", "n1"],
        "sessions": 3,
        "started_at": "2026-01-01T00:00:00Z",
    }


def test_measures_say_of_which_host_they_are():
    text = (
        "# HELP workbench_executions_total Ended.\n# TYPE workbench_executions_total counter\n"
        'workbench_executions_total{state="failed"} 2.0\n'
        "# HELP workbench_warm_kernels Waiting.\n# TYPE workbench_warm_kernels gauge\n"
        "workbench_warm_kernels 4.0\n"
    )

    together = TO_ALL["metrics"]({"n0": text, "n1": text})

    samples = [
        (sample.name, sample.labels, sample.value)
        for family in text_string_to_metric_families(together)
        for sample in family.samples
    ]
    assert samples == [
        ("workbench_executions_total", {"host": "n0", "state": "failed"}, 2.0),
        ("workbench_executions_total", {"host": "n1", "state": "failed"}, 2.0),
        ("workbench_warm_kernels", {"host": "n0"}, 4.0),
        ("workbench_warm_kernels", {"host": "n1"}, 4.0),
    ]
    assert together.count("# TYPE workbench_warm_kernels") == 1
