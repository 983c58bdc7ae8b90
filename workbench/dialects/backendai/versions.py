"""Which API this is, and which a client speaks."""

from __future__ import annotations

import re

from workbench.dialects.backendai.errors import refused
from workbench.errors import Refused

# What a client negotiates with at GET /: the oldest API with /session, and its release.
VERSION = {"version": "v5.20191215", "manager": "20.03.0"}
_VERSION = re.compile(r"v[0-9]{1,4}\.[0-9]{8}")


def check_version(header: str | None) -> None:
    """Any version there was or will be; clients of all generations send the same bodies.

    Raises Refused for what is no version at all.
    """
    if header is not None and not _VERSION.fullmatch(header.strip()):
        raise unsupported()


def unsupported() -> Refused:
    """The refusal of a version header that cannot be read."""
    return refused("generic-bad-request", "Unsupported API version.")
