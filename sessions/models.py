"""What persists of sessions: the sessions, their executions, the log of their events, notebooks.

The kernel host is the only writer of sessions, executions and events (sessions/recorder.py), the
web tier the only writer of notebooks and their cells (sessions/notebook.py).
"""

from __future__ import annotations

import uuid
from contextlib import suppress
from enum import StrEnum
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q

from sessions import states
from sessions.viewers import Viewer


def _choices(enum: type[StrEnum]) -> list[tuple[str, str]]:
    return [(state.value, state.value.replace("_", " ")) for state in enum]


class Host(models.Model):
    """The kernel host of one machine: which of its lives may write, and what it offers.

    It writes its row itself when it starts (sessions/hosts.py); others ask it to be drained, and
    give it up when it does not come back.
    """

    id = models.BigAutoField(primary_key=True)
    # As sessions have it; stays the same when the host comes back.
    name = models.CharField(max_length=200)
    # New with each start. A host whose row has another one has been replaced, or given up.
    life = models.UUIDField()
    state = models.CharField(max_length=16, choices=_choices(states.HostState))
    is_draining = models.BooleanField(
        "draining", default=False, help_text="It opens no sessions, and those it has go on."
    )
    # Where it runs: the node of the cluster; empty on a single machine.
    node = models.CharField(max_length=100, blank=True)
    address = models.CharField(max_length=200, blank=True)
    slots = models.PositiveIntegerField(help_text="Sessions that may be live on it at once.")
    gpus = models.PositiveIntegerField("GPUs", default=0)
    # What sessions can ask for by name and value.
    labels = models.JSONField(default=dict, blank=True)
    started_at = models.DateTimeField()
    # None while it lives.
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["name"], name="host_name_unique"),
            models.CheckConstraint(
                condition=Q(state__in=sorted(states.HostState)), name="host_state_known"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class SessionQuerySet(models.QuerySet["Session"]):
    """Questions about many sessions."""

    def visible_to(self, owner_id: int | None) -> SessionQuerySet:
        """The sessions of one owner. None stands for the open door: sessions without an owner."""
        return self.filter(owner_id=owner_id)

    def reached_by(self, viewer: Viewer, name: str) -> SessionQuerySet:
        """The sessions a viewer may mean by ``name``, the likeliest first.

        Their own as ``named`` says; one that was shared with them only by its id. Otherwise who
        shares a session would choose which of somebody else's names leads to it.
        """
        with suppress(ValueError):
            if (id_ := uuid.UUID(name)) in viewer.shared:
                return self.filter(id=id_)
        return self.visible_to(viewer.owner_id).named(name)

    def live(self) -> SessionQuerySet:
        """The sessions that exist for their clients."""
        return self.filter(state__in=states.LIVE_SESSION_STATES)

    def named(self, name: str) -> SessionQuerySet:
        """The sessions a client may mean by ``name``, the likeliest first.

        An identifier, or a session's id. A live session comes before ended ones, those newest
        first.
        """
        if "\0" in name:  # which no name has; PostgreSQL would refuse the question
            return self.none()
        matches = Q(identifier=name)
        with suppress(ValueError):
            matches |= Q(id=uuid.UUID(name))
        is_live = models.Case(models.When(state__in=states.LIVE_SESSION_STATES, then=1), default=0)
        return self.filter(matches).order_by(is_live.desc(), "-created_at")


class Session(models.Model):
    """An identifier, an owner, a kernel and a workspace."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # The name clients know the session by; unique per owner among live sessions.
    identifier = models.CharField(max_length=256)
    # None: opened through the open door of a loopback server, without credentials.
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="kernel_sessions",
    )
    kernel_name = models.CharField(max_length=100)
    origin = models.CharField(max_length=32, help_text="The face that opened it.")
    state = models.CharField(max_length=16, choices=_choices(states.SessionState))
    # A sentence for people: why the session is in this state. Empty when there is nothing to say.
    reason = models.CharField(max_length=500, blank=True)
    host = models.CharField(max_length=200, help_text="The host process that owns its kernel.")
    # Number of the newest event in the log; 0 before the first.
    last_event_number = models.PositiveBigIntegerField(default=0)
    # Grows when the rows of its files change; 0 before the first file.
    files_version = models.PositiveBigIntegerField(default=0)
    idle_timeout_seconds = models.PositiveIntegerField(
        null=True, blank=True, help_text="Idle for longer, it expires. Empty: never."
    )
    # What the face wants to remember of how it was opened; opaque to everybody else.
    request = models.JSONField(default=dict, blank=True)
    # What it may do and use: network, limits, GPUs and labels, as sessions/kernels/policy.py has
    # them. Empty for sessions older than that.
    policy = models.JSONField(default=dict, blank=True)
    # What its processes find in their environment beyond what all have. May hold secrets: shown
    # nowhere.
    environment = models.JSONField(default=dict, blank=True, editable=False)
    created_at = models.DateTimeField()
    last_active_at = models.DateTimeField()
    # None while it is live.
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = SessionQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["owner", "identifier"],
                condition=Q(state__in=sorted(states.LIVE_SESSION_STATES)),
                name="session_identifier_unique_per_owner",
            ),
            # NULLs are distinct in a unique index, so sessions without an owner need their own.
            models.UniqueConstraint(
                fields=["identifier"],
                condition=Q(owner=None, state__in=sorted(states.LIVE_SESSION_STATES)),
                name="session_identifier_unique_without_owner",
            ),
            models.CheckConstraint(
                condition=Q(state__in=sorted(states.SessionState)), name="session_state_known"
            ),
            models.CheckConstraint(
                condition=Q(state__in=sorted(states.LIVE_SESSION_STATES))
                ^ Q(ended_at__isnull=False),
                name="session_ended_at_set_when_ended",
            ),
            models.CheckConstraint(
                condition=~Q(identifier=""), name="session_identifier_not_empty"
            ),
        ]
        indexes = [
            models.Index(fields=["state", "-last_active_at"], name="session_state_active"),
            models.Index(fields=["identifier", "-created_at"], name="session_identifier_created"),
        ]

    def __str__(self) -> str:
        return self.identifier

    @property
    def is_live(self) -> bool:
        return self.state in states.LIVE_SESSION_STATES


class Execution(models.Model):
    """One piece of code, or one command, sent to a session."""

    class Kind(models.TextChoices):
        CODE = "code", "code"
        COMMAND = "command", "command"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    session = models.ForeignKey(
        Session,
        on_delete=models.CASCADE,
        related_name="executions",
        db_index=False,  # execution_session_queued begins with it
    )
    # A client's own name for it (Azure's operation-id); empty if the client gave none.
    client_id = models.CharField(max_length=256, blank=True)
    kind = models.CharField(max_length=16, choices=Kind.choices, default=Kind.CODE)
    code = models.TextField()
    # Key of the notebook's cell it ran for; None if it came from elsewhere.
    cell = models.UUIDField(null=True, blank=True)
    # Who asked for it, for the audit: account, key_id, address, request_id; what is not there is
    # empty.
    asked_by = models.JSONField(default=dict, blank=True, editable=False)
    origin = models.CharField(max_length=32, help_text="The face it came through.")
    state = models.CharField(max_length=16, choices=_choices(states.ExecutionState))
    # A sentence for people: why it ended like this. Empty when the state says it all.
    reason = models.CharField(max_length=500, blank=True)
    timeout_seconds = models.FloatField(null=True, blank=True, help_text="Empty: no limit.")
    # What the face wants to remember of the request; opaque to everybody else.
    request = models.JSONField(default=dict, blank=True)
    # A command's exit code; None for code, and until it ended.
    exit_code = models.IntegerField(null=True, blank=True)
    # The kernel's own counter (In [n]); None if it never came to the kernel.
    execution_count = models.PositiveIntegerField(null=True, blank=True)
    queued_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    # The last event that counts for the caller: later ones (threads, code that outlives its
    # timeout) are in the log, but not in the answer. None until the execution ended.
    final_event_number = models.PositiveBigIntegerField(null=True, blank=True)
    # What it put out, as far as it was kept. None: not counted, as of those older than this field.
    output_bytes = models.PositiveBigIntegerField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["session", "client_id"],
                condition=~Q(client_id=""),
                name="execution_client_id_unique_per_session",
            ),
            models.CheckConstraint(
                condition=Q(state__in=sorted(states.ExecutionState)), name="execution_state_known"
            ),
            models.CheckConstraint(
                condition=Q(state__in=sorted(states.UNFINISHED_EXECUTION_STATES))
                ^ Q(finished_at__isnull=False),
                name="execution_finished_at_set_when_finished",
            ),
        ]
        indexes = [
            models.Index(fields=["session", "-queued_at"], name="execution_session_queued"),
            models.Index(fields=["state", "-queued_at"], name="execution_state_queued"),
            models.Index(fields=["-queued_at"], name="execution_queued"),
        ]

    def __str__(self) -> str:
        return str(self.id)

    @property
    def public_id(self) -> str:
        """The id clients use: their own if they gave one."""
        return self.client_id or str(self.id)

    @property
    def is_finished(self) -> bool:
        return self.state not in states.UNFINISHED_EXECUTION_STATES


class Quota(models.Model):
    """What one account may use, where that is not what the server's settings say."""

    account = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        primary_key=True,
        on_delete=models.CASCADE,
        related_name="quota",
    )
    # As sessions/kernels/quotas.py has them. Null: as the server's settings say; 0: no limit.
    sessions = models.PositiveBigIntegerField(
        null=True,
        blank=True,
        help_text="Live at once. Here and below: 0 is no limit, and empty is what the server's settings say.",
    )
    executions = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="That run or wait, in all its sessions together."
    )
    storage_bytes = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="Of the files of all its live sessions together."
    )
    execution_seconds = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="For which its code runs, in any 24 hours."
    )
    output_bytes = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="That its code puts out, in any 24 hours."
    )

    def __str__(self) -> str:
        return f"quota of {self.account}"


class Event(models.Model):
    """One thing that happened in a session, numbered from 1 without gaps."""

    id = models.BigAutoField(primary_key=True)
    session = models.ForeignKey(
        Session,
        on_delete=models.CASCADE,
        related_name="events",
        db_index=False,  # event_number_unique_per_session begins with it
    )
    number = models.PositiveBigIntegerField()
    # None for what belongs to no execution, such as a change of the session's state.
    execution = models.ForeignKey(
        Execution,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="events",
        db_index=False,  # event_execution_number begins with it
    )
    type = models.CharField(max_length=32, choices=_choices(states.EventType))
    data = models.JSONField()
    at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["session", "number"], name="event_number_unique_per_session"
            ),
            models.CheckConstraint(
                condition=Q(type__in=sorted(states.EventType)), name="event_type_known"
            ),
        ]
        indexes = [models.Index(fields=["execution", "number"], name="event_execution_number")]

    def __str__(self) -> str:
        return f"{self.number} {self.type}"

    def to_wire(self) -> dict[str, Any]:
        """The event as every face and socket sends it; docs/events.md describes it."""
        return {
            "number": self.number,
            "type": self.type,
            "execution": str(self.execution_id) if self.execution_id else None,
            "at": self.at.isoformat().replace("+00:00", "Z"),
            "data": self.data,
        }


class Notebook(models.Model):
    """What a session's notebook has besides its cells. Made with the first edit."""

    session = models.OneToOneField(
        Session, primary_key=True, on_delete=models.CASCADE, related_name="notebook"
    )
    # Grows by one with each edit; 0 before the first.
    version = models.PositiveBigIntegerField(default=0)
    # That of the .ipynb format.
    metadata = models.JSONField(default=dict, blank=True)

    def __str__(self) -> str:
        return f"notebook of {self.session_id}"


class Cell(models.Model):
    """A cell that somebody wrote, or changed.

    An execution that belongs to no cell is one as well, without a row; a row whose key is the
    execution's id takes its place. sessions/notebook.py puts both together.
    """

    class Kind(models.TextChoices):
        CODE = "code", "code"
        MARKDOWN = "markdown", "markdown"
        RAW = "raw", "raw"

    id = models.BigAutoField(primary_key=True)
    session = models.ForeignKey(
        Session,
        on_delete=models.CASCADE,
        related_name="cells",
        db_index=False,  # cell_session_version begins with it
    )
    # Chosen by the client.
    key = models.UUIDField()
    kind = models.CharField(max_length=16, choices=Kind.choices, default=Kind.CODE)
    source = models.TextField(blank=True)
    # Where it is among the others; sessions/positions.py.
    position = models.CharField(max_length=200)
    metadata = models.JSONField(default=dict, blank=True)
    # Outputs in the .ipynb format that it came with; shown until it has run here.
    outputs = models.JSONField(default=list, blank=True)
    # The notebook's version when it last changed.
    version = models.PositiveBigIntegerField()
    # The notebook's version when its text last changed, or it was deleted.
    source_version = models.PositiveBigIntegerField()
    # About what source, metadata and outputs take together.
    size_bytes = models.PositiveBigIntegerField(default=0)
    # True: deleted. Its text is kept, so that this can be undone.
    is_deleted = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["session", "key"], name="cell_key_unique_per_session"),
            models.CheckConstraint(
                condition=Q(kind__in=["code", "markdown", "raw"]), name="cell_kind_known"
            ),
        ]
        indexes = [models.Index(fields=["session", "version"], name="cell_session_version")]

    def __str__(self) -> str:
        return str(self.key)

    def to_wire(self) -> dict[str, Any]:
        """The cell as the notebook's socket sends it; docs/events.md describes it."""
        return {
            "id": str(self.key),
            "kind": self.kind,
            "source": "" if self.is_deleted else self.source,
            "position": self.position,
            "metadata": self.metadata,
            "outputs": [] if self.is_deleted else self.outputs,
            "version": self.version,
            "is_deleted": self.is_deleted,
        }


def audit_actions() -> list[tuple[str, str]]:
    """What can be audited, as a field's choices; by name, so that a new one needs no migration."""
    return _choices(states.AuditAction)


class AuditEntry(models.Model):
    """Who did what, where, when, from which address, through which door, with which outcome.

    Never changed, and kept for longer than what it speaks of: so it refers to nothing, and has
    names instead of keys.
    """

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField()
    action = models.CharField(max_length=32, choices=audit_actions)
    account = models.CharField(
        max_length=150,
        blank=True,
        help_text="Empty: somebody at the open door, somebody unknown, or the server itself.",
    )
    # An API key's public name; of who came by links theirs, joined by commas.
    key_id = models.CharField("key", max_length=300, blank=True)
    address = models.CharField(max_length=64, blank=True)
    # In the words of a session's origin, and "admin"; empty for commands and the server itself.
    door = models.CharField(max_length=32, blank=True)
    session_id = models.UUIDField("session", null=True, blank=True)
    identifier = models.CharField(max_length=256, blank=True)
    execution_id = models.UUIDField("execution", null=True, blank=True)
    # The code, the command, the paths …; of code no more than its beginning.
    what = models.TextField(blank=True)
    # A state that it led to, or the code of a refusal; empty if it went as it should.
    outcome = models.CharField(max_length=64, blank=True)
    duration_seconds = models.FloatField(null=True, blank=True)
    request_id = models.CharField("request", max_length=128, blank=True)

    class Meta:
        verbose_name = "audit entry"
        verbose_name_plural = "audit"
        indexes = [
            models.Index(fields=["at"], name="audit_at"),
            models.Index(fields=["account", "at"], name="audit_account_at"),
            models.Index(fields=["session_id"], name="audit_session"),
        ]

    def __str__(self) -> str:
        return f"{self.get_action_display()} {self.at:%Y-%m-%d %H:%M:%S}"
