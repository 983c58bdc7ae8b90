"""What the views of the native API share."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from rest_framework.request import Request

from sessions.exceptions import SessionNotFound
from sessions.models import Session
from workbench.access import owner_of
from workbench.api.errors import render_error
from workbench.dialects.base import AsyncView, json_object
from workbench.errors import Refused, Renderer


class ApiView(AsyncView):
    """A view of the native API; its errors are ``application/problem+json``."""

    takes_links = True
    render_error: Renderer = staticmethod(render_error)

    async def session_of(self, request: Request) -> Session:
        """The session in the address, live or ended. Raises SessionNotFound, also for others'."""
        mine = Session.objects.visible_to(await owner_of(request._request))
        session = await mine.named(self.kwargs["identifier"]).afirst()
        if session is None:
            raise SessionNotFound
        return session


def json_body(request: Request) -> dict[str, Any]:
    """The JSON object in the body of a POST. Raises Refused unless it is labelled as JSON.

    Without the label, a page of another site could send it in its visitor's name: browsers ask
    before they send JSON, and not before they send text.
    """
    label = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if label != "application/json":
        raise Refused(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "Send JSON, with the header “Content-Type: application/json”.",
        )
    return json_object(request)


def origin_of(request: Request) -> str:
    """The face a request came through: our pages use this API as programs do."""
    return "browser" if "Sec-Fetch-Site" in request.headers else "api"
