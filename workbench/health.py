"""Whether the server can run code."""

from __future__ import annotations

import asyncio

from django.http import HttpRequest, JsonResponse
from django.urls import path

from sessions.engines import engine
from sessions.exceptions import WorkbenchError

PATIENCE_SECONDS = 2.0  # for the host to say that it is there


async def healthz(request: HttpRequest) -> JsonResponse:
    """200 once ready to run code; 503 with a sentence otherwise."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            health = await engine().call("health")
    except TimeoutError:
        return JsonResponse({"status": "the kernel host does not answer"}, status=503)
    except WorkbenchError as error:
        return JsonResponse({"status": error.message}, status=503)
    return JsonResponse({"status": "ok", **health})


urlpatterns = [path("healthz", healthz)]
