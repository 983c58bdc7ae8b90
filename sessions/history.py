"""Reading what was recorded of a session: its executions in pages, its log from a number on.

A notice says only that a log has grown; what is new is read from the rows, by number. So a slow
reader costs nothing, and one that comes back asks for what it has not seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Q
from django.db.models.functions import Left, Length

from sessions.engines import engine
from sessions.engines.base import Notices
from sessions.exceptions import ExecutionNotFound
from sessions.models import Event, Execution, Session

# Rows read at once: a session full of pictures must not be in memory whole.
ROWS_PER_READ = 100
# One portion of a log holds at most so many events and, unless a single one is larger, so many
# characters.
EVENTS_PER_PORTION = 500
CHARACTERS_PER_PORTION = 500_000
# Characters of its code that an execution has in a list.
CODE_SHOWN = 1_000


@dataclass(frozen=True)
class Portion:
    """Some events of a log, in order, as texts; ``last_number`` is the last one's."""

    texts: list[str]
    last_number: int


async def portions(
    session: Session, since: int, word: Callable[[Event], str], *, limit: int | None = None
) -> AsyncIterator[Portion]:
    """The log after ``since`` as it is now, bit by bit, each event as ``word`` puts it.

    At most ``limit`` events; None: all.
    """
    texts: list[str] = []
    size, is_more, left = 0, True, limit
    while is_more:
        newer = session.events.filter(number__gt=since).order_by("number")
        wanted = ROWS_PER_READ if left is None else min(ROWS_PER_READ, left)
        rows = [event async for event in newer[:wanted]]
        left = None if left is None else left - len(rows)
        is_more = len(rows) == ROWS_PER_READ and left != 0
        for row in rows:
            text = word(row)
            is_full = len(texts) == EVENTS_PER_PORTION
            if texts and (is_full or size + len(text) > CHARACTERS_PER_PORTION):
                yield Portion(texts, since)
                texts, size = [], 0
            texts.append(text)
            size += len(text)
            since = row.number
    if texts:
        yield Portion(texts, since)


async def is_news(notices: Notices, seconds: float) -> bool:
    """Wait for a notice; False if there was none for so long. Raises HostUnavailable."""
    try:
        async with asyncio.timeout(seconds):
            await anext(notices)
    except TimeoutError:
        return False
    return True


async def wait_for_event(session: Session, since: int, seconds: float) -> None:
    """Return when the log has an event after ``since``, the session has ended, or time is over.

    Raises HostUnavailable if none of that is so and nobody would tell.
    """

    async def is_over() -> bool:
        newer = session.events.filter(number__gt=since)
        ended = Session.objects.filter(id=session.id, ended_at__isnull=False)
        return await newer.aexists() or await ended.aexists()

    if seconds <= 0 or await is_over():
        return
    with suppress(TimeoutError):
        # Subscribe before reading, so that nothing falls in between.
        async with asyncio.timeout(seconds), engine().subscribe(str(session.id)) as notices:
            while not await is_over():
                await anext(notices)


@dataclass(frozen=True)
class ExecutionPage:
    """Some executions of a session, the newest first.

    Of their code they have only ``code_shown``, its beginning; ``code_length`` says how long it
    is. ``is_last``: there are no older ones.
    """

    executions: Sequence[Execution]
    is_last: bool


async def list_executions(
    session: Session, *, limit: int, before: UUID | None = None, state: str = ""
) -> ExecutionPage:
    """The newest executions, or those older than the one with the id ``before``.

    Raises ExecutionNotFound if the session has no such execution.
    """
    found = session.executions.order_by("-queued_at", "-id")
    if before is not None:
        at = await found.filter(id=before).values_list("queued_at", flat=True).afirst()
        if at is None:
            raise ExecutionNotFound("The session has no execution to go on from with this id.")
        found = found.filter(Q(queued_at__lt=at) | Q(queued_at=at, id__lt=before))
    if state:
        found = found.filter(state=state)
    shown = found.annotate(code_shown=Left("code", CODE_SHOWN), code_length=Length("code"))
    rows = [row async for row in shown.defer("code", "request")[: limit + 1]]
    return ExecutionPage(rows[:limit], is_last=len(rows) <= limit)
