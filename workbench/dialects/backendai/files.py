"""The files of a session: upload, listing, and downloads as multipart documents of tars."""

from __future__ import annotations

import json
import secrets
import stat
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any, BinaryIO, cast

from django.core.exceptions import TooManyFilesSent
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request

from files import operations as files
from files.info import FileInfo
from files.streams import Download
from sessions.exceptions import FileNotFound, InvalidValue, NotFound, WorkbenchError, WrongFileType
from sessions.kernels.workspace import relative_path
from workbench.dialects.backendai import ORIGIN
from workbench.dialects.backendai.errors import invalid
from workbench.dialects.backendai.names import uploaded_name
from workbench.dialects.backendai.views import BackendAIView, no_content, optional_object
from workbench.dialects.base import json_response
from workbench.dialects.downloads import download_response
from workbench.uploads import uploaded_files

HOME = "/home/work"
MAX_FILES_PER_UPLOAD = 20
MAX_UPLOAD_BYTES = 1024 * 1024
MAX_FILES_PER_DOWNLOAD = 5


class UploadView(BackendAIView):
    """``/session/:id/upload``."""

    async def post(self, request: Request, name: str) -> HttpResponse:
        """Save all files of a multipart body, or none of them."""
        session = await self.find_session(request)
        uploads = await _uploads(request)
        agent = request.headers.get("User-Agent", "")
        sources = [
            (uploaded_name(upload.name or "", agent), cast(BinaryIO, upload)) for upload in uploads
        ]
        try:
            await files.save_files(session.id, sources, origin=ORIGIN)
        except NotFound:  # the session ended meanwhile
            await self.find_session(request)
            raise
        return no_content()


class FilesView(BackendAIView):
    """``/session/:id/files``."""

    async def get(self, request: Request, name: str) -> HttpResponse:
        """List a directory, as text that holds JSON."""
        session = await self.find_session(request)
        body = optional_object(request)
        path = body.get("path", request.query_params.get("path", HOME))
        if path is None:
            path = HOME
        if not isinstance(path, str):
            raise invalid("Input validation error", path="value is not a string")
        try:
            found = await files.list_files(session.id, path)
        except WrongFileType:
            found = [await files.stat_file(session.id, path)]
        relative = relative_path(path).as_posix()
        listing = json.dumps([_listed(info) for info in found], ensure_ascii=False)
        return json_response(
            {
                "files": f"{listing}\n",
                "errors": "",
                "abspath": path,
                "folder_path": HOME if relative == "." else f"{HOME}/{relative}",
            }
        )


class DownloadView(BackendAIView):
    """``/session/:id/download``: by GET or POST, with a body or a query."""

    async def get(self, request: Request, name: str) -> HttpResponseBase:
        """Send files and directories, a tar of each."""
        session = await self.find_session(request)
        tars: list[Download] = []
        try:
            for path in _wanted(request):
                tars.append(await files.open_tar(session.id, path, name="files"))
        except BaseException as error:
            _close(tars)
            raise _missing(error) from None
        return _Multipart(tars)

    post = get


class DownloadSingleView(BackendAIView):
    """``/session/:id/download_single``."""

    async def get(self, request: Request, name: str) -> HttpResponseBase:
        """Send the bytes of one file."""
        session = await self.find_session(request)
        path = optional_object(request).get("file", request.query_params.get("file"))
        if not isinstance(path, str) or not path:
            raise invalid("Input validation error", file="is required")
        try:
            download = await files.open_file(session.id, path)
        except WorkbenchError as error:
            raise _missing(error) from None
        return download_response(request, download, content_type="application/octet-stream")

    post = get


async def _uploads(request: Request) -> list[UploadedFile]:
    """The uploaded files, if they are within the limits. Raises Refused, InvalidValue."""
    try:
        uploads = await uploaded_files(request._request, whole_names=True)
    except InvalidValue as error:
        if isinstance(error.__cause__, TooManyFilesSent):
            raise invalid("Too many files") from None
        raise
    if len(uploads) > MAX_FILES_PER_UPLOAD:
        raise invalid("Too many files")
    if any((upload.size or 0) > MAX_UPLOAD_BYTES for upload in uploads):
        raise invalid("Too large file")
    return uploads


def _wanted(request: Request) -> list[str]:
    """The paths to be sent. Raises Refused."""
    body = optional_object(request)
    wanted = body.get("files", request.query_params.getlist("files"))
    if isinstance(wanted, str):
        wanted = [wanted]
    if not isinstance(wanted, list) or not all(isinstance(path, str) for path in wanted):
        raise invalid("Input validation error", files="value is not a list of strings")
    if not wanted:
        raise invalid("Input validation error", files="is required")
    if len(wanted) > MAX_FILES_PER_DOWNLOAD:
        raise invalid(f"Too many files (maximum {MAX_FILES_PER_DOWNLOAD} files allowed)")
    return wanted


def _missing(error: BaseException) -> BaseException:
    """A missing file is a wrong parameter of this call."""
    return invalid("The file is not found.") if isinstance(error, FileNotFound) else error


def _listed(info: FileInfo) -> dict[str, Any]:
    modified = info.modified_at.timestamp()
    return {
        "mode": stat.filemode(info.mode),
        "size": info.size_bytes,
        "ctime": modified,
        "mtime": modified,
        "atime": modified,
        "filename": info.name,
    }


class _Multipart(StreamingHttpResponse):
    """A multipart document of tars, which it closes, also if nobody reads it."""

    def __init__(self, tars: list[Download]) -> None:
        boundary = secrets.token_hex(16)
        super().__init__(
            _parts(tars, boundary),
            status=HTTPStatus.OK,
            content_type=f"multipart/mixed; boundary={boundary}",
        )
        self._resource_closers.append(lambda: _close(tars))  # type: ignore[attr-defined]


async def _parts(tars: list[Download], boundary: str) -> AsyncIterator[bytes]:
    for tar in tars:
        yield (
            f"--{boundary}\r\nContent-Type: application/octet-stream\r\n"
            f"Content-Encoding: identity\r\nContent-Length: {tar.info.size_bytes}\r\n\r\n"
        ).encode()
        async for piece in tar.chunks():
            yield piece
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode()


def _close(tars: list[Download]) -> None:
    for tar in tars:
        tar.close()
