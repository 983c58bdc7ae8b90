"""The names of uploaded files, as clients of all generations send them; pure."""

from __future__ import annotations

import re
from urllib.parse import unquote

from sessions.exceptions import InvalidValue

_CLIENT = "Backend.AI Client"
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
# Neither a slash nor a space nor anything beyond ASCII is left by percent-encoding.
_ENCODED = re.compile(r"[!-.0-~]*")


def uploaded_name(sent: str, user_agent: str) -> str:
    """The path a client means: its library may have percent-encoded it, slashes and all.

    Backslashes are slashes. Raises InvalidValue for escapes that are no UTF-8.
    """
    looks_encoded = _ENCODED.fullmatch(sent) and _ESCAPE.search(sent)
    name = sent
    if looks_encoded or user_agent.startswith(_CLIENT):
        try:
            name = unquote(sent, errors="strict")
        except UnicodeDecodeError:
            raise InvalidValue("A file's name is not UTF-8.") from None
    return name.replace("\\", "/")
