"""What the native API says of itself: ``limits``, ``schema/``, and a page, ``docs/``."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path
from rest_framework.request import Request

from sessions.kernels.executions import MAX_QUEUED, MAX_TIMEOUT_SECONDS
from workbench.api import shapes
from workbench.api.base import ApiView, read_choice
from workbench.api.executions import MAX_WAIT_SECONDS
from workbench.api.operation import JSON, Answer, Parameter, operation
from workbench.dialects.base import json_response
from workbench.pages import page

YAML = "application/yaml"
FORMAT = Parameter(
    name="format", about="Without it, the header `Accept` decides.", choices=("json", "yaml")
)
# By what a client accepts.
_FORMATS = {
    JSON: "json",
    YAML: "yaml",
    "application/openapi+json": "json",
    "application/openapi+yaml": "yaml",
    "application/vnd.oai.openapi+json": "json",
    "application/vnd.oai.openapi": "yaml",
    "application/x-yaml": "yaml",
    "text/yaml": "yaml",
}


class SchemaView(ApiView):
    """``GET schema/``."""

    tag = "Schema"

    @operation(
        "read_schema",
        query=[FORMAT],
        answers={
            HTTPStatus.OK: Answer(
                about="An OpenAPI document, in JSON or YAML.",
                shape=shapes.OPENAPI,
                content_types=(JSON, YAML),
            )
        },
    )
    async def get(self, request: Request) -> HttpResponse:
        """Read this schema.

        In OpenAPI 3.1.
        """
        asked = FORMAT.name in request.query_params
        wanted = read_choice(request, FORMAT) if asked else _accepted(request._request)
        # Made when first asked for, which takes its time; so does importing what makes it.
        content = await asyncio.to_thread(_document, wanted)
        headers = {"Vary": "Accept", "Cache-Control": "no-cache"}
        return HttpResponse(
            content, content_type=YAML if wanted == "yaml" else JSON, headers=headers
        )


class LimitsView(ApiView):
    """``GET limits``."""

    tag = "Sessions"

    @operation(
        "read_limits",
        answers={HTTPStatus.OK: Answer(about="All of them.", shape=shapes.ServerLimits)},
    )
    async def get(self, request: Request) -> HttpResponse:
        """Read what applies on this server.

        How much there may be of what, how large, and for how long; the operator sets most of it.
        """
        return json_response(
            {
                "sessions": {
                    "live": settings.WORKBENCH_MAX_SESSIONS,
                    "idle_seconds": settings.WORKBENCH_IDLE_TIMEOUT_SECONDS or None,
                    "history_days": settings.WORKBENCH_HISTORY_DAYS or None,
                    "network": shapes.networks(),
                    "uses": settings.WORKBENCH_SESSION_LIMITS.to_wire(),
                },
                "executions": {
                    "waiting": MAX_QUEUED,
                    "timeout_seconds": MAX_TIMEOUT_SECONDS,
                    "output_bytes": settings.WORKBENCH_MAX_OUTPUT_BYTES,
                    "wait_seconds": MAX_WAIT_SECONDS,
                },
                "transfers": {
                    "upload_bytes": settings.WORKBENCH_MAX_UPLOAD_BYTES,
                    "json_bytes": settings.DATA_UPLOAD_MAX_MEMORY_SIZE,
                },
            }
        )


@page
async def docs_page(request: HttpRequest, **where: Any) -> HttpResponse:
    """The schema, to be read and tried by people."""
    return render(request, "workbench/api_docs.html")


def _accepted(request: HttpRequest) -> str:
    """The format a client likes best; JSON if it says nothing of any."""
    return _FORMATS.get(request.get_preferred_type(list(_FORMATS)) or JSON, "json")


def _document(wanted: str) -> bytes:
    from workbench.api import schema

    return schema.as_yaml() if wanted == "yaml" else schema.as_json()


urlpatterns: list[URLPattern] = [
    path("limits", LimitsView.as_view()),
    path("schema/", SchemaView.as_view(), name="api-schema"),
    path("docs/", docs_page, name="api-docs"),
]
