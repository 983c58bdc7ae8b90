"""The cells of a notebook, one by one: ``/api/v1/sessions/<identifier>/cells…``."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.urls import URLPattern, path
from rest_framework.request import Request

from sessions import notebook_cells
from sessions.exceptions import (
    CellNotFound,
    Conflict,
    EditConflict,
    InvalidValue,
    NotebookFull,
)
from sessions.notebook_cells import CellInfo
from sessions.notebook_edits import MAX_VERSION, AtEnd, Behind, Place
from workbench.api import shapes
from workbench.api.base import (
    CURSOR,
    LIMIT,
    NOT_JSON,
    TOO_LARGE,
    SessionView,
    json_body,
    json_fields,
    no_content,
    parse_uuid,
    read_cursor,
    read_number,
)
from workbench.api.operation import Answer, Body, Failure, operation
from workbench.dialects.base import json_response

EDIT_CONFLICT = Failure(
    HTTPStatus.CONFLICT, EditConflict.code, EditConflict().message, shape=shapes.CellProblem
)
LOCATION = {"Location": "The cell's address."}
# What of a cell is the client's.
_FIELDS = ("kind", "source", "metadata")


class CellsView(SessionView):
    """``…/cells``."""

    tag = "Notebooks"
    failures = (*SessionView.failures, CellNotFound)

    @operation(
        "list_cells",
        query=[LIMIT, CURSOR],
        answers={HTTPStatus.OK: Answer(about="A page of them.", shape=shapes.Cells)},
    )
    async def get(self, request: Request, **where: Any) -> HttpResponse:
        """List the cells of the notebook.

        In order, with their text; fewer come at a time if they are long. What ran through another
        door is a cell as well. Also of a session that has ended.
        """
        limit, cursor = read_number(request, LIMIT) or 1, read_cursor(request)
        session = await self.session_of(request)
        page = await notebook_cells.read_cells(session, limit=limit, after=cursor)
        last = None if page.is_last else str(page.cells[-1].key)
        listed = [_on_the_wire(cell) for cell in page.cells]
        return json_response({"cells": listed, "version": page.version, "next_cursor": last})

    @operation(
        "add_cell",
        body=Body(shape=shapes.NewCell, example={"source": "print(6 * 7)"}),
        answers={
            HTTPStatus.CREATED: Answer(about="It is there.", shape=shapes.Cell, headers=LOCATION)
        },
        failures=[NOT_JSON, TOO_LARGE, NotebookFull, Conflict],
    )
    async def post(self, request: Request, **where: Any) -> HttpResponse:
        """Add a cell.

        At the end, or behind another one. Whoever has the notebook open sees it at once. It does
        not run: to run it, submit its text with its id as `cell`.
        """
        body = json_body(request, shapes.NewCell)
        place = _place(body) or AtEnd()
        session = await self.session_of(request)
        cell = await notebook_cells.add_cell(session, _given(body), place)
        where_it_is = f"/api/v1/sessions/{session.id}/cells/{cell.key}"
        return json_response(_on_the_wire(cell), HTTPStatus.CREATED, {"Location": where_it_is})


class CellView(SessionView):
    """``…/cells/<cell>``."""

    tag = "Notebooks"
    failures = (*SessionView.failures, CellNotFound)

    def key(self) -> UUID:
        """The cell in the address. Raises CellNotFound if none can have this id."""
        key = parse_uuid(self.kwargs["cell"])
        if key is None:
            raise CellNotFound
        return key

    @operation(
        "read_cell", answers={HTTPStatus.OK: Answer(about="It, as it is now.", shape=shapes.Cell)}
    )
    async def get(self, request: Request, **where: Any) -> HttpResponse:
        """Look at a cell.

        What it last put out is in its `execution`.
        """
        session = await self.session_of(request)
        return json_response(_on_the_wire(await notebook_cells.read_cell(session, self.key())))

    @operation(
        "change_cell",
        body=Body(shape=shapes.ChangedCell, example={"version": 3, "source": "print(6 * 7)"}),
        answers={HTTPStatus.OK: Answer(about="It, as it is now.", shape=shapes.Cell)},
        failures=[TOO_LARGE, NotebookFull, EDIT_CONFLICT, Conflict],
    )
    async def patch(self, request: Request, **where: Any) -> HttpResponse:
        """Change a cell, or put it elsewhere.

        Only what is in the body. `version` is that of the cell that you have: if somebody else
        has changed its text since, nothing is done, and the answer has the newest `cell`.
        """
        body = json_fields(request, shapes.ChangedCell)
        version, fields, place = _version(body), _given(body), _place(body)
        session = await self.session_of(request)
        try:
            cell = await notebook_cells.change_cell(session, self.key(), version, fields, place)
        except EditConflict as error:
            newest = _on_the_wire(error.data["cell"])
            raise EDIT_CONFLICT.refusal(cell=newest) from None
        return json_response(_on_the_wire(cell))

    @operation("delete_cell", answers={HTTPStatus.NO_CONTENT: Answer(about="It is gone.")})
    async def delete(self, request: Request, **where: Any) -> HttpResponse:
        """Delete a cell.

        Whatever its version is. What it ran stays in the log.
        """
        await notebook_cells.delete_cell(await self.session_of(request), self.key())
        return no_content()


def _given(body: dict[str, Any]) -> dict[str, Any]:
    return {name: body[name] for name in _FIELDS if body.get(name) is not None}


def _place(body: dict[str, Any]) -> Place | None:
    """Where a body wants the cell; None if it does not say. Raises InvalidValue."""
    if "after" not in body:
        return None
    after = body["after"]
    key = parse_uuid(after) if isinstance(after, str) else None
    if after is not None and key is None:
        raise InvalidValue("“after” must be the id of a cell, or null for the beginning.")
    return Behind(key)


def _version(body: dict[str, Any]) -> int:
    version = body.get("version")
    if isinstance(version, float) and version.is_integer():  # which JSON takes for one
        version = int(version)
    is_number = isinstance(version, int) and not isinstance(version, bool)
    if version is None or not is_number or not 0 <= version <= MAX_VERSION:
        raise InvalidValue("“version” must be the version of the cell that you have.")
    return int(version)


def _on_the_wire(cell: CellInfo) -> dict[str, Any]:
    return {
        "id": str(cell.key),
        "kind": cell.kind,
        "source": cell.source,
        "metadata": cell.metadata,
        "version": cell.version,
        "execution": str(cell.execution_id) if cell.execution_id else None,
    }


urlpatterns: list[URLPattern] = [
    path("sessions/<path:identifier>/cells", CellsView.as_view()),
    path("sessions/<path:identifier>/cells/<str:cell>", CellView.as_view()),
]
