"""Logging in, and out, and coming in by a link."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.contrib import admin
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView, LogoutView
from django.core.exceptions import ValidationError
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path

from workbench.access import shares
from workbench.access.callers import is_open
from workbench.access.failures import Failures
from workbench.access.middleware import public
from workbench.access.models import Share
from workbench.environment import is_loopback
from workbench.errors import refuse
from workbench.pages import page

TOO_MANY = "Too many wrong passwords. Try again in a few minutes."
_failures = Failures(most=10, seconds=300.0)


class Slow(AuthenticationForm):
    """Mixin: not too many wrong passwords for one name, or from one address."""

    def clean(self) -> dict[str, Any]:
        """Raise ValidationError if they are wrong, or too many were."""
        counted = self._counted()
        if any(map(_failures.is_too_many, counted)):
            raise ValidationError(TOO_MANY, code="too_many_failures")
        try:
            cleaned: dict[str, Any] = super().clean()
        except ValidationError:
            for name in counted:
                _failures.add(name)
            raise
        # Not those of the address: who has an account here would guess others' for ever.
        _failures.forget(counted[0])
        return cleaned

    def _counted(self) -> list[str]:
        assert self.request is not None
        address = self.request.META.get("REMOTE_ADDR", "")
        counted = [f"for {self.cleaned_data.get('username', '').casefold()}"]
        # Behind a proxy everybody comes from here: nobody shall close it for all.
        return counted if is_loopback(address) else [*counted, f"from {address}"]


class LoginForm(Slow):
    """A name and a password."""

    error_messages = {  # Django's own way
        **AuthenticationForm.error_messages,
        "invalid_login": "The name or the password is wrong.",
    }


class AdminLoginForm(Slow, AdminAuthenticationForm):
    """The admin's own."""


admin.site.login_form = AdminLoginForm


class Login(LoginView):
    """The form; says also why somebody is here who came by a link before."""

    def get_context_data(self, **more: Any) -> dict[str, Any]:
        cookies = self.request.COOKIES
        is_over = bool(shares.kept_in(cookies)) and not shares.good_in(cookies, is_use=False)
        return super().get_context_data(is_link_over=is_over, **more)


login = public(
    Login.as_view(
        template_name="workbench/login.html",
        authentication_form=LoginForm,
    )
)


class Logout(LogoutView):
    """Out of all: the links that this browser keeps go as well."""

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response = super().post(request, *args, **kwargs)
        response.delete_cookie(shares.COOKIE)
        return response


logout = public(Logout.as_view())


@public
@page
async def shared_page(request: HttpRequest, token: str) -> HttpResponse:
    """A link to a session: leads there, and is out of the address bar before anything is shown."""
    try:
        share = await sync_to_async(_find_open)(token)
    except (OperationalError, InterfaceError) as error:
        return refuse(request, error)
    if share is None:
        return render(request, "workbench/share_not_found.html", status=404)
    response = redirect("session", share.session_id)
    shares.keep(share, request.COOKIES, response)
    return response


def _find_open(token: str) -> Share | None:
    share = shares.find_share(token)
    # At the open door nobody sees sessions that have an owner.
    is_reached = share is not None and (not is_open() or share.session.owner_id is None)
    return share if is_reached else None


urlpatterns = [
    path("login/", login, name="login"),
    path("logout/", logout, name="logout"),
    path("shared/<str:token>/", shared_page, name="shared"),
]
