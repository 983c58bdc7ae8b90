"""What a client asks for when it creates a session, in the words of all generations; pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from sessions.kernels.needs import MAX_GPUS
from workbench.dialects.backendai.errors import invalid
from workbench.dialects.backendai.views import boolean_field, object_field, text_field

_NAME = re.compile(r"(?=.{4,64}\Z)\w[\w.-]*\w", re.ASCII)
# Its address would be the one that creates sessions.
_RESERVED = "create"
_MAX_IMAGE_LENGTH = 256
_GPUS = "cuda.device"
_WHOLE = re.compile(r"[0-9]{1,2}")


@dataclass(frozen=True, kw_only=True)
class Creation:
    """A session to be made, or to be found if it exists and may be used again."""

    name: str
    image: str
    reuse: bool
    environment: dict[str, str]
    # Whole devices that it has to itself.
    gpus: int = 0


def parse_creation(body: dict[str, Any]) -> Creation:
    """Read a body; what this server has no use for (quotas, mounts, clusters) is passed over.

    Raises Refused.
    """
    name = text_field(body, "name", "session_name", "clientSessionToken")
    image = text_field(body, "image", "lang")
    if not name:
        raise invalid("Input validation error", name="is required")
    if not image or len(image) > _MAX_IMAGE_LENGTH:
        raise invalid("Input validation error", image="is required")
    reuse = boolean_field(body, "reuseIfExists", default=True)
    config = object_field(body, "config")
    return Creation(
        name=checked_name(name),
        image=image,
        reuse=reuse,
        environment=_environment(config),
        gpus=_gpus(object_field(config, "resources")),
    )


def checked_name(name: str) -> str:
    """A session's name, if it may be one. Raises Refused."""
    if not _NAME.fullmatch(name):
        rule = "must be 4 to 64 letters, digits, dots, dashes and underscores"
        raise invalid("Input validation error", name=rule)
    if name == _RESERVED:
        raise invalid("Input validation error", name="is reserved")
    return name


def _gpus(resources: dict[str, Any]) -> int:
    """Of the resources only these: clients send amounts as numbers or as text."""
    amount = resources.get(_GPUS)
    if amount is None:
        return 0
    text = amount if isinstance(amount, str) else json.dumps(amount)
    if not _WHOLE.fullmatch(text):
        rule = f"{_GPUS} must be a whole number, 0 to {MAX_GPUS}"
        raise invalid("Input validation error", **{"config.resources": rule})
    return int(text)


def _environment(config: dict[str, Any]) -> dict[str, str]:
    variables = object_field(config, "environ")
    for name, value in variables.items():
        if not isinstance(value, str):
            raise invalid("Input validation error", **{"config.environ": f"{name[:64]} is no text"})
        if not name or "=" in name or "\0" in name + value:
            raise invalid("Input validation error", **{"config.environ": "a name is not valid"})
    return variables
