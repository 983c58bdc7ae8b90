"""The JSON bodies of the native API, field by field.

They describe, and neither read nor write: handlers say in sentences of their own what is wrong
with a body. ``workbench.api.base`` takes from here which fields there are.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from rest_framework import serializers

from sessions.history import CODE_SHOWN
from sessions.kernels.executions import MAX_TIMEOUT_SECONDS
from sessions.kernels.limits import LEAST
from sessions.kernels.needs import LABEL_NAME, LABEL_VALUE, MAX_GPUS, MAX_LABELS
from sessions.kernels.policy import Network
from sessions.kernels.quotas import NAMES
from sessions.notebook_edits import KINDS, MAX_VERSION
from sessions.states import EventType, ExecutionState, SessionState

MAX_LABEL_LENGTH = 100
# Of a key. A hundredth of a day is a quarter of an hour.
LEAST_DAYS, MOST_DAYS = 0.01, 36_500
SCOPES = ("run", "read")
# One line of text.
LINE = r"^[^\x00-\x1f\x7f]*$"

LONGEST_SHARE_SECONDS = 366 * 24 * 60 * 60

_LIMITS = {
    "memory_bytes": "Memory of all its processes together, with what they keep in /tmp.",
    "processes": "Processes; threads count as well.",
    "open_files": "Open files of each process.",
    "file_bytes": "Size of any one file it writes.",
    "workspace_bytes": "What its files take of the disk.",
    "tmp_bytes": "Size of /tmp, which is memory.",
    "cpu_weight": "Its share of the processors when others want them too; 100 is normal.",
}


class MoreThanZero(serializers.FloatField):
    """A number above 0."""


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
    gpus = serializers.IntegerField(
        required=False,
        allow_null=True,
        min_value=0,
        max_value=MAX_GPUS,
        help_text="GPUs that it has to itself until it ends.",
    )
    labels = serializers.DictField(
        child=serializers.RegexField(f"^{LABEL_VALUE}$"),
        required=False,
        allow_null=True,
        help_text=(
            f"Labels that its machine must have, each with that value; at most {MAX_LABELS}. "
            f"Names are of the form `{LABEL_NAME}`."
        ),
    )

    def get_fields(self) -> dict[str, Any]:
        """Those above, with the networks that this server allows."""
        fields = super().get_fields()
        allowed: Any = fields["network"]
        allowed.choices = networks()
        return fields


class Opened(serializers.Serializer):
    """The session that is open now."""

    id = serializers.UUIDField()
    identifier = serializers.CharField()
    created = serializers.BooleanField(help_text="Whether it is new.")


class Session(serializers.Serializer):
    """A session, live or ended."""

    id = serializers.UUIDField()
    identifier = serializers.CharField()
    state = serializers.ChoiceField([str(state) for state in SessionState])
    reason = serializers.CharField(help_text="Why it is in this state; empty if that says it all.")
    is_live = serializers.BooleanField(help_text="Whether it has not ended.")
    origin = serializers.CharField(help_text="The door it was opened through.")
    kernel = serializers.CharField()
    created_at = serializers.DateTimeField()
    last_active_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)
    last_event_number = serializers.IntegerField(help_text="Of its newest event.")
    files_version = serializers.IntegerField(
        help_text="Grows whenever its files have changed, whoever did it."
    )


class Sessions(serializers.Serializer):
    """A page of the caller's sessions."""

    sessions = Session(many=True, help_text="The newest first.")
    next_cursor = serializers.UUIDField(
        allow_null=True, help_text="The `cursor` of the next page; null if this is the last."
    )


class NewName(serializers.Serializer):
    """Another name for a session."""

    identifier = serializers.RegexField(
        r"^\S+$", max_length=256, help_text="Printable characters without spaces."
    )


class NewShare(serializers.Serializer):
    """A link to be made. Both fields are optional."""

    scope = serializers.ChoiceField(
        ["read", "run"],
        required=False,
        allow_null=True,
        help_text="What it lets do: look, by default, or run code as well.",
    )
    expires_in_seconds = serializers.IntegerField(
        required=False,
        allow_null=True,
        min_value=60,
        max_value=LONGEST_SHARE_SECONDS,
        help_text="How long it is good; without, as long as it is known what the session did.",
    )


class Share(serializers.Serializer):
    """A link to a session."""

    id = serializers.CharField(help_text="Its public name, which opens nothing.")
    scope = serializers.ChoiceField(["read", "run"])
    made_by = serializers.CharField(
        allow_null=True, help_text="The account's name; null: at the open door."
    )
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    last_used_at = serializers.DateTimeField(allow_null=True, help_text="To the minute.")


class MadeShare(Share):
    """A link that was just made."""

    url = serializers.CharField(help_text="The link. It is never shown again.")


class Shares(serializers.Serializer):
    """The links to a session."""

    shares = Share(many=True, help_text="Those that are good, the newest first.")


class NewExecution(serializers.Serializer):
    """What shall run: either `code` or `command`."""

    # In words of JSON Schema; what is null is not there.
    besides: ClassVar[dict[str, Any]] = {
        "oneOf": [
            {
                "title": "Code",
                "properties": {
                    "code": {"type": "string"},
                    "command": {"type": "null"},
                    "stdin": {"type": "null"},
                },
                "required": ["code"],
            },
            {
                "title": "Command",
                "properties": {
                    "command": {"type": "array"},
                    "code": {"type": "null"},
                    "allow_input": {"type": "null"},
                    "cell": {"type": "null"},
                },
                "required": ["command"],
            },
        ]
    }

    code = serializers.CharField(
        required=False,
        allow_null=True,
        allow_blank=True,
        help_text="Code in the kernel's language.",
    )
    command = serializers.ListField(
        child=serializers.CharField(allow_blank=True),
        required=False,
        allow_null=True,
        min_length=1,
        help_text="A program and its arguments. It starts in the workspace, without a shell.",
    )
    stdin = serializers.CharField(
        required=False,
        allow_null=True,
        allow_blank=True,
        help_text="What a command finds in its standard input.",
    )
    timeout_seconds = MoreThanZero(
        required=False,
        allow_null=True,
        max_value=MAX_TIMEOUT_SECONDS,
        help_text="How long it may run, more than 0; its time in the queue does not count. Without, no limit.",
    )
    allow_input = serializers.BooleanField(
        required=False,
        allow_null=True,
        help_text="Whether code may ask with `input()`; otherwise that fails. Without, it may not.",
    )
    cell = serializers.UUIDField(
        required=False,
        allow_null=True,
        help_text="The cell of the notebook that code runs for. Without, it becomes one itself.",
    )


class RaisedError(serializers.Serializer):
    """What code has raised."""

    ename = serializers.CharField(help_text="The name of its class.")
    evalue = serializers.CharField(help_text="What it says.")
    traceback = serializers.ListField(
        child=serializers.CharField(), help_text="Its lines, with the colours of a terminal."
    )


class Outputs(serializers.Serializer):
    """What came out of an execution, up to its end."""

    stdout = serializers.CharField()
    stderr = serializers.CharField()
    result = serializers.DictField(
        allow_null=True,
        help_text="The value of the last expression, by its types (MIME); null if it had none.",
    )
    displays = serializers.ListField(
        child=serializers.DictField(),
        help_text="What was shown on the way, by its types, as it is at the end.",
    )
    error = RaisedError(allow_null=True)
    dropped_bytes = serializers.IntegerField(
        help_text="How much was left out, because there was too much."
    )


class Run(serializers.Serializer):
    """An execution, without what came out of it."""

    id = serializers.UUIDField()
    session = serializers.UUIDField(help_text="The id of its session.")
    kind = serializers.ChoiceField(["code", "command"])
    code = serializers.CharField(help_text="Of a command, the line a shell would take.")
    idempotency_key = serializers.CharField(
        allow_null=True, help_text="The client's own name for it; null if it gave none."
    )
    origin = serializers.CharField(help_text="The door it came through.")
    state = serializers.ChoiceField([str(state) for state in ExecutionState])
    reason = serializers.CharField(help_text="Why it ended so; empty if the state says it all.")
    exit_code = serializers.IntegerField(
        allow_null=True, help_text="Of a command that has ended; negative: a signal ended it."
    )
    execution_count = serializers.IntegerField(
        allow_null=True, help_text="The kernel's own; null if it never came there."
    )
    queued_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    duration_seconds = serializers.FloatField(
        allow_null=True, help_text="How long it ran; null while it does, and if it never did."
    )


class ListedRun(Run):
    """An execution in a list."""

    code = serializers.CharField(help_text=f"Its first {CODE_SHOWN:,} characters.")
    code_length = serializers.IntegerField(help_text="How many characters it has.")


class Execution(Run):
    """An execution."""

    outputs = Outputs(allow_null=True, help_text="null until it has ended; see the events.")


class Executions(serializers.Serializer):
    """A page of a session's executions."""

    executions = ListedRun(many=True, help_text="The newest first.")
    next_cursor = serializers.UUIDField(
        allow_null=True, help_text="The `cursor` of the next page; null if this is the last."
    )


class Event(serializers.Serializer):
    """One thing that happened in a session; docs/events.md has them all."""

    number = serializers.IntegerField(help_text="From 1, without gaps.")
    type = serializers.ChoiceField([str(kind) for kind in EventType])
    execution = serializers.UUIDField(allow_null=True, help_text="null: it belongs to none.")
    at = serializers.DateTimeField()
    data = serializers.DictField(  # type: ignore[assignment]  # DRF takes it out of the class
        help_text="What it says; depends on its type."
    )


class Events(serializers.Serializer):
    """Some of a session's log."""

    events = Event(many=True, help_text="In order.")
    last_number = serializers.IntegerField(help_text="The `since` of the next request.")
    has_more = serializers.BooleanField(help_text="Whether there are more already.")
    is_live = serializers.BooleanField(
        help_text="Whether the session has not ended, so that there may be more some time."
    )


class Input(serializers.Serializer):
    """An answer to code that asks."""

    text = serializers.CharField(allow_blank=True, help_text="One line, without its end.")


class SessionLimits(serializers.Serializer):
    """How many sessions there may be, and for how long."""

    live = serializers.IntegerField(help_text="At once, of all owners together.")
    idle_seconds = serializers.IntegerField(
        allow_null=True, help_text="One that nobody used for so long ends; null: never."
    )
    history_days = serializers.IntegerField(
        allow_null=True,
        help_text="So long after its end it is known what a session did; null: for ever.",
    )
    network = serializers.ListField(
        child=serializers.ChoiceField([str(Network.NONE), str(Network.HOST)]),
        help_text="What a session may ask for as its network.",
    )
    uses = serializers.DictField(
        child=serializers.IntegerField(allow_null=True),
        help_text="What one may use, by the names of its `limits`; null: no limit.",
    )


class ExecutionLimits(serializers.Serializer):
    """What may run."""

    waiting = serializers.IntegerField(help_text="In the queue of one session.")
    timeout_seconds = serializers.FloatField(help_text="The most that may be asked for.")
    output_bytes = serializers.IntegerField(
        help_text="Kept of one execution; the rest is left out."
    )
    wait_seconds = serializers.IntegerField(help_text="How long a request may wait.")


class TransferLimits(serializers.Serializer):
    """What may be sent here."""

    upload_bytes = serializers.IntegerField(help_text="One file.")
    json_bytes = serializers.IntegerField(help_text="One body in JSON, code too.")


class ServerLimits(serializers.Serializer):
    """What applies on this server."""

    sessions = SessionLimits()
    executions = ExecutionLimits()
    transfers = TransferLimits()


class QuotaUsage(serializers.Serializer):
    """One quota."""

    name = serializers.ChoiceField(
        list(NAMES),
        help_text=(
            "`sessions` that are live, `executions` that run or wait, `storage_bytes` of all live "
            "sessions' files; of the last 24 hours `execution_seconds` and `output_bytes`."
        ),
    )
    used = serializers.FloatField()
    most = serializers.IntegerField(allow_null=True, help_text="null: no limit.")


class Usage(serializers.Serializer):
    """What the caller's account has used, and may use."""

    period_seconds = serializers.IntegerField(help_text="What `the last 24 hours` are.")
    quotas = QuotaUsage(many=True)


class Kernelspec(serializers.Serializer):
    """An installed kernel."""

    name = serializers.CharField()
    display_name = serializers.CharField()
    language = serializers.CharField()
    version = serializers.CharField(help_text="Empty if the kernel does not say.")


class Kernelspecs(serializers.Serializer):
    """The installed kernels."""

    kernelspecs = Kernelspec(many=True, help_text="The default first.")


class Cell(serializers.Serializer):
    """A cell of a notebook."""

    id = serializers.UUIDField()
    kind = serializers.ChoiceField(
        [*KINDS, "command"], help_text="`command`: one that ran, and that nobody has edited."
    )
    source = serializers.CharField(help_text="Its text.")  # type: ignore[assignment]  # DRF takes it out
    metadata = serializers.DictField(help_text="That of the .ipynb format.")
    version = serializers.IntegerField(
        help_text="The notebook's when it last changed; 0: nobody has edited it since it ran."
    )
    execution = serializers.UUIDField(
        allow_null=True, help_text="The last that ran for it; null if it has not run here."
    )


class CellProblem(Problem):
    """An error, and the cell as somebody else has made it meanwhile."""

    cell = Cell(required=False, help_text="With `edit_conflict`.")


class Cells(serializers.Serializer):
    """A page of a notebook's cells."""

    cells = Cell(many=True, help_text="In order.")
    version = serializers.IntegerField(help_text="The notebook's, which grows with each edit.")
    next_cursor = serializers.UUIDField(
        allow_null=True, help_text="The `cursor` of the next page; null if this is the last."
    )


class NewCell(serializers.Serializer):
    """A cell to be added. All fields are optional."""

    kind = serializers.ChoiceField(KINDS, required=False, allow_null=True, default="code")
    source = serializers.CharField(  # type: ignore[assignment]  # DRF takes it out of the class
        required=False, allow_null=True, allow_blank=True, help_text="Up to 1 MB."
    )
    metadata = serializers.DictField(required=False, allow_null=True)
    after = serializers.UUIDField(
        required=False,
        allow_null=True,
        help_text="The cell it comes behind; null: it becomes the first. Without, the last.",
    )


class ChangedCell(NewCell):
    """What of a cell shall be different."""

    version = serializers.IntegerField(
        min_value=0, max_value=MAX_VERSION, help_text="Of the cell that was changed."
    )
    kind = serializers.ChoiceField(KINDS, required=False, allow_null=True)
    after = serializers.UUIDField(
        required=False,
        allow_null=True,
        help_text="The cell it comes behind; null: it becomes the first. Without, it stays.",
    )


class Imported(serializers.Serializer):
    """What an import did."""

    cells = serializers.IntegerField(help_text="How many were in the file.")
    version = serializers.IntegerField(help_text="The notebook's version now.")


class NewKey(serializers.Serializer):
    """An API key to be made. All fields are optional."""

    label = serializers.RegexField(  # type: ignore[assignment]  # DRF takes it out of the class
        LINE,
        required=False,
        allow_null=True,
        allow_blank=True,
        max_length=MAX_LABEL_LENGTH,
        help_text="What it is for, in a word.",
    )
    scope = serializers.ChoiceField(
        SCOPES,
        required=False,
        allow_null=True,
        default="run",
        help_text="`read`: it opens nothing, runs nothing and changes nothing.",
    )
    days = serializers.FloatField(
        required=False,
        allow_null=True,
        min_value=LEAST_DAYS,
        max_value=MOST_DAYS,
        help_text="It expires after so many. Without, never.",
    )


class Key(serializers.Serializer):
    """An API key, without what is secret of it."""

    id = serializers.CharField(help_text="Its public name; Backend.AI's access key.")
    label = serializers.CharField(help_text="What it is for.")  # type: ignore[assignment]  # as above
    scope = serializers.ChoiceField(SCOPES)
    state = serializers.ChoiceField(["valid", "expired", "revoked"])
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True, help_text="null: never.")
    last_used_at = serializers.DateTimeField(
        allow_null=True, help_text="To the minute; null: nobody has."
    )
    revoked_at = serializers.DateTimeField(allow_null=True)


class Keys(serializers.Serializer):
    """The caller's keys."""

    keys = Key(many=True, help_text="The newest first.")


class MadeKey(Key):
    """A new API key. Nobody will see its secrets again."""

    key = serializers.CharField(help_text="For `Authorization: Bearer`.")
    secret_key = serializers.CharField(
        help_text="What Backend.AI's clients sign with; their access key is the `id`."
    )


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
# One event of a stream.
MESSAGE = {
    "type": "object",
    "description": "A server-sent event.",
    "properties": {
        "id": {"type": "string", "description": "The number of the event in the log."},
        "event": {"type": "string", "description": "`end` for the last one, otherwise none."},
        "data": {"type": "string", "description": "The event, in JSON, as pages have it."},
    },
    "required": ["data"],
}
OPENAPI = {"type": "object", "required": ["openapi", "info", "paths"]}
TEXT = {"type": "string"}
BYTES = {"type": "string", "format": "binary"}
ANYTHING: dict[str, Any] = {}


def networks() -> list[str]:
    """What a session may ask for as its network on this server."""
    allows_host = settings.WORKBENCH_SESSION_NETWORK != Network.NONE
    return [str(Network.NONE), *([str(Network.HOST)] if allows_host else [])]


def field_names(shape: type[serializers.Serializer]) -> tuple[str, ...]:
    """The fields that a body may have."""
    return tuple(shape._declared_fields)
