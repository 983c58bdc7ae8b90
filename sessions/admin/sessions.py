"""Sessions in the admin: what runs, whose, since when, how big, and why it died."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import async_to_sync
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, OuterRef, QuerySet, Subquery, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.timezone import localtime

from sessions import audit, operations, retention
from sessions.admin.base import ReadOnlyAdmin
from sessions.admin.live import live
from sessions.admin.words import (
    ago_text,
    links_to,
    live_place,
    rows_of,
)
from sessions.exceptions import HostUnavailable, WorkbenchError
from sessions.kernels.limits import size_text
from sessions.models import Session
from sessions.operations import SessionRef
from sessions.states import (
    AuditAction,
    EventType,
    SessionState,
)

ENDS_SHOWN = 10


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
        url = rows_of("workbench_sessions_execution", session__id__exact=session.pk)
        return format_html('<a href="{}">{}</a>', url, session.runs)

    @admin.display(description="state", ordering="state")
    def state_and_reason(self, session: Session) -> SafeString:
        state, reason = self.coloured_state(session), session.reason
        return format_html('{}<div class="workbench-reason">{}</div>', state, reason)

    @admin.display(description="opened", ordering="created_at")
    def age(self, session: Session) -> SafeString:
        return ago_text(session.created_at)

    @admin.display(description="last active", ordering="last_active_at")
    def activity(self, session: Session) -> SafeString:
        return ago_text(session.last_active_at)

    @admin.display(description="memory")
    def memory(self, session: Session) -> SafeString | None:
        return live_place(session, "memory") if session.is_live else None

    @admin.display(description="files", ordering="bytes")
    def files(self, session: Any) -> SafeString | None:
        url = rows_of("workbench_files_sessionfile", session__id__exact=session.pk)
        size = size_text(session.bytes)
        return format_html('<a href="{}">{}</a>', url, size) if session.bytes else None

    @admin.display(description="now")
    def now(self, session: Session) -> SafeString | None:
        return live_place(session, "now") if session.is_live else None

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
            "Executions": rows_of("workbench_sessions_execution", **of_session),
            "Events": rows_of("workbench_sessions_event", **of_session),
            "Cells": rows_of("workbench_sessions_cell", **of_session),
            "Notebook": rows_of("workbench_sessions_notebook", **of_session),
            "Files": rows_of("workbench_files_sessionfile", **of_session),
            "Audit": rows_of("workbench_sessions_auditentry", session_id__exact=session.pk),
            "Live page": f"/workbench/{session.pk}/",
        }
        return links_to(links)

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
