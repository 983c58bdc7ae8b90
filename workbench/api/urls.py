"""The addresses below ``/api/v1/``.

An identifier may contain slashes: Azure's do. Django takes the first address that fits.
"""

from __future__ import annotations

from django.urls import URLPattern, URLResolver

from workbench.api import files, notebook, sessions

urlpatterns: list[URLPattern | URLResolver] = [
    *files.urlpatterns,
    *notebook.urlpatterns,
    *sessions.urlpatterns,
]
