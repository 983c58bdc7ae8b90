"""Executions and events in the admin."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast, Left
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from sessions.admin.base import OfSession
from sessions.admin.words import (
    LINE_SHOWN,
    line_of,
    links_to,
    rows_of,
    text_block,
    took_text,
)
from sessions.models import Event, Execution
from sessions.outcomes import fold


@admin.register(Execution)
class ExecutionAdmin(OfSession):
    """Executions, with what came out of them."""

    list_display = (
        "code_line",
        "coloured_state",
        "session_link",
        "owner_name",
        "origin",
        "queued_at",
        "took",
    )
    list_filter = (
        "state",
        "kind",
        "origin",
        "session__kernel_name",
        ("session__owner", admin.RelatedOnlyFieldListFilter),
    )
    list_select_related = ("session__owner",)
    search_fields = ("code", "client_id", "=id", "session__identifier")
    search_help_text = "Code, an id of an execution, or an identifier of a session"
    date_hierarchy = "queued_at"
    ordering = ("-queued_at",)
    fields = (
        "id",
        "client_id",
        "coloured_state",
        "reason",
        "session_link",
        "links",
        "kind",
        "origin",
        "cell",
        "whole_code",
        "stdout",
        "stderr",
        "result",
        "error",
        "exit_code",
        "execution_count",
        "timeout_seconds",
        "queued_at",
        "started_at",
        "finished_at",
        "took",
        "final_event_number",
        "output_bytes",
        "request",
    )
    readonly_fields = (
        "id",
        "coloured_state",
        "session_link",
        "links",
        "whole_code",
        "stdout",
        "stderr",
        "result",
        "error",
        "took",
    )

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Execution | None:
        """The execution with its ``outcome``, folded once for the fields that show it."""
        execution = super().get_object(request, object_id, from_field)
        if execution is not None:
            events = execution.events.order_by("number").iterator()
            execution.outcome = fold(event.to_wire() for event in events)
        return execution

    @admin.display(description="code", ordering="code")
    def code_line(self, execution: Execution) -> SafeString:
        return line_of(execution.code)

    @admin.display(description="owner", empty_value="open door")
    def owner_name(self, execution: Execution) -> str | None:
        owner = execution.session.owner
        return owner.get_username() if owner else None

    @admin.display(description="took")
    def took(self, execution: Execution) -> str | None:
        return took_text(execution.started_at, execution.finished_at)

    @admin.display(description="see")
    def links(self, execution: Execution) -> SafeString:
        events = rows_of("workbench_sessions_event", execution__id__exact=execution.pk)
        audit = rows_of("workbench_sessions_auditentry", execution_id__exact=execution.pk)
        page = f"/workbench/{execution.session_id}/"
        return links_to({"Events": events, "Audit": audit, "Live page": page})

    @admin.display(description="code")
    def whole_code(self, execution: Execution) -> SafeString:
        return text_block(execution.code)

    @admin.display(description="stdout")
    def stdout(self, execution: Any) -> SafeString | None:
        return text_block(execution.outcome.stdout) if execution.outcome.stdout else None

    @admin.display(description="stderr")
    def stderr(self, execution: Any) -> SafeString | None:
        return text_block(execution.outcome.stderr) if execution.outcome.stderr else None

    @admin.display(description="result")
    def result(self, execution: Any) -> SafeString | None:
        result = execution.outcome.result
        return text_block(result.get("text/plain", ", ".join(result))) if result else None

    @admin.display(description="error")
    def error(self, execution: Any) -> SafeString | None:
        error = execution.outcome.error
        if not error:
            return None
        return text_block("\n".join(error["traceback"]) or f"{error['ename']}: {error['evalue']}")


@admin.register(Event)
class EventAdmin(OfSession):
    """The log. No date hierarchy: it would read the whole of it for each page."""

    list_display = ("number", "type", "session_link", "execution_link", "at", "data_line")
    list_filter = ("type", "session__origin", ("session__owner", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("session", "execution")
    search_fields = ("session__identifier", "=session__id", "=execution__id")
    search_help_text = "An identifier or id of a session, or an id of an execution"
    ordering = ("-id",)
    fields = ("number", "type", "at", "session_link", "execution_link", "whole_data")
    readonly_fields = ("session_link", "execution_link", "whole_data")

    @admin.display(description="execution")
    def execution_link(self, event: Event) -> SafeString | None:
        if event.execution is None:
            return None
        url = reverse("admin:workbench_sessions_execution_change", args=[event.execution.pk])
        return format_html('<a href="{}">{}</a>', url, line_of(event.execution.code))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Event]:
        # A page of the list must not read fifty pictures: only how each event's data begins.
        beginning = Left(Cast("data", TextField()), 2 * LINE_SHOWN + 1)
        events: QuerySet[Event] = super().get_queryset(request)
        return events.annotate(beginning=beginning).defer("data")

    @admin.display(description="data")
    def data_line(self, event: Any) -> SafeString:
        return line_of(event.beginning)

    @admin.display(description="data")
    def whole_data(self, event: Event) -> SafeString:
        return text_block(json.dumps(event.data, indent=2, ensure_ascii=False))
