"""Notebooks as tests make them: cells, edits, executions of elsewhere."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from sessions import notebook
from sessions.models import Event, Execution, Session
from sessions.notebook_edits import edit_of
from tests.api.sockets import NOW

A, B = str(uuid4()), str(uuid4())


async def an_execution(session: Session, number: int, **more: Any) -> Execution:
    """An execution in the log, with its first event."""
    fields = {"code": "print(1)", "origin": "azure", "state": "succeeded", **more}
    execution = await Execution.objects.acreate(
        session=session, queued_at=NOW, finished_at=NOW, **fields
    )
    await Event.objects.acreate(
        session=session,
        execution=execution,
        number=number,
        type="execution_queued",
        data={},
        at=NOW,
    )
    session.last_event_number = number
    await session.asave()
    return execution


async def edit(session: Session, *cells: dict[str, Any], **more: Any) -> int:
    return await notebook.apply_edit(session.id, edit_of({"cells": list(cells), **more}))


def a_cell(id_: str = A, base: int = 0, **fields: Any) -> dict[str, Any]:
    return {"id": id_, "base": base, **fields}


def new_cell(id_: str = A, source: str = "", **fields: Any) -> dict[str, Any]:
    return a_cell(id_, source=source, position="000000000001V", **fields)


async def sources(session: Session) -> list[str]:
    return [cell.source for cell in (await notebook.read_document(session)).cells]
