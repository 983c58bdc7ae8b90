"""Links to sessions: made, opened, revoked; and the cookie in which a browser keeps those it has.

A link's text is in an address once, when it is opened. From then on the browser shows a signed
list of the links' public names, and what they are good for is looked up each time.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core import signing
from django.db import OperationalError, transaction
from django.db.models import Q, QuerySet
from django.http import HttpResponse
from django.utils import timezone

from sessions import audit
from sessions.exceptions import LimitReached
from sessions.models import Session
from sessions.states import AuditAction
from workbench.access.keys import ID_ALPHABET, USE_IS_NEWS
from workbench.access.models import Scope, Share

ID_LENGTH = 12
TOKEN_BYTES = 32
# Good links that a session may have at once.
MOST_OF_SESSION = 50

COOKIE = "workbench_shares"
_SALT = "workbench.shares"
# Links that one browser keeps; the oldest go.
MOST_KEPT = 20
KEPT = timedelta(days=30)  # since it last opened one

# When this process tried to note a link's use, by its id.
_noted: dict[str, datetime] = {}


class TooManyShares(LimitReached):
    """A session may have 50 links at once. Revoke one."""

    code = "too_many_shares"


@transaction.atomic
def make_share(
    session: Session, *, scope: Scope, made_by: int | None, expires_at: datetime | None
) -> tuple[Share, str]:
    """Make a link, and its secret text. Raises TooManyShares."""
    # Two at once shall not both be the last. SQLite has one writer anyway.
    Session.objects.select_for_update().get(pk=session.pk)
    if good_shares().filter(session=session).count() >= MOST_OF_SESSION:
        raise TooManyShares
    token = secrets.token_urlsafe(TOKEN_BYTES)
    share = Share.objects.create(
        id="".join(secrets.choice(ID_ALPHABET) for _ in range(ID_LENGTH)),
        token_hash=_hash(token),
        session=session,
        scope=scope,
        made_by_id=made_by,
        expires_at=expires_at,
    )
    audit.note(AuditAction.LINK_MADE, session.id, what=f"{share.id}, to {Scope(scope).label}")
    return share, token


def revoke(shares: QuerySet[Share]) -> int:
    """Let nobody in by these links any more; how many were not revoked before."""
    now = timezone.now()
    count = 0
    for share in shares.filter(revoked_at=None):
        if Share.objects.filter(pk=share.pk, revoked_at=None).update(revoked_at=now):
            audit.note(AuditAction.LINK_REVOKED, share.session_id, what=share.id)
            count += 1
    return count


def good_shares() -> QuerySet[Share]:
    """The links that let somebody in: those of an account that is out do not."""
    return Share.objects.filter(
        Q(expires_at=None) | Q(expires_at__gt=timezone.now()),
        Q(made_by=None) | Q(made_by__is_active=True),
        revoked_at=None,
    )


def find_share(token: str) -> Share | None:
    """The good link with this text; None if there is none, or not any more."""
    share = good_shares().filter(token_hash=_hash(token)).first()
    if share:
        _note_use([share])
    return share


def good_in(cookies: Mapping[str, str], *, is_use: bool = True) -> list[Share]:
    """The good ones of a browser's links. ``is_use`` False: they are only looked at again."""
    kept = kept_in(cookies)
    if not kept:
        return []
    good = list(good_shares().filter(id__in=kept))
    if is_use:
        _note_use(good)
    return good


def sessions_of(shares: list[Share]) -> dict[UUID, bool]:
    """The sessions that links lead to, and whether they let run code there."""
    found: dict[UUID, bool] = {}
    for share in shares:  # of several to one session the better
        found[share.session_id] = found.get(share.session_id, False) or share.scope == Scope.RUN
    return found


def kept_in(cookies: Mapping[str, str]) -> list[str]:
    """The public names of the links that a browser keeps, good or not, the oldest first."""
    text = cookies.get(COOKIE)
    if not text:
        return []
    try:
        kept: Any = signing.loads(text, salt=_SALT, max_age=KEPT)
    except signing.BadSignature:
        return []
    return list(map(str, kept))


def keep(share: Share, cookies: Mapping[str, str], response: HttpResponse) -> None:
    """Let a browser keep one more link."""
    others = [each for each in kept_in(cookies) if each != share.id]
    response.set_cookie(
        COOKIE,
        signing.dumps([*others, share.id][-MOST_KEPT:], salt=_SALT),
        max_age=KEPT,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def _note_use(shares: list[Share]) -> None:
    """Remember that links were used, to the minute; not worth refusing anybody for."""
    now = timezone.now()
    for share in shares:
        before = max(filter(None, (share.last_used_at, _noted.get(share.pk))), default=None)
        if before is None or now - before > USE_IS_NEWS:
            _noted[share.pk] = now
            with suppress(OperationalError):
                Share.objects.filter(pk=share.pk).update(last_used_at=now)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
