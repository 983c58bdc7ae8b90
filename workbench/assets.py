"""The static files as browsers get them: where each is, its address, and how it is sent.

Addresses carry a version of all files together, ``/static/v-<version>/…``: whatever changes, all
addresses do, so that copies may be kept for ever. It stands before the path and not in the names,
because modules and style sheets name each other by relative addresses.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from posixpath import dirname, join, normpath

from django.conf import settings
from django.contrib.staticfiles import finders
from django.contrib.staticfiles.storage import StaticFilesStorage

# Hexadecimal digits of the version in an address.
VERSION_DIGITS = 12
VERSION = re.compile(rf"v-[0-9a-f]{{{VERSION_DIGITS}}}/")
# Where files are that nobody has minified; everything elsewhere is sent as it is.
OURS = "workbench/"
COMPRESSIBLE = (".css", ".js", ".svg", ".txt")

# Comments that stand alone, as ours do. No text of ours goes over several lines.
_COMMENTS = re.compile(rb"^[ \t]*(?:/\*(?:[^*]|\*(?!/))*\*/|//[^\n]*)[ \t]*$", re.MULTILINE)
# Not those that are called: `import("…")` loads later.
_IMPORTS = re.compile(rb'^(?:import|export)\s[^"\';]*?from\s*"(\.[^"]+)"', re.MULTILINE)


class VersionedStorage(StaticFilesStorage):
    """Addresses with the version; without one while developing (WORKBENCH_DEBUG)."""

    def url(self, name: str | None) -> str:
        if settings.DEBUG or not name:
            return super().url(name)
        return super().url(f"v-{version()}/{name}")


@cache
def version() -> str:
    """A digest of all static files, the same in every process that has the same files."""
    digest = hashlib.blake2b(digest_size=VERSION_DIGITS // 2)
    for name, path in sorted(_all_files()):
        content = path.read_bytes()
        digest.update(f"{name} {len(content)} ".encode())
        digest.update(content)
    return digest.hexdigest()


def split_version(name: str) -> tuple[str | None, str]:
    """A path below STATIC_URL as its version, None if it has none, and the file's name."""
    if found := VERSION.match(name):
        return found[0][2:-1], name[found.end() :]
    return None, name


def packed(name: str, path: Path) -> bytes:
    """The file's content compressed with gzip, ours without their comments."""
    content = path.read_bytes()
    if name.startswith(OURS) and name.endswith((".js", ".css")):
        content = without_comments(content)
    return gzip.compress(content, mtime=0)


def without_comments(source: bytes) -> bytes:
    """A module or a style sheet without the comments that stand alone; lines keep their numbers."""
    return _COMMENTS.sub(lambda found: b"\n" * found[0].count(b"\n"), source)


def imported_modules(name: str) -> list[str]:
    """The names of all modules that come with a module, itself not included."""
    return (_imported_modules_now if settings.DEBUG else _imported_modules)(name)


def _imported_modules_now(name: str) -> list[str]:
    found: dict[str, None] = {name: None}  # in order
    waiting = [name]
    while waiting:
        for imported in _imports_of(waiting.pop()):
            if imported not in found:
                found[imported] = None
                waiting.append(imported)
    return list(found)[1:]


_imported_modules = cache(_imported_modules_now)


def _imports_of(name: str) -> Iterator[str]:
    path = finders.find(name)
    if path is None:  # a missing module is the browser's to report
        return
    for relative in _IMPORTS.findall(Path(path).read_bytes()):
        yield normpath(join(dirname(name), relative.decode()))


def _all_files() -> Iterator[tuple[str, Path]]:
    for finder in finders.get_finders():
        for path, storage in finder.list([]):
            yield path.replace("\\", "/"), Path(storage.path(path))
