"""The contracts' own tests, through two web processes and with kernels on three machines.

The tests are those of tests/api/dialects: same requests, same answers. Left out is what changes a
setting or a part of the server in this process, which those processes do not see.
"""

from __future__ import annotations

import inspect
from typing import Any

from tests.api.dialects import test_azure, test_backendai, test_rce, test_sandbox

HERE_ONLY = {"settings", "monkeypatch", "async_client"}


def taken_over(module: Any) -> dict[str, Any]:
    """The tests of a module that ask for nothing that is only in this process."""
    tests = {name: each for name, each in vars(module).items() if name.startswith("test_")}
    door = module.__name__.rpartition("_")[2]
    return {
        name.replace("test_", f"test_{door}_", 1): test
        for name, test in tests.items()
        if "api" in (asked := inspect.signature(test).parameters) and not HERE_ONLY & set(asked)
    }


for _module in (test_azure, test_backendai, test_rce, test_sandbox):
    globals().update(taken_over(_module))
