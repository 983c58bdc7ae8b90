"""What a session gets of what it asks for."""

from __future__ import annotations

import pytest

from sessions.exceptions import InvalidValue
from sessions.kernels.limits import Limits
from sessions.kernels.needs import Needs
from sessions.kernels.policy import Network, policy_again, policy_for

LIMITS = Limits(memory_bytes=2 * 1024**3, processes=256)


def test_who_asks_for_nothing_gets_what_all_get():
    assert policy_for({}, LIMITS, Network.NONE).to_wire() == {
        "network": "none",
        "limits": LIMITS.to_wire(),
        "gpus": 0,
        "labels": {},
    }
    assert policy_for({}, LIMITS, Network.HOST).network
    assert not policy_for({}, LIMITS, Network.ALLOWED).network


def test_a_session_may_have_less():
    asked = {"network": "none", "limits": {"memory_bytes": 256 * 1024**2}}
    policy = policy_for(asked, LIMITS, Network.HOST)

    assert (policy.limits.memory_bytes, policy.limits.processes) == (256 * 1024**2, 256)
    assert not policy.network


def test_the_network_is_there_for_those_who_ask_if_it_is_allowed():
    assert policy_for({"network": "host"}, LIMITS, Network.ALLOWED).network


def test_what_it_needs_of_its_machine_is_kept_with_it():
    asked = {"gpus": 2, "labels": {"zone": "a"}}
    policy = policy_for(asked, LIMITS, Network.NONE)

    assert policy.needs == Needs(gpus=2, labels={"zone": "a"})
    assert asked.items() <= policy.to_wire().items()
    assert policy_again(policy.to_wire(), LIMITS, Network.NONE, gpus=8) == policy


def test_a_session_that_comes_back_has_no_more_gpus_than_there_are():
    granted = policy_for({"gpus": 2, "labels": {"zone": "a"}}, LIMITS, Network.NONE).to_wire()

    again = policy_again(granted, LIMITS, Network.NONE, gpus=1)

    assert again.needs == Needs(gpus=1, labels={"zone": "a"})


def test_a_session_of_a_time_without_gpus_has_none():
    before = {"network": "none", "limits": LIMITS.to_wire()}

    assert policy_again(before, LIMITS, Network.NONE, gpus=8).needs == Needs()
    assert policy_again({}, LIMITS, Network.NONE, gpus=8).needs == Needs()


@pytest.mark.parametrize(
    "asked",
    [
        {"network": "host"},
        {"network": "everything"},
        {"network": 1},
        {"limits": {"memory_bytes": 3 * 1024**3}},
        {"limits": {"memory_bytes": "all"}},
        {"limits": {"memory": 1}},
        {"limits": [1]},
        {"gpus": True},
        {"gpus": -1},
        {"labels": {"zone": 1}},
        {"user": "root"},
    ],
)
def test_more_is_refused_with_a_sentence(asked):
    with pytest.raises(InvalidValue) as refusal:
        policy_for(asked, LIMITS, Network.NONE)

    assert refusal.value.message.endswith(".")
