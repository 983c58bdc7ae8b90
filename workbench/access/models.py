"""API keys and links to sessions. What is secret of one is seen once, when it is made."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import models

from sessions.models import Session


class Scope(models.TextChoices):
    """What a key or a link is for."""

    RUN = "run", "run code"
    READ = "read", "only read"


class ApiKey(models.Model):
    """A program's permission to act as somebody."""

    # Its public name, which begins the key's text; Backend.AI calls it the access key.
    key_id = models.CharField("id", max_length=16, primary_key=True)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_keys"
    )
    label = models.CharField(max_length=100, blank=True, help_text="What it is for, in a word.")
    scope = models.CharField(max_length=8, choices=Scope.choices, default=Scope.RUN)
    # SHA-256 in hexadecimal digits; the secret has 256 random bits, so that is enough.
    secret_hash = models.CharField(max_length=64, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    # None: never.
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    # To the minute.
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name = "API key"
        ordering = ("-created_at",)

    def __str__(self) -> str:
        return f"{self.key_id} ({self.label})" if self.label else self.key_id

    def state(self, now: datetime) -> str:
        """In a word: valid, revoked or expired."""
        if self.revoked_at is not None:
            return "revoked"
        return "valid" if self.is_valid(now) else "expired"

    def is_valid(self, now: datetime) -> bool:
        """Neither revoked nor expired; whether its owner may log in is asked elsewhere."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class Share(models.Model):
    """A link that lets whoever has it into one session, without an account."""

    # Its public name; the link's own text is a secret.
    id = models.CharField(max_length=12, primary_key=True)
    # SHA-256 in hexadecimal digits; the text has 256 random bits, so that is enough.
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="shares")
    scope = models.CharField(max_length=8, choices=Scope.choices, default=Scope.READ)
    # None: made at the open door. If the account goes, its links do.
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.CASCADE,
        related_name="shares",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    # None: as long as it is known what the session did.
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    # To the minute.
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name = "link to a session"
        verbose_name_plural = "links to sessions"
        ordering = ("-created_at", "id")

    def __str__(self) -> str:
        return self.id
