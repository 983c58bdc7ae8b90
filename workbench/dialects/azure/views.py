"""What the views of this dialect share: version, face, identifier, error shape, timestamps."""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from rest_framework.request import Request

from sessions.operations import SessionRef
from workbench.access.callers import owner_of
from workbench.dialects.azure.errors import invalid, render_error
from workbench.dialects.azure.versions import SUPPORTED, ApiVersion, parse_version
from workbench.dialects.base import AsyncView
from workbench.errors import Refused, Renderer

MAX_ID_LENGTH = 256
DEFAULT_IDENTIFIER = "default"


class AzureView(AsyncView):
    """A view of either face; ``version`` is known before its handler is called."""

    render_error: Renderer = staticmethod(render_error)
    # Whether the pool face refuses requests without an api-version.
    needs_version = True
    version: ApiVersion

    @property
    def is_pool(self) -> bool:
        """True on the pool face, which answers as the cloud does; else as the container does."""
        return "pool" in self.kwargs

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Read the api-version. Raises Refused."""
        super().initial(request, *args, **kwargs)
        required = self.is_pool and self.needs_version
        self.version = parse_version(request.query_params.get("api-version"), required=required)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Say which versions there are, on every answer."""
        response.headers.setdefault("api-supported-versions", SUPPORTED)
        return super().finalize_response(request, response, *args, **kwargs)

    async def session_ref(self, request: Request, in_body: str | None = None) -> SessionRef:
        """The session meant: by the query, else the address, else the body. Raises Refused."""
        named = request.query_params.get("identifier")
        if named is None:
            named = self.kwargs.get("identifier", in_body)
        if named is None:
            if self.is_pool:
                raise invalid("The query parameter 'identifier' is required.", "identifier")
            named = DEFAULT_IDENTIFIER
        checked_id(named, "identifier")
        return SessionRef(owner_id=await owner_of(request._request), identifier=named)


def checked_id(text: str, target: str) -> str:
    """A client's name for a session or an execution, if it may be one. Raises Refused."""
    printable = text.isprintable() and not any(char.isspace() for char in text)
    if not (0 < len(text) <= MAX_ID_LENGTH and printable):
        raise invalid(
            f"'{target}' must have 1 to {MAX_ID_LENGTH} printable characters and no spaces.", target
        )
    return text


def skip_of(request: Request) -> int:
    """How many entries of a list the client has already. Raises Refused."""
    text = request.query_params.get("skip", "0")
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise invalid("'skip' must be a number, 0 or more.", "skip")
    return int(text)


def no_session(identifier: str, status: HTTPStatus, code: str) -> Refused:
    """The refusal of a call that does not open sessions."""
    message = f"Could not find session with name '{identifier}'."
    return Refused(status, code, message, target="identifier")


def timestamp(at: datetime) -> str:
    """RFC 3339 with seven digits of a second, as .NET writes them."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f0Z")
