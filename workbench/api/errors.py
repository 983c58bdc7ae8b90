"""An error of the native API: ``application/problem+json``, RFC 9457.

``{"type", "title", "status", "detail", "code"}``: ``detail`` is a sentence for people, ``code``
the stable word for programs. Some have further members: ``data["members"]`` of the problem.
"""

from __future__ import annotations

import json
from http import HTTPStatus

from django.http import HttpResponse

from workbench.errors import Problem

CONTENT_TYPE = "application/problem+json"


def render_error(problem: Problem) -> HttpResponse:
    """The answer for an error."""
    body = {
        "type": "about:blank",  # nothing to read beyond what is here
        "title": HTTPStatus(problem.status).phrase,
        "status": int(problem.status),
        "detail": problem.message,
        "code": problem.code,
        **problem.data.get("members", {}),
    }
    text = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
    return HttpResponse(
        text, content_type=CONTENT_TYPE, status=problem.status, headers=problem.headers
    )
