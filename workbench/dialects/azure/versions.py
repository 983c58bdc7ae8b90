"""The api-version of a request, and what depends on it; pure.

Versions are dates, compared as text. Two old ones are known by name; from the first new one on,
any later date is taken, also ones nobody has published yet.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from http import HTTPStatus

from workbench.errors import Refused

OLD = ("2024-02-02-preview", "2024-08-02-preview")
NEW = ("2024-10-02-preview", "2025-02-02-preview", "2025-10-02-preview")
SUPPORTED = ", ".join(OLD + NEW)

_SHAPE = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(-preview)?")
_FIRST_NEW = "2024-10-02"
_FIRST_WITH_200 = "2025-02-02"
_FIRST_WITH_LIMITS = "2025-10-02"


@dataclass(frozen=True)
class ApiVersion:
    """A version a client asked for; an empty ``text`` where it asked for none."""

    text: str

    @property
    def is_old(self) -> bool:
        """True if files have the shapes of the first generation."""
        return self.text in OLD

    @property
    def finished_status(self) -> HTTPStatus:
        """The status of an execution that has ended when it is answered."""
        if self.text and self.text < _FIRST_WITH_200:
            return HTTPStatus.ACCEPTED
        return HTTPStatus.OK

    @property
    def has_limits(self) -> bool:
        """True if streams are cut to a default length, and files name their directory."""
        return self.text >= _FIRST_WITH_LIMITS

    @property
    def has_capital_file_type(self) -> bool:
        """True if the sample document of this version writes ``File`` for ``file``."""
        return self.text == NEW[0]


def parse_version(text: str | None, *, required: bool) -> ApiVersion:
    """The version named in a query; None if it names none.

    Raises Refused (400 InvalidApiVersion) for one that is unknown or malformed, or if
    ``required`` and missing.
    """
    if text is None and not required:
        return ApiVersion("")
    if text is None or not (text in OLD or _is_new(text)):
        shown = "" if text is None else f" '{text[:50]}'"
        raise Refused(
            HTTPStatus.BAD_REQUEST,
            "InvalidApiVersion",
            f"The api-version{shown} is missing or not supported. Supported: {SUPPORTED}.",
            target="api-version",
        )
    return ApiVersion(text)


def _is_new(text: str) -> bool:
    match = _SHAPE.fullmatch(text)
    if match is None or match[1] < _FIRST_NEW:
        return False
    try:
        date.fromisoformat(match[1])
    except ValueError:
        return False
    return True
