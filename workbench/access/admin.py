"""Keys in the admin: seen, revoked, and made by the command, whose answer shows the secret once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from workbench.access import keys
from workbench.access.models import ApiKey

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin  # generic only in its stubs


@admin.register(ApiKey)
class ApiKeyAdmin(ModelAdmin):
    """Keys, the newest first."""

    list_display = (
        "key_id",
        "label",
        "owner",
        "scope",
        "created_at",
        "expires_at",
        "last_used_at",
        "revoked_at",
    )
    list_filter = ("scope", ("owner", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("owner",)
    search_fields = ("key_id", "label", "owner__username")
    fields = (
        "key_id",
        "owner",
        "label",
        "scope",
        "created_at",
        "expires_at",
        "last_used_at",
        "revoked_at",
    )
    readonly_fields = ("key_id", "owner", "scope", "created_at", "last_used_at", "revoked_at")
    actions = ("revoke",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """By the command: its secret must be shown to whom it is for."""
        return False

    @admin.action(description="Revoke the selected keys", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        """Keys that are revoked stay in the list, and let nobody in."""
        count = keys.revoke(queryset)
        messages.success(request, f"{count} revoked; good for two seconds more.")
