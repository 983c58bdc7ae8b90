"""The table of contents of HTTP."""

from typing import Any
from urllib.parse import unquote_plus

from asgiref.sync import markcoroutinefunction
from django.contrib import admin
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import include, path

from workbench.dialects.azure.sessions import SessionView
from workbench.dialects.backendai.urls import create_session

# Azure's clients are given the address of a pool as often as that of the server.
POOL = (
    "subscriptions/<str:subscription>/resourceGroups/<str:resource_group>/sessionPools/<str:pool>/"
)

AZURE_PARAMETERS = frozenset({"api-version", "identifier"})

describe_session = SessionView.as_view()


class SharedAddress:
    """An address of two contracts: Azure describes and ends sessions, Backend.AI creates them.

    Azure has no POST here, and refuses one that has its parameters.
    """

    def __init__(self) -> None:
        markcoroutinefunction(self)  # so Django calls it on the event loop

    def view_for(self, request: HttpRequest) -> Any:
        """The view that answers, whatever the request: also one that is refused before it."""
        # Not request.GET, which fails on a query of too many parameters.
        items = request.META["QUERY_STRING"].split("&")
        names = {unquote_plus(item.partition("=")[0]) for item in items}
        is_azure = request.method != "POST" or names & AZURE_PARAMETERS
        return describe_session if is_azure else create_session

    async def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response: HttpResponseBase = await self.view_for(request)(request)
        return response


urlpatterns = [
    path("admin/", admin.site.urls),
    path("", include("workbench.health")),
    path("", include("workbench.access.pages")),
    path("", include("workbench.pages")),
    path("api/v1/", include("workbench.api.urls")),
    # Before Azure's files/…, which would take files/upload/-/… for a file's name.
    path("", include("workbench.dialects.sandbox")),
    path("", include("workbench.dialects.rce")),
    path("", include("workbench.dialects.backendai.urls")),
    path("session", SharedAddress()),
    path("", include("workbench.dialects.azure.urls")),
    path(POOL, include("workbench.dialects.azure.urls")),
]

handler400 = "workbench.errors.bad_request"
handler403 = "workbench.errors.permission_denied"
handler404 = "workbench.errors.not_found"
handler500 = "workbench.errors.server_error"
