"""Workspaces on this machine's disk, and the threads that wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar
from uuid import UUID

from django.conf import settings

from sessions.exceptions import HostUnavailable, SessionNotFound
from sessions.kernels.files import Room
from sessions.kernels.workspace import Workspace, workspace_path

P = ParamSpec("P")
T = TypeVar("T")

# Not the threads of everybody: a kernel must not wait until somebody's archive is packed.
_threads = ThreadPoolExecutor(8, thread_name_prefix="files")


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Await what blocks, as ``asyncio.to_thread`` does."""
    call = partial(copy_context().run, function, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_threads, call)


def workspace_of(session_id: UUID) -> Workspace:
    """The workspace of a session, whether it exists or not."""
    path = workspace_path(Path(settings.WORKBENCH_DATA_DIR), session_id)
    return Workspace(path, max_bytes=settings.WORKBENCH_SESSION_LIMITS.workspace_bytes)


async def workspace_with_room(session_id: UUID, room: Room) -> Workspace:
    """The workspace for who writes: what it may hold is up to the session and to its owner.

    Several uploads at once may together be too much; then the next is refused, as is code.
    """
    workspace = workspace_of(session_id)
    # Without a host nothing runs, and without a session there is nothing to write into.
    with suppress(HostUnavailable, SessionNotFound):
        found = await room(session_id)
        workspace.max_bytes, workspace.full = found["most_bytes"], found["full"]
    return workspace
