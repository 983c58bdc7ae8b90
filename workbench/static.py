"""Static files under ASGI: whitenoise's answers, streamed without holding up the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, BinaryIO

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from whitenoise.middleware import WhiteNoiseMiddleware

GetResponse = Callable[[HttpRequest], Any]

# Bytes of a file read at a time: most of ours are one read, each is a trip to a thread.
CHUNK_BYTES = 256 * 1024


class StaticFilesMiddleware(WhiteNoiseMiddleware):  # type: ignore[misc]  # whitenoise is untyped
    """Serves what lies below STATIC_URL; every other path goes on untouched."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: GetResponse) -> None:
        super().__init__(get_response)
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def add_files(self, root: str | Path, prefix: str | None = None) -> None:
        # STATIC_ROOT exists only after collectstatic; without it the finders have the files.
        if self.autorefresh or Path(root).is_dir():
            super().add_files(root, prefix)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        response: HttpResponseBase | Awaitable[HttpResponseBase]
        if not request.path_info.startswith(self.static_prefix):
            response = self.get_response(request)
        elif self._is_async:
            response = self._serve_async(request)
        else:
            response = super().__call__(request)
        return response

    async def _serve_async(self, request: HttpRequest) -> HttpResponseBase:
        if self.autorefresh:
            static_file = await asyncio.to_thread(self.find_file, request.path_info)
        else:
            static_file = self.files.get(request.path_info)
        if static_file is None:
            response: HttpResponseBase = await self.get_response(request)
            return response
        return _as_django(static_file.get_response(request.method, request.META))


class FileChunks:
    """An open file as an asynchronous iterable; Django closes it with the response."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = CHUNK_BYTES
        while size == CHUNK_BYTES:
            chunk = await asyncio.to_thread(self._file.read, CHUNK_BYTES)
            size = len(chunk)
            if chunk:
                yield chunk

    def close(self) -> None:
        self._file.close()


def _as_django(answer: Any) -> HttpResponseBase:
    """Whitenoise's answer with exactly its status and headers."""
    status = int(answer.status)
    response: HttpResponseBase
    if answer.file is None:
        response = HttpResponse(status=status)
    else:
        response = StreamingHttpResponse(FileChunks(answer.file), status=status)
    del response["Content-Type"]
    for name, value in answer.headers:
        response[name] = value
    return response
