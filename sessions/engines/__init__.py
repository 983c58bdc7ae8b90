"""How a verb reaches the host that owns a session.

``engine()`` is the way the settings name: "local" (a host process of this machine), "ray" (a host
on each node of a Ray cluster) or "inline" (a host in this process, for tests and scripts). Each
event loop has its own.
"""

from __future__ import annotations

import asyncio
import importlib
from typing import Any
from weakref import WeakKeyDictionary

from django.conf import settings

from sessions.engines.base import Engine
from sessions.exceptions import HostUnavailable

# For the host to answer what it need not wait for; it may be busy, but not for so long.
PATIENCE_SECONDS = 30.0
_ENGINES = {
    "inline": "sessions.engines.inline:InlineEngine",
    "local": "sessions.engines.local:LocalEngine",
    "ray": "sessions.engines.ray_engine:RayEngine",
}
_by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, Engine] = WeakKeyDictionary()


def engine() -> Engine:
    """The engine of the running event loop."""
    loop = asyncio.get_running_loop()
    found = _by_loop.get(loop)
    if found is None:
        module, _, name = _ENGINES[settings.WORKBENCH_ENGINE].partition(":")
        found = _by_loop[loop] = getattr(importlib.import_module(module), name)()
    return found


async def ask(verb: str, **arguments: Any) -> Any:
    """Call a verb that has nothing to wait for. Raises HostUnavailable if no answer comes."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await engine().call(verb, **arguments)
    except TimeoutError:
        raise HostUnavailable("The kernel host does not answer. Try again in a moment.") from None


async def close_engine() -> None:
    """Close the running loop's engine, if it has one; the next use makes another."""
    found = _by_loop.pop(asyncio.get_running_loop(), None)
    if found is not None:
        await found.close()
