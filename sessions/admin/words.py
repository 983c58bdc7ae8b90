"""How the admin words and colours what it shows."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from django.urls import NoReverseMatch, reverse
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import localtime, now

from sessions.models import Session
from sessions.states import ExecutionState, HostState, SessionState

# Characters shown of a text: in a list, and on a page of its own.
LINE_SHOWN, TEXT_SHOWN = 80, 100_000
_SGR = re.compile(r"\x1b\[[0-9;]*m")

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
    HostState.UP: "good",
    HostState.STOPPED: "quiet",
    HostState.GONE: "bad",
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


def rows_of(model: str, **lookups: Any) -> str:
    """The address of a model's list, filtered; empty if the model has no admin."""
    try:
        return reverse(f"admin:{model}_changelist", query=lookups)
    except NoReverseMatch:
        return ""


def link_to(session: Session) -> SafeString:
    """A link to a session's page in the admin."""
    url = reverse("admin:workbench_sessions_session_change", args=[session.pk])
    return format_html('<a href="{}">{}</a>', url, session.identifier)


def live_place(session: Session, what: str) -> SafeString:
    """A place for what static/workbench/js/admin.js fills in."""
    return format_html("<span {}>…</span>", marked(session, what))


def marked(session: Session, what: str) -> SafeString:
    """The attributes by which that script finds a place."""
    return format_html('data-live="{}" data-session="{}"', what, session.pk)


def links_to(urls: dict[str, str]) -> SafeString:
    """Links by their names, in a row; those without an address are left out."""
    shown = [format_html('<a href="{}">{}</a>', url, name) for name, url in urls.items() if url]
    return format_html(" · ".join(["{}"] * len(shown)), *shown)


def line_of(text: str) -> SafeString:
    """The beginning of a text, for a list."""
    line = " ".join(text[: 2 * LINE_SHOWN].split())
    cut = line[:LINE_SHOWN] + "…" if len(line) > LINE_SHOWN or len(text) > 2 * LINE_SHOWN else line
    return format_html('<span class="workbench-line">{}</span>', cut or "(empty)")


def text_block(text: Any) -> SafeString:
    """A text as it is, without its colours; says so if it is cut."""
    plain = _SGR.sub("", text if isinstance(text, str) else str(text))
    if len(plain) > TEXT_SHOWN:
        plain = f"{plain[:TEXT_SHOWN]}\n… {len(plain) - TEXT_SHOWN:,} more characters"
    return format_html('<pre class="workbench-code">{}</pre>', plain)


def ago_text(at: datetime) -> SafeString:
    """How long ago something was; the whole date is its title."""
    whole = date_format(localtime(at), "DATETIME_FORMAT")
    return format_html('<span title="{}">{} ago</span>', whole, span_text(at, now()))


def took_text(start: datetime | None, end: datetime | None) -> str | None:
    """How long something took; None if it has not begun or not ended."""
    return span_text(start, end) if start and end else None
