"""An edit of a notebook, as a client sends it, checked. Pure, no I/O; docs/events.md has the frame."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sessions import positions
from sessions.exceptions import InvalidValue, NotebookFull
from sessions.kernels.outputs import clean

KINDS = ("code", "markdown", "raw")
MAX_SOURCE_BYTES = 1_000_000
MAX_METADATA_BYTES = 1_000_000  # of the notebook; those of cells count as part of the cell
MAX_VERSION = 2**53  # what JavaScript counts to


@dataclass(frozen=True)
class Behind:
    """The place behind a cell; None: before all of them."""

    key: UUID | None


@dataclass(frozen=True)
class AtEnd:
    """The place behind all cells."""


Place = Behind | AtEnd


@dataclass(frozen=True)
class CellEdit:
    """What one cell shall be: only the fields that are to change, by their names in the row."""

    key: UUID
    # The version of the cell that the client had; 0: none.
    base: int
    changes: dict[str, Any]
    # Where it shall stand, for who does not know the positions; None: where ``changes`` say.
    place: Place | None = None


@dataclass(frozen=True)
class Edit:
    """Changes that are made together, or not at all."""

    cells: list[CellEdit]
    # The notebook's new metadata; None: as they were.
    metadata: dict[str, Any] | None = None


def edit_of(frame: dict[str, Any]) -> Edit:
    """The edit in a frame's ``cells`` and ``metadata``. Raises InvalidValue, NotebookFull."""
    given = frame.get("cells", [])
    if not isinstance(given, list):
        raise InvalidValue("The field “cells” must be a list.")
    cells = [_cell(wire) for wire in given]
    if len({cell.key for cell in cells}) < len(cells):
        raise InvalidValue("A cell may be in an edit only once.")
    metadata = frame.get("metadata")
    return Edit(cells, None if metadata is None else notebook_metadata(metadata))


def notebook_metadata(value: Any) -> dict[str, Any]:
    """A notebook's metadata. Raises InvalidValue, NotebookFull."""
    metadata = _metadata(value)
    if json_bytes(metadata) > MAX_METADATA_BYTES:
        raise NotebookFull("The notebook's metadata have more than 1 MB.")
    return metadata


def source_text(value: Any) -> str:
    """A cell's source. Raises InvalidValue, NotebookFull."""
    if not isinstance(value, str):
        raise InvalidValue("A cell's source must be text.")
    source = str(clean(value))
    if len(source.encode()) > MAX_SOURCE_BYTES:
        raise NotebookFull("A cell has more than 1 MB of text. Split it, or put it into a file.")
    return source


def json_bytes(value: Any) -> int:
    """How many bytes a value takes as JSON."""
    return len(json.dumps(value, ensure_ascii=False).encode())


def _cell(wire: Any) -> CellEdit:
    if not isinstance(wire, dict):
        raise InvalidValue("A cell must be a JSON object.")
    changes = {name: check(wire[name]) for name, check in _FIELDS.items() if name in wire}
    return CellEdit(_key(wire.get("id")), _base(wire.get("base", 0)), changes)


def _key(value: Any) -> UUID:
    try:
        return UUID(value)
    except (AttributeError, TypeError, ValueError):
        raise InvalidValue("A cell's id must be a UUID.") from None


def _base(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_VERSION:
        raise InvalidValue("A cell's “base” must be the version that was edited, or 0.")
    return value


def _kind(value: Any) -> str:
    if value not in KINDS:
        raise InvalidValue("A cell's kind must be code, markdown or raw.")
    return str(value)


def _position(value: Any) -> str:
    if not isinstance(value, str) or not positions.is_position(value):
        raise InvalidValue("A cell's position is not valid.")
    return value


def _metadata(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidValue("Metadata must be a JSON object.")
    return dict(clean(value))


def _outputs(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise InvalidValue("A cell's outputs must be a list of JSON objects.")
    return list(clean(value))


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidValue("A cell's “is_deleted” must be true or false.")
    return value


_FIELDS: dict[str, Callable[[Any], Any]] = {
    "kind": _kind,
    "source": source_text,
    "position": _position,
    "metadata": _metadata,
    "outputs": _outputs,
    "is_deleted": _flag,
}
