"""The quotas of single accounts in the admin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from sessions.admin.base import ModelAdmin
from sessions.kernels.limits import size_text
from sessions.models import Quota


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


def _granted(value: int | None, shown: Callable[[int], str] = "{:,}".format) -> str:
    """What a quota says, in words."""
    if value is None:
        return "as the server says"
    return shown(value) if value else "no limit"
