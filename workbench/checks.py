"""What ``manage.py check --deploy`` says of our own settings; Django looks at its own."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning, register


@register(Tags.security, deploy=True)
def check_https(app_configs: Any, **keywords: Any) -> list[CheckMessage]:
    """Whether browsers come over https, and stay there."""
    if not settings.WORKBENCH_HTTPS:
        return [
            Warning(
                "WORKBENCH_HTTPS is 0: cookies may travel over http.",
                hint="Behind a proxy with TLS, set it to 1. On one's own machine it may stay.",
                id="workbench.W001",
            )
        ]
    if not settings.SECURE_HSTS_SECONDS:
        return [
            Warning(
                "WORKBENCH_HSTS_SECONDS is 0: browsers may be led to this server over http.",
                hint="Once https works, set it: 3600 first, then 31536000.",
                id="workbench.W002",
            )
        ]
    return []
