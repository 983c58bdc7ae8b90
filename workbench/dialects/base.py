"""What the dialects share: asynchronous DRF views, and JSON in and out."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.exceptions import PermissionDenied
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from sessions.exceptions import InvalidValue
from workbench.errors import Renderer, render_problem
from workbench.origins import OTHER_SITE, is_foreign

_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


class AsyncView(APIView):
    """DRF's view with asynchronous handlers, from start to end on the event loop.

    adrf's ``dispatch`` sends ``initial`` through a thread on every request, for permissions that
    may block. Ours do not block (workbench.access decides who is asking), and each such hop
    costs more than the rest of the dispatch. For the same reason handlers answer with
    ``json_response``: Django renders DRF's own Response in a thread.
    """

    # Django looks at the handlers to know, and would not see ``dispatch`` where there are none.
    view_is_async = True
    # Whether a link on another site's page may lead here; then reading must open nothing.
    takes_links = False
    # Whether it tells everybody the same, whoever asks.
    is_public = False
    # Whether it is also for who has only a link to a session.
    takes_guests = False
    # How this face words an error.
    render_error: Renderer = staticmethod(render_problem)

    async def dispatch(  # type: ignore[override]  # DRF's is synchronous
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        """DRF's five steps, with an awaited handler."""
        self.args, self.kwargs, self.headers = args, kwargs, {}
        self.request = self.initialize_request(request, *args, **kwargs)
        try:
            if is_foreign(request.method or "", request.headers, takes_links=self.takes_links):
                raise PermissionDenied(OTHER_SITE, "cross_site_request")
            self.initial(self.request, *args, **kwargs)
            name = (self.request.method or "").lower()
            known = name in self.http_method_names
            own: Any = getattr(self, name, None) if known else None
            handler: Any = own or self.http_method_not_allowed
            response = await handler(self.request, *args, **kwargs)
        except Exception as error:
            response = self.handle_exception(error)
        self.response = self.finalize_response(self.request, response, *args, **kwargs)
        return self.response

    async def options(  # type: ignore[override]  # DRF's is synchronous
        self, request: Request, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """The methods this address takes."""
        return HttpResponse(status=204, headers={"Allow": ", ".join(self.allowed_methods)})

    def perform_content_negotiation(
        self,
        request: Request,
        force: bool = False,  # noqa: FBT001, FBT002  # DRF's signature
    ) -> tuple[JSONRenderer, str]:
        # An answer is what the contract says; `Accept: text/plain` is no reason for a 406.
        return JSONRenderer(), JSONRenderer.media_type

    def perform_authentication(self, request: Request) -> None:
        """Nothing: workbench.access answers who is asking, when a view wants to know."""


def json_response(
    data: Any, status: int = 200, headers: dict[str, str] | None = None
) -> HttpResponse:
    """``data`` as compact JSON. A lone surrogate, which no UTF-8 can hold, becomes ``?``."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    body = text.encode("utf-8", "replace")
    return HttpResponse(body, content_type="application/json", status=status, headers=headers)


def without_colours(text: str) -> str:
    """``text`` without the ANSI codes of terminals."""
    return _ANSI.sub("", text)


def json_object(request: HttpRequest | Request) -> dict[str, Any]:
    """The JSON object in the body, whatever its label (``curl -d`` calls it a form).

    Raises InvalidValue for anything else, RequestDataTooBig beyond DATA_UPLOAD_MAX_MEMORY_SIZE.
    """
    return object_in(read_body(request))


def object_in(body: bytes) -> dict[str, Any]:
    """The JSON object that a body is. Raises InvalidValue for anything else."""
    if not body.strip():
        raise InvalidValue("The request body is empty; a JSON object is needed.", is_empty=True)
    try:
        data = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except RecursionError:
        raise InvalidValue("The JSON in the request body is nested too deeply.") from None
    except ValueError as error:
        raise InvalidValue(f"The request body is not valid JSON: {_reason(error)}.") from error
    if not isinstance(data, dict):
        raise InvalidValue("The request body must be a JSON object.")
    if b"\\u" in body:
        _refuse_lone_surrogates(data)
    return data


def read_body(request: HttpRequest | Request) -> bytes:
    """All of the body, also where it has no Content-Length (DRF and Django call that empty).

    Raises RequestDataTooBig beyond DATA_UPLOAD_MAX_MEMORY_SIZE.
    """
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    length = request.META.get("CONTENT_LENGTH") or "0"
    if length.isdecimal() and int(length) > limit:
        raise RequestDataTooBig
    body: bytes = request.read(limit + 1)
    if len(body) > limit:
        raise RequestDataTooBig
    return body


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _refuse_lone_surrogates(data: dict[str, Any]) -> None:
    try:
        json.dumps(data, ensure_ascii=False).encode("utf-8")
    except (UnicodeEncodeError, RecursionError):
        raise InvalidValue("The request body has half of a surrogate pair in a text.") from None


def _reason(error: ValueError) -> str:
    match error:
        case UnicodeDecodeError():
            return "it is not UTF-8"
        case json.JSONDecodeError():
            return f"{error.msg} at line {error.lineno}, column {error.colno}"
    return str(error).splitlines()[0][:200]
