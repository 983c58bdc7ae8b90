"""What a session may need of its machine, and what is said where no machine has it."""

from __future__ import annotations

import pytest

from sessions.exceptions import InvalidValue
from sessions.kernels.needs import MAX_GPUS, MAX_LABELS, Needs, nobody_has


def test_who_asks_for_nothing_needs_nothing():
    assert Needs.of({}) == Needs.of({"gpus": None, "labels": None}) == Needs()
    assert Needs().are_met_by(0, {})


def test_a_machine_needs_enough_gpus_and_every_label_with_its_value():
    needs = Needs.of({"gpus": 2, "labels": {"zone": "a", "example.com/disk": "fast"}})

    assert needs.are_met_by(2, {"zone": "a", "example.com/disk": "fast", "more": "yes"})
    assert not needs.are_met_by(1, {"zone": "a", "example.com/disk": "fast"})
    assert not needs.are_met_by(2, {"zone": "b", "example.com/disk": "fast"})
    assert not needs.are_met_by(2, {"zone": "a"})


@pytest.mark.parametrize(
    "asked",
    [
        {"gpus": -1},
        {"gpus": MAX_GPUS + 1},
        {"gpus": True},
        {"gpus": 1.0},
        {"gpus": "1"},
        {"gpus": [0]},
        {"labels": "zone=a"},
        {"labels": ["zone"]},
        {"labels": {"zone": 1}},
        {"labels": {"zone": None}},
        {"labels": {"zone": ""}},
        {"labels": {"zone": "a\n"}},
        {"labels": {"": "a"}},
        {"labels": {"zo ne": "a"}},
        {"labels": {"zone=a": "b"}},
        {"labels": {"zone": "a" * 64}},
        {"labels": {f"label{number}": "a" for number in range(MAX_LABELS + 1)}},
    ],
)
def test_what_cannot_be_asked_for_is_refused_with_a_sentence(asked):
    with pytest.raises(InvalidValue) as refusal:
        Needs.of(asked)

    assert refusal.value.message.endswith(".")


def test_a_refusal_says_what_there_is_each_kind_once():
    machines = [(2, {"zone": "a"}), (0, {}), (0, {}), (1, {})]

    assert nobody_has(Needs(gpus=4, labels={"zone": "c"}), machines).message == (
        "No machine here has what this session needs: 4 GPUs, zone=c. What there is: "
        "2 GPUs, zone=a; no GPU and no label; 1 GPU. The operator sets it with WORKBENCH_GPUS "
        "and WORKBENCH_LABELS."
    )


def test_a_refusal_does_not_grow_with_the_cluster():
    machines = [(1, {"rack": f"r{number}"}) for number in range(1_000)]

    assert nobody_has(Needs(gpus=2), machines).message.count("rack=") == 10
