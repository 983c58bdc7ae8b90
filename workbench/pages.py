"""The pages: the list of sessions, one session, one's account. What happens arrives by socket.

And the frame in which outputs run whose scripts are not ours: a page inside a page, of no origin.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.middleware.gzip import GZipMiddleware
from django.shortcuts import render
from django.templatetags.static import static
from django.urls import path
from django.views.decorators.http import require_safe

from sessions.exceptions import HostUnavailable
from sessions.models import Session
from sessions.operations import kernelspecs
from sessions.overview import describe, list_overview
from workbench.access.callers import caller_of, is_open, owner_of
from workbench.access.middleware import for_guests

View = Callable[..., Coroutine[Any, Any, HttpResponse]]

# Where in request.META the templates find the nonce of this response's own style sheets.
STYLE_NONCE = "STYLE_NONCE"
# As the iframe's own attribute (static/workbench/js/outputs/isolated.js). No allow-same-origin.
FRAME_PERMISSIONS = "allow-scripts allow-popups allow-popups-to-escape-sandbox allow-downloads"


def page_policy(style_nonce: str) -> str:
    """What a page may load. 'self' in connect-src covers the sockets of the same origin.

    Code that runs here produces what it likes, so nothing inline is ever executed, and applied
    only if it carries the nonce: the editor's own style sheet does.
    """
    return "; ".join(
        (
            "default-src 'self'",
            "script-src 'self'",
            f"style-src 'self' 'nonce-{style_nonce}'",
            "img-src 'self' data: blob:",
            "connect-src 'self'",
            "frame-src 'self'",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    )


def frame_policy(static_files: str) -> str:
    """What an output's scripts may do: everything to their own document, nothing to ours.

    The sandbox takes the document's origin away, also when it is opened by itself. Of this
    server it may only use ``static_files``, an address ending in a slash; of others, what
    WORKBENCH_OUTPUT_SOURCES allows.
    """
    others = " ".join(settings.WORKBENCH_OUTPUT_SOURCES)
    sources = f"data: blob: {others}"
    return "; ".join(
        (
            f"sandbox {FRAME_PERMISSIONS}",
            "default-src 'none'",
            # Vega and Plotly compile what they draw.
            f"script-src {static_files} 'unsafe-inline' 'unsafe-eval' blob: {others}",
            f"style-src {static_files} 'unsafe-inline' blob: {others}",
            f"img-src {static_files} {sources}",
            f"font-src {static_files} {sources}",
            f"media-src {sources}",
            f"connect-src {sources}",
            f"frame-src {sources}",
            f"worker-src blob: {others}",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'self'",
        )
    )


def page(view: View) -> View:
    """Make a view answer with what every page has: its policy, and no copy kept anywhere.

    Compressed, which Django does with some random bytes more: its length tells nothing.
    """
    compression = GZipMiddleware(lambda request: HttpResponse())

    @require_safe
    @wraps(view)
    async def with_headers(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        nonce = secrets.token_urlsafe(16)
        request.META[STYLE_NONCE] = nonce
        response = await view(request, **kwargs)
        response.headers["Content-Security-Policy"] = page_policy(nonce)
        response.headers["Referrer-Policy"] = "same-origin"
        response.headers["Cache-Control"] = "no-store"
        compression.process_response(request, response)  # in place
        return response

    return with_headers


@page
async def sessions_page(request: HttpRequest) -> HttpResponse:
    """The list of sessions."""
    sessions = await list_overview(await owner_of(request))
    executions_url = request.build_absolute_uri("/executions?api-version=2025-10-02-preview")
    context = {"sessions": sessions, "executions_url": executions_url}
    return render(request, "workbench/sessions.html", context)


@for_guests
@page
async def session_page(request: HttpRequest, identifier: str) -> HttpResponse:
    """One session, live or ended; ``identifier`` may also be its id."""
    caller = caller_of(request)
    session = await Session.objects.reached_by(caller, identifier).afirst()
    if session is None:
        context = {"identifier": identifier}
        return render(request, "workbench/session_not_found.html", context, status=404)
    shown = {
        **describe(session),
        "language": await _language(session.kernel_name),
        "may_run": caller.may_run_in(session),
        "is_mine": caller.owns(session),
        "is_open": is_open(),
    }
    return render(request, "workbench/session.html", {"session": shown})


@page
async def account_page(request: HttpRequest) -> HttpResponse:
    """Who is logged in, and their keys; at an open server, what there is instead."""
    return render(request, "workbench/account.html", {"is_open": is_open()})


async def _language(kernel_name: str) -> str:
    """What a kernel's code is written in, such as "python"; empty if that is not known."""
    try:
        specs = await kernelspecs()
    except HostUnavailable:
        return ""
    return next((spec["language"] for spec in specs if spec["name"] == kernel_name), "")


@for_guests
@require_safe
async def output_frame(request: HttpRequest) -> HttpResponse:
    """The empty document in which one output runs; the page that holds it says what to show."""
    response = render(request, "workbench/frame.html")
    static_files = request.build_absolute_uri(static(""))
    response.headers["Content-Security-Policy"] = frame_policy(static_files)
    response.headers["X-Frame-Options"] = "SAMEORIGIN"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cache-Control"] = "private, max-age=300"  # one is loaded for every output
    # A sandboxed document may not ask for a browsing context of its own.
    response.headers["Cross-Origin-Opener-Policy"] = "unsafe-none"
    return response


urlpatterns = [
    path("account/", account_page, name="account"),
    path("workbench/", sessions_page, name="sessions"),
    # Before the sessions: one named "frame" is reached by its id.
    path("output-frame/", output_frame, name="frame"),
    path("workbench/<path:identifier>/", session_page, name="session"),
]
