"""One's own API keys: ``/api/v1/keys``."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.http import HttpResponse
from django.urls import URLPattern, path
from django.utils import timezone
from rest_framework.request import Request

from sessions.exceptions import InvalidValue
from workbench.access import keys
from workbench.access.callers import Caller, is_open
from workbench.access.keys import NewKey, TooManyKeys
from workbench.access.models import ApiKey, Scope
from workbench.api import shapes
from workbench.api.base import NOT_JSON, TOO_LARGE, ApiView, json_body, no_content
from workbench.api.operation import Answer, Body, Failure, operation
from workbench.dialects.base import json_response

# Of keys that are not good any more a list has the newest.
OTHERS_LISTED = 50
NO_STORE = {"Cache-Control": "no-store"}
NO_ACCOUNT = Failure(
    HTTPStatus.CONFLICT,
    "no_account",
    "You have no account here, and so no keys: this server is open, and whoever reaches it may use it "
    "without a key. Set WORKBENCH_ACCESS=closed for accounts and keys; the operator makes the "
    "first one with: python manage.py workbench key NAME",
)
KEY_NOT_FOUND = Failure(HTTPStatus.NOT_FOUND, "key_not_found", "You have no key with this id.")
OUTLIVES = Failure(
    HTTPStatus.FORBIDDEN,
    "key_outlives",
    "A key cannot make one that is valid for longer than itself. Ask for fewer “days”.",
)


class OwnKeysView(ApiView):
    """A view of the caller's keys."""

    tag = "Keys"
    failures = (*ApiView.failures, NO_ACCOUNT)

    def account(self, request: Request) -> int:
        """Whose keys. Raises Refused at the open door, where nobody has any."""
        owner_id = self.caller(request).owner_id
        if is_open() or owner_id is None:
            raise NO_ACCOUNT.refusal()
        return owner_id

    def caller(self, request: Request) -> Caller:
        """Who asks."""
        caller: Caller = request._request.caller  # type: ignore[attr-defined]  # by the middleware
        return caller


class KeysView(OwnKeysView):
    """``keys``."""

    @operation(
        "list_keys",
        answers={HTTPStatus.OK: Answer(about="All that are valid.", shape=shapes.Keys)},
    )
    async def get(self, request: Request) -> HttpResponse:
        """List your API keys.

        The newest first: all that are valid, and the last few that were. What is secret of them is
        nowhere kept.
        """
        listed = await _listed(self.account(request))
        return json_response({"keys": listed}, headers=NO_STORE)

    @operation(
        "make_key",
        body=Body(shape=shapes.NewKey, example={"label": "laptop", "days": 30}),
        answers={
            HTTPStatus.CREATED: Answer(about="What nobody will see again.", shape=shapes.MadeKey)
        },
        failures=[NOT_JSON, TOO_LARGE, OUTLIVES, TooManyKeys],
    )
    async def post(self, request: Request) -> HttpResponse:
        """Make an API key.

        It acts as your account. Its secrets are in this answer and nowhere else. A key makes none
        that may do more, or is valid for longer, than itself.
        """
        owner_id = self.account(request)
        body = json_body(request, shapes.NewKey)
        label, scope, expires_at = _label(body), _scope(body), _expires_at(body)
        made = await _make(owner_id, self.caller(request).key_id, label, scope, expires_at)
        answer = {
            **_on_the_wire(made.key),
            "key": made.text,
            "secret_key": made.signing_secret,
        }
        return json_response(answer, HTTPStatus.CREATED, NO_STORE)


class KeyView(OwnKeysView):
    """``keys/<key>``."""

    failures = (*OwnKeysView.failures, KEY_NOT_FOUND)

    @operation(
        "revoke_key",
        answers={HTTPStatus.NO_CONTENT: Answer(about="It lets nobody in any more.")},
    )
    async def delete(self, request: Request, key: str) -> HttpResponse:
        """Revoke an API key of yours.

        Within two seconds it lets nobody in. Nothing happens if it is revoked already.
        """
        if not await _revoke(self.account(request), key):
            raise KEY_NOT_FOUND.refusal()
        return no_content()


# --- The rows ----------------------------------------------------------------------------------


@sync_to_async
def _listed(owner_id: int) -> list[dict[str, Any]]:
    mine = ApiKey.objects.filter(owner_id=owner_id)
    valid = list(keys.valid_keys().filter(owner_id=owner_id))
    others = mine.exclude(pk__in=[key.pk for key in valid])[:OTHERS_LISTED]
    rows = sorted([*valid, *others], key=lambda key: (key.created_at, key.pk), reverse=True)
    return [_on_the_wire(key) for key in rows]


@sync_to_async
def _make(owner_id: int, by: str, label: str, scope: Scope, expires_at: datetime | None) -> NewKey:
    """Make a key, as the key with the id ``by`` asks, or a person if that is empty."""
    until = ApiKey.objects.get(pk=by).expires_at if by else None
    if until is not None and (expires_at is None or expires_at > until):
        raise OUTLIVES.refusal()
    owner = get_user_model().objects.get(pk=owner_id)
    return keys.make_key(owner, label=label, scope=scope, expires_at=expires_at)


@sync_to_async
def _revoke(owner_id: int, key_id: str) -> bool:
    mine = ApiKey.objects.filter(owner_id=owner_id, key_id=key_id)
    keys.revoke(mine)
    return mine.exists()


# --- Requests and answers ----------------------------------------------------------------------


def _label(body: dict[str, Any]) -> str:
    label = body.get("label")
    if label is None:
        return ""
    most = shapes.MAX_LABEL_LENGTH
    is_text = isinstance(label, str) and len(label) <= most
    if not is_text or not re.fullmatch(shapes.LINE.removesuffix("$"), label):
        raise InvalidValue(f"“label” must be one line of at most {most} characters.")
    return str(label).strip()


def _scope(body: dict[str, Any]) -> Scope:
    scope = body.get("scope")
    if scope is None:
        return Scope.RUN
    if scope not in Scope.values:
        raise InvalidValue(f"“scope” must be {' or '.join(Scope.values)}.")
    return Scope(scope)


def _expires_at(body: dict[str, Any]) -> datetime | None:
    days = body.get("days")
    if days is None:
        return None
    least, most = shapes.LEAST_DAYS, shapes.MOST_DAYS
    is_number = isinstance(days, int | float) and not isinstance(days, bool)
    if not is_number or not least <= days <= most:
        raise InvalidValue(f"“days” must be a number, {least} to {most}.")
    return timezone.now() + timedelta(days=days)


def _on_the_wire(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.key_id,
        "label": key.label,
        "scope": str(key.scope),
        "state": key.state(timezone.now()),
        "created_at": _time(key.created_at),
        "expires_at": _time(key.expires_at),
        "last_used_at": _time(key.last_used_at),
        "revoked_at": _time(key.revoked_at),
    }


def _time(at: datetime | None) -> str | None:
    return at.isoformat().replace("+00:00", "Z") if at else None


urlpatterns: list[URLPattern] = [
    path("keys", KeysView.as_view()),
    path("keys/<str:key>", KeyView.as_view()),
]
