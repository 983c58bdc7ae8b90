"""What the caller has used, and may: ``GET /api/v1/usage``."""

from __future__ import annotations

from http import HTTPStatus

from django.http import HttpResponse
from django.urls import URLPattern, path
from rest_framework.request import Request

from sessions import operations
from sessions.exceptions import HostUnavailable
from workbench.access.callers import owner_of
from workbench.api import shapes
from workbench.api.base import ApiView
from workbench.api.operation import Answer, operation
from workbench.dialects.base import json_response


class UsageView(ApiView):
    """``GET usage``."""

    tag = "Sessions"

    @operation(
        "read_usage",
        answers={HTTPStatus.OK: Answer(about="All quotas.", shape=shapes.Usage)},
        failures=[HostUnavailable],
    )
    async def get(self, request: Request) -> HttpResponse:
        """Read what you have used, and may use.

        All your sessions together, whichever door they came through.
        """
        return json_response(await operations.usage(await owner_of(request._request)))


urlpatterns: list[URLPattern] = [path("usage", UsageView.as_view())]
