"""Who comes and goes, and who is refused, in the audit: see sessions/audit.py."""

from __future__ import annotations

from collections import Counter, OrderedDict
from contextlib import suppress
from time import monotonic as _clock
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db import InterfaceError, OperationalError
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver
from django.http import HttpRequest

from sessions.audit import note
from sessions.kernels import trace
from sessions.kernels.trace import Asker
from sessions.models import Quota
from sessions.states import AuditAction
from workbench.access.models import ApiKey
from workbench.measures import metrics

# Of those whom nobody knows: from one address, and from all together, in a minute. The others are
# only counted, or strangers could fill the disk.
MOST_OF_ADDRESS, MOST_OF_ALL = 10, 200
# Statuses of answers that refuse.
REFUSALS = frozenset({401, 403, 429})
USE_IS_NEWS_SECONDS = 3600.0
MOST_KEYS_KNOWN = 10_000

# Entries by address, and of all, since the minute began.
_written: Counter[str] = Counter()
_minute = 0
# Until when the use of a key from an address is no news, the latest last.
_used: OrderedDict[tuple[str, str], float] = OrderedDict()


async def introduce(asker: Asker) -> None:
    """Say who asks from now on, and write down, once an hour, that a key is used from there."""
    trace.asker.set(asker)
    if asker.key_id and _is_news(asker.key_id, asker.address):
        with suppress(OperationalError, InterfaceError):  # not worth refusing anybody for
            await sync_to_async(note)(AuditAction.KEY_USED)


async def note_refusal(what: str, outcome: str) -> None:
    """Write that whoever asks was refused; ``what`` holds nothing that they may have chosen."""
    if _is_too_much():
        return
    with suppress(OperationalError, InterfaceError):
        await sync_to_async(note)(AuditAction.REFUSED, what=what, outcome=outcome)


def _is_news(key_id: str, address: str) -> bool:
    now, key = _clock(), (key_id, address)
    if now < _used.get(key, 0.0):
        return False
    _used[key] = now + USE_IS_NEWS_SECONDS
    _used.move_to_end(key)
    if len(_used) > MOST_KEYS_KNOWN:
        _used.popitem(last=False)
    return True


def _is_too_much() -> bool:
    """Whether what a stranger does now is only counted; counts it."""
    global _minute
    minute, address = int(_clock() // 60), trace.asker.get().address
    if minute != _minute:
        _minute = minute
        _written.clear()
    if _written[address] >= MOST_OF_ADDRESS or _written.total() >= MOST_OF_ALL:
        metrics.audit_left_out()
        return True
    _written[address] += 1
    return False


# --- Django's signals ---------------------------------------------------------------------------


@receiver(user_logged_in)
def _logged_in(user: Any, **more: Any) -> None:
    note(AuditAction.LOGIN, account=user.get_username())


@receiver(user_logged_out)
def _logged_out(user: Any, **more: Any) -> None:
    if user is not None:
        note(AuditAction.LOGOUT, account=user.get_username())


@receiver(user_login_failed)
def _login_failed(
    credentials: dict[str, Any], request: HttpRequest | None = None, **more: Any
) -> None:
    if _is_too_much():
        return
    # What is no account's name may be a password, typed in the wrong place.
    user = get_user_model().objects.filter(username=credentials.get("username", "")).first()
    name = user.get_username() if user else ""
    note(AuditAction.LOGIN_FAILED, account=name, outcome="wrong_password" if name else "unknown")


@receiver(post_save, sender=get_user_model())
def _account_saved(instance: Any, *, created: bool, update_fields: Any, **more: Any) -> None:
    if update_fields == {"last_login"}:
        return  # Django notes each login
    action = AuditAction.ACCOUNT_MADE if created else AuditAction.ACCOUNT_CHANGED
    rights = ("is_active", "is_staff", "is_superuser")
    said = [name for name in rights if getattr(instance, name)]
    note(action, what=" ".join([instance.get_username(), *said]))


@receiver(post_delete, sender=get_user_model())
def _account_deleted(instance: Any, **more: Any) -> None:
    note(AuditAction.ACCOUNT_DELETED, what=instance.get_username())


@receiver(post_delete, sender=ApiKey)
def _key_deleted(instance: ApiKey, **more: Any) -> None:
    note(AuditAction.KEY_DELETED, what=instance.key_id)


@receiver(post_save, sender=Quota)
def _quota_saved(instance: Quota, **more: Any) -> None:
    names = [field.name for field in Quota._meta.fields if not field.primary_key]
    given = {name: getattr(instance, name) for name in names}
    said = [f"{name}={value}" for name, value in given.items() if value is not None]
    note(AuditAction.QUOTA_CHANGED, what=" ".join([instance.account.get_username(), *said]))


@receiver(post_delete, sender=Quota)
def _quota_deleted(instance: Quota, **more: Any) -> None:
    note(AuditAction.QUOTA_CHANGED, what=instance.account.get_username())
