"""What subscribers of an engine can be told about, by name.

A session's id is for its log, "sessions" for changes of any session. Of those here the newest
version is told, with the verb ``announce``.
"""

from __future__ import annotations

from uuid import UUID

from sessions.exceptions import InvalidValue

_NOTEBOOK, _FILES = "notebook", "files"


def notebook_topic(session_id: UUID) -> str:
    """For the cells of a session's notebook."""
    return f"{_NOTEBOOK}:{session_id}"


def files_topic(session_id: UUID) -> str:
    """For what is in a session's workspace."""
    return f"{_FILES}:{session_id}"


def announced_session(topic: str) -> UUID:
    """The session that a topic is about. Raises InvalidValue for one that is not announced."""
    what, _, session_id = topic.partition(":")
    if what not in (_NOTEBOOK, _FILES):
        raise InvalidValue("Only what happens to notebooks and files can be announced.")
    try:
        return UUID(session_id)
    except ValueError:
        raise InvalidValue(f"{topic[:50]!r} names no session.") from None
