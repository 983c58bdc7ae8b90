"""From an image's name to a language and a kernel; pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

# Languages with defaults of their own in batch mode, and what else they are called.
_ALIASES = {
    "bash": "bash",
    "c": "c",
    "c++": "cpp",
    "cpp": "cpp",
    "g++": "cpp",
    "gcc": "c",
    "git": "bash",
    "go": "golang",
    "golang": "golang",
    "haskell": "haskell",
    "java": "java",
    "javascript": "nodejs",
    "julia": "julia",
    "lua": "lua",
    "node": "nodejs",
    "nodejs": "nodejs",
    "octave": "octave",
    "openjdk": "java",
    "php": "php",
    "python": "python",
    "python3": "python",
    "r": "r",
    "r-base": "r",
    "ruby": "ruby",
    "rust": "rust",
    "scheme": "scheme",
    "shell": "bash",
}
# Images that add libraries to a language: python-tensorflow, r-cran …
_FAMILIES = ("python", "r", "julia", "octave", "c", "cpp", "java", "nodejs", "golang", "rust")


@dataclass(frozen=True)
class Environment:
    """What an image stands for on this server."""

    # Decides what "*" means in batch mode.
    language: str
    # The installed kernelspec that runs queries.
    kernel_name: str


def language_of(name: str) -> str:
    """Our word for a language, from a kernelspec's or an image's; itself if it is unknown."""
    lowered = name.lower()
    return _ALIASES.get(lowered, lowered)


def environment_of(image: str, specs: Iterable[dict[str, Any]]) -> Environment | None:
    """The environment an image such as ``registry/stable/python:3.11`` names; None if unknown.

    ``specs`` are the installed kernels, the default first. A language without a kernel of its
    own gets the default one: it can be built and run, while queries are the default kernel's.
    """
    name = image.rpartition("/")[2].partition("@")[0].partition(":")[0].lower()
    name = name.removeprefix("kernel-")
    installed = list(specs)
    for spec in installed:
        if spec["name"].lower() == name:
            return Environment(language_of(spec["language"]), spec["name"])
    language = _known_language(name)
    for spec in installed:
        if language_of(spec["language"]) == (language or name):
            return Environment(language_of(spec["language"]), spec["name"])
    if language is None or not installed:
        return None
    return Environment(language, installed[0]["name"])


def _known_language(name: str) -> str | None:
    if name in _ALIASES:
        return _ALIASES[name]
    family = name.partition("-")[0]
    return family if family in _FAMILIES else None
