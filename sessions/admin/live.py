"""What the admin's pages show of this moment: they ask for it anew every few seconds."""

from __future__ import annotations

from typing import Any

from asgiref.sync import async_to_sync
from django.http import HttpRequest, JsonResponse

from sessions import operations
from sessions.admin.words import COLOURS, span_text
from sessions.exceptions import HostUnavailable
from sessions.kernels.limits import size_text
from sessions.kernels.records import now
from sessions.states import SessionState


def live(request: HttpRequest) -> JsonResponse:
    """What runs now, as texts: in all (``totals``), and of each live session (``sessions``).

    ``problem`` is empty, or says why nothing is known.
    """
    try:
        hosts = async_to_sync(operations.survey)()
    except HostUnavailable as error:
        return JsonResponse({"problem": error.message, "totals": {}, "sessions": {}})
    sessions = [each for host in hosts for each in host["sessions"]]
    shown = {each["id"]: _session(each) for each in sessions}
    return JsonResponse({"problem": "", "totals": _totals(hosts, sessions), "sessions": shown})


def _totals(hosts: list[dict[str, Any]], sessions: list[dict[str, Any]]) -> dict[str, str]:
    numbers = {
        "sessions": len(sessions),
        "owners": len({each["owner_id"] for each in sessions}),
        "running": sum(each["running_since"] is not None for each in sessions),
        "waiting": sum(each["waiting"] for each in sessions),
        "processes": sum(each["processes"] or 0 for each in sessions),
        "warm": sum(host["warm_kernels"] for host in hosts),
    }
    memory = size_text(sum(each["memory_bytes"] or 0 for each in sessions))
    up = span_text(min(host["started_at"] for host in hosts), now())
    return {name: str(number) for name, number in numbers.items()} | {"memory": memory, "up": up}


def _session(each: dict[str, Any]) -> dict[str, str]:
    state, memory, cpu = each["state"], each["memory_bytes"], each["cpu_percent"]
    parts = [
        f"running for {span_text(each['running_since'], now())}" if each["running_since"] else "",
        f"{each['waiting']} waiting" if each["waiting"] else "",
        f"{size_text(memory)} of memory" if memory else "",
        f"{cpu:.0f} % of a core" if memory else "",
        f"processes: {each['processes']}" if memory else "no processes",
    ]
    return {
        "state": SessionState(state).replace("_", " "),
        "colour": COLOURS[state],
        "reason": each["reason"],
        "memory": size_text(memory) if memory else "…",
        "now": " · ".join(filter(None, parts)),
    }
