"""Single cells of a notebook, for programs: read, added, changed, deleted.

What they write goes the way of every edit (sessions/notebook.py), so that pages see it at once.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from asgiref.sync import sync_to_async
from django.db import transaction
from django.db.models import Q

from sessions import notebook
from sessions.exceptions import CellNotFound, EditConflict
from sessions.models import Cell, Execution, Notebook, Session
from sessions.notebook_edits import CellEdit, Edit, Place, edit_of
from sessions.notebook_order import spot_of, spots

# A page with more characters of source goes no further.
CHARACTERS_PER_PAGE = 4_000_000
# Cells read at once.
CELLS_PER_READ = 20


@dataclass(frozen=True, kw_only=True)
class CellInfo:
    """A cell, from its row or made by an execution."""

    key: UUID
    # As Cell.Kind; "command" for a command that belongs to no cell.
    kind: str
    source: str
    metadata: dict[str, Any]
    # The notebook's when it last changed; 0: nobody has edited what an execution made.
    version: int
    # The last that ran for it.
    execution_id: UUID | None


@dataclass(frozen=True)
class CellPage:
    """Some cells of a notebook, in order. ``is_last``: there are no more behind them."""

    cells: Sequence[CellInfo]
    is_last: bool
    # The notebook's.
    version: int


@sync_to_async
@transaction.atomic
def read_cells(session: Session, *, limit: int, after: UUID | None = None) -> CellPage:
    """The first cells, or those behind the one with this key, which may be deleted by now.

    At most ``limit``, fewer if they are long. Raises CellNotFound.
    """
    begin = spot_of(session.id, after) if after else None
    keys = [UUID(spot.key) for spot in spots(session.id, after=begin, limit=limit + 1)]
    wanted, size = keys[:limit], 0
    cells: list[CellInfo] = []
    while len(cells) < len(wanted) and size <= CHARACTERS_PER_PAGE:
        some = _infos(session, wanted[len(cells) : len(cells) + CELLS_PER_READ])
        cells += some
        size += sum(len(cell.source) for cell in some)
    book = Notebook.objects.filter(session=session).first() or Notebook(session=session)
    return CellPage(cells, is_last=len(cells) == len(keys), version=book.version)


@sync_to_async
@transaction.atomic
def read_cell(session: Session, key: UUID) -> CellInfo:
    """One cell. Raises CellNotFound, also for one that is deleted."""
    infos = _infos(session, [key])
    if not infos:
        raise CellNotFound
    return infos[0]


async def add_cell(session: Session, fields: dict[str, Any], place: Place) -> CellInfo:
    """A new cell with some of ``kind``, ``source`` and ``metadata``.

    Raises InvalidValue, NotebookFull, CellNotFound or Conflict for a place that is not there.
    """
    key = uuid4()
    await notebook.apply_edit(session.id, _edit(key, 0, fields, place))
    return await read_cell(session, key)


async def change_cell(
    session: Session, key: UUID, base: int, fields: dict[str, Any], place: Place | None
) -> CellInfo:
    """Change some of a cell's ``kind``, ``source`` and ``metadata``, or its place.

    ``base`` is the version that the caller had. Raises CellNotFound; EditConflict, whose
    ``data["cell"]`` is the CellInfo, if its text has been changed since; and what ``add_cell``
    raises.
    """
    await read_cell(session, key)
    try:
        await notebook.apply_edit(session.id, _edit(key, base, fields, place))
    except EditConflict as error:
        # What was deleted meanwhile is not found.
        raise EditConflict(error.message, cell=await read_cell(session, key)) from None
    return await read_cell(session, key)


async def delete_cell(session: Session, key: UUID) -> None:
    """Delete a cell, as it is. Raises CellNotFound."""
    await read_cell(session, key)
    await notebook.apply_edit(session.id, Edit([CellEdit(key, 0, {"is_deleted": True})]))


def _edit(key: UUID, base: int, fields: dict[str, Any], place: Place | None) -> Edit:
    (checked,) = edit_of({"cells": [{"id": str(key), "base": base, **fields}]}).cells
    return Edit([CellEdit(key, checked.base, checked.changes, place)])


def _infos(session: Session, keys: Collection[UUID]) -> list[CellInfo]:
    """The cells with these keys that are there, in their order."""
    rows = {row.key: row for row in Cell.objects.filter(session=session, key__in=keys)}
    ran = Execution.objects.filter(Q(cell__in=keys) | Q(cell=None, id__in=keys), session=session)
    runs = ran.order_by("queued_at", "id").values_list("id", "cell")
    last = {cell or id_: id_ for id_, cell in runs}
    alone = [id_ for id_, cell in runs if cell is None and id_ not in rows]
    made = Execution.objects.in_bulk(alone) if alone else {}
    cells = []
    for key in keys:
        if row := rows.get(key):
            if not row.is_deleted:
                cells.append(_of_row(row, last.get(key)))
        elif execution := made.get(key):
            cells.append(_of_execution(execution, last[key]))
    return cells


def _of_row(row: Cell, execution_id: UUID | None) -> CellInfo:
    return CellInfo(
        key=row.key,
        kind=row.kind,
        source=row.source,
        metadata=row.metadata,
        version=row.version,
        execution_id=execution_id,
    )


def _of_execution(execution: Execution, last_id: UUID) -> CellInfo:
    return CellInfo(
        key=execution.id,
        kind=execution.kind,
        source=execution.code,
        metadata={},
        version=0,
        execution_id=last_id,
    )
