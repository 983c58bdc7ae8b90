"""The addresses below ``/api/v1/``.

An identifier may contain slashes: Azure's do. Django takes the first address that fits.
"""

from __future__ import annotations

from typing import Any

from django.http import Http404
from django.urls import URLPattern, URLResolver, re_path
from rest_framework.request import Request

from workbench.api import (
    cells,
    events,
    executions,
    files,
    keys,
    notebook,
    reference,
    sessions,
    shares,
    usage,
)
from workbench.api.base import ApiView


class NothingView(ApiView):
    """Every other address: there is nothing, which is said as all errors here are."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Raise Http404, whatever is asked."""
        raise Http404


urlpatterns: list[URLPattern | URLResolver] = [
    *files.urlpatterns,
    *notebook.urlpatterns,
    *cells.urlpatterns,
    *executions.urlpatterns,
    *events.urlpatterns,
    *shares.urlpatterns,
    *sessions.urlpatterns,
    *keys.urlpatterns,
    *reference.urlpatterns,
    *usage.urlpatterns,
    re_path("", NothingView.as_view()),
]
