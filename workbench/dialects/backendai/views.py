"""What the views of this dialect share: version, error shape, who is meant, parameters."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpResponse
from rest_framework.request import Request

from sessions import operations
from sessions.operations import SessionInfo, SessionRef
from workbench.access.callers import owner_of
from workbench.dialects.backendai.errors import invalid, render_error
from workbench.dialects.backendai.images import Environment, environment_of, language_of
from workbench.dialects.backendai.versions import VERSION, check_version
from workbench.dialects.base import AsyncView, json_object, json_response
from workbench.errors import Renderer


class BackendAIView(AsyncView):
    """A view of the contract. Signatures are not looked at: the door is open on loopback."""

    render_error: Renderer = staticmethod(render_error)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Read the version header. Raises Refused."""
        super().initial(request, *args, **kwargs)
        check_version(request.headers.get("X-BackendAI-Version"))

    async def session_ref(self, request: Request) -> SessionRef:
        """The session that the address names, whether there is one or not."""
        owner_id = await owner_of(request._request)
        return SessionRef(owner_id=owner_id, identifier=self.kwargs["name"])

    async def find_session(self, request: Request) -> SessionInfo:
        """The live session that the address names. Raises SessionNotFound."""
        return await operations.find_session(await self.session_ref(request))


class VersionView(BackendAIView):
    """The root of the API: what clients negotiate with; needs no signature."""

    is_public = True

    async def get(self, request: Request) -> HttpResponse:
        """Say the version."""
        return json_response(VERSION)


class NowhereView(BackendAIView):
    """Every other address below ours."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse. Raises Http404."""
        raise Http404


def ref_of(session: SessionInfo) -> SessionRef:
    """The session by its id: it may be renamed meanwhile."""
    return SessionRef(owner_id=session.owner_id, identifier=str(session.id))


def no_content() -> HttpResponse:
    """204, with nothing at all."""
    response = HttpResponse(status=204)
    del response.headers["Content-Type"]
    return response


async def find_environment(image: str) -> Environment | None:
    """What an image stands for here; None if it is unknown."""
    return environment_of(image, await operations.kernelspecs())


async def language_in(session: SessionInfo) -> str:
    """The language a session was opened for, by its image or else by its kernel."""
    if isinstance(language := session.request.get("language"), str):
        return language
    for spec in await operations.kernelspecs():
        if spec["name"] == session.kernel_name:
            return language_of(spec["language"])
    return "python"


def optional_object(request: Request) -> dict[str, Any]:
    """The JSON object in the body; empty if there is no body, also on GET. Raises InvalidValue."""
    length = request.META.get("CONTENT_LENGTH")
    has_body = length not in (None, "", "0") or "HTTP_TRANSFER_ENCODING" in request.META
    return json_object(request) if has_body else {}


def text_field(body: dict[str, Any], *names: str) -> str | None:
    """The first of some names that is there and not null. Raises Refused unless it is text."""
    for name in names:
        if (value := body.get(name)) is not None:
            if not isinstance(value, str):
                raise invalid("Input validation error", **{name: "value is not a string"})
            return value
    return None


def boolean_field(body: dict[str, Any], name: str, *, default: bool) -> bool:
    """A true or false; ``default`` if absent or null. Raises Refused."""
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise invalid("Input validation error", **{name: "value is not a boolean"})
    return value


def object_field(body: dict[str, Any], name: str) -> dict[str, Any]:
    """An object; empty if absent or null. Raises Refused."""
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise invalid("Input validation error", **{name: "value is not an object"})
    return value
