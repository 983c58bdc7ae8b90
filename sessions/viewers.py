"""Who looks at sessions: whose they see, and which of others' besides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from sessions.models import Session


@dataclass(frozen=True, kw_only=True)
class Viewer:
    """Somebody who looks, and perhaps does more."""

    # Whose sessions they see; None: those without an owner.
    owner_id: int | None
    # Whether they may do more than look at those.
    may_run: bool = True
    # Sessions of others that they were given, and whether they may run code there.
    shared: Mapping[UUID, bool] = field(default_factory=dict)

    def owns(self, session: Session) -> bool:
        """Whether a session is theirs."""
        return session.owner_id == self.owner_id

    def may_run_in(self, session: Session) -> bool:
        """Whether they may do more than look at a session that they see."""
        return self.may_run if self.owns(session) else self.shared.get(session.id, False)
