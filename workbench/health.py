"""For operators' programs: whether the process lives, whether code can be run, and numbers."""

from __future__ import annotations

import asyncio
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from prometheus_client import exposition

from sessions.engines import engine
from sessions.exceptions import HostUnavailable, WorkbenchError
from workbench.access.middleware import public
from workbench.measures import metrics

PATIENCE_SECONDS = 2.0  # for the host to say that it is there


@public
async def livez(request: HttpRequest) -> JsonResponse:
    """200 as long as the process answers at all; asks neither the database nor the host."""
    return JsonResponse({"status": "ok"})


@public
async def healthz(request: HttpRequest) -> JsonResponse:
    """200 once ready to run code; 503 with a sentence otherwise."""
    try:
        health = await _ask_host("health")
    except TimeoutError:
        return JsonResponse({"status": "the kernel host does not answer"}, status=503)
    except WorkbenchError as error:
        return JsonResponse({"status": error.message}, status=503)
    return JsonResponse({"status": "ok", **health})


async def measures(request: HttpRequest) -> HttpResponse:
    """What this process and the host measure; only this process while the host is away."""
    is_host_up, of_host = True, ""
    try:
        of_host = await _ask_host("metrics")
    except (TimeoutError, HostUnavailable):
        is_host_up = False
    except WorkbenchError:
        pass  # a host that was started before this version: it runs code all the same
    text = metrics.exposition(is_host_up=is_host_up) + of_host
    return HttpResponse(text, content_type=exposition.CONTENT_TYPE_PLAIN_0_0_4)


async def _ask_host(verb: str) -> Any:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await engine().call(verb)


urlpatterns = [
    path("livez", livez),
    path("healthz", healthz),
    path("metrics", measures),
]
