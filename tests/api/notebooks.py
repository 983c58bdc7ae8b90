"""Notebooks as tests make them: cells, edits, executions of elsewhere."""

from __future__ import annotations

from typing import Any

from sessions import notebook
from sessions.models import Event, Execution, Session
from sessions.notebook_edits import edit_of
from tests.api.sockets import NOW

# The same each time: tests are named by them. The last is of no cell.
A = "5b2f4c1e-9a7d-4e0b-8c36-1d0f7a92e6b4"
B = "c08d6e37-42f1-4b9a-a5e8-6f93d1b7205c"
NOWHERE = "7e41a9d5-0c68-4f23-b1ae-92d5c83f4607"


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
