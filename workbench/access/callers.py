"""Who is asking, and so whose sessions they see.

Where the door is open (WORKBENCH_ACCESS; on loopback it is, unless told otherwise) everybody
shares the sessions without an owner, and no credential changes anything about that. Where it is
closed, a request needs a key, a signature made with one, the cookie of somebody's login, or that
of a link to a session (workbench.access.shares), which lets a guest into that session alone.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from importlib import import_module
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest
from django.utils import timezone

from sessions.viewers import Viewer
from workbench.access import keys, shares, signatures
from workbench.access.failures import Failures
from workbench.access.models import ApiKey, Scope
from workbench.access.replays import Replays
from workbench.access.signatures import BadSignature, Signed
from workbench.errors import Refused

NOBODY = (
    "Say who you are: send an API key as “Authorization: Bearer wb_…”, or log in at /login/. "
    "The operator makes keys with: python manage.py workbench key NAME"
)
WRONG_KEY = "This API key is not valid: it may be mistyped, revoked or expired."
TOO_MANY = "Too many wrong keys came from your address. Try again in a minute."
REPLAYED = "This request came before: sign each with a date of its own."
READ_ONLY = "This API key may only read."
LET_OUT = "Your access has ended: the link or the key is not good any more, or you are logged out."
# A guest sees no session without having been given it: no account has this number.
GUEST_ID = -1
# A key is looked at again after so long: so long may one that was revoked still be good.
KNOWN_SECONDS = 2.0
MOST_KNOWN = 1_000


@dataclass(frozen=True, kw_only=True)
class Caller(Viewer):
    """Somebody who asks."""

    # The account's; empty at the open door, and for a guest.
    name: str = ""
    # Of a guest the links', joined by commas; empty for who is logged in. They stay who they are
    # when one of several links ends.
    key_id: str = field(default="", compare=False)
    # Whether they are nobody we know, but have a link to a session.
    is_guest: bool = False


ANYBODY = Caller(owner_id=None)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What of a request, or of a socket's handshake, says who asks."""

    headers: Mapping[str, str]  # by any spelling
    cookies: Mapping[str, str]
    method: str
    # Still percent-encoded, with the query.
    raw_path: str
    address: str
    # False for what only looks: a signature may be used for it once more.
    may_change: bool = True


class NotKnown(Refused):
    """Nobody we know is asking."""

    def __init__(self, message: str) -> None:
        super().__init__(HTTPStatus.UNAUTHORIZED, "unauthorized", message)


def is_open() -> bool:
    """Whether anybody who can reach this server may use it."""
    return bool(settings.WORKBENCH_IS_OPEN)


_failures = Failures(most=10, seconds=60.0)
_replays = Replays()
_known: OrderedDict[str, tuple[float, Caller]] = OrderedDict()
# What came of looking again at those who stay, for as long; None: they are not known any more.
_seen: OrderedDict[str, tuple[float, Caller | None]] = OrderedDict()


async def find_caller(asked: Asked) -> Caller:
    """Who asks. Raises Refused."""
    if is_open():
        return ANYBODY
    authorization = asked.headers.get("Authorization", "")
    if not authorization:
        return await _by_cookie(asked)
    try:
        return await _by_credential(authorization, asked)
    except NotKnown:
        # Who has a good key is let in whatever others at their address try.
        if await sync_to_async(_failures.add, thread_sensitive=False)(asked.address):
            raise Refused(HTTPStatus.TOO_MANY_REQUESTS, "too_many_failures", TOO_MANY) from None
        raise


async def find_again(asked: Asked) -> Caller:
    """Who has asked before, as things are now. Raises NotKnown.

    For what lasts longer than a request. Sockets of one person ask the database once.
    """
    if is_open():
        return ANYBODY
    names = (settings.SESSION_COOKIE_NAME, shares.COOKIE)
    shown = (asked.headers.get("Authorization", ""), *map(asked.cookies.get, names))
    digest = hashlib.sha256(repr(shown).encode("utf-8", "surrogateescape")).hexdigest()
    until, caller = _seen.get(digest, (0.0, None))
    if time.monotonic() >= until:
        caller = await sync_to_async(_look_again)(asked)
        _seen[digest] = (time.monotonic() + KNOWN_SECONDS, caller)
        _seen.move_to_end(digest)
        while len(_seen) > MOST_KNOWN:
            _seen.popitem(last=False)
    if caller is None:
        raise NotKnown(LET_OUT)
    return caller


def _look_again(asked: Asked) -> Caller | None:
    authorization = asked.headers.get("Authorization", "")
    if not authorization:
        return _known_by_cookies(asked.cookies, is_use=False)
    if signatures.is_signed(authorization):  # it was checked then, and has aged
        key = keys.find_key_by_id(signatures.parse(authorization).key_id)
    else:
        key = keys.find_key(authorization.partition(" ")[2].strip(), is_use=False)
    return _caller_with(key) if key else None


async def _by_credential(authorization: str, asked: Asked) -> Caller:
    if signatures.is_signed(authorization):
        return await sync_to_async(_by_signature)(authorization, asked)
    scheme, _, text = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise NotKnown(NOBODY)
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
    until, caller = _known.get(digest, (0.0, ANYBODY))
    if time.monotonic() < until:
        return caller
    key = await sync_to_async(keys.find_key)(text.strip())
    if key is None:
        raise NotKnown(WRONG_KEY)
    caller = _caller_with(key)
    _known[digest] = (time.monotonic() + KNOWN_SECONDS, caller)
    while len(_known) > MOST_KNOWN:
        _known.popitem(last=False)
    return caller


def _by_signature(authorization: str, asked: Asked) -> Caller:
    content_type = asked.headers.get("Content-Type", signatures.DEFAULT_CONTENT_TYPE)
    signed = Signed(
        method=asked.method,
        path=asked.raw_path,
        date=asked.headers.get("Date") or asked.headers.get("X-BackendAI-Date", ""),
        host=asked.headers.get("Host", ""),
        content_type=content_type.partition(";")[0].strip().lower(),
        version=asked.headers.get("X-BackendAI-Version", ""),
    )
    try:
        credential = signatures.parse(authorization)
        key = keys.find_key_by_id(credential.key_id)
        secret = keys.signing_secret(credential.key_id)
        signatures.check(signed, credential, secret, now=timezone.now())
    except BadSignature as error:
        raise NotKnown(str(error)) from error
    if key is None:
        raise NotKnown("Access key not found")
    # Clients whose dates have whole seconds may well ask the same twice within one.
    is_unique = signatures.parse_date(signed.date).microsecond != 0
    if asked.may_change and is_unique and _replays.is_one(credential.signature):
        raise NotKnown(REPLAYED)
    keys.note_use(key)
    return _caller_with(key)


def _caller_with(key: ApiKey) -> Caller:
    name = key.owner.get_username()
    may_run = key.scope == Scope.RUN
    return Caller(owner_id=key.owner_id, name=name, key_id=key.key_id, may_run=may_run)


async def _by_cookie(asked: Asked) -> Caller:
    shown = any(asked.cookies.get(name) for name in (settings.SESSION_COOKIE_NAME, shares.COOKIE))
    caller = await sync_to_async(_known_by_cookies)(asked.cookies) if shown else None
    if caller is None:
        raise NotKnown(NOBODY)
    return caller


def _known_by_cookies(cookies: Mapping[str, str], *, is_use: bool = True) -> Caller | None:
    """Whose browser this is: somebody's who is logged in, or a guest's; None if nobody's."""
    links = shares.good_in(cookies, is_use=is_use)
    shared = shares.sessions_of(links)
    cookie = cookies.get(settings.SESSION_COOKIE_NAME)
    if cookie and (person := _logged_in(cookie)):
        return replace(person, shared=shared)
    if not shared:
        return None
    # It is not known yet which of the sessions they want.
    names = ",".join(sorted(link.id for link in links))
    return Caller(owner_id=GUEST_ID, key_id=names, may_run=False, shared=shared, is_guest=True)


def _logged_in(cookie: str) -> Caller | None:
    """Whose login a cookie is; None if it is none, or not any more."""
    request: Any = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(cookie)
    user = get_user(request)
    return Caller(owner_id=user.pk, name=user.get_username()) if user.is_authenticated else None


def caller_of(request: HttpRequest) -> Caller:
    """Who sends an HTTP request."""
    caller: Caller = request.caller  # type: ignore[attr-defined]  # by the middleware
    return caller


async def owner_of(request: HttpRequest) -> int | None:
    """The owner whose sessions an HTTP request may use; None is the open door."""
    return caller_of(request).owner_id
