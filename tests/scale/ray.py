"""What one call of a Ray actor takes, on a cluster of one machine."""

from __future__ import annotations

import statistics
import time

from tests.scale.figures import Figure

PART = "ray"
CALLS = 1000


async def measure() -> dict[str, Figure]:
    """One call at a time, from one process to another."""
    import ray

    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:

        @ray.remote
        class Host:
            async def call(self, verb: str) -> str:
                return verb

        host = Host.remote()
        taken: list[float] = []
        for _ in range(CALLS):
            began = time.perf_counter()
            await host.call.remote("execute")
            taken.append(time.perf_counter() - began)
    finally:
        ray.shutdown()
    return {
        "ray_call_seconds": Figure(statistics.median(taken[100:]), "s", "a call of a Ray actor and its answer, awaited, one at a time", PART)
    }  # fmt: skip
