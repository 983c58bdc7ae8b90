"""API keys: made, read, checked. ``wb_<id>_<secret>``; of the secret only a hash is kept."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import OperationalError, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from sessions import audit
from sessions.exceptions import LimitReached
from sessions.states import AuditAction
from workbench.access.models import ApiKey, Scope

ID_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # nothing that looks like something else
ID_LENGTH = 16
SECRET_BYTES = 32
# Valid keys that an account may have at once.
MOST_VALID = 100
USE_IS_NEWS = timedelta(minutes=1)

# When this process tried to note a key's use, by the key's id.
_noted: dict[str, datetime] = {}
_TEXT = re.compile(rf"wb_([{ID_ALPHABET}]{{{ID_LENGTH}}})_([\w-]{{43}})", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class NewKey:
    """A key whose secrets are still known."""

    key: ApiKey
    # For ``Authorization: Bearer``.
    text: str
    # For Backend.AI's clients, which sign with it and never send it.
    signing_secret: str


class TooManyKeys(LimitReached):
    """An account may have 100 valid keys at once. Revoke one first."""

    code = "too_many_keys"


@transaction.atomic
def make_key(
    owner: Any, *, label: str = "", scope: Scope = Scope.RUN, expires_at: datetime | None = None
) -> NewKey:
    """Make a key for a user; ``expires_at`` None: it never expires. Raises TooManyKeys."""
    # Two at once shall not both be the last. SQLite has one writer anyway.
    get_user_model().objects.select_for_update().get(pk=owner.pk)
    if valid_keys().filter(owner=owner).count() >= MOST_VALID:
        raise TooManyKeys
    key_id = "".join(secrets.choice(ID_ALPHABET) for _ in range(ID_LENGTH))
    secret = secrets.token_urlsafe(SECRET_BYTES)
    key = ApiKey.objects.create(
        key_id=key_id,
        owner=owner,
        label=label,
        scope=scope,
        expires_at=expires_at,
        secret_hash=_hash(secret),
    )
    audit.note(AuditAction.KEY_MADE, what=f"{key_id} of {owner.get_username()}, to {scope.label}")
    return NewKey(key=key, text=f"wb_{key_id}_{secret}", signing_secret=signing_secret(key_id))


def revoke(keys: QuerySet[ApiKey]) -> int:
    """Let these keys in no more; how many were good for it until now."""
    now = timezone.now()
    count = 0
    for key in keys.filter(revoked_at=None).select_related("owner"):
        if ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=now):
            audit.note(AuditAction.KEY_REVOKED, what=f"{key.key_id} of {key.owner.get_username()}")
            count += 1
    return count


def make_key_for(username: str, **more: Any) -> NewKey:
    """Make a key for the account of this name, and the account if there is none.

    Such an account has no password, so nobody can log in with it. Raises ValidationError.
    """
    User = get_user_model()
    user = User.objects.filter(username=username).first()
    if user is None:
        user = User(username=username)
        user.set_unusable_password()
        user.full_clean(exclude=["password"])
        user.save()
    return make_key(user, **more)


def valid_keys() -> QuerySet[ApiKey]:
    """Those that are neither revoked nor expired."""
    is_young = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
    return ApiKey.objects.filter(is_young, revoked_at=None)


def anybody_can_come_in() -> bool:
    """Whether there is an account to log in with, or a key."""
    can_log_in = get_user_model().objects.filter(is_active=True)
    return (
        any(user.has_usable_password() for user in can_log_in.iterator())
        or valid_keys().filter(owner__is_active=True).exists()
    )


def signing_secret(key_id: str) -> str:
    """What requests are signed with in a key's name.

    To check a signature it must be known, so it cannot be hashed; it is not kept either, but made
    of the id and the server's own secret, whose change changes it.
    """
    digest = hmac.digest(
        settings.SECRET_KEY.encode(), f"workbench signing {key_id}".encode(), "sha256"
    )
    return urlsafe_b64encode(digest).decode()[:40]


def note_use(key: ApiKey) -> None:
    """Remember that a key was used, to the minute.

    Not worth refusing anybody for, nor more than one of their requests waiting for the database.
    """
    now = timezone.now()
    before = max(filter(None, (key.last_used_at, _noted.get(key.pk))), default=None)
    if before is None or now - before > USE_IS_NEWS:
        _noted[key.pk] = now
        with suppress(OperationalError):
            ApiKey.objects.filter(pk=key.pk).update(last_used_at=now)


def find_key(text: str, *, is_use: bool = True) -> ApiKey | None:
    """The valid key with this text, its owner loaded; None if there is none, or not any more.

    ``is_use`` False: it is only looked at again.
    """
    match = _TEXT.fullmatch(text)
    # Also for what cannot be one: how long it takes must not tell whether there is such an id.
    key_id, secret = match.groups() if match else ("", "")
    key = find_key_by_id(key_id)
    is_right = hmac.compare_digest(_hash(secret), key.secret_hash if key else _NOBODYS)
    if key is None or not is_right:
        return None
    if is_use:
        note_use(key)
    return key


def find_key_by_id(key_id: str) -> ApiKey | None:
    """The valid key with this public name, its owner loaded; None if there is none."""
    key = ApiKey.objects.select_related("owner").filter(key_id=key_id).first()
    is_good = key is not None and key.is_valid(timezone.now()) and key.owner.is_active
    return key if is_good else None


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


# Made once: for a wrong secret of a key that exists nothing is made either.
_NOBODYS = _hash("none")
