"""A first look at a file: text, the beginning of a table, or that it is a picture.

Whatever the file is, a preview reads a bounded part of it, and never fails on its contents: what
cannot be shown is said in a sentence. It is read where the workspace is; this blocks.
"""

from __future__ import annotations

import codecs
import csv
import io
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any, BinaryIO, cast

from files.info import content_type_of
from sessions.kernels.workspace import Workspace

# Of a text: bytes read, and lines shown.
MAX_TEXT_BYTES = 512 * 1024
MAX_TEXT_LINES = 10_000
# Of a table: bytes read (to count its rows), and what is shown of it.
MAX_TABLE_BYTES = 16 * 1024 * 1024
MAX_TABLE_ROWS = 200
MAX_TABLE_COLUMNS = 50
MAX_CELL_CHARACTERS = 500
# Browsers decode a picture whole, whatever its size on the screen.
MAX_IMAGE_BYTES = 32 * 1024 * 1024

# Pictures that every browser shows. They are shown as <img>, where no SVG runs a script.
IMAGE_TYPES = frozenset(
    {
        "image/avif",
        "image/bmp",
        "image/gif",
        "image/jpeg",
        "image/png",
        "image/svg+xml",
        "image/vnd.microsoft.icon",
        "image/webp",
    }
)
_TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".tab"})
_DELIMITERS = ",;\t|"
_LANGUAGES = {
    ".bash": "shell",
    ".c": "c",
    ".cfg": "ini",
    ".cpp": "cpp",
    ".css": "css",
    ".h": "c",
    ".htm": "html",
    ".html": "html",
    ".ini": "ini",
    ".ipynb": "json",
    ".jl": "julia",
    ".js": "javascript",
    ".json": "json",
    ".markdown": "markdown",
    ".md": "markdown",
    ".mjs": "javascript",
    ".py": "python",
    ".pyi": "python",
    ".r": "r",
    ".rs": "rust",
    ".sh": "shell",
    ".sql": "sql",
    ".svg": "xml",
    ".tex": "latex",
    ".toml": "toml",
    ".ts": "typescript",
    ".xml": "xml",
    ".yaml": "yaml",
    ".yml": "yaml",
}
# Marks at the beginning of a text that say how it is encoded; the longer of two alike first.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# What text has besides printable characters: tab, line ends, form feed, backspace and escape (of
# terminals' logs).
_TEXT_CONTROLS = frozenset("\b\t\n\v\f\r\x1b")


@dataclass(frozen=True, kw_only=True)
class TextPreview:
    """The beginning of a text."""

    text: str
    # True if the file goes on behind it.
    is_cut: bool
    # In lower case, by the file's name; empty: plain text, or unknown.
    language: str


@dataclass(frozen=True, kw_only=True)
class TablePreview:
    """The first rows and columns of a table, as text."""

    columns: list[str]
    # Each as long as ``columns``.
    rows: list[list[str]]
    # Without the row of names; None: more than were counted.
    total_rows: int | None
    total_columns: int
    # True if the file has rows, columns or text that are not here.
    is_cut: bool


@dataclass(frozen=True, kw_only=True)
class ImagePreview:
    """A picture, to be shown by its own address."""

    content_type: str


@dataclass(frozen=True, kw_only=True)
class NoPreview:
    """A file that cannot be shown."""

    # A sentence.
    reason: str


Preview = TextPreview | TablePreview | ImagePreview | NoPreview


# By what each is called, in the native API and between processes.
KINDS: dict[str, type[Preview]] = {
    "text": TextPreview,
    "table": TablePreview,
    "image": ImagePreview,
    "none": NoPreview,
}


def preview_to_wire(preview: Preview) -> dict[str, Any]:
    """A preview as plain data: its fields, and its ``kind``."""
    kind = next(name for name, cls in KINDS.items() if cls is type(preview))
    return {"kind": kind, **asdict(preview)}


def preview_from_wire(wire: dict[str, Any]) -> Preview:
    """What ``preview_to_wire`` described."""
    fields = {name: value for name, value in wire.items() if name != "kind"}
    return KINDS[wire["kind"]](**fields)


def look_at(workspace: Workspace, path: str) -> Preview:
    """A first look at a file.

    Raises PathInvalid, FileNotFound, WrongFileType for anything but a regular file.
    """
    file, entry = workspace.open(path)
    with file:
        content_type = content_type_of(PurePosixPath(entry.path).name)
        if content_type in IMAGE_TYPES:
            return _image(content_type, entry.size_bytes)
        if PurePosixPath(entry.path).suffix.lower() in _TABLE_SUFFIXES:
            return _table(file, entry.path) or _text(file, entry.path)
        return _text(file, entry.path)


def _image(content_type: str, size_bytes: int) -> Preview:
    if size_bytes > MAX_IMAGE_BYTES:
        return NoPreview(reason="This picture is too large to be shown here. Download it instead.")
    return ImagePreview(content_type=content_type)


# --- Text -------------------------------------------------------------------------------------


def _text(file: BinaryIO, path: str) -> Preview:
    file.seek(0)
    data = file.read(MAX_TEXT_BYTES + 1)
    is_cut = len(data) > MAX_TEXT_BYTES
    encoding = _encoding_of(data[:MAX_TEXT_BYTES])
    if encoding is None:
        return NoPreview(reason="This file is not text. Download it to look at it.")
    text = _decode(data[:MAX_TEXT_BYTES], encoding).replace("\r\n", "\n")
    lines = text.split("\n", MAX_TEXT_LINES)
    if len(lines) > MAX_TEXT_LINES:
        # What is behind the last line shown may be nothing but its end.
        is_cut = is_cut or lines[-1] != ""
        text = "\n".join(lines[:MAX_TEXT_LINES])
    language = _LANGUAGES.get(PurePosixPath(path).suffix.lower(), "")
    return TextPreview(text=text, is_cut=is_cut, language=language)


def _encoding_of(data: bytes) -> str | None:
    """What bytes are most likely encoded with; None if they are no text."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return encoding if _is_text(_decode(data, encoding)) else None
    if b"\0" in data:
        return None
    try:
        return "utf-8" if _is_text(_decode(data, "utf-8")) else None
    except UnicodeDecodeError:
        # Every byte is some character of Windows' old table: a text has no control characters.
        return "cp1252" if _is_text(_decode(data, "cp1252")) else None


def _decode(data: bytes, encoding: str) -> str:
    """The text; a character that is cut off at the end is left out.

    Raises UnicodeDecodeError only for UTF-8: a wrong mark, or a gap in a table, is no reason to
    show nothing.
    """
    errors = "strict" if encoding == "utf-8" else "replace"
    return codecs.getincrementaldecoder(encoding)(errors).decode(data)


def _is_text(text: str) -> bool:
    return not any(each < " " and each not in _TEXT_CONTROLS for each in set(text))


# --- Tables -----------------------------------------------------------------------------------


def _table(file: BinaryIO, path: str) -> TablePreview | None:
    """The table in a file; None if it is none."""
    first = file.read(64 * 1024)
    encoding = _encoding_of(first)
    if encoding is None or not first.strip():
        return None
    file.seek(0)
    source = _Part(file, MAX_TABLE_BYTES)
    # Bytes beyond the first look may be wrong; that is no reason to show no table.
    text = io.TextIOWrapper(cast(BinaryIO, source), encoding, errors="replace", newline="")
    delimiter = _delimiter_of(_decode(first, encoding), path)
    try:
        return _read_table(csv.reader(text, delimiter=delimiter), source)
    except csv.Error:  # a field of 128 KiB, say
        return None
    finally:
        text.detach()  # the file is not ours to close


class _Part(io.BufferedIOBase):
    """The first bytes of a file, and whether it has more."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._left = file, size
        self.is_whole = os.fstat(file.fileno()).st_size <= size

    def readable(self) -> bool:
        return True

    def read1(self, size: int = -1, /) -> bytes:
        return self.read(size)

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = self._left if size is None or size < 0 else min(size, self._left)
        data = self._file.read(wanted)
        self._left -= len(data)
        return data


def _delimiter_of(beginning: str, path: str) -> str:
    """The separator that makes the most of the first line; a comma if none does."""
    if PurePosixPath(path).suffix.lower() != ".csv":
        return "\t"
    line = beginning.splitlines()[0]
    return max(_DELIMITERS, key=line.count)


def _read_table(rows: Iterator[list[str]], source: _Part) -> TablePreview | None:
    filled = (row for row in rows if row)
    head = next(filled, None)
    if head is None:
        return None
    shown = [] if (has_names := not _is_all_numbers(head)) else [head]
    count = len(shown)
    for row in filled:
        count += 1
        if len(shown) < MAX_TABLE_ROWS:
            shown.append(row)
    total_columns = max(len(row) for row in [head, *shown])
    width = min(total_columns, MAX_TABLE_COLUMNS)
    names = [*head, *[""] * (width - len(head))] if has_names else map(str, range(1, width + 1))
    return TablePreview(
        columns=[_cell(name) for name in names][:width],
        rows=[[_cell(cell) for cell in [*row, *[""] * width][:width]] for row in shown],
        total_rows=count if source.is_whole else None,
        total_columns=total_columns,
        is_cut=not source.is_whole or count > len(shown) or total_columns > width,
    )


def _cell(text: str) -> str:
    if len(text) <= MAX_CELL_CHARACTERS:
        return text
    return f"{text[: MAX_CELL_CHARACTERS - 1]}…"


def _is_all_numbers(row: list[str]) -> bool:
    """Whether a first row holds values rather than names."""
    return all(_is_number(cell) for cell in row)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
