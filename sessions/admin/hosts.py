"""Kernel hosts in the admin: where sessions run, and taking a host out of service."""

from __future__ import annotations

from typing import Any

from asgiref.sync import async_to_sync
from django.contrib import admin, messages
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from sessions import fleet
from sessions.admin.base import ReadOnlyAdmin
from sessions.admin.words import COLOURS, ago_text, rows_of
from sessions.exceptions import WorkbenchError
from sessions.models import Host, Session


@admin.register(Host)
class HostAdmin(ReadOnlyAdmin):
    """Hosts, and having them drained."""

    list_display = (
        "name_and_address",
        "host_state",
        "live_sessions",
        "slots",
        "shown_gpus",
        "shown_labels",
        "started",
    )
    list_filter = ("state", "is_draining")
    search_fields = ("name", "address", "node")
    ordering = ("name",)
    actions = ("drain", "resume")
    fields = (
        "name",
        "host_state",
        "live_sessions",
        "slots",
        "gpus",
        "labels",
        "node",
        "address",
        "started_at",
        "ended_at",
    )
    readonly_fields = ("host_state", "live_sessions")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Host]:
        hosts: QuerySet[Host] = super().get_queryset(request)
        there = Session.objects.live().filter(host=OuterRef("name")).order_by().values("host")
        return hosts.annotate(live=Coalesce(Subquery(there.annotate(n=Count("pk")).values("n")), 0))

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Whether the actions are offered; the module's docstring says to whom."""
        return request.user.has_perm("workbench_sessions.change_host")

    @admin.display(description="host", ordering="name")
    def name_and_address(self, host: Host) -> SafeString:
        return format_html('{}<div class="workbench-reason">{}</div>', host.name, host.address)

    @admin.display(description="state", ordering="state")
    def host_state(self, host: Host) -> SafeString:
        state = f"{host.get_state_display()}{', draining' if host.is_draining else ''}"
        return format_html('<span class="workbench-state {}">{}</span>', COLOURS[host.state], state)

    @admin.display(description="live sessions", ordering="live")
    def live_sessions(self, host: Any) -> SafeString:
        url = rows_of("workbench_sessions_session", host__exact=host.name, live="yes")
        return format_html('<a href="{}">{}</a>', url, host.live)

    @admin.display(description="GPUs", ordering="gpus")
    def shown_gpus(self, host: Host) -> int | None:
        return host.gpus or None

    @admin.display(description="labels")
    def shown_labels(self, host: Host) -> str:
        return ", ".join(f"{name}={value}" for name, value in sorted(host.labels.items()))

    @admin.display(description="started", ordering="started_at")
    def started(self, host: Host) -> SafeString:
        return ago_text(host.started_at)

    @admin.action(description="Drain: open no sessions any more", permissions=["operate"])
    def drain(self, request: HttpRequest, hosts: QuerySet[Host]) -> None:
        self._to_each(request, hosts, is_draining=True)

    @admin.action(description="Open sessions again", permissions=["operate"])
    def resume(self, request: HttpRequest, hosts: QuerySet[Host]) -> None:
        self._to_each(request, hosts, is_draining=False)

    def _to_each(self, request: HttpRequest, hosts: QuerySet[Host], *, is_draining: bool) -> None:
        for host in hosts:
            try:
                async_to_sync(fleet.drain_host)(host.name, is_draining=is_draining)
            except WorkbenchError as error:
                self.message_user(request, error.message, messages.ERROR)
            else:
                done = "opens no sessions any more" if is_draining else "opens sessions again"
                self.message_user(request, f"The host {host.name} {done}.", messages.SUCCESS)
