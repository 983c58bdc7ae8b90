"""Sending a file: streamed, in ranges, and never as a page of our own origin."""

from __future__ import annotations

import re
from http import HTTPStatus

from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.http import content_disposition_header, http_date
from rest_framework.request import Request

from files.streams import Download

_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})", re.IGNORECASE)


def download_response(
    request: Request,
    download: Download,
    *,
    content_type: str | None = None,
    disposition: str | None = None,
) -> HttpResponseBase:
    """The file, or the one range of it that was asked for; closes the download in any case.

    ``content_type`` None: by the file's name. ``disposition`` is the contract's own spelling of
    Content-Disposition; None: Django's.
    """
    info = download.info
    usual = content_disposition_header(True, info.name) or "attachment"  # noqa: FBT003
    headers = {
        "Content-Type": content_type or info.content_type,
        "Content-Disposition": disposition or usual,
        "Accept-Ranges": "bytes",
        "Last-Modified": http_date(info.modified_at.timestamp()),
        "X-Content-Type-Options": "nosniff",
    }
    start, end, status = _wanted(request, info.size_bytes)
    if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        download.close()
        return HttpResponse(status=status, headers={"Content-Range": f"bytes */{info.size_bytes}"})
    headers["Content-Length"] = str(end - start)
    if status == HTTPStatus.PARTIAL_CONTENT:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{info.size_bytes}"
    if request.method == "HEAD":
        download.close()
        return HttpResponse(status=status, headers=headers)
    return _Stream(download, start, end, status, headers)


class _Stream(StreamingHttpResponse):
    """Closes the file also if the client is gone before the first byte is asked for."""

    def __init__(
        self, download: Download, start: int, end: int, status: int, headers: dict[str, str]
    ) -> None:
        super().__init__(download.chunks(start, end), status=status, headers=headers)
        self._resource_closers.append(download.close)  # type: ignore[attr-defined]


def _wanted(request: Request, size: int) -> tuple[int, int, HTTPStatus]:
    """First byte, the one behind the last, and the status. Several ranges count as none."""
    match = _RANGE.fullmatch(request.headers.get("Range", "").replace(" ", ""))
    if match is None or match[1] == match[2] == "" or "If-Range" in request.headers:
        return 0, size, HTTPStatus.OK
    if match[1] == "":
        start, end = max(0, size - int(match[2])), size
    else:
        start = int(match[1])
        end = min(int(match[2]) + 1, size) if match[2] else size
        if match[2] and int(match[2]) < start:
            return 0, size, HTTPStatus.OK
    if start >= size:
        return 0, 0, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
    return start, end, HTTPStatus.PARTIAL_CONTENT
