"""A session's notebook as a file: ``/api/v1/sessions/<identifier>/notebook…``."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from http import HTTPStatus
from typing import Any, ClassVar

from django.http import HttpResponse
from django.urls import URLPattern, path
from django.utils.http import content_disposition_header
from rest_framework.request import Request

from sessions import notebook, operations
from sessions.exceptions import HostUnavailable, NotebookFull
from sessions.notebook import Document
from sessions.notebook_files import from_ipynb, to_ipynb, to_python
from sessions.notebook_html import to_html
from workbench.api import shapes
from workbench.api.base import TOO_LARGE, SessionView, read_choice
from workbench.api.operation import Answer, Body, Parameter, operation
from workbench.dialects.base import json_response, read_body

# Whatever a notebook holds, a browser that shows it all the same runs nothing of it as ours.
CONTENT_POLICY = "sandbox; default-src 'none'"
IPYNB, PYTHON, HTML = "application/x-ipynb+json", "text/x-python", "text/html"
DISPOSITION = {"Content-Disposition": "That it is to be saved, named after the session."}
MODE = Parameter(
    name="mode",
    about="Whether its cells come behind those that are there, or instead of them.",
    choices=("append", "replace"),
    default="append",
)

EXAMPLE = {
    "nbformat": 4,
    "nbformat_minor": 5,
    "metadata": {},
    "cells": [
        {
            "id": "first",
            "cell_type": "code",
            "source": "print(6 * 7)",
            "metadata": {},
            "execution_count": None,
            "outputs": [],
        }
    ],
}


class NotebookView(SessionView):
    """What the views of notebooks share."""

    tag = "Notebooks"


class ExportView(NotebookView):
    """``GET …/notebook.ipynb`` and its like: a file named after the session."""

    suffix: ClassVar[str]
    content_type: ClassVar[str]

    async def export(self, request: Request) -> HttpResponse:
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
    content_type = IPYNB

    @operation(
        "export_ipynb",
        answers={
            HTTPStatus.OK: Answer(
                about="The notebook.",
                shape=shapes.NOTEBOOK,
                content_types=(IPYNB,),
                headers=DISPOSITION,
            )
        },
    )
    async def get(self, request: Request, **where: Any) -> HttpResponse:
        """Export the notebook as .ipynb.

        With what its cells last put out, in nbformat 4.5. Where a cell's last run came from, how
        and when it ended is below `workbench` in its metadata, its times below `execution`.
        """
        return await self.export(request)

    async def content(self, document: Document, kernelspec: dict[str, Any] | None) -> bytes:
        return await asyncio.to_thread(_ipynb, document, kernelspec)


class PythonView(ExportView):
    """For editors and Python."""

    suffix = ".py"
    content_type = f"{PYTHON}; charset=utf-8"

    @operation(
        "export_python",
        answers={
            HTTPStatus.OK: Answer(
                about="The code.", shape=shapes.TEXT, content_types=(PYTHON,), headers=DISPOSITION
            )
        },
    )
    async def get(self, request: Request, **where: Any) -> HttpResponse:
        """Export the notebook as Python.

        In `# %%` cells; text, magics and code of other languages are comments.
        """
        return await self.export(request)

    async def content(self, document: Document, kernelspec: dict[str, Any] | None) -> bytes:
        return (await asyncio.to_thread(to_python, document, kernelspec)).encode()


class HtmlView(ExportView):
    """For people without either."""

    suffix = ".html"
    content_type = f"{HTML}; charset=utf-8"

    @operation(
        "export_html",
        answers={
            HTTPStatus.OK: Answer(
                about="The page.", shape=shapes.TEXT, content_types=(HTML,), headers=DISPOSITION
            )
        },
    )
    async def get(self, request: Request, **where: Any) -> HttpResponse:
        """Export the notebook as a page that stands alone.

        Only formulas, diagrams and widgets need the internet. Its outputs may hold scripts: it
        comes as an attachment, and in a sandbox.
        """
        return await self.export(request)

    async def content(self, document: Document, kernelspec: dict[str, Any] | None) -> bytes:
        ipynb = await asyncio.to_thread(to_ipynb, document, kernelspec)
        return await to_html(ipynb, document.session.identifier)


class ImportView(NotebookView):
    """``PUT …/notebook``."""

    @operation(
        "import_notebook",
        query=[MODE],
        body=Body(
            shape=shapes.NOTEBOOK_OF_ANY_VERSION,
            content_type=IPYNB,
            about="The file, whatever its label; up to 20 MiB.",
            example=EXAMPLE,
        ),
        answers={HTTPStatus.OK: Answer(about="What was done.", shape=shapes.Imported)},
        failures=[NotebookFull, TOO_LARGE],
    )
    async def put(self, request: Request, **where: Any) -> HttpResponse:
        """Import the cells of an .ipynb file.

        Behind those that are there, or instead of them. A file that is broken or too large
        changes nothing.
        """
        session = await self.session_of(request)
        mode = read_choice(request, MODE)
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
    path("sessions/<path:identifier>/notebook", ImportView.as_view()),
]
