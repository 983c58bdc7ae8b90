"""What a file is, to the outside: as every face may show it, and as plain data."""

from __future__ import annotations

import mimetypes
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import Any

from sessions.kernels.workspace import Entry

# Not the machine's own table: the same name has the same type everywhere.
_TYPES = mimetypes.MimeTypes().types_map[True] | {
    ".bz2": "application/x-bzip2",
    ".gz": "application/gzip",
    ".ipynb": "application/x-ipynb+json",
    ".js": "text/javascript",
    ".jsonl": "application/jsonl",
    ".log": "text/plain",
    ".markdown": "text/markdown",
    ".md": "text/markdown",
    ".mjs": "text/javascript",
    ".parquet": "application/vnd.apache.parquet",
    ".tgz": "application/gzip",
    ".toml": "application/toml",
    ".webp": "image/webp",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".xz": "application/x-xz",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class FileInfo:
    """A file or directory of a workspace, as every face may show it."""

    # Relative to the workspace, with "/" between the parts: "data/a.csv". "." is the workspace.
    path: str
    # The last part of the path: "a.csv".
    name: str
    # The path of the directory it is in: "data"; "." at the top.
    directory: str
    # What a download has; of a directory, what the file system says (it means little).
    size_bytes: int
    # In UTC, to the microsecond.
    modified_at: datetime
    is_directory: bool
    # By the name alone; text has "; charset=utf-8". Unknown ones and directories are
    # "application/octet-stream".
    content_type: str
    # Its type and permissions, as the system has them.
    mode: int = field(default=0, compare=False)

    @classmethod
    def of(cls, entry: Entry) -> FileInfo:
        """What an entry of a workspace is."""
        path = PurePosixPath(entry.path)
        return cls(
            path=entry.path,
            name=path.name or ".",
            directory=str(path.parent),
            size_bytes=entry.size_bytes,
            modified_at=entry.modified_at,
            is_directory=entry.is_directory,
            content_type=(
                "application/octet-stream" if entry.is_directory else content_type_of(path.name)
            ),
            mode=entry.mode,
        )

    def to_wire(self) -> list[Any]:
        """The values in the order of the fields, the time as microseconds: a listing has many."""
        return [
            self.path,
            self.name,
            self.directory,
            self.size_bytes,
            (self.modified_at - _EPOCH) // timedelta(microseconds=1),
            self.is_directory,
            self.content_type,
            self.mode,
        ]

    @classmethod
    def from_wire(cls, wire: list[Any]) -> FileInfo:
        """What ``to_wire`` described."""
        path, name, directory, size_bytes, microseconds, is_directory, content_type, mode = wire
        return cls(
            path=path,
            name=name,
            directory=directory,
            size_bytes=size_bytes,
            modified_at=_EPOCH + timedelta(microseconds=microseconds),
            is_directory=is_directory,
            content_type=content_type,
            mode=mode,
        )


def content_type_of(name: str) -> str:
    """The content type of a file, by its name."""
    kind = _TYPES.get(PurePosixPath(name).suffix.lower(), "application/octet-stream")
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind
