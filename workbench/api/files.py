"""The files of a session: ``/api/v1/sessions/<identifier>/files…``; docs/api.md has the table."""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus
from typing import Any, cast

from django.conf import settings
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path
from rest_framework.request import Request

from files import operations as files
from files.info import FileInfo
from files.previews import IMAGE_TYPES, preview_to_wire
from files.streams import Download, Readable
from sessions.exceptions import (
    FileExists,
    FileNotFound,
    FileTooLarge,
    PathInvalid,
    WorkspaceFull,
    WrongFileType,
)
from sessions.models import Session
from workbench.api import shapes
from workbench.api.base import (
    NOT_JSON,
    TOO_LARGE,
    SessionView,
    json_body,
    json_fields,
    no_content,
    origin_of,
    read_flag,
)
from workbench.api.errors import render_error
from workbench.api.operation import Answer, Body, Failure, Parameter, flag, operation
from workbench.dialects.base import json_response
from workbench.dialects.downloads import download_response
from workbench.errors import problem_of

# Whatever a file of a session holds, a browser that opens it runs nothing of it and asks nobody.
CONTENT_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"
SESSION_ENDED = Failure(
    HTTPStatus.NOT_FOUND, "session_ended", "This session has ended, and its files went with it."
)
RANGE_NOT_SATISFIABLE = Failure(
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
    "range_not_satisfiable",
    "The file has no such range of bytes.",
)
DIRECTORY = Parameter(name="path", about="A directory; without it, the workspace.", example="data")
PATH = Parameter(
    name="path",
    about="Relative to the workspace, or absolute below /mnt/data.",
    example="data/table.csv",
    is_required=True,
)
RECURSIVE = flag("recursive", "Whether to list also what is below.", default=False)
INLINE = flag("inline", "Whether a picture may be shown in a page.", default=False)
OVERWRITE = flag("overwrite", "Whether a file of that name is replaced.", default=True)
AT = Parameter(
    name="at", about="Anything, such as the time of a change, so that browsers ask anew."
)
RANGE = Parameter(
    name="Range",
    about="The part that is wanted. Several count as none.",
    example="bytes=0-99",
)
DISPOSITION = {"Content-Disposition": "That it is to be saved, and under which name."}
PART = Answer(
    about="The part that `Range` asks for.",
    shape=shapes.ANYTHING,
    content_types=("*/*",),
    headers={"Content-Range": "Which bytes these are, of how many."},
)


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


class FilesView(SessionView):
    """What the views of files share."""

    tag = "Files"
    failures = (*SessionView.failures, PathInvalid, SESSION_ENDED, FileNotFound, WrongFileType)

    async def session_with_files(self, request: Request) -> Session:
        """The live session in the address. Raises SessionNotFound, Refused if it has ended."""
        session = await self.session_of(request)
        if not session.is_live:
            raise SESSION_ENDED.refusal()
        return session


class ListView(FilesView):
    """``…/files``: what is in a directory; also moves and deletes."""

    @operation(
        "list_files",
        query=[DIRECTORY, RECURSIVE],
        answers={HTTPStatus.OK: Answer(about="What is there.", shape=shapes.Files)},
    )
    async def get(self, request: Request, **where: Any) -> HttpResponse:
        """List a directory, by default the workspace.

        Regular files and directories, hidden ones too; links and devices are left out. At most
        100,000.
        """
        recursive = read_flag(request, RECURSIVE)
        session = await self.session_with_files(request)
        directory = request.query_params.get("path", "")
        found = await files.list_files(session.id, directory, recursive=recursive)
        return json_response(
            {
                "files": [file_on_the_wire(info) for info in found],
                "max_upload_bytes": settings.WORKBENCH_MAX_UPLOAD_BYTES,
            }
        )

    @operation(
        "move_file",
        query=[PATH],
        body=Body(shape=shapes.NewPath, example={"path": "archive/table.csv"}),
        answers={HTTPStatus.OK: Answer(about="It, at its new path.", shape=shapes.File)},
        failures=[FileExists, WorkspaceFull, TOO_LARGE],
    )
    async def patch(self, request: Request, **where: Any) -> HttpResponse:
        """Give a file or directory another path.

        Never in the place of another. Directories on the way are made.
        """
        target = _new_path(json_fields(request, shapes.NewPath))
        session = await self.session_with_files(request)
        info = await files.rename_file(session.id, _path(request), target)
        return json_response(file_on_the_wire(info))

    @operation(
        "delete_file",
        query=[PATH],
        answers={HTTPStatus.NO_CONTENT: Answer(about="It is gone.")},
    )
    async def delete(self, request: Request, **where: Any) -> HttpResponse:
        """Delete a file, or a directory with all that is in it.

        Of a link, the link itself goes. It works also while the workspace is too full to run code.
        """
        session = await self.session_with_files(request)
        await files.delete_file(session.id, _path(request), recursive=True)
        return no_content()


class ContentView(FilesView):
    """``…/files/content``: the bytes of a file."""

    @operation(
        "download_file",
        query=[PATH, INLINE, AT],
        headers=[RANGE],
        answers={
            HTTPStatus.OK: Answer(
                about="Its content, labelled by its name.",
                shape=shapes.ANYTHING,
                content_types=("*/*",),
                headers=DISPOSITION,
            ),
            HTTPStatus.PARTIAL_CONTENT: PART,
        },
        failures=[RANGE_NOT_SATISFIABLE],
    )
    async def get(self, request: Request, **where: Any) -> HttpResponseBase:
        """Send a file, to be saved.

        As an attachment, in ranges if asked. With `inline` a picture may be shown in a page.
        Nothing in a file ever runs in the server's origin.
        """
        inline = read_flag(request, INLINE)
        session = await self.session_with_files(request)
        download = await files.open_file(session.id, _path(request))
        response = _sent(request, download)
        if inline and download.info.content_type in IMAGE_TYPES:
            response.headers["Content-Disposition"] = "inline"
        return response

    @operation(
        "upload_file",
        query=[PATH, OVERWRITE],
        body=Body(
            shape=shapes.BYTES,
            content_type="application/octet-stream",
            about="The content, whatever its label.",
        ),
        answers={HTTPStatus.CREATED: Answer(about="The file.", shape=shapes.File)},
        failures=[FileExists, FileTooLarge, WorkspaceFull],
    )
    async def put(self, request: Request, **where: Any) -> HttpResponse:
        """Write a file.

        Whole or not at all: its readers see the old one or the new one. Directories on the way
        are made.
        """
        overwrite = read_flag(request, OVERWRITE)
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

    @operation(
        "download_archive",
        query=[replace(DIRECTORY, about="A directory or file; without it, all files.")],
        headers=[RANGE],
        answers={
            HTTPStatus.OK: Answer(
                about="The zip.",
                shape=shapes.BYTES,
                content_types=("application/zip",),
                headers=DISPOSITION,
            ),
            HTTPStatus.PARTIAL_CONTENT: replace(PART, content_types=("application/zip",)),
        },
        failures=[RANGE_NOT_SATISFIABLE, FileTooLarge],
    )
    async def get(self, request: Request, **where: Any) -> HttpResponseBase:
        """Send a directory, or a file, as a zip.

        Without a path, all files, named after the session. 1 GiB at most.
        """
        session = await self.session_with_files(request)
        wanted = request.query_params.get("path", "")
        info = await files.stat_file(session.id, wanted)
        name = session.identifier if info.path == "." else info.name
        return _sent(request, await files.open_zip(session.id, wanted, name=name))


class PreviewView(FilesView):
    """``…/files/preview``: a first look at a file."""

    @operation(
        "preview_file",
        query=[PATH],
        answers={HTTPStatus.OK: Answer(about="A first look.", shape=shapes.PREVIEWS)},
    )
    async def get(self, request: Request, **where: Any) -> HttpResponse:
        """Take a first look at a file.

        A bounded part of it, whatever it is: the beginning of a text or a table, where to get a
        picture, or why there is nothing to show.
        """
        session = await self.session_with_files(request)
        preview = await files.preview_file(session.id, _path(request))
        return json_response(preview_to_wire(preview))


class DirectoriesView(FilesView):
    """``…/files/directories``: new ones."""

    @operation(
        "make_directory",
        body=Body(shape=shapes.NewPath, example={"path": "data/2026"}),
        answers={HTTPStatus.CREATED: Answer(about="The directory.", shape=shapes.File)},
        failures=[NOT_JSON, WorkspaceFull, TOO_LARGE],
    )
    async def post(self, request: Request, **where: Any) -> HttpResponse:
        """Make a directory.

        And those on the way; one that exists is fine.
        """
        target = _new_path(json_body(request, shapes.NewPath))
        session = await self.session_with_files(request)
        info = await files.make_directory(session.id, target)
        return json_response(file_on_the_wire(info), HTTPStatus.CREATED)


# --- Requests and answers ---------------------------------------------------------------------


def _path(request: Request) -> str:
    """The path in the query. Raises PathInvalid without one: no default may be deleted."""
    found: str = request.query_params.get(PATH.name, "")
    if not found:
        raise PathInvalid("The query has no “path”.")
    return found


def _new_path(body: dict[str, Any]) -> str:
    found = body.get("path")
    if not isinstance(found, str) or not found:
        raise PathInvalid("The body needs a “path”: text that is not empty.")
    return found


def _check_size(request: Request) -> None:
    """Refuse what is too large before a byte of it is copied."""
    limit = settings.WORKBENCH_MAX_UPLOAD_BYTES
    length = request.META.get("CONTENT_LENGTH") or "0"
    if length.isdecimal() and int(length) > limit:
        raise FileTooLarge(max_bytes=limit)


def _sent(request: Request, download: Download) -> HttpResponseBase:
    response = download_response(request, download)
    if response.status_code == RANGE_NOT_SATISFIABLE.status:
        headers = {"Content-Range": response.headers["Content-Range"]}
        return render_error(replace(problem_of(RANGE_NOT_SATISFIABLE.refusal()), headers=headers))
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
