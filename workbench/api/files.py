"""The files of a session: ``/api/v1/sessions/<identifier>/files…``; docs/api.md has the table."""

from __future__ import annotations

from dataclasses import asdict, replace
from http import HTTPStatus
from typing import Any, cast

from django.conf import settings
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path
from rest_framework.request import Request

from files import operations as files
from files.archives import zip_archive
from files.operations import Download, FileInfo, Readable
from files.previews import (
    IMAGE_TYPES,
    ImagePreview,
    NoPreview,
    Preview,
    TablePreview,
    TextPreview,
    preview_file,
)
from sessions.exceptions import FileTooLarge, InvalidValue, PathInvalid
from sessions.models import Session
from workbench.api.base import ApiView, json_body, json_fields, origin_of
from workbench.api.errors import render_error
from workbench.dialects.base import json_response
from workbench.dialects.downloads import download_response
from workbench.errors import Refused, problem_of

# Whatever a file of a session holds, a browser that opens it runs nothing of it and asks nobody.
CONTENT_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_PREVIEW_KINDS: dict[type[Preview], str] = {
    TextPreview: "text",
    TablePreview: "table",
    ImagePreview: "image",
    NoPreview: "none",
}


def file_on_the_wire(info: FileInfo) -> dict[str, Any]:
    """A file or directory as the native API shows it."""
    return {
        "path": info.path,
        "name": info.name,
        "size_bytes": info.size_bytes,
        "modified_at": info.modified_at.isoformat().replace("+00:00", "Z"),
        "is_directory": info.is_directory,
        "content_type": info.content_type,
    }


class FilesView(ApiView):
    """What the views of files share."""

    async def session_with_files(self, request: Request) -> Session:
        """The live session in the address. Raises SessionNotFound, Refused if it has ended."""
        session = await self.session_of(request)
        if not session.is_live:
            message = "This session has ended, and its files went with it."
            raise Refused(HTTPStatus.NOT_FOUND, "session_ended", message)
        return session


class ListView(FilesView):
    """``…/files``: what is in a directory; also moves and deletes."""

    parameters = ("path", "recursive")

    async def get(self, request: Request, **where: Any) -> HttpResponse:
        """List a directory, by default the workspace."""
        recursive = _flag(request, "recursive", default=False)
        session = await self.session_with_files(request)
        directory = request.query_params.get("path", "")
        found = await files.list_files(session.id, directory, recursive=recursive)
        return json_response(
            {
                "files": [file_on_the_wire(info) for info in found],
                "max_upload_bytes": settings.WORKBENCH_MAX_UPLOAD_BYTES,
            }
        )

    async def patch(self, request: Request, **where: Any) -> HttpResponse:
        """Give a file or directory another path."""
        target = _new_path(json_fields(request, ["path"]))
        session = await self.session_with_files(request)
        info = await files.rename_file(session.id, _path(request), target)
        return json_response(file_on_the_wire(info))

    async def delete(self, request: Request, **where: Any) -> HttpResponse:
        """Delete a file, or a directory with all that is in it."""
        session = await self.session_with_files(request)
        await files.delete_file(session.id, _path(request), recursive=True)
        response = HttpResponse(status=HTTPStatus.NO_CONTENT)
        del response.headers["Content-Type"]
        return response


class ContentView(FilesView):
    """``…/files/content``: the bytes of a file."""

    # "at" means nothing here: it keeps a browser from showing what the file was before.
    parameters = ("path", "inline", "overwrite", "at")

    async def get(self, request: Request, **where: Any) -> HttpResponseBase:
        """Send a file, to be saved; a picture also to be shown in a page, if it asks so."""
        inline = _flag(request, "inline", default=False)
        session = await self.session_with_files(request)
        download = await files.open_file(session.id, _path(request))
        response = _sent(request, download)
        if inline and download.info.content_type in IMAGE_TYPES:
            response.headers["Content-Disposition"] = "inline"
        return response

    async def put(self, request: Request, **where: Any) -> HttpResponse:
        """Write a file: the request's body is its content, whatever its label."""
        overwrite = _flag(request, "overwrite", default=True)
        session = await self.session_with_files(request)
        target = _path(request)
        _check_size(request)
        # Django keeps the body in a temporary file and reads it from there.
        body = cast(Readable, request._request)
        info = await files.save_file(
            session.id, target, body, origin=origin_of(request), overwrite=overwrite
        )
        return json_response(file_on_the_wire(info), HTTPStatus.CREATED)


class ArchiveView(FilesView):
    """``…/files/archive``: a directory, or a file, as a zip."""

    parameters = ("path",)

    async def get(self, request: Request, **where: Any) -> HttpResponseBase:
        """Pack and send it; without a path, all files of the session."""
        session = await self.session_with_files(request)
        wanted = request.query_params.get("path", "")
        info = await files.stat_file(session.id, wanted)
        name = session.identifier if info.path == "." else info.name
        return _sent(request, await zip_archive(session.id, wanted, name=name))


class PreviewView(FilesView):
    """``…/files/preview``: a first look at a file."""

    parameters = ("path",)

    async def get(self, request: Request, **where: Any) -> HttpResponse:
        """Say what it looks like."""
        session = await self.session_with_files(request)
        preview = await preview_file(session.id, _path(request))
        return json_response({"kind": _PREVIEW_KINDS[type(preview)], **asdict(preview)})


class DirectoriesView(FilesView):
    """``…/files/directories``: new ones."""

    async def post(self, request: Request, **where: Any) -> HttpResponse:
        """Make a directory, and those on the way; one that exists is fine."""
        target = _new_path(json_body(request, ["path"]))
        session = await self.session_with_files(request)
        info = await files.make_directory(session.id, target)
        return json_response(file_on_the_wire(info), HTTPStatus.CREATED)


# --- Requests and answers ---------------------------------------------------------------------


def _path(request: Request) -> str:
    """The path in the query. Raises PathInvalid without one: no default may be deleted."""
    found: str = request.query_params.get("path", "")
    if not found:
        raise PathInvalid("The query has no “path”.")
    return found


def _new_path(body: dict[str, Any]) -> str:
    found = body.get("path")
    if not isinstance(found, str) or not found:
        raise PathInvalid("The body needs a “path”: text that is not empty.")
    return found


def _flag(request: Request, name: str, *, default: bool) -> bool:
    text = request.query_params.get(name)
    values = {None: default, "0": False, "false": False, "1": True, "true": True}
    if text not in values:
        raise InvalidValue(f"“{name}” must be 0 or 1.")
    return values[text]


def _check_size(request: Request) -> None:
    """Refuse what is too large before a byte of it is copied."""
    limit = settings.WORKBENCH_MAX_UPLOAD_BYTES
    length = request.META.get("CONTENT_LENGTH") or "0"
    if length.isdecimal() and int(length) > limit:
        raise FileTooLarge(max_bytes=limit)


def _sent(request: Request, download: Download) -> HttpResponseBase:
    response = download_response(request, download)
    if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        message = "The file has no such range of bytes."
        status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
        problem = problem_of(Refused(status, "range_not_satisfiable", message))
        headers = {"Content-Range": response.headers["Content-Range"]}
        return render_error(replace(problem, headers=headers))
    response.headers["Content-Security-Policy"] = CONTENT_POLICY
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    response.headers["Cache-Control"] = "no-store"
    return response


urlpatterns: list[URLPattern] = [
    path("sessions/<path:identifier>/files", ListView.as_view()),
    path("sessions/<path:identifier>/files/content", ContentView.as_view()),
    path("sessions/<path:identifier>/files/archive", ArchiveView.as_view()),
    path("sessions/<path:identifier>/files/preview", PreviewView.as_view()),
    path("sessions/<path:identifier>/files/directories", DirectoriesView.as_view()),
]
