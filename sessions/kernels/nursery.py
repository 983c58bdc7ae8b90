"""Where kernels come from: which of them a zygote can fork, and those that wait for a session."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from sessions.kernels.config import HostConfig
from sessions.kernels.kernel import LiveKernel
from sessions.kernels.pool import WaitingKernel, WarmPool
from sessions.kernels.premises import Estate, Premises
from sessions.kernels.specs import DEFAULT_KERNEL, KernelSpecs
from sessions.kernels.zygotes import Zygote, ZygoteConfig


class Nursery:
    """The zygotes of a host, one for each Python kernelspec in use, and its warm pool.

    ``make_kernel`` makes the default kernel in some premises, without starting it.
    """

    def __init__(
        self,
        config: HostConfig,
        specs: KernelSpecs,
        estate: Estate,
        make_kernel: Callable[[Premises], LiveKernel],
    ) -> None:
        self._config = config
        self._specs = specs
        self._estate = estate
        self._make_kernel = make_kernel
        self._zygotes: dict[str, Zygote | None] = {}
        self._pool: WarmPool | None = None

    def start(self) -> None:
        """Begin with the default kernel; the others' zygotes start when they are asked for."""
        zygote = self.zygote(DEFAULT_KERNEL)
        if zygote is not None and self._config.warm_kernels:
            self._pool = WarmPool(
                self._config.warm_kernels,
                zygote=zygote,
                estate=self._estate,
                make_kernel=self._make_kernel,
            )
            self._pool.start()

    async def stop(self) -> None:
        """End the kernels that wait, and the zygotes."""
        if self._pool is not None:
            await self._pool.stop()
        await asyncio.gather(*(zygote.stop() for zygote in self._zygotes.values() if zygote))

    def zygote(self, kernel_name: str) -> Zygote | None:
        """The zygote of a kernelspec; it may not be ready. None if none can fork such a kernel."""
        if kernel_name not in self._zygotes:
            config = self._zygote_config(kernel_name)
            zygote = Zygote(config, name=kernel_name) if config else None
            self._zygotes[kernel_name] = zygote
            if zygote:
                zygote.start()
        return self._zygotes[kernel_name]

    @property
    def warm_kernels(self) -> int:
        """How many kernels wait."""
        return len(self._pool) if self._pool is not None else 0

    def take(self, kernel_name: str) -> WaitingKernel | None:
        """A kernel that waits; None if there is none of that kind. It is the caller's now."""
        if self._pool is None or kernel_name != DEFAULT_KERNEL:
            return None
        return self._pool.take()

    def _zygote_config(self, kernel_name: str) -> ZygoteConfig | None:
        command = self._specs.forkable(kernel_name)
        if not (self._config.contained and self._config.forks and command):
            return None
        environment = {
            **self._estate.environment(),
            # As it will be in kernels: some modules remember it when they are imported.
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        }
        return ZygoteConfig(
            command=command,
            modules=self._config.preimport,
            readable=self._specs.readable(kernel_name),
            prepared=self._estate.prepared(),
            shared=self._estate.shared,
            environment=tuple(environment.items()),
            watched=tuple(Path(command[0]).parent.parent.glob("lib/python*/site-packages")),
        )
