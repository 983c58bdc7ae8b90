"""Keys and links in the admin: seen, made and revoked.

The page after making a key shows its secret once; a link's is shown where the session is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render

from workbench.access import keys, shares
from workbench.access.keys import TooManyKeys, make_key
from workbench.access.models import ApiKey, Scope, Share

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

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> tuple[str, ...]:
        """All; of a new one those that somebody chooses."""
        return self.fields if obj else ("owner", "label", "scope", "expires_at")

    def get_readonly_fields(
        self, request: HttpRequest, obj: ApiKey | None = None
    ) -> tuple[str, ...]:
        """What of a key stays as it was made."""
        return self.readonly_fields if obj else ()

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Make a key. There is no going on with the next one before its secret was read."""
        hidden = {"show_save_and_add_another": False, "show_save_and_continue": False}
        try:
            return super().add_view(request, form_url, {**hidden, **(extra_context or {})})
        except TooManyKeys as error:
            self.message_user(request, error.message, messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:  # noqa: FBT001  # Django's signature
        """Make the key, whose secrets ``response_add`` shows. Raises TooManyKeys."""
        if change:
            super().save_model(request, obj, form, change)
            return
        made = make_key(
            obj.owner, label=obj.label, scope=Scope(obj.scope), expires_at=obj.expires_at
        )
        obj.pk = made.key.pk
        # Not a message to the next page: those may travel in cookies.
        request.made_key = made  # type: ignore[attr-defined]  # read below

    def response_add(
        self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None
    ) -> HttpResponse:
        """The page with the secrets; it is kept nowhere, as all of the admin."""
        context = {
            **self.admin_site.each_context(request),
            "title": f"Key {obj}",
            "opts": self.opts,
            "made": request.made_key,  # type: ignore[attr-defined]  # from above
        }
        return render(request, "admin/workbench_access/apikey/made.html", context)

    @admin.action(description="Revoke the selected keys", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        """Keys that are revoked stay in the list, and let nobody in."""
        count = keys.revoke(queryset)
        messages.success(request, f"{count} revoked; good for two seconds more.")


@admin.register(Share)
class ShareAdmin(ModelAdmin):
    """Links to sessions, the newest first."""

    list_display = (
        "id",
        "session",
        "scope",
        "made_by",
        "created_at",
        "expires_at",
        "last_used_at",
        "revoked_at",
    )
    list_filter = ("scope", ("made_by", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("session", "made_by")
    search_fields = ("id", "session__identifier", "made_by__username")
    fields = list_display
    readonly_fields = (
        "id",
        "session",
        "scope",
        "made_by",
        "created_at",
        "last_used_at",
        "revoked_at",
    )
    actions = ("revoke",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """In the session: its text must be shown to who makes it."""
        return False

    @admin.action(description="Revoke the selected links", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[Share]) -> None:
        """Links that are revoked stay in the list, and let nobody in."""
        count = shares.revoke(queryset)
        messages.success(request, f"{count} revoked; who came by them is out within ten seconds.")
