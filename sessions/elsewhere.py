"""What owners use on the other hosts of a cluster, by the rows: quotas are of all together."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import Any

from django.db.models import Count, DurationField, ExpressionWrapper, F, QuerySet, Sum

from sessions import models
from sessions.kernels.records import Elsewhere, now
from sessions.states import UNFINISHED_EXECUTION_STATES, ExecutionState


def used_elsewhere(host: str, since: datetime) -> dict[int | None, Elsewhere]:
    """What owners use on other hosts than this one, and have used there since then."""
    if not models.Host.objects.exclude(name=host).exists():
        return {}
    sessions = models.Session.objects.exclude(host=host)
    live = sessions.filter(ended_at=None)
    executions = models.Execution.objects.filter(session__in=live)
    unfinished = executions.filter(state__in=UNFINISHED_EXECUTION_STATES)
    ended = models.Execution.objects.filter(
        session__in=sessions.filter(last_active_at__gt=since),
        finished_at__gt=since,
        started_at__isnull=False,
    ).exclude(state=ExecutionState.LOST)
    running = unfinished.filter(started_at__isnull=False)
    ran = _seconds(ended, F("finished_at") - F("started_at"))
    for owner_id, seconds in _seconds(running, now() - F("started_at")).items():
        ran[owner_id] += seconds
    counts = {
        "sessions": _by_owner(live, "owner_id", Count("id")),
        "executions": _by_owner(unfinished, "session__owner_id", Count("id")),
        "storage_bytes": _by_owner(live, "owner_id", Sum("files__size_bytes")),
        "execution_seconds": ran,
        "output_bytes": _by_owner(ended, "session__owner_id", Sum("output_bytes")),
    }
    found: defaultdict[int | None, dict[str, Any]] = defaultdict(dict)
    for name, amounts in counts.items():
        for owner_id, amount in amounts.items():
            found[owner_id][name] = amount or 0
    return {owner_id: Elsewhere(**used) for owner_id, used in found.items()}


def _seconds(executions: QuerySet[models.Execution], took: Any) -> defaultdict[int | None, float]:
    summed = Sum(ExpressionWrapper(took, output_field=DurationField()))
    amounts = _by_owner(executions, "session__owner_id", summed)
    return defaultdict(float, {owner: took.total_seconds() for owner, took in amounts.items()})


def _by_owner(rows: QuerySet[Any], owner: str, amount: Any) -> dict[int | None, Any]:
    return dict(rows.order_by().values_list(owner).annotate(amount=amount))
