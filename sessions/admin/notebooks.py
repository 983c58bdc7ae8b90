"""Notebooks and their cells in the admin."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.db.models.functions import Left
from django.http import HttpRequest
from django.utils.safestring import SafeString

from sessions.admin.base import OfSession
from sessions.admin.words import (
    LINE_SHOWN,
    line_of,
    links_to,
    rows_of,
    text_block,
)
from sessions.models import Cell, Notebook


@admin.register(Notebook)
class NotebookAdmin(OfSession):
    """Notebooks, once somebody has written in them."""

    list_display = ("session_link", "version", "cell_count")
    list_filter = (("session__owner", admin.RelatedOnlyFieldListFilter),)
    list_select_related = ("session",)
    search_fields = ("session__identifier", "=session__id")
    search_help_text = "An identifier or id of a session"
    ordering = ("-session__last_active_at",)
    fields = ("session_link", "links", "version", "cell_count", "whole_metadata")
    readonly_fields = ("session_link", "links", "cell_count", "whole_metadata")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Notebook]:
        notebooks: QuerySet[Notebook] = super().get_queryset(request)
        kept = Count("session__cells", filter=Q(session__cells__is_deleted=False))
        return notebooks.annotate(cells=kept)

    @admin.display(description="cells", ordering="cells")
    def cell_count(self, notebook: Any) -> int:
        count: int = notebook.cells
        return count

    @admin.display(description="see")
    def links(self, notebook: Notebook) -> SafeString:
        url = rows_of("workbench_sessions_cell", session__id__exact=notebook.pk)
        return links_to({"Cells": url, "Live page": f"/workbench/{notebook.pk}/"})

    @admin.display(description="metadata")
    def whole_metadata(self, notebook: Notebook) -> SafeString:
        return text_block(json.dumps(notebook.metadata, indent=2, ensure_ascii=False))


@admin.register(Cell)
class CellAdmin(OfSession):
    """Cells that people wrote, deleted ones too; those that executions make have no row."""

    list_display = ("source_line", "kind", "session_link", "version", "is_deleted", "size_bytes")
    list_filter = (
        "kind",
        "is_deleted",
        ("session__owner", admin.RelatedOnlyFieldListFilter),
    )
    list_select_related = ("session",)
    search_fields = ("source", "=key", "session__identifier", "=session__id")
    search_help_text = "Text, a cell's id, or an identifier or id of a session"
    ordering = ("session", "position")
    fields = (
        "key",
        "session_link",
        "links",
        "kind",
        "whole_source",
        "position",
        "version",
        "source_version",
        "is_deleted",
        "size_bytes",
        "whole_metadata",
        "whole_outputs",
    )
    readonly_fields = ("session_link", "links", "whole_source", "whole_metadata", "whole_outputs")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Cell]:
        # As with events: a page of the list must not read every text and picture.
        cells: QuerySet[Cell] = super().get_queryset(request)
        beginning = Left("source", 2 * LINE_SHOWN + 1)
        return cells.annotate(beginning=beginning).defer("source", "outputs", "metadata")

    @admin.display(description="source", ordering="source")
    def source_line(self, cell: Any) -> SafeString:
        return line_of(cell.beginning)

    @admin.display(description="see")
    def links(self, cell: Cell) -> SafeString:
        ran = {"session__id__exact": cell.session_id, "cell__exact": cell.key}
        executions = rows_of("workbench_sessions_execution", **ran)
        return links_to({"Executions": executions, "Live page": f"/workbench/{cell.session_id}/"})

    @admin.display(description="source")
    def whole_source(self, cell: Cell) -> SafeString:
        return text_block(cell.source)

    @admin.display(description="metadata")
    def whole_metadata(self, cell: Cell) -> SafeString:
        return text_block(json.dumps(cell.metadata, indent=2, ensure_ascii=False))

    @admin.display(description="outputs it came with")
    def whole_outputs(self, cell: Cell) -> SafeString:
        return text_block(json.dumps(cell.outputs, indent=2, ensure_ascii=False))
