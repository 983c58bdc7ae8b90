"""Django's debug pages, which show settings to whoever causes an error (WORKBENCH_DEBUG)."""

from __future__ import annotations

import re

from django.views.debug import SafeExceptionReporterFilter


class SettingsFilter(SafeExceptionReporterFilter):
    """Shows no password in a URL, either."""

    hidden_settings = re.compile(
        f"{SafeExceptionReporterFilter.hidden_settings.pattern}|REDIS|LOCATION|ADDRESS",
        re.IGNORECASE,
    )
