"""The table of contents of HTTP."""

from django.contrib import admin
from django.urls import include, path

# Azure's clients are given the address of a pool as often as that of the server.
POOL = (
    "subscriptions/<str:subscription>/resourceGroups/<str:resource_group>/sessionPools/<str:pool>/"
)

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", include("workbench.health")),
    path("", include("workbench.pages")),
    path("", include("workbench.dialects.azure.urls")),
    path(POOL, include("workbench.dialects.azure.urls")),
]

handler400 = "workbench.errors.bad_request"
handler403 = "workbench.errors.permission_denied"
handler404 = "workbench.errors.not_found"
handler500 = "workbench.errors.server_error"
