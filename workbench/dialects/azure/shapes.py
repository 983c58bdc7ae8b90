"""Files as JSON, in the shapes of both generations and of the container; pure."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from typing import Any

from files.info import FileInfo
from workbench.dialects.azure.versions import ApiVersion
from workbench.dialects.azure.views import timestamp


def new_file(info: FileInfo, version: ApiVersion, *, is_pool: bool) -> dict[str, Any]:
    """The new generation's file."""
    kind = "directory" if info.is_directory else "file"
    if version.has_capital_file_type and not is_pool:
        kind = kind.capitalize()
    shape: dict[str, Any] = {
        "name": info.name,
        "sizeInBytes": info.size_bytes,
        "lastModifiedAt": timestamp(info.modified_at),
        "contentType": info.content_type,
        "type": kind,
    }
    if version.has_limits:
        shape["directory"] = info.directory
    return shape


def old_envelope(infos: Iterable[FileInfo]) -> dict[str, Any]:
    """The first generation's list; ``$id`` counts the objects in the order of the document."""
    number = count(2)
    value = [
        {"$id": str(next(number)), "properties": {"$id": str(next(number)), **_old(info)}}
        for info in infos
    ]
    return {"$id": "1", "value": value}


def old_stat(info: FileInfo) -> dict[str, Any]:
    """The first generation's answer for one file: a list of one, with empty ids."""
    return {"value": [{"$id": "", "properties": {"$id": "", **_old(info)}}]}


def container_file(info: FileInfo) -> dict[str, Any]:
    """The container's own file, before it was the cloud's."""
    return {
        "name": info.name,
        "type": "directory" if info.is_directory else "file",
        "filename": info.path,
        "size": info.size_bytes,
        "last_modified_time": timestamp(info.modified_at),
        "mime_type": info.content_type,
    }


def _old(info: FileInfo) -> dict[str, Any]:
    return {
        "filename": info.path,
        "size": info.size_bytes,
        "lastModifiedTime": timestamp(info.modified_at),
    }
