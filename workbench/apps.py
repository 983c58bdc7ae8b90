"""The project's own app: commands, template tags, checks."""

from django.apps import AppConfig


class WorkbenchConfig(AppConfig):
    """Puts the parts together."""

    name = "workbench"

    def ready(self) -> None:
        """Register the checks."""
        from workbench import checks  # noqa: F401 - importing it is what registers them
