"""Where Django keeps who is logged in, by the cookie of their browser."""

from __future__ import annotations

from django.contrib.sessions.backends import db


class SessionStore(db.SessionStore):
    """Django's in the database, which is never asked for what cannot be a login's key.

    A cookie may have NUL in it, which PostgreSQL takes for no text at all.
    """

    def _validate_session_key(self, key: str) -> bool:
        return bool(super()._validate_session_key(key)) and key.isascii() and key.isalnum()  # type: ignore[misc]  # stubs lack it
