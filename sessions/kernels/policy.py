"""What a session may do: how much of the machine it has, and whether it sees the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sessions.exceptions import InvalidValue
from sessions.kernels.limits import Limits
from sessions.kernels.needs import Needs


class Network(StrEnum):
    """What of the network the operator lets sessions have."""

    NONE = "none"
    # None, but those that ask for it have the host's.
    ALLOWED = "allowed"
    # The host's, but for those that ask for none.
    HOST = "host"


_NAMES = frozenset({"network", "limits", "gpus", "labels"})


@dataclass(frozen=True)
class Policy:
    """One session's."""

    limits: Limits
    # It shares the network of the machine, with all that listens there; otherwise it has none.
    network: bool
    # What its machine had to have when it was opened; the GPUs it has to itself until it ends.
    needs: Needs = field(default_factory=Needs)

    def to_wire(self) -> dict[str, Any]:
        """The policy as plain data."""
        network = Network.HOST if self.network else Network.NONE
        return {
            "network": str(network),
            "limits": self.limits.to_wire(),
            **self.needs.to_wire(),
        }


def policy_for(asked: Mapping[str, Any], limits: Limits, network: Network) -> Policy:
    """What a session gets that asks for "network" (none or host), "limits", "gpus" and "labels".

    Each may be absent. Raises InvalidValue for more than the operator allows. Whether there are
    such GPUs and labels is not asked here.
    """
    unknown = asked.keys() - _NAMES
    if unknown:
        named = ", ".join(sorted(_NAMES))
        raise InvalidValue(f"A session's policy has no {min(unknown)!r}, but: {named}.")
    asked_limits = asked.get("limits") or {}
    if not isinstance(asked_limits, Mapping):
        raise InvalidValue("The limits must be an object of names and numbers.")
    allowed = limits.within(asked_limits)
    return Policy(allowed, _network(asked.get("network"), network), Needs.of(asked))


def policy_again(
    granted: Mapping[str, Any], limits: Limits, network: Network, *, gpus: int
) -> Policy:
    """What a session gets that was granted this (``Policy.to_wire``), by what is allowed now.

    ``gpus`` is how many there are for it. Its labels found it this machine, and stay.
    """
    may_have_network = network != Network.NONE and granted.get("network") == Network.HOST
    needs = Needs(gpus=min(granted.get("gpus", 0), gpus), labels=granted.get("labels") or {})
    return Policy(limits.again(granted.get("limits") or {}), may_have_network, needs)


def _network(asked: object, allowed: Network) -> bool:
    if asked is None:
        return allowed == Network.HOST
    if asked not in (Network.NONE, Network.HOST):
        raise InvalidValue("The network of a session is none or host.")
    if asked == Network.HOST and allowed == Network.NONE:
        raise InvalidValue(
            "Sessions have no network on this server. Ask the operator to set "
            "WORKBENCH_SESSION_NETWORK to allowed."
        )
    return asked == Network.HOST
