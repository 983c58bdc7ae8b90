"""Which file a request means, from its address and its query; pure."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from sessions.exceptions import PathInvalid
from sessions.kernels.workspace import MOUNT_POINTS, relative_path
from workbench.dialects.azure.versions import ApiVersion
from workbench.errors import Refused

_CONTENT = "/content"


@dataclass(frozen=True)
class FileAddress:
    """What follows ``/files/``: a name, and whether its bytes are meant or its description."""

    name: str
    is_content: bool


def file_address(rest: str, version: ApiVersion) -> FileAddress:
    """Read what follows ``/files/``.

    Old: ``content/NAME``, also as the sample prints it with ``/content`` behind. New:
    ``NAME/content``, where NAME may be ``content``. Without a version both are understood.
    """
    is_new = bool(version.text) and not version.is_old
    if rest.startswith("content/") and not is_new and (version.is_old or rest != "content/content"):
        name = rest.removeprefix("content/")
        return FileAddress(name.removesuffix(_CONTENT) or name, is_content=True)
    if rest.endswith(_CONTENT) and not version.is_old:
        return FileAddress(rest.removesuffix(_CONTENT), is_content=True)
    return FileAddress(rest, is_content=False)


def directory_path(directory: str) -> str:
    """An absolute path in the session for a ``path`` parameter; empty means the top.

    Raises Refused (400 FilePathInvalid).
    """
    try:
        return f"{MOUNT_POINTS[0]}/{relative_path(directory)}"
    except PathInvalid as error:
        raise _refused("FilePathInvalid", f"File Path '{directory[:256]}'", error) from None


def file_path(directory: str, name: str) -> str:
    """An absolute path in the session for ``name`` in a ``path`` parameter.

    Raises Refused (400 FilePathInvalid or FileNameInvalid).
    """
    parent = directory_path(directory)
    try:
        relative = relative_path(name)
        if not relative.parts:
            raise PathInvalid("The name is empty.")
        path = f"{parent}/{relative}"
        relative_path(path)
    except PathInvalid as error:
        raise _refused("FileNameInvalid", f"File name '{name[:256]}'", error) from None
    return path


def _refused(code: str, subject: str, error: PathInvalid) -> Refused:
    printable = "".join(char if char.isprintable() else "\ufffd" for char in subject)
    message = f"{printable} is invalid because: {error.message}"
    return Refused(HTTPStatus.BAD_REQUEST, code, message, target="path")
