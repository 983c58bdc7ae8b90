"""Django's middleware, without a thread for every hook.

Under ASGI, Django sends each hook of its (synchronous) middleware through a thread: about a
dozen times per request, more than all else a small request costs. Some of them only look at
headers: those are called directly. The others are for people's pages: programs' requests, which
have no cookies, pass them by.
"""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.common import CommonMiddleware
from django.middleware.csrf import CsrfViewMiddleware
from django.middleware.security import SecurityMiddleware

# Below these live pages, with logins and forms.
PAGES = ("/admin/", "/workbench/")


def is_page(request: HttpRequest) -> bool:
    """Whether the request is for a page of ours, rather than through a program's door."""
    return request.path_info.startswith(PAGES)


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
