"""The audit: writing down who did what, and giving it out as CSV or JSON lines.

The host writes what happens to sessions (sessions/recorder.py), the web tier the rest. Entries hold
no secret of the server's: no keys, passwords, environments, queries of addresses, or input.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from sessions.kernels.records import AuditRecord, shortened, timestamp
from sessions.models import AuditEntry, Session
from sessions.states import AuditAction

COLUMNS = tuple(field.attname for field in AuditEntry._meta.concrete_fields)
ROWS_AT_ONCE = 1_000  # read and given out together
# What a spreadsheet takes for a formula.
_DANGEROUS = ("=", "+", "-", "@", "\t", "\r")


class Format(StrEnum):
    """How entries are given out."""

    CSV = "csv"
    JSON_LINES = "jsonl"


CONTENT_TYPES = {
    Format.CSV: "text/csv; charset=utf-8",
    Format.JSON_LINES: "application/jsonl; charset=utf-8",
}


def note(action: AuditAction, session: UUID | None = None, **more: Any) -> None:
    """Write an entry for what is done now; who asks for it is known (sessions/kernels/trace.py)."""
    if session is not None:
        names = Session.objects.filter(id=session).values_list("identifier", flat=True)
        more = {"session_id": session, "identifier": names.first() or "", **more}
    entry = asdict(AuditRecord.now(action, **more))
    entry["what"] = shortened(entry["what"])
    AuditEntry.objects.create(**{name: _fitting(name, value) for name, value in entry.items()})


def export(entries: QuerySet[AuditEntry], form: Format) -> Iterator[str]:
    """Entries as text, the oldest first, piece by piece; those that are there when it begins."""
    write = _WRITERS[form]
    yield write([COLUMNS]) if form == Format.CSV else ""
    for page in pages(entries):
        yield write(page)


def pages(entries: QuerySet[AuditEntry]) -> Iterator[list[tuple[Any, ...]]]:
    """Entries' values in the order of COLUMNS, the oldest first; nothing is held open between."""
    newest = AuditEntry.objects.order_by("-id").values_list("id", flat=True).first() or 0
    rows = entries.order_by("id").values_list(*COLUMNS)
    after = 0
    while page := list(rows.filter(id__gt=after, id__lte=newest)[:ROWS_AT_ONCE]):
        yield page
        after = page[-1][0]


def _fitting(name: str, value: Any) -> Any:
    """A value as its column takes it."""
    limit = getattr(AuditEntry._meta.get_field(name), "max_length", None)
    return value[:limit] if limit and isinstance(value, str) else value


def _as_csv(rows: Iterable[Iterable[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows([map(_harmless, row) for row in rows])
    return text.getvalue()


def _as_json_lines(rows: Iterable[Iterable[Any]]) -> str:
    named = (dict(zip(COLUMNS, row, strict=True)) for row in rows)
    return "".join(f"{json.dumps(each, default=_plain, ensure_ascii=False)}\n" for each in named)


def _harmless(value: Any) -> Any:
    """A cell that no spreadsheet calculates."""
    plain = _plain(value) if isinstance(value, datetime | UUID) else value
    is_text = isinstance(plain, str)
    return f"'{plain}" if is_text and plain.startswith(_DANGEROUS) else plain


def _plain(value: datetime | UUID) -> str:
    return str(timestamp(value)) if isinstance(value, datetime) else str(value)


_WRITERS: dict[Format, Callable[[Iterable[Iterable[Any]]], str]] = {
    Format.CSV: _as_csv,
    Format.JSON_LINES: _as_json_lines,
}
