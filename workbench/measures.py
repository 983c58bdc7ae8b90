"""What a web process counts and measures, as Prometheus reads it. docs/operations.md lists it.

No label is a name or an address of a client's: doors, statuses and codes are closed lists.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from django.http import HttpRequest
from django.urls import ResolverMatch
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from sessions.exceptions import WorkbenchError

disable_created_metrics()  # type: ignore[no-untyped-call]

# The face whose address was asked for, by where its views live; the first that fits.
DOORS = {
    "workbench.dialects.azure": "azure",
    "workbench.dialects.backendai": "backendai",
    "workbench.dialects.rce": "rce",
    "workbench.dialects.sandbox": "sandbox",
    "workbench.api": "api",
    "workbench.pages": "pages",
    "workbench.health": "health",
}
ADMIN = "admin"
STATIC = "static"
NO_DOOR = "none"  # an address that nothing serves, or a refusal before any view
# Of whoever left before there was an answer, as other servers' logs have it.
GONE = 499

BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class WebMetrics:
    """Counts from the process's start to its end; ``exposition`` tells."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        ProcessCollector(namespace="workbench_web", registry=registry)
        self._requests = Counter(
            "workbench_requests",
            "Requests that were answered, by door and status.",
            ["door", "status"],
            registry=registry,
        )
        self._durations = Histogram(
            "workbench_request_duration_seconds",
            "Time from a request to the end of its answer.",
            ["door"],
            buckets=BUCKETS,
            registry=registry,
        )
        self._sockets = Gauge("workbench_sockets", "Open WebSockets.", registry=registry)
        self._refusals = Counter(
            "workbench_refusals",
            "Requests that were refused or failed in the domain, by code.",
            ["code"],
            registry=registry,
        )
        self._audit_left_out = Counter(
            "workbench_audit_left_out",
            "Refusals and failed logins that the audit leaves out: too many in a minute.",
            registry=registry,
        )
        self._host_up = Gauge(
            "workbench_host_up", "1 if the kernel host answers.", registry=registry
        )
        # A rate is known from the first refusal on only if there was a zero before it.
        for code in WorkbenchError.codes():
            self._refusals.labels(code)

    def answered(self, door: str, status: int, seconds: float) -> None:
        """A request is over; ``status`` is GONE if nobody was there for the answer."""
        # ``labels`` takes longer than all else here, and there are few of them.
        count, durations = self._children(door, status)
        count.inc()
        durations.observe(seconds)

    def socket_opened(self) -> None:
        """Somebody has come with a WebSocket."""
        self._sockets.inc()

    def socket_closed(self) -> None:
        """It has ended."""
        self._sockets.dec()

    def refused(self, code: str) -> None:
        """Somebody was told of a domain error."""
        self._refusals.labels(code).inc()

    def audit_left_out(self) -> None:
        """A stranger was refused once too often for each time to be written."""
        self._audit_left_out.inc()

    def exposition(self, *, is_host_up: bool) -> str:
        """All of it, in Prometheus's text format."""
        self._host_up.set(is_host_up)
        return generate_latest(self._registry).decode()

    @lru_cache(1024)  # noqa: B019 - there is one of these, and it lives as long as its process
    def _children(self, door: str, status: int) -> tuple[Any, Any]:
        return self._requests.labels(door, status), self._durations.labels(door)


metrics = WebMetrics()


def door_of(match: ResolverMatch, request: HttpRequest) -> str:
    """Whose address leads to a view of Django's configuration."""
    if ADMIN in match.app_names:
        return ADMIN
    view_for = getattr(match.func, "view_for", None)  # the address of several faces
    view = view_for(request) if view_for else match.func
    return _door_in(getattr(view, "view_class", view).__module__)


@lru_cache(256)
def _door_in(module: str) -> str:
    for place, door in DOORS.items():
        if module == place or module.startswith(f"{place}."):
            return door
    return NO_DOOR
