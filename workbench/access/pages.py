"""Logging in, and out."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView, LogoutView
from django.core.exceptions import ValidationError
from django.urls import path

from workbench.access.failures import Failures
from workbench.access.middleware import public

TOO_MANY = "Too many wrong passwords. Try again in a few minutes."
_failures = Failures(most=10, seconds=300.0)


class LoginForm(AuthenticationForm):
    """A name and a password; not too many wrong ones from one address, or for one name."""

    error_messages = {  # Django's own way
        **AuthenticationForm.error_messages,
        "invalid_login": "The name or the password is wrong.",
    }

    def clean(self) -> dict[str, Any]:
        """Raise ValidationError if they are wrong, or too many were."""
        assert self.request is not None
        address = self.request.META.get("REMOTE_ADDR", "")
        names = [f"from {address}", f"for {self.cleaned_data.get('username', '').casefold()}"]
        if any(map(_failures.is_too_many, names)):
            raise ValidationError(TOO_MANY, code="too_many_failures")
        try:
            cleaned: dict[str, Any] = super().clean()
        except forms.ValidationError:
            for name in names:
                _failures.add(name)
            raise
        for name in names:
            _failures.forget(name)
        return cleaned


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
