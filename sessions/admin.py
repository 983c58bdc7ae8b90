"""The admin: what runs, whose, since when, and why did it die.

The kernel host is the only writer of most rows, and the audit is for ever, so nothing here can be
added or changed, but for the quotas of single accounts, which are the operator's. What an
operator can do to a session goes through the verbs, as for everybody; the history of those that
have ended can be deleted. Seeing needs the permission *view*, acting *change* of sessions, deleting
*delete* (superusers have all), although no form ever changes a row: they are Django's own words.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from asgiref.sync import async_to_sync, sync_to_async
from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery, Sum, TextField
from django.db.models.functions import Cast, Left
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.urls import NoReverseMatch, URLPattern, path, reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.timezone import localtime, now

from sessions import audit, operations, retention
from sessions.admin_live import live
from sessions.admin_words import COLOURS, span_text
from sessions.audit import CONTENT_TYPES, Format
from sessions.exceptions import HostUnavailable, WorkbenchError
from sessions.kernels.limits import size_text
from sessions.models import AuditEntry, Cell, Event, Execution, Notebook, Quota, Session
from sessions.operations import SessionRef
from sessions.outcomes import fold
from sessions.states import (
    LIVE_SESSION_STATES,
    UNFINISHED_EXECUTION_STATES,
    AuditAction,
    EventType,
    ExecutionState,
    SessionState,
)

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin  # generic only in its stubs

admin.site.site_header = "Workbench"
admin.site.site_title = "Workbench"
admin.site.index_title = "Sessions, executions, events"
admin.site.site_url = "/workbench/"

# Characters shown of a text: in a list, and on a page of its own.
LINE_SHOWN, TEXT_SHOWN = 80, 100_000
ENDS_SHOWN = 10
ACCOUNTS_SHOWN = 200  # in a filter
_SGR = re.compile(r"\x1b\[[0-9;]*m")


class ReadOnlyAdmin(ModelAdmin):
    """Rows that the machine writes: to be looked at."""

    list_per_page = 50
    show_full_result_count = False  # a count of the whole log on every page

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="state", ordering="state")
    def coloured_state(self, row: Session | Execution) -> SafeString:
        return format_html(
            '<span class="workbench-state {}" title="{}" {}>{}</span>',
            COLOURS[row.state],
            row.reason,
            _marked(row, "state") if isinstance(row, Session) else "",
            row.get_state_display(),
        )


class IsLive(admin.SimpleListFilter):
    """Sessions that exist for their clients, or those that have ended."""

    title = "whether it is live"
    parameter_name = "live"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Live"), ("no", "Ended")]

    def queryset(self, request: HttpRequest, sessions: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() not in ("yes", "no"):
            return sessions
        return sessions.filter(ended_at__isnull=self.value() == "yes")


@admin.register(Session)
class SessionAdmin(ReadOnlyAdmin):
    """Sessions, and what an operator can do to them."""

    list_display = (
        "identifier",
        "state_and_reason",
        "memory",
        "files",
        "execution_count",
        "owner_name",
        "origin",
        "age",
        "activity",
    )
    list_filter = (
        IsLive,
        "state",
        "origin",
        "kernel_name",
        ("owner", admin.RelatedOnlyFieldListFilter),
    )
    list_select_related = ("owner",)
    search_fields = ("identifier", "=id", "executions__code")
    search_help_text = "An identifier, a session's id, or code that ran in it"
    date_hierarchy = "created_at"
    ordering = ("-last_active_at",)
    actions = ("interrupt", "restart", "close", "delete_history")
    fields = (
        "identifier",
        "id",
        "coloured_state",
        "reason",
        "now",
        "ends",
        "links",
        "owner",
        "origin",
        "kernel_name",
        "host",
        "created_at",
        "last_active_at",
        "ended_at",
        "idle_timeout_seconds",
        "policy",
        "execution_count",
        "files",
        "last_event_number",
    )
    readonly_fields = (
        *("id", "coloured_state", "now", "ends", "links", "execution_count", "files"),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Session]:
        sessions: QuerySet[Session] = super().get_queryset(request)
        this = Session.objects.filter(pk=OuterRef("pk"))
        kept = this.annotate(bytes=Sum("files__size_bytes")).values("bytes")
        return sessions.annotate(runs=Count("executions", distinct=True), bytes=Subquery(kept))

    def get_urls(self) -> list[URLPattern]:
        """Django's, and what the pages ask for every few seconds."""
        guarded = self.admin_site.admin_view(self.live_view)
        ours = path("live/", guarded, name="workbench_sessions_session_live")
        return [ours, *super().get_urls()]

    def live_view(self, request: HttpRequest) -> HttpResponse:
        """What runs now, for those who may see sessions."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return live(request)

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Whether the actions are offered; the module's docstring says to whom."""
        return request.user.has_perm("workbench_sessions.change_session")

    @admin.display(description="owner", ordering="owner__username", empty_value="open door")
    def owner_name(self, session: Session) -> str | None:
        return session.owner.get_username() if session.owner else None

    @admin.display(description="runs", ordering="runs")
    def execution_count(self, session: Any) -> SafeString:
        url = _rows_of("workbench_sessions_execution", session__id__exact=session.pk)
        return format_html('<a href="{}">{}</a>', url, session.runs)

    @admin.display(description="state", ordering="state")
    def state_and_reason(self, session: Session) -> SafeString:
        state, reason = self.coloured_state(session), session.reason
        return format_html('{}<div class="workbench-reason">{}</div>', state, reason)

    @admin.display(description="opened", ordering="created_at")
    def age(self, session: Session) -> SafeString:
        return _ago(session.created_at)

    @admin.display(description="last active", ordering="last_active_at")
    def activity(self, session: Session) -> SafeString:
        return _ago(session.last_active_at)

    @admin.display(description="memory")
    def memory(self, session: Session) -> SafeString | None:
        return _live(session, "memory") if session.is_live else None

    @admin.display(description="files", ordering="bytes")
    def files(self, session: Any) -> SafeString | None:
        url = _rows_of("workbench_files_sessionfile", session__id__exact=session.pk)
        size = size_text(session.bytes)
        return format_html('<a href="{}">{}</a>', url, size) if session.bytes else None

    @admin.display(description="now")
    def now(self, session: Session) -> SafeString | None:
        return _live(session, "now") if session.is_live else None

    @admin.display(description="ends of its kernel")
    def ends(self, session: Session) -> SafeString | None:
        """When its kernels ended by themselves or with the server, and why: the last few."""
        said = session.events.filter(
            type=EventType.SESSION_STATE,
            data__state__in=[SessionState.DIED, SessionState.STOPPED, SessionState.LOST],
        ).order_by("-number")[:ENDS_SHOWN]
        lines = [(date_format(localtime(each.at), "DATETIME_FORMAT"), each) for each in said]
        shown = [(at, each.data["state"], each.data.get("reason", "")) for at, each in lines]
        return format_html_join(mark_safe("<br>"), "{}: {}. {}", shown) if shown else None

    @admin.display(description="see")
    def links(self, session: Session) -> SafeString:
        of_session = {"session__id__exact": session.pk}
        links = {
            "Executions": _rows_of("workbench_sessions_execution", **of_session),
            "Events": _rows_of("workbench_sessions_event", **of_session),
            "Cells": _rows_of("workbench_sessions_cell", **of_session),
            "Notebook": _rows_of("workbench_sessions_notebook", **of_session),
            "Files": _rows_of("workbench_files_sessionfile", **of_session),
            "Audit": _rows_of("workbench_sessions_auditentry", session_id__exact=session.pk),
            "Live page": f"/workbench/{session.pk}/",
        }
        return _links(links)

    @admin.action(description="Interrupt what runs", permissions=["operate"])
    def interrupt(self, request: HttpRequest, sessions: QuerySet[Session]) -> None:
        self._to_each(request, sessions, operations.interrupt, "interrupted")

    @admin.action(description="Restart kernel", permissions=["operate"])
    def restart(self, request: HttpRequest, sessions: QuerySet[Session]) -> None:
        self._to_each(request, sessions, operations.restart, "restarted")

    @admin.action(description="Close", permissions=["operate"])
    def close(self, request: HttpRequest, sessions: QuerySet[Session]) -> None:
        self._to_each(request, sessions, operations.close_session, "closed")

    def has_erase_permission(self, request: HttpRequest) -> bool:
        """Whether history may be deleted."""
        return request.user.has_perm("workbench_sessions.delete_session")

    @admin.action(description="Delete history", permissions=["erase"])
    def delete_history(
        self, request: HttpRequest, sessions: QuerySet[Session]
    ) -> HttpResponse | None:
        """Asks first; only what has ended can be deleted."""
        ended: list[Any] = [session for session in sessions if not session.is_live]
        for session in sessions:
            if session.is_live:
                text = f"{session.identifier} is live: close it, then delete its history."
                self.message_user(request, text, messages.ERROR)
        if not ended:
            return None
        if "confirmed" not in request.POST:
            about = {
                **self.admin_site.each_context(request),
                "title": "Delete history",
                "opts": self.model._meta,
                "ended": ended,
                "executions": sum(session.runs for session in ended),
            }
            return render(request, "admin/workbench_sessions/delete_history.html", about)
        pruned = retention.delete_history(session.id for session in ended)
        for session in ended:
            about = {"session_id": session.id, "identifier": session.identifier}
            audit.note(AuditAction.HISTORY_DELETED, **about)
        self.message_user(request, f"Deleted {pruned}.", messages.SUCCESS)
        return None

    def _to_each(
        self,
        request: HttpRequest,
        sessions: QuerySet[Session],
        verb: Callable[[SessionRef], Awaitable[None]],
        done: str,
    ) -> None:
        refs = [
            (session.identifier, SessionRef(owner_id=session.owner_id, identifier=str(session.pk)))
            for session in sessions
        ]
        count, problems = async_to_sync(_do_each)(refs, verb)
        if count:
            noun = "session" if count == 1 else "sessions"
            self.message_user(request, f"{count} {noun} {done}.", messages.SUCCESS)
        for problem in problems:
            self.message_user(request, problem, messages.ERROR)


@admin.register(Execution)
class ExecutionAdmin(ReadOnlyAdmin):
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
        return _line(execution.code)

    @admin.display(description="session", ordering="session__identifier")
    def session_link(self, execution: Execution) -> SafeString:
        return _link_to(execution.session)

    @admin.display(description="owner", empty_value="open door")
    def owner_name(self, execution: Execution) -> str | None:
        owner = execution.session.owner
        return owner.get_username() if owner else None

    @admin.display(description="took")
    def took(self, execution: Execution) -> str | None:
        return _took(execution.started_at, execution.finished_at)

    @admin.display(description="see")
    def links(self, execution: Execution) -> SafeString:
        events = _rows_of("workbench_sessions_event", execution__id__exact=execution.pk)
        audit = _rows_of("workbench_sessions_auditentry", execution_id__exact=execution.pk)
        page = f"/workbench/{execution.session_id}/"
        return _links({"Events": events, "Audit": audit, "Live page": page})

    @admin.display(description="code")
    def whole_code(self, execution: Execution) -> SafeString:
        return _text(execution.code)

    @admin.display(description="stdout")
    def stdout(self, execution: Any) -> SafeString | None:
        return _text(execution.outcome.stdout) if execution.outcome.stdout else None

    @admin.display(description="stderr")
    def stderr(self, execution: Any) -> SafeString | None:
        return _text(execution.outcome.stderr) if execution.outcome.stderr else None

    @admin.display(description="result")
    def result(self, execution: Any) -> SafeString | None:
        result = execution.outcome.result
        return _text(result.get("text/plain", ", ".join(result))) if result else None

    @admin.display(description="error")
    def error(self, execution: Any) -> SafeString | None:
        error = execution.outcome.error
        if not error:
            return None
        return _text("\n".join(error["traceback"]) or f"{error['ename']}: {error['evalue']}")


@admin.register(Quota)
class QuotaAdmin(ModelAdmin):
    """What single accounts may use; the host hears of it within some seconds."""

    list_display = (
        "account",
        "live_sessions",
        "live_executions",
        "storage",
        "seconds",
        "output",
    )
    list_select_related = ("account",)
    search_fields = ("account__username",)
    autocomplete_fields = ("account",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Whose it is stays: another account's is another row."""
        return ("account",) if obj else ()

    @admin.display(description="sessions", ordering="sessions")
    def live_sessions(self, quota: Quota) -> str:
        return _granted(quota.sessions)

    @admin.display(description="executions", ordering="executions")
    def live_executions(self, quota: Quota) -> str:
        return _granted(quota.executions)

    @admin.display(description="storage", ordering="storage_bytes")
    def storage(self, quota: Quota) -> str:
        return _granted(quota.storage_bytes, size_text)

    @admin.display(description="seconds a day", ordering="execution_seconds")
    def seconds(self, quota: Quota) -> str:
        return _granted(quota.execution_seconds)

    @admin.display(description="output a day", ordering="output_bytes")
    def output(self, quota: Quota) -> str:
        return _granted(quota.output_bytes, size_text)


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    """The log. No date hierarchy: it would read the whole of it for each page."""

    list_display = ("number", "type", "session_link", "execution_link", "at", "data_line")
    list_filter = ("type", "session__origin", ("session__owner", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("session", "execution")
    search_fields = ("session__identifier", "=session__id", "=execution__id")
    search_help_text = "An identifier or id of a session, or an id of an execution"
    ordering = ("-id",)
    fields = ("number", "type", "at", "session_link", "execution_link", "whole_data")
    readonly_fields = ("session_link", "execution_link", "whole_data")

    @admin.display(description="session", ordering="session__identifier")
    def session_link(self, event: Event) -> SafeString:
        return _link_to(event.session)

    @admin.display(description="execution")
    def execution_link(self, event: Event) -> SafeString | None:
        if event.execution is None:
            return None
        url = reverse("admin:workbench_sessions_execution_change", args=[event.execution.pk])
        return format_html('<a href="{}">{}</a>', url, _line(event.execution.code))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Event]:
        # A page of the list must not read fifty pictures: only how each event's data begins.
        beginning = Left(Cast("data", TextField()), 2 * LINE_SHOWN + 1)
        events: QuerySet[Event] = super().get_queryset(request)
        return events.annotate(beginning=beginning).defer("data")

    @admin.display(description="data")
    def data_line(self, event: Any) -> SafeString:
        return _line(event.beginning)

    @admin.display(description="data")
    def whole_data(self, event: Event) -> SafeString:
        return _text(json.dumps(event.data, indent=2, ensure_ascii=False))


@admin.register(Notebook)
class NotebookAdmin(ReadOnlyAdmin):
    """Notebooks, once somebody has written in them."""

    list_display = ("session_link", "version", "cell_count")
    list_filter = (("session__owner", admin.RelatedOnlyFieldListFilter),)
    list_select_related = ("session",)
    search_fields = ("session__identifier", "=session__id")
    search_help_text = "An identifier or id of a session"
    ordering = ("-session__last_active_at",)
    fields = ("session_link", "links", "version", "cell_count", "whole_metadata")
    readonly_fields = ("session_link", "links", "cell_count", "whole_metadata")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Notebook]:
        notebooks: QuerySet[Notebook] = super().get_queryset(request)
        kept = Count("session__cells", filter=Q(session__cells__is_deleted=False))
        return notebooks.annotate(cells=kept)

    @admin.display(description="session", ordering="session__identifier")
    def session_link(self, notebook: Notebook) -> SafeString:
        return _link_to(notebook.session)

    @admin.display(description="cells", ordering="cells")
    def cell_count(self, notebook: Any) -> int:
        count: int = notebook.cells
        return count

    @admin.display(description="see")
    def links(self, notebook: Notebook) -> SafeString:
        url = _rows_of("workbench_sessions_cell", session__id__exact=notebook.pk)
        return _links({"Cells": url, "Live page": f"/workbench/{notebook.pk}/"})

    @admin.display(description="metadata")
    def whole_metadata(self, notebook: Notebook) -> SafeString:
        return _text(json.dumps(notebook.metadata, indent=2, ensure_ascii=False))


@admin.register(Cell)
class CellAdmin(ReadOnlyAdmin):
    """Cells that people wrote, deleted ones too; those that executions make have no row."""

    list_display = ("source_line", "kind", "session_link", "version", "is_deleted", "size_bytes")
    list_filter = (
        "kind",
        "is_deleted",
        ("session__owner", admin.RelatedOnlyFieldListFilter),
    )
    list_select_related = ("session",)
    search_fields = ("source", "=key", "session__identifier", "=session__id")
    search_help_text = "Text, a cell's id, or an identifier or id of a session"
    ordering = ("session", "position")
    fields = (
        "key",
        "session_link",
        "links",
        "kind",
        "whole_source",
        "position",
        "version",
        "source_version",
        "is_deleted",
        "size_bytes",
        "whole_metadata",
        "whole_outputs",
    )
    readonly_fields = ("session_link", "links", "whole_source", "whole_metadata", "whole_outputs")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Cell]:
        # As with events: a page of the list must not read every text and picture.
        cells: QuerySet[Cell] = super().get_queryset(request)
        beginning = Left("source", 2 * LINE_SHOWN + 1)
        return cells.annotate(beginning=beginning).defer("source", "outputs", "metadata")

    @admin.display(description="source", ordering="source")
    def source_line(self, cell: Any) -> SafeString:
        return _line(cell.beginning)

    @admin.display(description="session", ordering="session__identifier")
    def session_link(self, cell: Cell) -> SafeString:
        return _link_to(cell.session)

    @admin.display(description="see")
    def links(self, cell: Cell) -> SafeString:
        ran = {"session__id__exact": cell.session_id, "cell__exact": cell.key}
        executions = _rows_of("workbench_sessions_execution", **ran)
        return _links({"Executions": executions, "Live page": f"/workbench/{cell.session_id}/"})

    @admin.display(description="source")
    def whole_source(self, cell: Cell) -> SafeString:
        return _text(cell.source)

    @admin.display(description="metadata")
    def whole_metadata(self, cell: Cell) -> SafeString:
        return _text(json.dumps(cell.metadata, indent=2, ensure_ascii=False))

    @admin.display(description="outputs it came with")
    def whole_outputs(self, cell: Cell) -> SafeString:
        return _text(json.dumps(cell.outputs, indent=2, ensure_ascii=False))


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
        return _line(entry.what) if entry.what else ""

    @admin.display(description="what")
    def whole_text(self, entry: AuditEntry) -> SafeString:
        return _text(entry.what)

    @admin.display(description="session")
    def session_link(self, entry: AuditEntry) -> SafeString | None:
        session = Session.objects.filter(id=entry.session_id).first() if entry.session_id else None
        return _link_to(session) if session else _gone(entry.session_id)

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


async def _do_each(
    refs: list[tuple[str, SessionRef]], verb: Callable[[SessionRef], Awaitable[None]]
) -> tuple[int, list[str]]:
    """Do the verb to each session: how many it was done to, and what went wrong in sentences."""
    count = 0
    problems: list[str] = []
    for identifier, ref in refs:
        try:
            await verb(ref)
        except HostUnavailable as error:
            return count, [*problems, error.message]  # nor would it for the others
        except WorkbenchError as error:
            problems.append(f"{identifier}: {error.message}")
        else:
            count += 1
    return count, problems


def _granted(value: int | None, shown: Callable[[int], str] = "{:,}".format) -> str:
    """What a quota says, in words."""
    if value is None:
        return "as the server says"
    return shown(value) if value else "no limit"


def _rows_of(model: str, **lookups: Any) -> str:
    """The address of a model's list, filtered; empty if the model has no admin."""
    try:
        return reverse(f"admin:{model}_changelist", query=lookups)
    except NoReverseMatch:
        return ""


def _link_to(session: Session) -> SafeString:
    url = reverse("admin:workbench_sessions_session_change", args=[session.pk])
    return format_html('<a href="{}">{}</a>', url, session.identifier)


def _live(session: Session, what: str) -> SafeString:
    """A place for what static/workbench/js/admin.js fills in."""
    return format_html("<span {}>…</span>", _marked(session, what))


def _marked(session: Session, what: str) -> SafeString:
    return format_html('data-live="{}" data-session="{}"', what, session.pk)


def _links(urls: dict[str, str]) -> SafeString:
    shown = [format_html('<a href="{}">{}</a>', url, name) for name, url in urls.items() if url]
    return format_html(" · ".join(["{}"] * len(shown)), *shown)


def _line(text: str) -> SafeString:
    """The beginning of a text, for a list."""
    line = " ".join(text[: 2 * LINE_SHOWN].split())
    cut = line[:LINE_SHOWN] + "…" if len(line) > LINE_SHOWN or len(text) > 2 * LINE_SHOWN else line
    return format_html('<span class="workbench-line">{}</span>', cut or "(empty)")


def _text(text: Any) -> SafeString:
    """A text as it is, without its colours; says so if it is cut."""
    plain = _SGR.sub("", text if isinstance(text, str) else str(text))
    if len(plain) > TEXT_SHOWN:
        plain = f"{plain[:TEXT_SHOWN]}\n… {len(plain) - TEXT_SHOWN:,} more characters"
    return format_html('<pre class="workbench-code">{}</pre>', plain)


def _ago(at: datetime) -> SafeString:
    whole = date_format(localtime(at), "DATETIME_FORMAT")
    return format_html('<span title="{}">{} ago</span>', whole, span_text(at, now()))


def _took(start: datetime | None, end: datetime | None) -> str | None:
    return span_text(start, end) if start and end else None
