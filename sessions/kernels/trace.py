"""Which request, and which session, what is done now is for: what the log says of it.

Tasks inherit both from whoever starts them. One that outlives its request begins in a context of
its own, or the log would say for ever that it is that request's.
"""

from __future__ import annotations

from contextvars import Context, ContextVar
from uuid import UUID

# Empty while there is none.
request_id: ContextVar[str] = ContextVar("request_id", default="")
session_id: ContextVar[str] = ContextVar("session_id", default="")


def found(session: UUID) -> None:
    """From now on, what is done here is for this session."""
    session_id.set(str(session))


def of_session(session: UUID) -> Context:
    """The context of a task that is a session's, whoever made it necessary."""
    context = Context()
    context.run(found, session)
    return context


def of_nobody() -> Context:
    """The context of a task that is everybody's."""
    return Context()
