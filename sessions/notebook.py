"""A session's notebook: the cells people wrote, and those that executions make by themselves.

An execution that ran for no cell is a cell of its own ("virtual"), without a row: its key is the
execution's id, its place that of its first event. A row with the same key takes its place. The web
tier alone writes these rows; whoever writes holds the lock on the notebook's row until the end of
the transaction, so that versions become visible in their order.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from asgiref.sync import sync_to_async
from django.db import transaction
from django.db.models import Count, Q, Sum

from sessions import positions
from sessions.cell_outputs import SessionOutputs
from sessions.engines import ask
from sessions.exceptions import EditConflict, HostUnavailable, InvalidValue, NotebookFull
from sessions.models import Cell, Event, Execution, Notebook, Session
from sessions.notebook_edits import CellEdit, Edit, json_bytes
from sessions.notebook_order import position_at
from sessions.states import EventType
from sessions.topics import notebook_topic

MAX_CELLS = 10_000
MAX_NOTEBOOK_BYTES = 20_000_000
TOO_LARGE_TO_COPY = "This output was too large to be copied."
# Rows read at once: a notebook full of pictures must not be in memory whole.
ROWS_PER_READ = 100
ROWS_PER_WRITE = 500

_FIELDS = ("kind", "source", "position", "metadata", "outputs", "is_deleted")
_CHANGING = (*_FIELDS, "version", "source_version", "size_bytes")


@dataclass
class DocumentCell:
    """A cell as it is shown: from its row, or made by an execution."""

    key: UUID
    # As Cell.Kind; "command" for a command that belongs to no cell.
    kind: str
    source: str
    position: str
    metadata: dict[str, Any] = field(default_factory=dict)
    # In the .ipynb format: of its last execution, or those it came with.
    outputs: list[dict[str, Any]] = field(default_factory=list)
    # The last that ran for it; None if it has not run here.
    execution: Execution | None = None


@dataclass
class Document:
    """A whole notebook, its cells in order."""

    session: Session
    version: int
    metadata: dict[str, Any]
    cells: list[DocumentCell]
    # The state of widgets by their ids, as .ipynb files keep it.
    widgets: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class NewCell:
    """A cell that comes from a file or from another session."""

    kind: str
    source: str
    metadata: dict[str, Any] = field(default_factory=dict)
    outputs: list[dict[str, Any]] = field(default_factory=list)

    @property
    def size_bytes(self) -> int:
        """About what it takes."""
        return len(self.source.encode()) + json_bytes([self.metadata, self.outputs])


# --- Reading ------------------------------------------------------------------------------------


async def state_of(session_id: UUID) -> tuple[int, dict[str, Any]]:
    """The notebook's version and metadata; 0 and none before the first edit."""
    notebook = await Notebook.objects.filter(session_id=session_id).afirst()
    return (notebook.version, notebook.metadata) if notebook else (0, {})


async def cells_since(session_id: UUID, since: int, until: int) -> AsyncIterator[Cell]:
    """The rows that last changed after version ``since``, up to ``until``, in order of version.

    Deleted ones too. What changes meanwhile has a version beyond ``until``, and is left out.
    """
    rows = Cell.objects.filter(session_id=session_id, version__lte=until)
    rows = rows.order_by("version", "id")
    newer = Q(version__gt=since)
    while page := [row async for row in rows.filter(newer)[:ROWS_PER_READ]]:
        for row in page:
            yield row
        last = page[-1]
        newer = Q(version__gt=last.version) | Q(version=last.version, id__gt=last.id)


async def read_document(session: Session) -> Document:
    """The whole notebook with what its cells last put out."""
    document = await _cells_of(session)
    ran = {cell.execution.pk for cell in document.cells if cell.execution}
    outputs = SessionOutputs(ran)
    async for event in _output_events(session):
        outputs.add(event.type, event.data, event.execution_id)
    for cell in document.cells:
        if cell.execution:
            cell.outputs = outputs.of(cell.execution.pk)
    document.widgets = outputs.widgets
    return document


@sync_to_async
@transaction.atomic
def _cells_of(session: Session) -> Document:
    notebook = Notebook.objects.filter(session=session).first() or Notebook(session=session)
    rows = {row.key: row for row in Cell.objects.filter(session=session)}
    queued = Event.objects.filter(session=session, type=EventType.EXECUTION_QUEUED)
    numbers = dict(queued.values_list("execution_id", "number"))
    executions = [each for each in Execution.objects.filter(session=session) if each.pk in numbers]
    executions.sort(key=lambda each: numbers[each.pk])
    last = {each.cell or each.pk: each for each in executions}
    cells = [
        DocumentCell(
            row.key, row.kind, row.source, row.position, row.metadata, row.outputs, last.get(key)
        )
        for key, row in rows.items()
        if not row.is_deleted
    ]
    cells += [
        DocumentCell(each.pk, *_virtual(each, numbers[each.pk]), execution=last[each.pk])
        for each in executions
        if each.cell is None and each.pk not in rows
    ]
    cells.sort(key=lambda cell: (cell.position, str(cell.key)))
    return Document(session, notebook.version, notebook.metadata, cells)


def _virtual(execution: Execution, number: int) -> tuple[str, str, str]:
    """Kind, source and position of the cell that an execution makes by itself."""
    return execution.kind, execution.code, positions.of_event(number)


async def _output_events(session: Session) -> AsyncIterator[Event]:
    """What was put out in the session, in order."""
    number = 0
    wanted = session.events.filter(type__in=SessionOutputs.TYPES).order_by("number")
    while page := [event async for event in wanted.filter(number__gt=number)[:ROWS_PER_READ]]:
        for event in page:
            yield event
        number = page[-1].number


# --- Writing ------------------------------------------------------------------------------------


async def apply_edit(session_id: UUID, edit: Edit) -> int:
    """Make the changes, all or none; the notebook's version then.

    An edit that changes nothing (such as one that is sent again) does nothing. Others who look
    at the notebook are told. Raises EditConflict, whose ``data["cells"]`` are the cells (as on
    the wire) whose text somebody else changed or deleted since the version it is based on;
    InvalidValue for a new cell without a position; NotebookFull; CellNotFound or Conflict for a
    place that is not there.
    """
    # Whoever asked may go away: others are told all the same.
    return await asyncio.shield(asyncio.create_task(_apply_and_tell(session_id, edit), name="edit"))


async def _apply_and_tell(session_id: UUID, edit: Edit) -> int:
    before, version = await _apply(session_id, edit)
    if version != before:
        await _announce(session_id, version)
    return version


async def add_cells(
    session_id: UUID,
    cells: list[NewCell],
    *,
    metadata: dict[str, Any] | None = None,
    replace: bool = False,
) -> int:
    """Add cells at the end, or instead of all that are there; the notebook's version then.

    ``metadata`` None: as they were. Raises NotebookFull; then nothing is changed.
    """
    work = _add_and_tell(session_id, cells, metadata, replace=replace)
    return await asyncio.shield(asyncio.create_task(work, name="add cells"))


async def _add_and_tell(
    session_id: UUID, cells: list[NewCell], metadata: dict[str, Any] | None, *, replace: bool
) -> int:
    version = await _add(session_id, cells, metadata, replace=replace)
    await _announce(session_id, version)
    return version


def cut_to_fit(cells: Iterable[NewCell]) -> list[NewCell]:
    """The cells, those beyond what a notebook holds without their outputs."""
    fitting, size = [], 0
    note = {"output_type": "stream", "name": "stderr", "text": TOO_LARGE_TO_COPY}
    for cell in cells:
        if cell.outputs and size + cell.size_bytes > MAX_NOTEBOOK_BYTES * 3 // 4:
            cell = NewCell(
                kind=cell.kind, source=cell.source, metadata=cell.metadata, outputs=[note]
            )
        size += cell.size_bytes
        fitting.append(cell)
    return fitting


@sync_to_async
@transaction.atomic
def _apply(session_id: UUID, edit: Edit) -> tuple[int, int]:
    """The version before and after."""
    notebook = _locked(session_id)
    before, version = notebook.version, notebook.version + 1
    keys = [cell.key for cell in edit.cells]
    known = {row.key: row for row in Cell.objects.filter(session_id=session_id, key__in=keys)}
    conflicts = [row for cell in edit.cells if (row := known.get(cell.key)) and _is_lost(cell, row)]
    if conflicts:
        raise EditConflict(cells=[row.to_wire() for row in conflicts])
    rows = {**_new_rows(session_id, set(keys) - known.keys()), **known}
    changed = [
        row
        for cell in edit.cells
        if _change(row := rows[cell.key], _changes(session_id, cell), version) or row._state.adding
    ]
    is_same = edit.metadata is None or edit.metadata == notebook.metadata
    if not changed and is_same:
        return before, before
    if any(not row.position for row in changed):
        raise InvalidValue("A new cell needs a position.")
    if edit.metadata is not None:
        notebook.metadata = edit.metadata
    _write(notebook, version, changed)
    return before, version


@sync_to_async
@transaction.atomic
def _add(
    session_id: UUID, cells: list[NewCell], metadata: dict[str, Any] | None, *, replace: bool
) -> int:
    notebook = _locked(session_id)
    version = notebook.version + 1
    if replace:
        _delete_all(session_id, version)
    rows = Cell.objects.filter(session_id=session_id, is_deleted=False)
    # Not the database's maximum, which may sort by the rules of some language.
    last = max(rows.values_list("position", flat=True), default="")
    number = Session.objects.values_list("last_event_number", flat=True).get(id=session_id)
    places = positions.spread(max(last, positions.of_event(number)), None, len(cells))
    new = [_row_of(session_id, *each, version) for each in zip(cells, places, strict=True)]
    if metadata is not None:
        notebook.metadata = metadata
    _write(notebook, version, new)
    return version


def _locked(session_id: UUID) -> Notebook:
    """The notebook's row, made if need be; nobody else changes it or its cells meanwhile."""
    Notebook.objects.get_or_create(session_id=session_id)
    # SQLite has no such lock and needs none: our transactions begin as writers, one at a time.
    return Notebook.objects.select_for_update().get(session_id=session_id)


def _is_lost(cell: CellEdit, row: Cell) -> bool:
    """Whether the edit would undo what somebody wrote since the version it is based on."""
    source = cell.changes.get("source")
    return source is not None and cell.base < row.source_version and source != row.source


def _new_rows(session_id: UUID, keys: set[UUID]) -> dict[UUID, Cell]:
    """Unwritten rows of cells that have none; those that executions made begin as these are."""
    rows = {key: Cell(session_id=session_id, key=key, version=0, source_version=0) for key in keys}
    return rows | {row.key: row for row in _made_by_executions(session_id, execution_id__in=keys)}


def _made_by_executions(session_id: UUID, **filters: Any) -> list[Cell]:
    """Unwritten rows of the cells that executions make by themselves."""
    events = Event.objects.filter(session_id=session_id, type=EventType.EXECUTION_QUEUED)
    rows = []
    for event in events.filter(execution__cell=None, **filters).select_related("execution"):
        if event.execution:
            row = Cell(session_id=session_id, key=event.execution.pk, version=0, source_version=0)
            _, row.source, row.position = _virtual(event.execution, event.number)
            rows.append(row)
    return rows


def _changes(session_id: UUID, cell: CellEdit) -> dict[str, Any]:
    """What an edit changes of a cell; a place among others is a position by now."""
    if cell.place is None:
        return cell.changes
    return {**cell.changes, "position": position_at(session_id, cell.place, cell.key)}


def _change(row: Cell, changes: dict[str, Any], version: int) -> bool:
    """Change a row; whether that made a difference."""
    different = {name for name, value in changes.items() if getattr(row, name) != value}
    if not different and not row._state.adding:
        return False
    is_deletion = "is_deleted" in different and changes["is_deleted"]
    if "source" in different or is_deletion or row._state.adding:
        row.source_version = version
    for name in different:
        setattr(row, name, changes[name])
    row.version = version
    row.size_bytes = len(row.source.encode()) + json_bytes([row.metadata, row.outputs])
    return True


def _delete_all(session_id: UUID, version: int) -> None:
    """Delete every cell, also those that executions make by themselves."""
    rows = Cell.objects.filter(session_id=session_id)
    rows.filter(is_deleted=False).update(is_deleted=True, version=version, source_version=version)
    known = set(rows.values_list("key", flat=True))
    gone = [row for row in _made_by_executions(session_id) if row.key not in known]
    for row in gone:
        _change(row, {"is_deleted": True}, version)
    Cell.objects.bulk_create(gone, batch_size=ROWS_PER_WRITE)


def _row_of(session_id: UUID, cell: NewCell, position: str, version: int) -> Cell:
    row = Cell(session_id=session_id, key=uuid4(), version=version, source_version=version)
    row.kind, row.source, row.position = cell.kind, cell.source, position
    row.metadata, row.outputs, row.size_bytes = cell.metadata, cell.outputs, cell.size_bytes
    return row


def _write(notebook: Notebook, version: int, changed: list[Cell]) -> None:
    """Write the rows and the notebook's new version. Raises NotebookFull."""
    new = [row for row in changed if row._state.adding]
    known = [row for row in changed if not row._state.adding]
    Cell.objects.bulk_create(new, batch_size=ROWS_PER_WRITE)
    Cell.objects.bulk_update(known, _CHANGING, batch_size=ROWS_PER_WRITE)
    if changed:
        _check_limits(notebook.session_id)
    notebook.version = version
    notebook.save(force_update=True)


def _check_limits(session_id: UUID) -> None:
    cells = Cell.objects.filter(session_id=session_id, is_deleted=False)
    total = cells.aggregate(count=Count("id"), size=Sum("size_bytes"))
    if total["count"] > MAX_CELLS:
        raise NotebookFull(f"A notebook has at most {MAX_CELLS:,} cells. Delete some first.")
    if (total["size"] or 0) > MAX_NOTEBOOK_BYTES:
        raise NotebookFull("A notebook has at most 20 MB. Delete cells, or outputs it came with.")


async def _announce(session_id: UUID, version: int) -> None:
    """Tell whoever has the notebook open. Without a host they find out by themselves, later."""
    with suppress(HostUnavailable):
        await ask("announce", topic=notebook_topic(session_id), number=version)
