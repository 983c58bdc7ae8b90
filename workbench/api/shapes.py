"""The JSON bodies of the native API, field by field.

They describe, and neither read nor write: handlers say in sentences of their own what is wrong
with a body. ``workbench.api.base`` takes from here which fields there are.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from rest_framework import serializers

from sessions.kernels.limits import LEAST
from sessions.kernels.policy import Network

_LIMITS = {
    "memory_bytes": "Memory of all its processes together, with what they keep in /tmp.",
    "processes": "Processes; threads count as well.",
    "open_files": "Open files of each process.",
    "file_bytes": "Size of any one file it writes.",
    "workspace_bytes": "What its files take of the disk.",
    "tmp_bytes": "Size of /tmp, which is memory.",
    "cpu_weight": "Its share of the processors when others want them too; 100 is normal.",
}


class Problem(serializers.Serializer):
    """An error, as RFC 9457 has it."""

    type = serializers.CharField(help_text="Always `about:blank`: there is nothing more to read.")
    title = serializers.CharField(help_text="The name of the status.")
    status = serializers.IntegerField(help_text="The status once more.")
    detail = serializers.CharField(help_text="A sentence for people.")
    code = serializers.CharField(help_text="The word for programs. It stays the same.")


class Limits(serializers.Serializer):
    """What a session may use. It may ask for less than the server's settings allow, never for more."""

    def get_fields(self) -> dict[str, Any]:
        """One for each limit, with what this server allows."""
        most = settings.WORKBENCH_SESSION_LIMITS.to_wire()
        return {
            name: serializers.IntegerField(
                required=False, min_value=least, max_value=most[name], help_text=_LIMITS[name]
            )
            for name, least in LEAST.items()
        }


class NewSession(serializers.Serializer):
    """A session to be opened. All fields are optional."""

    identifier = serializers.RegexField(
        r"^\S*$",
        required=False,
        allow_null=True,
        max_length=256,
        help_text="The name it is known by: printable characters without spaces. Without, it gets one.",
    )
    kernel = serializers.CharField(
        required=False, allow_null=True, help_text="A kernel's name; without, the default."
    )
    notebook_of = serializers.CharField(
        required=False,
        allow_null=True,
        help_text=(
            "The id or identifier of a session, live or ended, whose cells are copied with what they "
            "last put out, and whose kernel is taken. Then `identifier` must be free."
        ),
    )
    network = serializers.ChoiceField(
        [str(Network.NONE), str(Network.HOST)],
        required=False,
        allow_null=True,
        help_text="`host` is the network of the machine, if the operator allows it.",
    )
    limits = Limits(required=False, allow_null=True)


class Opened(serializers.Serializer):
    """The session that is open now."""

    id = serializers.UUIDField()
    identifier = serializers.CharField()
    created = serializers.BooleanField(help_text="Whether it is new.")


class Kernelspec(serializers.Serializer):
    """An installed kernel."""

    name = serializers.CharField()
    display_name = serializers.CharField()
    language = serializers.CharField()
    version = serializers.CharField(help_text="Empty if the kernel does not say.")


class Kernelspecs(serializers.Serializer):
    """The installed kernels."""

    kernelspecs = Kernelspec(many=True, help_text="The default first.")


class Imported(serializers.Serializer):
    """What an import did."""

    cells = serializers.IntegerField(help_text="How many were in the file.")
    version = serializers.IntegerField(help_text="The notebook's version now.")


class File(serializers.Serializer):
    """A file or a directory."""

    path = serializers.CharField(help_text="Relative to the workspace.")
    name = serializers.CharField(help_text="The last part of the path.")
    size_bytes = serializers.IntegerField()
    modified_at = serializers.DateTimeField()
    is_directory = serializers.BooleanField()
    content_type = serializers.CharField(help_text="By the name alone.")


class Files(serializers.Serializer):
    """What is in a directory."""

    files = File(many=True, help_text="Sorted by path.")
    max_upload_bytes = serializers.IntegerField(help_text="What one uploaded file may have.")


class NewPath(serializers.Serializer):
    """Where something shall be."""

    path = serializers.CharField(
        min_length=1, help_text="Relative to the workspace, or absolute below /mnt/data."
    )


class TextPreview(serializers.Serializer):
    """The beginning of a text."""

    kind = serializers.ChoiceField(["text"])
    text = serializers.CharField(
        help_text="The first 512 KiB and 10,000 lines at most, whatever its encoding was."
    )
    is_cut = serializers.BooleanField(help_text="Whether the file goes on.")
    language = serializers.CharField(help_text="By the file's name; empty if that tells none.")


class TablePreview(serializers.Serializer):
    """The beginning of a table."""

    kind = serializers.ChoiceField(["table"])
    columns = serializers.ListField(
        child=serializers.CharField(), max_length=50, help_text="Their names."
    )
    rows = serializers.ListField(
        child=serializers.ListField(child=serializers.CharField()),
        max_length=200,
        help_text="Each as long as `columns`.",
    )
    total_rows = serializers.IntegerField(
        allow_null=True, help_text="null: not counted beyond the first 16 MiB."
    )
    total_columns = serializers.IntegerField()
    is_cut = serializers.BooleanField(help_text="Whether there is more than is shown.")


class ImagePreview(serializers.Serializer):
    """A picture; show it by its `content` address with `inline=1`."""

    kind = serializers.ChoiceField(["image"])
    content_type = serializers.CharField()


class NoPreview(serializers.Serializer):
    """A file that cannot be shown."""

    kind = serializers.ChoiceField(["none"])
    reason = serializers.CharField(help_text="A sentence.")


PREVIEWS = (TextPreview, TablePreview, ImagePreview, NoPreview)
# What has a format of its own, in words of JSON Schema.
NOTEBOOK = {
    "type": "object",
    "description": "A notebook in nbformat 4.5.",
    "properties": {
        "nbformat": {"const": 4},
        "nbformat_minor": {"const": 5},
        "metadata": {"type": "object"},
        "cells": {"type": "array", "items": {"type": "object"}},
    },
    "required": ["nbformat", "nbformat_minor", "metadata", "cells"],
}
NOTEBOOK_OF_ANY_VERSION = {
    "type": "object",
    "description": "A notebook in any version of nbformat.",
    "properties": {"nbformat": {"type": "integer"}},
    "required": ["nbformat"],
}
OPENAPI = {"type": "object", "required": ["openapi", "info", "paths"]}
TEXT = {"type": "string"}
BYTES = {"type": "string", "format": "binary"}
ANYTHING: dict[str, Any] = {}


def field_names(shape: type[serializers.Serializer]) -> tuple[str, ...]:
    """The fields that a body may have."""
    return tuple(shape._declared_fields)
