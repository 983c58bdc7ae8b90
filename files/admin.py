"""The files of sessions in Django admin: to look at. What is in them belongs to the sessions."""

from __future__ import annotations

from django.contrib import admin
from django.template.defaultfilters import filesizeformat

from files.models import SessionFile
from sessions.admin.base import ReadOnlyAdmin


@admin.register(SessionFile)
class SessionFileAdmin(ReadOnlyAdmin):
    """Which session holds what, how large, since when, and who brought it."""

    list_display = ("path", "session", "size", "modified_at", "brought_by")
    list_filter = ("origin", "is_directory", "modified_at")
    list_select_related = ("session",)
    search_fields = ("path", "session__identifier")
    search_help_text = "A part of the path, or of the session's identifier"
    date_hierarchy = "modified_at"
    ordering = ("-modified_at",)
    fields = (
        "path",
        "session",
        "size",
        "modified_at",
        "is_directory",
        "brought_by",
        "created_at",
    )
    readonly_fields = fields

    @admin.display(description="size", ordering="size_bytes")
    def size(self, file: SessionFile) -> str:
        return "" if file.is_directory else filesizeformat(file.size_bytes)

    @admin.display(description="origin", ordering="origin")
    def brought_by(self, file: SessionFile) -> str:
        return file.origin or "code"
