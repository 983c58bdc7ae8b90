"""The audit in the admin: looked through, and exported."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.http import HttpRequest, StreamingHttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from sessions import audit
from sessions.admin.base import ReadOnlyAdmin
from sessions.admin.words import (
    line_of,
    link_to,
    text_block,
)
from sessions.audit import CONTENT_TYPES, Format
from sessions.models import AuditEntry, Execution, Session
from sessions.states import (
    LIVE_SESSION_STATES,
    UNFINISHED_EXECUTION_STATES,
    ExecutionState,
    SessionState,
)

ACCOUNTS_SHOWN = 200  # in a filter


class _OneOf(admin.SimpleListFilter):
    """Some values of a column, which need not be looked for in all its rows."""

    def values(self) -> list[str]:
        raise NotImplementedError

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(value, value.replace("_", " ")) for value in self.values()]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[AuditEntry]
    ) -> QuerySet[AuditEntry]:
        value = self.value()
        return queryset.filter(**{self.parameter_name or "": value}) if value else queryset


class _Door(_OneOf):
    title = parameter_name = "door"

    def values(self) -> list[str]:
        return ["azure", "backendai", "rce", "sandbox", "api", "browser", "admin"]


class _Outcome(_OneOf):
    title = parameter_name = "outcome"

    def values(self) -> list[str]:
        ends = {*ExecutionState, *SessionState} - UNFINISHED_EXECUTION_STATES - LIVE_SESSION_STATES
        return sorted(ends)


class _Account(_OneOf):
    """Accounts that there still are; others are found by searching for their names."""

    title = parameter_name = "account"

    def values(self) -> list[str]:
        names = get_user_model().objects.order_by("username").values_list("username", flat=True)
        return list(names[:ACCOUNTS_SHOWN])


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    """Who did what. No date hierarchy: it would read the whole table for each page."""

    list_display = (
        "at",
        "action",
        "account",
        "address",
        "door",
        "identifier",
        "what_line",
        "outcome",
        "duration_seconds",
    )
    list_filter = ("action", _Door, _Outcome, _Account, "at")
    search_fields = (
        "what",
        "identifier",
        "=account",
        "=key_id",
        "=address",
        "=session_id",
        "=execution_id",
        "=request_id",
    )
    search_help_text = "Code, an identifier, an account, a key, an address or any id"
    ordering = ("-at",)
    actions = ("as_csv", "as_json_lines")
    fields = (
        "at",
        "action",
        "account",
        "key_id",
        "address",
        "door",
        "identifier",
        "session_link",
        "execution_link",
        "whole_text",
        "outcome",
        "duration_seconds",
        "request_id",
    )
    readonly_fields = ("session_link", "execution_link", "whole_text")

    @admin.display(description="what")
    def what_line(self, entry: AuditEntry) -> SafeString | str:
        return line_of(entry.what) if entry.what else ""

    @admin.display(description="what")
    def whole_text(self, entry: AuditEntry) -> SafeString:
        return text_block(entry.what)

    @admin.display(description="session")
    def session_link(self, entry: AuditEntry) -> SafeString | None:
        session = Session.objects.filter(id=entry.session_id).first() if entry.session_id else None
        return link_to(session) if session else _gone(entry.session_id)

    @admin.display(description="execution")
    def execution_link(self, entry: AuditEntry) -> SafeString | None:
        if not entry.execution_id or not Execution.objects.filter(id=entry.execution_id).exists():
            return _gone(entry.execution_id)
        url = reverse("admin:workbench_sessions_execution_change", args=[entry.execution_id])
        return format_html('<a href="{}">{}</a>', url, entry.execution_id)

    @admin.action(description="Export as CSV", permissions=["view"])
    def as_csv(self, request: HttpRequest, entries: QuerySet[AuditEntry]) -> StreamingHttpResponse:
        return _export(entries, Format.CSV)

    @admin.action(description="Export as JSON lines", permissions=["view"])
    def as_json_lines(
        self, request: HttpRequest, entries: QuerySet[AuditEntry]
    ) -> StreamingHttpResponse:
        return _export(entries, Format.JSON_LINES)


def _export(entries: QuerySet[AuditEntry], form: Format) -> StreamingHttpResponse:
    """A download of however many entries; there are never more than a few in memory."""
    name = f'attachment; filename="audit-{timezone.now():%Y-%m-%d}.{form}"'
    headers = {"Content-Disposition": name, "Cache-Control": "no-store"}
    pieces = _in_threads(audit.export(entries, form))
    return StreamingHttpResponse(pieces, content_type=CONTENT_TYPES[form], headers=headers)


async def _in_threads(pieces: Iterator[str]) -> AsyncIterator[str]:
    step: Callable[[], Awaitable[str | None]] = sync_to_async(lambda: next(pieces, None))
    while (piece := await step()) is not None:
        yield piece


def _gone(id_: UUID | None) -> SafeString | None:
    return format_html("{} (deleted)", id_) if id_ else None
