"""The files app."""

from django.apps import AppConfig


class FilesConfig(AppConfig):
    """The files in sessions' workspaces, seen from outside."""

    name = "files"
    # Prefixed like the sessions app's label; see sessions/apps.py.
    label = "workbench_files"
    verbose_name = "Session files"
    default_auto_field = "django.db.models.BigAutoField"
