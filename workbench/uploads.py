"""Uploaded files as clients really send them: without a length, or under a wrong label."""

from __future__ import annotations

import asyncio
import os
import re
from typing import Any, BinaryIO, cast

from django.core.exceptions import SuspiciousOperation
from django.core.files.uploadedfile import TemporaryUploadedFile, UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, TemporaryFileUploadHandler
from django.http import HttpRequest
from django.http.multipartparser import MultiPartParser, MultiPartParserError

from sessions.exceptions import InvalidValue

# A boundary line as RFC 2046 allows it: up to 70 characters, the last one not a space.
_BOUNDARY_LINE = re.compile(rb"--([\w'()+,./:=? -]{0,69}[\w'()+,./:=?-])\r?\n", re.ASCII)
_BOUNDARY_LINE_BYTES = 128
# How far from the end the closing boundary may stand: boundary, line ends, a short epilogue.
_TAIL_BYTES = 1024
_PIECE_BYTES = 64 * 1024


async def uploaded_files(request: HttpRequest, *, whole_names: bool = False) -> list[UploadedFile]:
    """The file parts of a POST in their order, each in a temporary file that ends with the request.

    Names are Django's: the last component of what the client said, whatever its length. With
    ``whole_names`` they are what the client said, directories and all: untrusted paths.
    Raises InvalidValue for a body that is not multipart, is broken, or has no file part.
    """
    # DRF's request is a wrapper with a stream of its own.
    plain: HttpRequest = getattr(request, "_request", request)
    # Parsing copies the body: not on the event loop.
    return await asyncio.to_thread(_parse, plain, whole_names=whole_names)


def prepare_multipart(request: HttpRequest) -> None:
    """Correct the length and the label of an upload, before ``request.FILES`` is touched.

    Does nothing to a body that is not multipart.
    """
    stream = _seekable_stream(request)
    if not request.META.get("CONTENT_LENGTH"):
        # A chunked body has no length, and without one Django's parser sees no files.
        stream.seek(0, os.SEEK_END)
        request.META["CONTENT_LENGTH"] = str(stream.tell())
        stream.seek(0)
    if _boundary(request) is None:
        line = stream.readline(_BOUNDARY_LINE_BYTES)
        stream.seek(0)
        if match := _BOUNDARY_LINE.fullmatch(line):
            _relabel(request, match[1].decode("ascii"))


class _DiskUploadHandler(TemporaryFileUploadHandler):
    """Every file part to disk, in the order of arrival."""

    def __init__(self, request: HttpRequest) -> None:
        super().__init__(request)
        self.files: list[UploadedFile] = []
        self._opened: list[UploadedFile] = []

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        FileUploadHandler.new_file(self, *args, **kwargs)
        # A client's name has no say in the temporary file's, where a long suffix would fail.
        self.file = TemporaryUploadedFile(
            "part", self.content_type or "", 0, self.charset, self.content_type_extra
        )
        # Not through the setter, which would shorten a long name to another one.
        self.file._name = self.file_name  # type: ignore[attr-defined]
        self._opened.append(self.file)

    def file_complete(self, file_size: int) -> UploadedFile | None:
        file = super().file_complete(file_size)
        if file is not None:
            self.files.append(file)
        return file

    def close(self) -> None:
        """Remove all files, also the one being written, which Django's parser forgets."""
        for file in self._opened:
            file.close()


class _WholeNames(MultiPartParser):
    """Django's parser, which leaves the names of files as they are."""

    def sanitize_file_name(self, file_name: str) -> str:
        return file_name


def _parse(request: HttpRequest, *, whole_names: bool) -> list[UploadedFile]:
    prepare_multipart(request)
    boundary = _boundary(request)
    if request.content_type != "multipart/form-data" or boundary is None:
        raise InvalidValue("The body must be multipart/form-data with a file part.")
    if not _is_complete(_seekable_stream(request), boundary):
        raise InvalidValue("The multipart body is broken: its closing boundary is missing.")
    handler = _DiskUploadHandler(request)
    request.upload_handlers = [handler]
    try:
        if whole_names:
            stream, encoding = _seekable_stream(request), request.encoding or "utf-8"
            parser = _WholeNames(request.META, cast(Any, stream), [handler], encoding)
            # Where Django keeps them, so that they end with the request.
            fields, _ = parsed = parser.parse()
            request._post, request._files = parsed  # type: ignore[attr-defined]
            # Django passes over a part whose header it cannot read, such as a name in Latin-1.
            read = len(handler.files) + sum(len(values) for _, values in fields.lists())
            if _count_parts(_seekable_stream(request), boundary) > read:
                raise MultiPartParserError("A part has no name, or one that is not UTF-8.")
        else:
            request.FILES  # noqa: B018  # parses the body
    except (MultiPartParserError, SuspiciousOperation) as error:
        handler.close()
        raise InvalidValue(f"The multipart body is not valid: {error}") from error
    except (UnicodeError, LookupError) as error:  # Python knows charsets that are none of text
        handler.close()
        raise InvalidValue("The multipart body is not in the charset that it names.") from error
    if not handler.files:
        raise InvalidValue("The multipart body has no file part with a usable file name.")
    return handler.files


def _count_parts(stream: BinaryIO, boundary: str) -> int:
    """How many parts a complete body has, also those that Django passes over."""
    delimiter = f"--{boundary}".encode("ascii", "replace")
    delimiters, rest = 0, b""
    while piece := stream.read(_PIECE_BYTES):
        piece = rest + piece
        delimiters += piece.count(delimiter)
        rest = piece[-(len(delimiter) - 1) :]
    return delimiters - 1  # the last one closes the body


def _seekable_stream(request: HttpRequest) -> BinaryIO:
    """The body as a file at its start; only our server is sure to keep it on disk."""
    if not request._stream.seekable():
        _ = request.body
    stream: BinaryIO = request._stream
    stream.seek(0)
    return stream


def _boundary(request: HttpRequest) -> str | None:
    """The boundary that the label names; None if it is not a multipart label, or names none."""
    if not (request.content_type or "").startswith("multipart/"):
        return None
    return (request.content_params or {}).get("boundary") or None


def _relabel(request: HttpRequest, boundary: str) -> None:
    request.META["CONTENT_TYPE"] = f'multipart/form-data; boundary="{boundary}"'
    request._set_content_type_params(request.META)  # type: ignore[attr-defined]


def _is_complete(stream: BinaryIO, boundary: str) -> bool:
    """Whether the body has its end; Django takes half a file for a whole one."""
    closing = f"--{boundary}--".encode("ascii", "replace")
    stream.seek(0, os.SEEK_END)
    stream.seek(max(0, stream.tell() - len(closing) - _TAIL_BYTES))
    tail = stream.read()
    stream.seek(0)
    return closing in tail
