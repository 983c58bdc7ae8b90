"""Django's handler of requests and its middleware, without a thread for every hook.

Under ASGI, Django sends each hook of its (synchronous) middleware through a thread: about a
dozen times per request, more than all else a small request costs. Some of them only look at
headers: those are called directly. The others are for people's pages: programs' requests, which
have no cookies, pass them by. Before and after its middleware, Django looks after a request's
database connections in a thread: here only if the request had one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from functools import lru_cache, partial
from typing import Any

from asgiref.sync import SyncToAsync, sync_to_async
from django.conf import settings
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.exceptions import RequestAborted, SuspiciousOperation
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.core.signals import request_finished, request_started
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.common import CommonMiddleware
from django.middleware.csrf import CsrfViewMiddleware
from django.middleware.security import SecurityMiddleware
from django.urls import ResolverMatch, get_resolver, set_script_prefix

from workbench.errors import bad_request
from workbench.measures import door_of
from workbench.observed import DOOR

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

# Addresses whose views are remembered. They are long at times: an address may have 16 KiB.
REMEMBERED_ADDRESSES = 256
# Below these live pages, with logins and forms.
PAGES = ("/account/", "/admin/", "/login/", "/logout/", "/workbench/")


def is_page(request: HttpRequest) -> bool:
    """Whether the request is for a page of ours, rather than through a program's door."""
    return request.path_info.startswith(PAGES)


class Handler(ASGIHandler):
    """Django's handler, on the event loop from start to end unless something needs a thread.

    What does (the ORM, above all) runs in one thread of the request's own, which is made when
    first needed. Connections to the database belong to that thread, so they are closed there;
    a request without a thread has none.
    """

    def __init__(self) -> None:
        super().__init__()
        # One of the loop's thread, of before the loop, could not be closed any more.
        connections.close_all()

    async def handle(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request. The view is cancelled if the client goes away before its answer."""
        try:
            body = await self.read_body(receive)
        except RequestAborted:
            return
        with body:
            set_script_prefix(get_script_prefix(scope))
            request_started.send(sender=type(self), scope=scope)
            end: Callable[[], object] = partial(request_finished.send, sender=type(self))
            work: Any = asyncio.current_task()
            watch = asyncio.create_task(_cancel_when_gone(work, receive))
            try:
                request, refusal = self.create_request(scope, body)
                response: Any = await self.run_get_response(request) if request else refusal
                end = response.close  # sends the signal as well
                await self.send_response(response, send)
            except asyncio.CancelledError:
                if not watch.done():
                    raise  # not for the client's sake: the server stops
            finally:
                watch.cancel()
                if _has_thread():
                    await sync_to_async(end)()
                else:
                    end()

    def create_request(  # type: ignore[override]  # Django's is untyped
        self, scope: Any, body_file: Any
    ) -> tuple[HttpRequest, None] | tuple[None, HttpResponse]:
        """The request, or the refusal of one whose label or query cannot be read.

        Django reads both that early, and would let most of their errors through to the server.
        """
        try:
            return self.request_class(scope, body_file), None
        except (ValueError, LookupError, SuspiciousOperation) as error:
            rest = [header for header in scope["headers"] if header[0] != b"content-type"]
            readable = {**scope, "headers": rest, "query_string": b""}
            return None, bad_request(self.request_class(readable, body_file), error)

    def resolve_request(self, request: HttpRequest) -> ResolverMatch:
        """Django's, with the latest addresses remembered: it tries some fifty patterns."""
        request.resolver_match = match = _resolve(request.path_info, settings.ROOT_URLCONF)
        request.scope[DOOR] = door_of(match, request)  # type: ignore[attr-defined]  # ASGIRequest's
        return match


async def _cancel_when_gone(work: asyncio.Task[Any], receive: Receive) -> None:
    await receive()  # the body has been read: all that can come is that the client has gone
    work.cancel()


def _has_thread() -> bool:
    """Whether anything of this request needed a thread."""
    context = SyncToAsync.thread_sensitive_context.get()
    return context in SyncToAsync.context_to_thread_executor


@lru_cache(REMEMBERED_ADDRESSES)
def _resolve(path: str, addresses: str) -> ResolverMatch:
    return get_resolver(addresses).resolve(path)


class Direct:
    """Mixin: call the hooks on the event loop. For middleware that does nothing but compute."""

    get_response: Any  # Django's: takes the request, to be awaited

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        before: Any = getattr(self, "process_request", None)
        after: Any = getattr(self, "process_response", None)
        response = before(request) if before else None
        response = response or await self.get_response(request)
        answer: HttpResponseBase = after(request, response) if after else response
        return answer


class PagesOnly:
    """Mixin: nothing happens to requests that are not for a page."""

    get_response: Any  # Django's: takes the request, to be awaited

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        if is_page(request):
            response: HttpResponseBase = await super().__acall__(request)  # type: ignore[misc]  # Django's
            return response
        passed: HttpResponseBase = await self.get_response(request)
        return passed


class Security(Direct, SecurityMiddleware):
    """Headers that tell browsers to be careful; also with answers to programs."""


class Common(Direct, CommonMiddleware):
    """Refuses requests for hosts that are not us (DNS rebinding), among others."""


class FrameOptions(Direct, XFrameOptionsMiddleware):
    """Nothing of ours may be shown in somebody's frame."""


class Sessions(PagesOnly, SessionMiddleware):
    """Browser sessions (not ours: see docs/design.md)."""


class Authentication(PagesOnly, AuthenticationMiddleware):
    """Who is logged in."""


class Messages(PagesOnly, MessageMiddleware):
    """Notes from one page to the next."""


class Csrf(PagesOnly, CsrfViewMiddleware):
    """Forms of our own pages only."""

    async def process_view(  # type: ignore[override]  # Django awaits it
        self, request: HttpRequest, view: Any, arguments: Any, keywords: Any
    ) -> HttpResponseBase | None:
        if not is_page(request):
            return None
        check = sync_to_async(super().process_view)
        refusal: HttpResponseBase | None = await check(request, view, arguments, keywords)
        return refusal
