"""What the views of the native API share."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from http import HTTPStatus
from typing import Any, ClassVar

from rest_framework.request import Request

from sessions.exceptions import InvalidValue, SessionNotFound
from sessions.models import Session
from workbench.access import owner_of
from workbench.api.errors import render_error
from workbench.dialects.base import AsyncView, json_object
from workbench.errors import Refused, Renderer


class ApiView(AsyncView):
    """A view of the native API; its errors are ``application/problem+json``."""

    takes_links = True
    render_error: Renderer = staticmethod(render_error)
    # What may be in the query, whatever the method.
    parameters: ClassVar[Collection[str]] = ()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Look at the query. Raises InvalidValue."""
        super().initial(request, *args, **kwargs)
        _refuse_unknown("query parameter", request.query_params, self.parameters)

    async def session_of(self, request: Request) -> Session:
        """The session in the address, live or ended. Raises SessionNotFound, also for others'."""
        mine = Session.objects.visible_to(await owner_of(request._request))
        session = await mine.named(self.kwargs["identifier"]).afirst()
        if session is None:
            raise SessionNotFound
        return session


def json_body(request: Request, fields: Collection[str]) -> dict[str, Any]:
    """The JSON object in the body of a POST. Raises Refused unless it is labelled as JSON.

    Raises InvalidValue if it has other ``fields`` than these.

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
    return json_fields(request, fields)


def json_fields(request: Request, fields: Collection[str]) -> dict[str, Any]:
    """The JSON object in the body, whatever its label.

    Raises InvalidValue if it has other ``fields``: a typing error must not pass for a default.
    """
    body = json_object(request)
    _refuse_unknown("field", body, fields)
    return body


def origin_of(request: Request) -> str:
    """The face a request came through: our pages use this API as programs do."""
    return "browser" if "Sec-Fetch-Site" in request.headers else "api"


def _refuse_unknown(noun: str, given: Iterable[str], known: Collection[str]) -> None:
    unknown = next((name for name in given if name not in known), None)
    if unknown is not None:
        there_are = f"there are: {', '.join(known)}" if known else "there are none at this address"
        raise InvalidValue(f"There is no {noun} “{unknown[:100]}”; {there_are}.")
