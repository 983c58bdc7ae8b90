"""How many descriptors the host may have open, and what it starts: not the same.

A session takes some twenty of the host's, and the usual limit of 1,024 would end at fifty. Programs
get the limit they always had: some fail, or take long, where it is much higher.
"""

from __future__ import annotations

import resource

# The soft limit this process was started with.
USUAL = resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def raise_limit() -> None:
    """Let this process open as many as the system allows it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def usual_limit() -> str:
    """The line of a shell that goes back to the usual limit, for what is started from it."""
    value = "unlimited" if USUAL == resource.RLIM_INFINITY else str(USUAL)
    return f"ulimit -S -n {value}"
