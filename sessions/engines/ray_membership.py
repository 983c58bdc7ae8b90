"""This process's part in a Ray cluster: joining it, leaving it, and asking its head for the nodes.

Ray's own ``ray.nodes`` waits for a head that is away as long as it is, and ends the whole process
when the head that then answers is another one. So it is asked as Ray asks it for itself, with a
limit in time. For how long a process may do without a head, see RAY_ in workbench/settings.py.
"""

from __future__ import annotations

from typing import Any

import ray
from django.conf import settings
from ray._private.worker import global_worker
from ray.exceptions import AuthenticationError, RpcError

NAMESPACE = "workbench"
HEAD_SECONDS = 2.0  # for the head to answer
_ALIVE = 0  # the state of a node


class HeadAway(Exception):
    """Ray's head does not answer: hosts go on, but new ones and dead ones are not noticed."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class Forgotten(Exception):
    """The cluster knows nothing of this process any more: it has to join anew."""


def join() -> None:
    """Join the cluster that the settings name, unless this process has. Blocks."""
    if not ray.is_initialized():
        ray.init(
            address=settings.WORKBENCH_RAY_ADDRESS,
            namespace=NAMESPACE,
            log_to_driver=False,
            configure_logging=False,
        )


def leave() -> None:
    """Leave the cluster; its hosts go on. Takes five seconds if its head is away."""
    ray.shutdown()


def nodes() -> dict[str, dict[str, Any]]:
    """The nodes by their ids, as ``ray.nodes`` describes them. Raises HeadAway, Forgotten."""
    worker: Any = global_worker
    try:
        found = worker.gcs_client.get_all_node_info(timeout=HEAD_SECONDS)
    except AuthenticationError as error:
        raise Forgotten("Ray's head has been started anew, without its memory") from error
    except RpcError as error:
        raise HeadAway from error
    known = {id_.hex(): _about(id_.hex(), info) for id_, info in found.items()}
    own = known.get(ray.get_runtime_context().get_node_id())
    if own is None or (not own["Alive"] and _is_another_there(own, known)):
        raise Forgotten("Ray has been started anew on this machine")
    return known


def _is_another_there(own: dict[str, Any], known: dict[str, dict[str, Any]]) -> bool:
    """Whether this machine has a node that lives. Until then the dead one does, mostly."""
    address = own["NodeManagerAddress"]
    return any(each["Alive"] and each["NodeManagerAddress"] == address for each in known.values())


def _about(node: str, info: Any) -> dict[str, Any]:
    return {
        "NodeID": node,
        "Alive": info.state == _ALIVE,
        "NodeName": info.node_name,
        "NodeManagerAddress": info.node_manager_address,
        "Resources": dict(info.resources_total),
        "Labels": dict(info.labels),
    }
