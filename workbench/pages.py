"""The pages: the list of sessions, and one session. What they show arrives by socket."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.http import require_safe

from sessions.models import Session
from sessions.overview import describe, list_overview
from workbench.access import owner_of

# 'self' in connect-src covers the sockets of the same origin. Code that runs here produces what
# it likes, so nothing inline is ever executed or applied.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "frame-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)

View = Callable[..., Coroutine[Any, Any, HttpResponse]]


def page(view: View) -> View:
    """Make a view answer with what every page has: its policy, and no copy kept anywhere."""

    @require_safe
    @wraps(view)
    async def with_headers(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        response = await view(request, **kwargs)
        response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        response.headers["Referrer-Policy"] = "same-origin"
        response.headers["Cache-Control"] = "no-store"
        return response

    return with_headers


@page
async def sessions_page(request: HttpRequest) -> HttpResponse:
    """The list of sessions."""
    sessions = await list_overview(await owner_of(request))
    executions_url = request.build_absolute_uri("/executions?api-version=2025-10-02-preview")
    context = {"sessions": sessions, "executions_url": executions_url}
    return render(request, "workbench/sessions.html", context)


@page
async def session_page(request: HttpRequest, identifier: str) -> HttpResponse:
    """One session, live or ended; ``identifier`` may also be its id."""
    mine = Session.objects.visible_to(await owner_of(request))
    session = await mine.named(identifier).afirst()
    if session is None:
        context = {"identifier": identifier}
        return render(request, "workbench/session_not_found.html", context, status=404)
    return render(request, "workbench/session.html", {"session": describe(session)})


urlpatterns = [
    path("workbench/", sessions_page, name="sessions"),
    path("workbench/<path:identifier>/", session_page, name="session"),
]
