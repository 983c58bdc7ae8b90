"""The sessions app."""

from django.apps import AppConfig


class SessionsConfig(AppConfig):
    """Kernel sessions: rows, verbs, sockets, admin."""

    name = "sessions"
    # django.contrib.sessions already owns the label "sessions". The label names our tables,
    # permissions and migrations, so it cannot change once a migration has been released.
    label = "workbench_sessions"
    verbose_name = "Kernel sessions"
    default_auto_field = "django.db.models.BigAutoField"
