"""What the views of the native API share."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from http import HTTPStatus
from typing import Any, ClassVar
from uuid import UUID

from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.serializers import Serializer

from sessions.database import NO_DATABASE
from sessions.exceptions import InvalidValue, NotAllowed, SessionNotFound, Unavailable
from sessions.kernels import trace
from sessions.models import Session
from sessions.operations import SessionRef
from workbench.access.callers import LET_OUT, NOBODY, READ_ONLY, TOO_MANY, NotKnown, caller_of
from workbench.access.middleware import READING, still_sees
from workbench.api.errors import render_error
from workbench.api.operation import Failure, Failures, Parameter, is_set, number, operation_of
from workbench.api.shapes import field_names
from workbench.dialects.base import AsyncView, json_object, object_in, read_body
from workbench.errors import BODY_TOO_LARGE, NOTHING_HERE, UNREADABLE, Renderer
from workbench.origins import OTHER_SITE

NOT_JSON = Failure(
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "unsupported_media_type",
    "Send JSON, with the header “Content-Type: application/json”.",
)
# Of lists that come in pages.
LIMIT = number("limit", "How many at most.", least=1, most=200, default=50)
CURSOR = Parameter(name="cursor", about="The `next_cursor` of the page before.", is_uuid=True)
# An identifier with a line break leads nowhere.
NO_ADDRESS = Failure(HTTPStatus.NOT_FOUND, "not_found", NOTHING_HERE)
TOO_LARGE = Failure(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "request_too_large", BODY_TOO_LARGE)


SESSION_ENDED = Failure(
    HTTPStatus.CONFLICT, "session_ended", "This session has ended. What it did can be read."
)


OWNERS_ALONE = "Only whose session it is may do this."


class ApiView(AsyncView):
    """A view of the native API; its errors are ``application/problem+json``.

    Each of its handlers is an ``operation``.
    """

    takes_links = True
    render_error: Renderer = staticmethod(render_error)
    # What its operations are about, in a word.
    tag: ClassVar[str]
    # What may go wrong whatever the method is.
    failures: ClassVar[Failures] = (
        InvalidValue,
        Failure(HTTPStatus.BAD_REQUEST, "bad_request", UNREADABLE),
        Failure(HTTPStatus.FORBIDDEN, "permission_denied", OTHER_SITE),
        # At a closed server: workbench.access.
        Failure(HTTPStatus.UNAUTHORIZED, "unauthorized", NOBODY),
        Failure(HTTPStatus.FORBIDDEN, "read_only", READ_ONLY),
        Failure(HTTPStatus.TOO_MANY_REQUESTS, "too_many_failures", TOO_MANY),
        Failure(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", NO_DATABASE),
    )

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Look at the query. Raises InvalidValue."""
        super().initial(request, *args, **kwargs)
        if asked := operation_of(self, request.method):
            _refuse_unknown("query parameter", request.query_params, asked.query)


class SessionView(ApiView):
    """A view of what is below ``sessions/<identifier>``."""

    takes_guests = True
    failures = (*ApiView.failures, NO_ADDRESS, NotAllowed, SessionNotFound, Unavailable)

    async def session_of(self, request: Request, *, is_owners: bool = False) -> Session:
        """The session in the address, live or ended. Raises SessionNotFound, also for others'.

        Raises NotAllowed where a link to it is not enough: for what it does not let do, and if
        ``is_owners``, for everything.
        """
        caller = caller_of(request._request)
        named = Session.objects.reached_by(caller, self.kwargs["identifier"])
        session = await named.afirst()
        if session is None:
            raise SessionNotFound
        if is_owners and not caller.owns(session):
            raise NotAllowed(OWNERS_ALONE)
        if request.method not in READING and not caller.may_run_in(session):
            raise NotAllowed
        trace.found(session.id)
        return session

    async def check_still_in(self, request: Request, session: Session) -> None:
        """After a wait: raise NotKnown if who asks was let out meanwhile."""
        if not await still_sees(request._request, session):
            raise NotKnown(LET_OUT)

    async def live_session(self, request: Request, *, is_owners: bool = False) -> Session:
        """The session in the address. Raises as ``session_of``, and Refused if it has ended."""
        session = await self.session_of(request, is_owners=is_owners)
        if not session.is_live:
            raise SESSION_ENDED.refusal()
        return session


def ref_to(session: Session) -> SessionRef:
    """The session for the verbs: by its id, since another may take its identifier meanwhile."""
    return SessionRef(owner_id=session.owner_id, identifier=str(session.id))


def json_body(request: Request, shape: type[Serializer]) -> dict[str, Any]:
    """The JSON object in the body of a POST. Raises Refused unless it is labelled as JSON.

    Raises InvalidValue if it has other fields than ``shape``.

    Without the label, a page of another site could send it in its visitor's name: browsers ask
    before they send JSON, and not before they send text.
    """
    label = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if label != "application/json":
        raise NOT_JSON.refusal()
    return json_fields(request, shape)


def json_fields(request: Request, shape: type[Serializer]) -> dict[str, Any]:
    """The JSON object in the body, whatever its label.

    Raises InvalidValue if it has other fields: a typing error must not pass for a default.
    """
    body = json_object(request)
    _refuse_unknown("field", body, field_names(shape))
    return body


def refuse_body(request: Request) -> None:
    """Raise InvalidValue unless the body is empty, or an object without fields."""
    body = read_body(request)
    if body.strip():
        _refuse_unknown("field", object_in(body), ())


def read_flag(request: Request, parameter: Parameter) -> bool:
    """What a flag of the query says. Raises InvalidValue."""
    text = request.query_params.get(parameter.name, parameter.default)
    if text not in parameter.choices:
        raise InvalidValue(f"“{parameter.name}” must be 0 or 1.")
    return is_set(text)


def read_choice(request: Request, parameter: Parameter) -> str:
    """Which choice of a parameter the query has. Raises InvalidValue for any other."""
    text: str = request.query_params.get(parameter.name, parameter.default or "")
    if text not in parameter.choices:
        raise InvalidValue(f"“{parameter.name}” must be {' or '.join(parameter.choices)}.")
    return text


def read_number(request: Request, parameter: Parameter) -> int | None:
    """Which whole number the query has; None without one. Raises InvalidValue for another."""
    text: str | None = request.query_params.get(parameter.name, parameter.default)
    return None if text is None else parse_number(text, parameter)


def parse_number(text: str, parameter: Parameter) -> int:
    """The whole number that a parameter is. Raises InvalidValue for any other text."""
    least, most = parameter.bounds or (0, 0)
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(most))
    if not is_number or not least <= int(text) <= most:
        raise InvalidValue(f"“{parameter.name}” must be a whole number, {least} to {most}.")
    return int(text)


def read_cursor(request: Request) -> UUID | None:
    """Where a page begins; None: at the beginning. Raises InvalidValue."""
    text = request.query_params.get(CURSOR.name)
    if text is None:
        return None
    if (found := parse_uuid(text)) is None:
        raise InvalidValue("“cursor” must be the “next_cursor” of a page.")
    return found


def parse_uuid(text: str) -> UUID | None:
    """The UUID that a text is; None if it is none."""
    try:
        return UUID(text)
    except ValueError:
        return None


def no_content() -> HttpResponse:
    """An answer of nothing but headers."""
    response = HttpResponse(status=HTTPStatus.NO_CONTENT)
    del response.headers["Content-Type"]
    return response


def origin_of(request: Request) -> str:
    """The face a request came through: our pages use this API as programs do."""
    return "browser" if "Sec-Fetch-Site" in request.headers else "api"


def _refuse_unknown(noun: str, given: Iterable[str], known: Collection[str]) -> None:
    unknown = next((name for name in given if name not in known), None)
    if unknown is not None:
        there_are = f"there are: {', '.join(known)}" if known else "there are none at this address"
        raise InvalidValue(f"There is no {noun} “{unknown[:100]}”; {there_are}.")
