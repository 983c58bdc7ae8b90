"""Links to a session: ``/api/v1/sessions/<identifier>/shares…``. Its owner's affair alone."""

from __future__ import annotations

from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from rest_framework.request import Request

from sessions.exceptions import InvalidValue, NotFound
from workbench.access import shares
from workbench.access.callers import caller_of
from workbench.access.models import Scope, Share
from workbench.api import shapes
from workbench.api.base import NOT_JSON, TOO_LARGE, SessionView, json_body, no_content
from workbench.api.operation import Answer, Body, operation
from workbench.dialects.base import json_response

LEAST_SECONDS, MOST_SECONDS = 60, shapes.LONGEST_SHARE_SECONDS


class ShareNotFound(NotFound):
    """This session has no such link, or not any more."""

    code = "share_not_found"


class SharesView(SessionView):
    """``…/shares``."""

    tag = "Sharing"
    takes_guests = False

    @operation(
        "share_session",
        body=Body(shape=shapes.NewShare, example={"scope": "read", "expires_in_seconds": 86400}),
        answers={HTTPStatus.CREATED: Answer(about="The link.", shape=shapes.MadeShare)},
        failures=[NOT_JSON, TOO_LARGE, shares.TooManyShares],
    )
    async def post(self, request: Request, **where: Any) -> HttpResponse:
        """Make a link that lets whoever has it into a session.

        Live or ended, without an account; into nothing else. Its text is in this answer alone.
        """
        body = json_body(request, shapes.NewShare)
        scope, expires_at = _scope(body), _expiry(body)
        session = await self.session_of(request, is_owners=True)
        caller = caller_of(request._request)
        share, token = await sync_to_async(shares.make_share)(
            session, scope=scope, made_by=caller.owner_id, expires_at=expires_at
        )
        url = request.build_absolute_uri(reverse("shared", args=[token]))
        made_by = caller.name or None
        answer = {**_on_the_wire(share), "made_by": made_by, "url": url}
        return json_response(answer, HTTPStatus.CREATED, {"Cache-Control": "no-store"})

    @operation(
        "list_shares",
        answers={HTTPStatus.OK: Answer(about="All of them.", shape=shapes.Shares)},
    )
    async def get(self, request: Request, **where: Any) -> HttpResponse:
        """List the links to a session.

        Those that are good, the newest first. Their texts are not known any more.
        """
        session = await self.session_of(request, is_owners=True)
        good = shares.good_shares().filter(session=session).select_related("made_by")
        found = [
            {**_on_the_wire(share), "made_by": share.made_by and share.made_by.get_username()}
            async for share in good
        ]
        return json_response({"shares": found})


class ShareView(SessionView):
    """``…/shares/<share>``."""

    tag = "Sharing"
    takes_guests = False

    @operation(
        "revoke_share",
        answers={HTTPStatus.NO_CONTENT: Answer(about="It lets nobody in any more.")},
        failures=[ShareNotFound],
    )
    async def delete(self, request: Request, **where: Any) -> HttpResponse:
        """Revoke a link.

        Who came by it is out within ten seconds, also of what they have open.
        """
        session = await self.session_of(request, is_owners=True)
        good = shares.good_shares().filter(session=session, id=self.kwargs["share"])
        if not await sync_to_async(shares.revoke)(good):
            raise ShareNotFound
        return no_content()


def _scope(body: dict[str, Any]) -> Scope:
    scope = body.get("scope")
    if scope is not None and scope not in ("read", "run"):
        raise InvalidValue("“scope” must be read or run.")
    return Scope(scope or Scope.READ)


def _expiry(body: dict[str, Any]) -> datetime | None:
    seconds = body.get("expires_in_seconds")
    if seconds is None:
        return None
    # A whole number in JSON may be written 60.0.
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not (is_number and seconds % 1 == 0 and LEAST_SECONDS <= seconds <= MOST_SECONDS):
        allowed = f"{LEAST_SECONDS} to {MOST_SECONDS:,}"
        raise InvalidValue(f"“expires_in_seconds” must be a whole number, {allowed}.")
    return timezone.now() + timedelta(seconds=seconds)


def _on_the_wire(share: Share) -> dict[str, Any]:
    return {
        "id": share.id,
        "scope": share.scope,
        "created_at": _time(share.created_at),
        "expires_at": _time(share.expires_at),
        "last_used_at": _time(share.last_used_at),
    }


def _time(at: datetime | None) -> str | None:
    return at.isoformat().replace("+00:00", "Z") if at else None


urlpatterns: list[URLPattern] = [
    path("sessions/<path:identifier>/shares", SharesView.as_view()),
    path("sessions/<path:identifier>/shares/<str:share>", ShareView.as_view()),
]
