"""Logging in, and out."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView, LogoutView
from django.core.exceptions import ValidationError
from django.urls import path

from workbench.access.failures import Failures
from workbench.access.middleware import public
from workbench.environment import is_loopback

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
login = public(
    LoginView.as_view(
        template_name="workbench/login.html",
        authentication_form=LoginForm,
    )
)
logout = public(LogoutView.as_view())

urlpatterns = [
    path("login/", login, name="login"),
    path("logout/", logout, name="logout"),
]
