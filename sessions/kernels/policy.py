"""What a session may do: how much of the machine it may use, and whether it sees the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sessions.exceptions import InvalidValue
from sessions.kernels.limits import Limits


class Network(StrEnum):
    """What of the network the operator lets sessions have."""

    NONE = "none"
    # None, but those that ask for it have the host's.
    ALLOWED = "allowed"
    # The host's, but for those that ask for none.
    HOST = "host"


@dataclass(frozen=True)
class Policy:
    """One session's."""

    limits: Limits
    # It shares the network of the machine, with all that listens there; otherwise it has none.
    network: bool

    def to_wire(self) -> dict[str, Any]:
        """The policy as plain data."""
        network = Network.HOST if self.network else Network.NONE
        return {"network": str(network), "limits": self.limits.to_wire()}


def policy_for(asked: Mapping[str, Any], limits: Limits, network: Network) -> Policy:
    """What a session gets that asks for ``network`` ("none" or "host") and ``limits``.

    Both may be absent. Raises InvalidValue for more than the operator allows.
    """
    unknown = asked.keys() - {"network", "limits"}
    if unknown:
        raise InvalidValue(f"A session's policy has no {min(unknown)!r}, but network and limits.")
    asked_limits = asked.get("limits") or {}
    if not isinstance(asked_limits, Mapping):
        raise InvalidValue("The limits must be an object of names and numbers.")
    return Policy(limits.within(asked_limits), _network(asked.get("network"), network))


def policy_again(granted: Mapping[str, Any], limits: Limits, network: Network) -> Policy:
    """What a session gets that was granted this (``Policy.to_wire``), by what is allowed now."""
    may_have_network = network != Network.NONE and granted.get("network") == Network.HOST
    return Policy(limits.again(granted.get("limits") or {}), may_have_network)


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
