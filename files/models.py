"""What the database knows of the files in sessions' workspaces: for operators, and for history.

The workspace is the truth and these rows follow it (files/rows.py is their only writer).
"""

from __future__ import annotations

import hashlib
import uuid

from django.db import models
from django.db.models import Q
from django.utils import timezone

from sessions.kernels.workspace import MAX_PATH_BYTES, Entry


def digest(path: str) -> str:
    """What stands for a path in the index: PostgreSQL cannot index 4 KiB of text."""
    return hashlib.sha256(path.encode()).hexdigest()


class SessionFile(models.Model):
    """A file or directory of a workspace, as it was when we last looked."""

    session = models.ForeignKey(
        "workbench_sessions.Session",
        on_delete=models.CASCADE,
        related_name="files",
        db_index=False,  # file_path_unique_per_session begins with it
    )
    path = models.CharField(
        max_length=MAX_PATH_BYTES, help_text="Relative to the session's workspace."
    )
    path_digest = models.CharField(max_length=64, editable=False)
    size_bytes = models.PositiveBigIntegerField()
    modified_at = models.DateTimeField()
    is_directory = models.BooleanField(default=False)
    # Empty: written by code.
    origin = models.CharField(
        max_length=32, blank=True, help_text="The face it was uploaded through."
    )
    # When we first saw it.
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name = "file"
        constraints = [
            models.UniqueConstraint(
                fields=["session", "path_digest"], name="file_path_unique_per_session"
            ),
            models.CheckConstraint(condition=~Q(path=""), name="file_path_not_empty"),
        ]
        indexes = [models.Index(fields=["-modified_at"], name="file_modified")]

    def __str__(self) -> str:
        return self.path

    @classmethod
    def of(cls, session_id: uuid.UUID, entry: Entry, origin: str) -> SessionFile:
        """The row, not saved, that shows this entry."""
        return cls(
            session_id=session_id,
            path=entry.path,
            path_digest=digest(entry.path),
            size_bytes=entry.size_bytes,
            modified_at=entry.modified_at,
            is_directory=entry.is_directory,
            origin=origin,
        )

    def shows(self, entry: Entry) -> bool:
        """Whether the row says of the entry what is true."""
        return (self.size_bytes, self.modified_at, self.is_directory) == (
            entry.size_bytes,
            entry.modified_at,
            entry.is_directory,
        )
