"""The app of accounts' keys."""

from django.apps import AppConfig


class AccessConfig(AppConfig):
    """Keys, and who used them."""

    name = "workbench.access"
    label = "workbench_access"
    verbose_name = "Access"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Hear who logs in, and which accounts change."""
        from workbench.access import audit  # noqa: F401 - importing it is what connects it
