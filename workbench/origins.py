"""Whose page a browser asks for. Programs say nothing of it, and are not asked."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from django.conf import settings
from django.http.request import split_domain_port, validate_host

OTHER_SITE = "The page of another site may not do this."
DEFAULT_PORTS = {"http": 80, "https": 443}
# What Sec-Fetch-Site says if a page of ours asks, or a person by an address.
OURS = frozenset({"same-origin", "none"})


def is_foreign(method: str, headers: Mapping[str, str], *, takes_links: bool = False) -> bool:
    """Whether a page that is not ours wants something that is for programs and our own pages.

    Its browser would send the request, though not show the answer: a form, an image's address or
    a script of any site can reach a server on loopback, and some contracts open a session for
    whoever reads. ``takes_links``: a person may be led here by a link, to look at what is there.
    """
    if method == "OPTIONS" or (takes_links and _is_link(method, headers)):
        return False
    site = headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in OURS
    origin = headers.get("Origin")
    return origin is not None and not is_same_origin(origin, headers.get("Host", ""))


def _is_link(method: str, headers: Mapping[str, str]) -> bool:
    """Whether a browser goes to an address, in a tab and not in a page's frame, to show it."""
    kind = (headers.get("Sec-Fetch-Mode"), headers.get("Sec-Fetch-Dest"))
    return method in ("GET", "HEAD") and kind == ("navigate", "document")


def is_allowed_host(host: str | None) -> bool:
    """Whether a Host header names this server, as ALLOWED_HOSTS says."""
    domain, _port = split_domain_port(host or "")
    return bool(domain) and validate_host(domain, settings.ALLOWED_HOSTS)


def is_same_origin(origin: str, host: str) -> bool:
    """Whether an Origin header names the host and port of the Host header."""
    try:
        ours = urlsplit(f"//{host}")
        theirs = urlsplit(origin)
        default = DEFAULT_PORTS[theirs.scheme]
        return (theirs.hostname, theirs.port or default) == (ours.hostname, ours.port or default)
    except (KeyError, ValueError):  # another scheme, none (null), or a port that is no number
        return False
