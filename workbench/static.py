"""Static files under ASGI: whitenoise's answers, compressed, or streamed, without holding up the loop.

What compresses is compressed when it is first asked for, and then kept in memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from whitenoise.middleware import WhiteNoiseMiddleware

from workbench.assets import COMPRESSIBLE, packed, split_version, version

GetResponse = Callable[[HttpRequest], Any]
Message = MutableMapping[str, Any]
Application = Callable[[Any, Any, Any], Awaitable[None]]

# Bytes of a file read at a time: most of ours are one read, each is a trip to a thread.
CHUNK_BYTES = 256 * 1024
# For an address that never shows anything else.
FOR_EVER = f"public, max-age={365 * 24 * 60 * 60}, immutable"


class StaticFilesMiddleware(WhiteNoiseMiddleware):  # type: ignore[misc]  # whitenoise is untyped
    """Serves what lies below STATIC_URL; every other path goes on untouched."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: GetResponse) -> None:
        self._packed: dict[str, bytes] = {}  # by the file's name
        super().__init__(get_response)
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def add_files(self, root: str | Path, prefix: str | None = None) -> None:
        # STATIC_ROOT exists only after collectstatic; without it the finders have the files.
        if self.autorefresh or Path(root).is_dir():
            super().add_files(root, prefix)

    def add_cache_headers(self, headers: Any, path: str, url: str) -> None:
        super().add_cache_headers(headers, path, url)
        if url.endswith(COMPRESSIBLE):
            headers["Vary"] = "Accept-Encoding"

    def immutable_file_test(self, path: str, url: str) -> bool:
        return False  # that is said by the version in an address

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
        asked, name = split_version(request.path_info.removeprefix(self.static_prefix))
        if self.autorefresh:
            static_file = await asyncio.to_thread(self.find_file, self.static_prefix + name)
        else:
            static_file = self.files.get(self.static_prefix + name)
        response: HttpResponseBase
        if static_file is None:
            response = await self.get_response(request)
        elif _takes_gzip(request, name) and not self.autorefresh:
            response = await self._serve_packed(static_file, request, name)
        else:
            response = _as_django(static_file.get_response(request.method, request.META))
        # Who asks for another version has a page that is older, or newer, than these files.
        if static_file is not None and asked == version():
            response["Cache-Control"] = FOR_EVER
        return response

    async def _serve_packed(
        self, static_file: Any, request: HttpRequest, name: str
    ) -> HttpResponseBase:
        """Whitenoise's answer to a question for the headers, with the content compressed."""
        answer = static_file.get_response("HEAD", request.META)
        response = _as_django(answer)
        if answer.status == HTTPStatus.OK and "Content-Encoding" not in response:
            content = await self._pack(static_file, name)
            response["Content-Encoding"] = "gzip"
            response["Content-Length"] = str(len(content))
            if request.method == "GET" and isinstance(response, HttpResponse):
                response.content = content
        return response

    async def _pack(self, static_file: Any, name: str) -> bytes:
        if name not in self._packed:
            path = Path(static_file.alternatives[-1][1])  # the largest: the file itself
            self._packed[name] = await asyncio.to_thread(packed, name, path)
        return self._packed[name]


class Remembered:
    """Gives the answers that never change once more, without asking Django again.

    A page is made of a hundred small files. There are as many answers as files: each was given
    at an address with the current version.
    """

    def __init__(self, application: Application) -> None:
        self._application = application
        self._answers: dict[str, list[Message]] = {}

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        if not _is_plain_question(scope):
            await self._application(scope, receive, send)
        elif answer := self._answers.get(scope["path"]):
            for message in answer:
                await send(message)
        else:
            await self._ask(scope, receive, send)

    async def _ask(self, scope: Message, receive: Any, send: Any) -> None:
        answer: list[Message] = []

        async def keep(message: Message) -> None:
            answer.append(message)
            await send(message)

        await self._application(scope, receive, keep)
        if answer and (b"Cache-Control", FOR_EVER.encode()) in answer[0].get("headers", ()):
            self._answers[scope["path"]] = answer


def _is_plain_question(scope: Message) -> bool:
    """Whether it is one that most browsers ask: the whole file, compressed if possible."""
    headers = dict(scope["headers"])
    return (
        scope["method"] == "GET"
        and scope["path"].startswith(settings.STATIC_URL)
        and b"gzip" in headers.get(b"accept-encoding", b"")
        and not headers.keys() & {b"range", b"if-none-match", b"if-modified-since"}
    )


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


def _takes_gzip(request: HttpRequest, name: str) -> bool:
    """Whether to compress: not parts of a file, which are counted in its own bytes."""
    return (
        name.endswith(COMPRESSIBLE)
        and request.method in ("GET", "HEAD")
        and "gzip" in request.headers.get("Accept-Encoding", "")
        and "Range" not in request.headers
    )


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
