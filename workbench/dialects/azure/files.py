"""The files of a session, in the shapes of both generations."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from http import HTTPStatus
from typing import Any, BinaryIO, TypeVar, cast
from uuid import UUID

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.exceptions import MethodNotAllowed
from rest_framework.request import Request

from files import operations as files
from files.info import FileInfo
from files.models import SessionFile
from sessions import operations
from sessions.exceptions import FileNotFound, FileTooLarge, SessionNotFound, WrongFileType
from sessions.operations import SessionInfo, SessionRef
from workbench.dialects.azure import ORIGIN, shapes
from workbench.dialects.azure.errors import invalid
from workbench.dialects.azure.paths import FileAddress, directory_path, file_address, file_path
from workbench.dialects.azure.views import DEFAULT_IDENTIFIER, AzureView
from workbench.dialects.base import json_response
from workbench.dialects.downloads import download_response
from workbench.errors import Refused
from workbench.uploads import uploaded_files

T = TypeVar("T")


class FileViewBase(AzureView):
    """What all views of files do."""

    @property
    def has_one_session(self) -> bool:
        """True where files lie in a single session, whatever the identifier: see ``with_file``."""
        return self.version.is_old and not self.is_pool

    async def open_session(self, request: Request) -> SessionInfo:
        """The session meant, opened if there is none."""
        return await operations.open_session(await self.session_ref(request), origin=ORIGIN)

    async def with_file(self, request: Request, act: Callable[[UUID], Awaitable[T]]) -> T:
        """Do something with a file of the session meant, by the session's id.

        The sample of the first generation uploads without an identifier and then reads with one:
        its container has a single session. There, what the named session lacks is looked for in
        the default one. Raises FileNotFound, also if there is no such session.
        """
        ref = await self.session_ref(request)
        names = [ref.identifier]
        if self.has_one_session and ref.identifier != DEFAULT_IDENTIFIER:
            names.append(DEFAULT_IDENTIFIER)
        for name in names:
            try:
                session = await operations.find_session(replace(ref, identifier=name))
                return await act(session.id)
            except (SessionNotFound, FileNotFound):
                continue
        raise FileNotFound

    async def save_uploads(self, request: Request) -> list[FileInfo]:
        """Save the files of a multipart body; all names are checked before anything is written."""
        await self.session_ref(request)
        directory = request.query_params.get("path", "")
        directory_path(directory)
        uploads = await uploaded_files(request._request)
        targets = [(file_path(directory, _checked(upload)), upload) for upload in uploads]
        session = await self.open_session(request)
        return [
            await files.save_file(session.id, path, cast(BinaryIO, upload), origin=ORIGIN)
            for path, upload in targets
        ]

    def new_file(self, info: FileInfo) -> dict[str, Any]:
        """A file in the new generation's shape."""
        return shapes.new_file(info, self.version, is_pool=self.is_pool)


class FilesView(FileViewBase):
    """``/files``: both generations list here; the new one uploads here as well."""

    async def get(self, request: Request, **where: Any) -> HttpResponse:
        """List a directory."""
        directory = directory_path(request.query_params.get("path", ""))
        recursive = _boolean(request, "recursive")
        session = await self.open_session(request)
        found = await files.list_files(session.id, directory, recursive=recursive)
        if self.has_one_session:
            found = await self._with_shared(session, found, directory, recursive=recursive)
        if not self.version.is_old:
            return json_response({"value": [self.new_file(info) for info in found]})
        plain = [info for info in found if not info.is_directory]
        if not self.is_pool and "identifier" not in request.query_params:
            return json_response([shapes.container_file(info) for info in plain])
        return json_response(shapes.old_envelope(plain))

    async def _with_shared(
        self, session: SessionInfo, own: list[FileInfo], directory: str, *, recursive: bool
    ) -> list[FileInfo]:
        """The session's files, and what of the default session's ``with_file`` would find.

        Only what came in through this face: other faces have their default session to themselves.
        """
        try:
            ref = SessionRef(owner_id=session.owner_id, identifier=DEFAULT_IDENTIFIER)
            default = await operations.find_session(ref)
            found = await files.list_files(default.id, directory, recursive=recursive)
        except (SessionNotFound, FileNotFound, WrongFileType):
            return own
        uploads = SessionFile.objects.filter(session_id=default.id, origin=ORIGIN)
        shared = {path async for path in uploads.values_list("path", flat=True)}
        shared -= {info.path for info in own}
        both = own + [info for info in found if info.path in shared]
        return sorted(both, key=lambda info: info.path)

    async def post(self, request: Request, **where: Any) -> HttpResponse:
        """Upload: one file is answered as an object, several as an array."""
        saved = await self.save_uploads(request)
        if self.version.is_old:
            return json_response(shapes.old_envelope(saved))
        shaped = [self.new_file(info) for info in saved]
        return json_response(shaped[0] if len(shaped) == 1 else shaped)


class ContainerUploadView(FileViewBase):
    """``/upload``, the container's own address; it needs no query at all there."""

    async def post(self, request: Request, **where: Any) -> HttpResponse:
        """Upload."""
        saved = await self.save_uploads(request)
        return json_response([shapes.container_file(info) for info in saved])


class FileView(FileViewBase):
    """``/files/…``: one file, its bytes, or (named ``upload``) the old generation's upload."""

    async def post(self, request: Request, *, rest: str, **where: Any) -> HttpResponse:
        """The first generation's upload."""
        if rest != "upload":
            raise MethodNotAllowed("POST")
        return json_response(shapes.old_envelope(await self.save_uploads(request)))

    async def get(self, request: Request, *, rest: str, **where: Any) -> HttpResponseBase:
        """Describe a file, or send it."""
        address = file_address(rest, self.version)
        path = self._path(request, address)
        if address.is_content:
            download = await self.with_file(request, lambda key: files.open_file(key, path))
            # The cloud says nothing of what a file is; the container goes by its name.
            content_type = "application/octet-stream" if self.is_pool else None
            return download_response(request, download, content_type=content_type)
        info = await self.with_file(request, lambda key: files.stat_file(key, path))
        if self.version.is_old:
            return json_response(shapes.old_stat(info))
        return json_response(self.new_file(info))

    async def delete(self, request: Request, *, rest: str, **where: Any) -> HttpResponse:
        """Delete a file, or a directory with all that is in it."""
        path = self._path(request, FileAddress(rest, is_content=False))
        try:
            await self.with_file(request, lambda key: files.delete_file(key, path, recursive=True))
        except FileNotFound as error:
            raise Refused(HTTPStatus.NOT_FOUND, "DeleteFileError", error.message) from None
        if self.version.is_old:
            # To the byte what the sample document shows.
            body = b'{"message": "file deleted successfully"}'
            return HttpResponse(body, content_type="application/json")
        response = HttpResponse(status=HTTPStatus.NO_CONTENT)
        del response.headers["Content-Type"]
        return response

    def _path(self, request: Request, address: FileAddress) -> str:
        return file_path(request.query_params.get("path", ""), address.name)


def _checked(upload: UploadedFile) -> str:
    """The name of an upload that is small enough."""
    if (upload.size or 0) > settings.WORKBENCH_MAX_UPLOAD_BYTES:
        limit = settings.WORKBENCH_MAX_UPLOAD_BYTES
        raise FileTooLarge(f"A file may have {limit} bytes at most.")
    return upload.name or ""


def _boolean(request: Request, name: str) -> bool:
    text = request.query_params.get(name, "false").lower()
    if text not in ("true", "false"):
        raise invalid(f"'{name}' must be true or false.", name)
    return text == "true"
