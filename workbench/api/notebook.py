"""A session's notebook as a file: ``/api/v1/sessions/<identifier>/notebook…``."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any, ClassVar

from django.http import HttpResponse
from django.urls import URLPattern, path
from django.utils.http import content_disposition_header
from rest_framework.request import Request

from sessions import notebook, operations
from sessions.exceptions import HostUnavailable, InvalidValue
from sessions.notebook import Document
from sessions.notebook_files import from_ipynb, to_ipynb, to_python
from sessions.notebook_html import to_html
from workbench.api.base import ApiView
from workbench.dialects.base import json_response, read_body

# Whatever a notebook holds, a browser that shows it all the same runs nothing of it as ours.
CONTENT_POLICY = "sandbox; default-src 'none'"
MODES = ("append", "replace")


class ExportView(ApiView):
    """``GET …/notebook.ipynb`` and its like: a file named after the session."""

    suffix: ClassVar[str]
    content_type: ClassVar[str]

    async def get(self, request: Request, **where: Any) -> HttpResponse:
        """The whole notebook, in order, with what its cells last put out."""
        document = await notebook.read_document(await self.session_of(request))
        content = await self.content(document, await _kernelspec(document.session.kernel_name))
        name = document.session.identifier.replace("/", "-") + self.suffix
        headers = {
            "Content-Disposition": content_disposition_header(True, name) or "attachment",  # noqa: FBT003  # Django's
            "Content-Security-Policy": CONTENT_POLICY,
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-store",
        }
        return HttpResponse(content, content_type=self.content_type, headers=headers)

    async def content(self, document: Document, kernelspec: dict[str, Any] | None) -> bytes:
        """The file."""
        raise NotImplementedError


class IpynbView(ExportView):
    """For Jupyter and its relatives."""

    suffix = ".ipynb"
    content_type = "application/x-ipynb+json"

    async def content(self, document: Document, kernelspec: dict[str, Any] | None) -> bytes:
        return await asyncio.to_thread(_ipynb, document, kernelspec)


class PythonView(ExportView):
    """For editors and Python."""

    suffix = ".py"
    content_type = "text/x-python; charset=utf-8"

    async def content(self, document: Document, kernelspec: dict[str, Any] | None) -> bytes:
        return (await asyncio.to_thread(to_python, document, kernelspec)).encode()


class HtmlView(ExportView):
    """For people without either."""

    suffix = ".html"
    content_type = "text/html; charset=utf-8"

    async def content(self, document: Document, kernelspec: dict[str, Any] | None) -> bytes:
        ipynb = await asyncio.to_thread(to_ipynb, document, kernelspec)
        return await to_html(ipynb, document.session.identifier)


class NotebookView(ApiView):
    """``PUT …/notebook``."""

    parameters = ("mode",)

    async def put(self, request: Request, **where: Any) -> HttpResponse:
        """Take the cells of an .ipynb file: behind those that are there, or instead of them."""
        session = await self.session_of(request)
        mode = request.GET.get("mode", "append")
        if mode not in MODES:
            raise InvalidValue("“mode” must be append or replace.")
        metadata, cells = await asyncio.to_thread(from_ipynb, read_body(request))
        is_new = mode == "replace" or (await notebook.state_of(session.id))[0] == 0
        version = await notebook.add_cells(
            session.id, cells, metadata=metadata if is_new else None, replace=mode == "replace"
        )
        return json_response({"cells": len(cells), "version": version})


def _ipynb(document: Document, kernelspec: dict[str, Any] | None) -> bytes:
    return json.dumps(to_ipynb(document, kernelspec), ensure_ascii=False, indent=1).encode()


async def _kernelspec(name: str) -> dict[str, Any] | None:
    """What the host says of a kernel; None if it is not installed, or no host answers."""
    with suppress(HostUnavailable):
        return next((each for each in await operations.kernelspecs() if each["name"] == name), None)
    return None


urlpatterns: list[URLPattern] = [
    path("sessions/<path:identifier>/notebook.ipynb", IpynbView.as_view()),
    path("sessions/<path:identifier>/notebook.py", PythonView.as_view()),
    path("sessions/<path:identifier>/notebook.html", HtmlView.as_view()),
    path("sessions/<path:identifier>/notebook", NotebookView.as_view()),
]
