"""Reading settings from the environment: typed, checked, and refused in one sentence.

A reader gives the variable's value, or the default if it is not set. A value that it cannot take
raises ImproperlyConfigured, with a sentence that names the variable, the value and what may be
there. It is left to who starts the server (manage.py, asgi.py) to end with that sentence.
"""

from __future__ import annotations

import difflib
import ipaddress
import logging
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import parse_qs, urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

from sessions.exceptions import InvalidValue
from sessions.kernels.limits import parse_count, parse_size, size_text
from sessions.kernels.needs import is_label

logger = logging.getLogger(__name__)

PREFIX = "WORKBENCH_"
# How a supervisor's child says that it is ready: from process to process, no setting.
READY_FD_VARIABLE = "WORKBENCH_READY_FD"
MAX_PORT = 65_535
# More than any disk has, and little enough for every system call.
_MAX_BYTES = 1024**5
_YES, _NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off")
_INTEGER = re.compile(r"-?[0-9]{1,18}")
# What may follow the "?" of rediss://…: whom to trust, and as whom to come.
_REDIS_TLS = {"ssl_ca_certs", "ssl_cert_reqs", "ssl_certfile", "ssl_check_hostname", "ssl_keyfile"}
_CREDENTIALS = re.compile(r"(?<=://).*@")


class Environment:
    """The variables of a process; ``known`` are the names that have been read."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self.known: set[str] = set()

    def text(self, name: str, default: str, *, may_be_empty: bool = False) -> str:
        """Any text."""
        text = self._read(name)
        if text == "" and not may_be_empty:
            _refuse(name, text, "not be empty")
        return default if text is None else text

    def flag(self, name: str, *, default: bool) -> bool:
        """1 or 0, or what else people write for them."""
        text = self._read(name)
        if text is None:
            return default
        if text.lower() not in _YES + _NO:
            _refuse(name, text, "be 1 or 0")
        return text.lower() in _YES

    def choice(self, name: str, default: str, choices: Collection[str]) -> str:
        """One of some words, in any case."""
        text = self._read(name)
        if text is None:
            return default
        found = next((each for each in choices if each.lower() == text.lower()), None)
        if found is None:
            *others, last = choices
            _refuse(name, text, f"be {', '.join(others)} or {last}")
        return found

    def integer(self, name: str, default: int, *, least: int, most: int, unit: str = "") -> int:
        """A whole number; ``unit`` is its noun in the sentence."""
        text = self._read(name)
        if text is None:
            return default
        if not _INTEGER.fullmatch(text) or not least <= int(text) <= most:
            noun = f"whole number of {unit}" if unit else "whole number"
            _refuse(name, text, f"be a {noun}, {least} to {most}")
        return int(text)

    def optional_port(self, name: str, default: int) -> int | None:
        """The number of a port; None if the variable is empty."""
        if self._read(name) == "":
            return None
        return self.integer(name, default, least=1, most=MAX_PORT)

    def size(self, name: str, default: int, *, least: int) -> int:
        """Bytes, plain or with a unit."""
        size = self._limit(name, default, parse_size, least, _MAX_BYTES, _size_rule(least))
        if size is None:
            _refuse(name, self._variables[name], _size_rule(least))
        return size

    def size_limit(self, name: str, default: int | None, *, least: int) -> int | None:
        """Bytes, plain or with a unit; None (no limit) for "none" and "0"."""
        rule = f"{_size_rule(least)}, or none"
        return self._limit(name, default, parse_size, least, _MAX_BYTES, rule)

    def count_limit(self, name: str, default: int | None, *, least: int, most: int) -> int | None:
        """A number of things; None (no limit) for "none" and "0"."""
        rule = f"be a whole number, {least} to {most}, or none"
        return self._limit(name, default, parse_count, least, most, rule)

    def words(
        self,
        name: str,
        default: list[str],
        *,
        separator: str | None,
        rule: str,
        accepts: Callable[[str], bool],
    ) -> list[str]:
        """A list, empty for an empty text; ``separator`` None: white space.

        ``rule`` follows "must" in the sentence for a word that ``accepts`` refuses.
        """
        text = self._read(name)
        if text is None:
            return default
        found = [word for part in text.split(separator) if (word := part.strip())]
        if not all(map(accepts, found)):
            _refuse(name, text, rule)
        return found

    def gpus(self, name: str) -> tuple[int, ...]:
        """The numbers of GPUs; none by default."""
        words = self.words(
            name,
            [],
            separator=",",
            rule="be numbers of GPUs with commas between, like 0,1",
            accepts=lambda word: re.fullmatch(r"[0-9]{1,3}", word) is not None,
        )
        return tuple(dict.fromkeys(map(int, words)))

    def labels(self, name: str) -> dict[str, str]:
        """Names with a value each; none by default."""
        rule = "be names and values with commas between, each name once, like zone=a,disk=fast"
        words = self.words(name, [], separator=",", rule=rule, accepts=is_label)
        labels = dict(word.split("=", 1) for word in words)
        if len(labels) < len(words):
            _refuse(name, self._variables[name], rule)
        return labels

    def directory(self, name: str, default: Path, *, must_exist: bool) -> Path:
        """A directory, absolute; ``must_exist`` counts for one that is set."""
        text = self._read(name)
        if text is None:
            return default
        try:
            path = Path(text).resolve()
            is_fine = bool(text) and (path.is_dir() or not (must_exist or path.exists()))
        except (OSError, RuntimeError):  # no right to look there, a name too long, links in a ring
            is_fine = False
        if not is_fine:
            _refuse(name, text, f"name a directory{' that exists' if must_exist else ''}")
        return Path(text).absolute()

    def database(self, name: str, default: str) -> dict[str, Any]:
        """A database's URL, as Django's settings have it. The sentence leaves its password out."""
        text = self._read(name)
        rule = "be a database's URL, like sqlite:////srv/workbench.sqlite3 or postgres://user:password@host/name"
        try:
            if text is not None and text.partition("://")[0] not in environ.Env.DB_SCHEMES:
                raise ValueError
            found: dict[str, Any] = environ.Env.db_url_config(default if text is None else text)
        except ValueError:
            _refuse(name, _CREDENTIALS.sub("…@", text or ""), rule)
        return found

    def redis(self, name: str) -> str | None:
        """A Redis server's URL; None if there is none. The sentence leaves its password out."""
        text = self._read(name)
        if not text:
            return None
        if not _is_redis(text):
            rule = "be a Redis server's URL, like redis://:password@host:6379/0 or rediss://host"
            scheme, separator, _ = text.partition("://")
            _refuse(name, f"{scheme}://…" if separator else "…", rule)
        return text

    def warn_of_unknown(self) -> None:
        """Log each variable with our prefix that nobody has read, and what may have been meant."""
        # The supervisor, whose environment this is, has done it.
        if READY_FD_VARIABLE in self._variables:
            return
        for name in sorted(self._variables):
            if name.startswith(PREFIX) and name not in self.known:
                (nearest,) = difflib.get_close_matches(name, sorted(self.known), 1, 0)
                logger.warning("There is no setting %s; the nearest is %s.", name, nearest)

    def _read(self, name: str) -> str | None:
        self.known.add(name)
        text = self._variables.get(name)
        return None if text is None else text.strip()

    def _limit(
        self,
        name: str,
        default: int | None,
        parse: Callable[[str], int | None],
        least: int,
        most: int,
        rule: str,
    ) -> int | None:
        text = self._read(name)
        if text is None:
            return default
        try:
            value = parse(text)
        except (InvalidValue, ValueError, OverflowError):
            _refuse(name, text, rule)
        if value is not None and not least <= value <= most:
            _refuse(name, text, rule)
        return value


def _refuse(name: str, text: str, rule: str) -> NoReturn:
    raise ImproperlyConfigured(f"{name} is {text!r}; it must {rule}.")


def _is_redis(text: str) -> bool:
    """Whether Redis's client can do something with a URL. It ignores much that it does not know."""
    try:
        url = urlsplit(text)
        fields = parse_qs(url.query, keep_blank_values=True, strict_parsing=bool(url.query))
        return (
            url.scheme in ("redis", "rediss")
            and bool(url.hostname)
            and url.port != 0  # ValueError: no number, or too large
            and re.fullmatch(r"(/[0-9]{0,6})?", url.path) is not None
            and not url.fragment
            and fields.keys() <= (_REDIS_TLS if url.scheme == "rediss" else set())
        )
    except ValueError:
        return False


def _size_rule(least: int) -> str:
    return f"be a size like 512m or 2g, {size_text(least)} to 1024 TiB"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach ``host``."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
