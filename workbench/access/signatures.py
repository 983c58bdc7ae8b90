"""Backend.AI's signed requests, as its clients make them (contracts: backendai.md 2.6)."""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

MOST_SKEW = timedelta(minutes=15)
HASHES = ("sha256", "sha512")
DEFAULT_CONTENT_TYPE = "application/octet-stream"
_AUTHORIZATION = re.compile(
    r"(?:BackendAI|Sorna)\s+signMethod=HMAC-(\w+),\s*credential=([A-Za-z0-9]{1,64}):([0-9a-fA-F]+)\s*"
)


class BadSignature(Exception):
    """Why a signature proves nothing, in a sentence."""


@dataclass(frozen=True, kw_only=True)
class Signed:
    """What of a request is signed."""

    method: str
    # As it came: still percent-encoded, with the query.
    path: str
    # The header's text, whatever its format.
    date: str
    host: str
    # The media type alone.
    content_type: str
    version: str


@dataclass(frozen=True, kw_only=True)
class Credential:
    """What an Authorization header says."""

    hash_name: str
    key_id: str
    signature: str


def is_signed(authorization: str) -> bool:
    """Whether a header is of this kind, well-formed or not."""
    return authorization.startswith(("BackendAI ", "Sorna "))


def parse(authorization: str) -> Credential:
    """What an Authorization header says. Raises BadSignature."""
    match = _AUTHORIZATION.fullmatch(authorization)
    if match is None:
        raise BadSignature("The Authorization header is malformed.")
    name, key_id, signature = match.groups()
    if name.lower() not in HASHES:
        raise BadSignature("Sign with HMAC-SHA256 or HMAC-SHA512.")
    return Credential(hash_name=name.lower(), key_id=key_id, signature=signature.lower())


def sign(signed: Signed, secret: str, hash_name: str = "sha256") -> str:
    """The signature in hexadecimal digits. Raises BadSignature if the date is none."""
    nothing = hashlib.new(hash_name, b"").hexdigest()  # bodies are not signed
    text = "\n".join(
        [
            signed.method,
            signed.path,
            signed.date,
            f"host:{signed.host}",
            f"content-type:{signed.content_type}",
            f"x-backendai-version:{signed.version}",
            nothing,
        ]
    )
    day = parse_date(signed.date).strftime("%Y%m%d")
    key = hmac.digest(secret.encode(), day.encode(), hash_name)
    key = hmac.digest(key, signed.host.encode(), hash_name)
    return hmac.new(key, text.encode("utf-8", "surrogateescape"), hash_name).hexdigest()


def check(signed: Signed, credential: Credential, secret: str, *, now: datetime) -> None:
    """Raise BadSignature unless it was made with ``secret``, and lately."""
    date = parse_date(signed.date)
    if not now - MOST_SKEW < date < now + MOST_SKEW:
        raise BadSignature("The date of the request is more than 15 minutes off.")
    expected = sign(signed, secret, credential.hash_name)
    if not hmac.compare_digest(expected, credential.signature):
        raise BadSignature("Signature mismatch")


def parse_date(text: str) -> datetime:
    """A date header in any of the formats that clients send. Raises BadSignature."""
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        try:
            date = parsedate_to_datetime(text)
        except (ValueError, OverflowError, TypeError):  # years and zones that cannot be
            raise BadSignature("The Date header cannot be read.") from None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
