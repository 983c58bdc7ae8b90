"""What a session gets of what it asks for."""

from __future__ import annotations

import pytest

from sessions.exceptions import InvalidValue
from sessions.kernels.limits import Limits
from sessions.kernels.policy import Network, policy_for

LIMITS = Limits(memory_bytes=2 * 1024**3, processes=256)


def test_who_asks_for_nothing_gets_what_all_get():
    assert policy_for({}, LIMITS, Network.NONE).to_wire() == {
        "network": "none",
        "limits": LIMITS.to_wire(),
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
        {"user": "root"},
    ],
)
def test_more_is_refused_with_a_sentence(asked):
    with pytest.raises(InvalidValue) as refusal:
        policy_for(asked, LIMITS, Network.NONE)

    assert refusal.value.message.endswith(".")
