"""How the admin words and colours what it shows."""

from __future__ import annotations

from datetime import datetime

from sessions.states import ExecutionState, SessionState

COLOURS: dict[str, str] = {
    SessionState.STARTING: "warn",
    SessionState.IDLE: "good",
    SessionState.BUSY: "busy",
    SessionState.RESTARTING: "warn",
    SessionState.DIED: "bad",
    SessionState.STOPPED: "quiet",
    SessionState.CLOSED: "quiet",
    SessionState.EXPIRED: "quiet",
    SessionState.LOST: "bad",
    ExecutionState.QUEUED: "warn",
    ExecutionState.RUNNING: "busy",
    ExecutionState.SUCCEEDED: "good",
    ExecutionState.FAILED: "bad",
    ExecutionState.TIMED_OUT: "warn",
    ExecutionState.INTERRUPTED: "warn",
    ExecutionState.CANCELLED: "quiet",
}


def span_text(since: datetime | str, until: datetime) -> str:
    """How long that is: "350 ms", "2.3 s", "12 s", "5 min", "3 h 20 min", "2 d 4 h"; never negative."""
    start = datetime.fromisoformat(since) if isinstance(since, str) else since
    seconds = max(0.0, (until - start).total_seconds())
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, hours, days = int(seconds // 60), int(seconds // 3600), int(seconds // 86400)
    if hours < 1:
        return f"{minutes} min"
    return f"{hours} h {minutes % 60} min" if days < 1 else f"{days} d {hours % 24} h"
