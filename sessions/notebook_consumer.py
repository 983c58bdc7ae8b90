"""The socket of a notebook: its cells, kept in step between everybody who has it open."""

from __future__ import annotations

import json
from typing import Any

from sessions import frames, notebook
from sessions.consumers import SessionSocket
from sessions.database import database_needed
from sessions.exceptions import EditConflict, WorkbenchError
from sessions.frames import Frame
from sessions.history import CHARACTERS_PER_PORTION
from sessions.notebook_edits import edit_of
from sessions.topics import notebook_topic

NOTEBOOK_FRAMES: frames.Table = {
    "edit": {
        "edit": frames.TEXT,
        "cells": frames.OBJECTS.optional,
        "metadata": frames.OBJECT.optional,
    },
    "ping": {},
}
CELLS_PER_FRAME = 500


class NotebookConsumer(SessionSocket):
    """One client on one notebook: the cells that changed since a version, then live.

    Works on sessions that have ended, too: what people wrote stays theirs.
    """

    frames = NOTEBOOK_FRAMES
    since_is = "a version of the notebook"
    # The version of the last frame sent, or of the last one the client says it has.
    version: int

    async def begin(self, since: int) -> None:
        self.version = since
        self._is_told = False  # until the first frame with cells
        self.spawn(self.follow(notebook_topic(self.session.id)), name="follow")

    async def catch_up(self) -> None:
        version, metadata = await notebook.state_of(self.session.id)
        if self._is_told and version <= self.version:
            return
        cells: list[str] = []
        size = 0
        async for row in notebook.cells_since(self.session.id, self.version, version):
            cell = json.dumps(row.to_wire())
            is_full = len(cells) == CELLS_PER_FRAME
            if cells and (is_full or size + len(cell) > CHARACTERS_PER_PORTION):
                # Others of this row's version may still come: who leaves now must get them again.
                await self._send_cells(cells, row.version - 1, metadata)
                cells, size = [], 0
            cells.append(cell)
            size += len(cell)
        await self._send_cells(cells, version, metadata)
        self._is_told = True

    async def _send_cells(self, cells: list[str], version: int, metadata: dict[str, Any]) -> None:
        rest = json.dumps({"version": version, "metadata": metadata})[1:]
        await self.send(text_data=f'{{"type": "cells", "cells": [{", ".join(cells)}], {rest}')
        self.version = max(self.version, version)

    async def live(self) -> None:
        await self.send_json({"type": "live", "version": self.version})

    async def act(self, frame: Frame) -> None:
        if frame.type == "edit":
            await self._edit(frame.fields)

    async def _edit(self, fields: dict[str, Any]) -> None:
        answer: dict[str, Any] = {"edit": fields["edit"]}
        try:
            async with self._order:  # in the order of their frames
                with database_needed():
                    version = await notebook.apply_edit(self.session.id, edit_of(fields))
            answer = {"type": "edited", **answer, "version": version}
        except EditConflict as error:
            answer = {"type": "conflict", **answer, "cells": error.data["cells"]}
        except WorkbenchError as error:
            said = {"code": error.code, "message": error.message, "in_reply_to": "edit"}
            answer = {"type": "error", **said, **answer}
        await self.send_json(answer)
