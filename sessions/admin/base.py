"""What the pages of the admin share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from sessions.admin.words import COLOURS, link_to, marked
from sessions.models import Cell, Event, Execution, Notebook, Session

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin  # generic only in its stubs


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
            marked(row, "state") if isinstance(row, Session) else "",
            row.get_state_display(),
        )


class OfSession(ReadOnlyAdmin):
    """Rows that belong to a session."""

    @admin.display(description="session", ordering="session__identifier")
    def session_link(self, row: Execution | Event | Notebook | Cell) -> SafeString:
        return link_to(row.session)
