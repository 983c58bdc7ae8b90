"""Which request, whose, and which session, what is done now is for: what log and audit say of it.

Tasks inherit these from whoever starts them. One that outlives its request begins in a context of
its own, or the log would say for ever that it is that request's.
"""

from __future__ import annotations

from contextvars import Context, ContextVar
from typing import NamedTuple
from uuid import UUID


class Asker(NamedTuple):
    """Who asks, and from where; each is empty if there is nothing to say."""

    # The account's name; empty: the open door, or the server itself.
    account: str = ""
    key_id: str = ""
    address: str = ""
    # In the words of ``origin``, and "admin".
    door: str = ""


NOBODY = Asker()

# Empty while there is none.
request_id: ContextVar[str] = ContextVar("request_id", default="")
session_id: ContextVar[str] = ContextVar("session_id", default="")
asker: ContextVar[Asker] = ContextVar("asker", default=NOBODY)


def found(session: UUID) -> None:
    """From now on, what is done here is for this session."""
    session_id.set(str(session))


def asked_by() -> dict[str, str]:
    """Who asks for what is done now, and in which request, as plain data."""
    who = asker.get()
    about = {**who._asdict(), "request_id": request_id.get()}
    del about["door"]  # what is done has one of its own: its origin
    return {name: value for name, value in about.items() if value}


def of_session(session: UUID) -> Context:
    """The context of a task that is a session's, whoever made it necessary."""
    context = Context()
    context.run(found, session)
    return context


def of_nobody() -> Context:
    """The context of a task that is everybody's."""
    return Context()
