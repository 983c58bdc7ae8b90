"""An IPython kernel in a forked process, and what is imported before, once for all of them."""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.util
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn

from . import prepared

# What a kernel imports until it has run its first cell and completed a name. Not here:
# matplotlib_inline.backend_inline, whose import makes figures appear if there is a shell by then.
_KERNEL = (
    "faulthandler",
    "ipykernel.debugger",
    "ipykernel.embed",
    "ipykernel.kernelapp",
    "ipykernel.subshell",
    "ipykernel.subshell_manager",
    "ipykernel.zmqshell",
    "IPython.core.async_helpers",
    "IPython.core.completerlib",
    "IPython.core.logger",
    "IPython.core.magics",
    "IPython.core.pylabtools",
    "IPython.extensions.storemagic",
    "jedi.api.completion",
    "tornado.platform.asyncio",
    "zmq.asyncio",
    "zmq.eventloop.zmqstream",
)
# What modules have put into the environment when they were imported.
_imported_with: dict[str, str] = {}
# As they are in sys.modules. Looked for before the fork: it is to write to all that are there.
_our_names: list[str] = []
# None: forks make their kernels from the beginning.
_prepared: prepared.PreparedKernel | None = None
_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def preimport(modules: list[str], tell: Callable[[str], None]) -> list[str]:
    """Import these, and what kernels need; returns those of ``modules`` that cannot be imported.

    ``tell`` is told of each of them before it is imported, and, with nothing, after the last.

    Forks share memory until they write to it, and to count references is to write. So nothing is
    collected: forks would fill the holes.
    """
    gc.disable()
    before = dict(os.environ)
    for name in _KERNEL:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    missing = []
    for name in modules:
        tell(name)
        try:
            importlib.import_module(name)
        except (Exception, SystemExit):  # a library may fail in any way; kernels do without
            missing.append(name)
    tell("")
    with contextlib.suppress(Exception):
        _warm_completion()
    _imported_with.update({name: os.environ[name] for name in os.environ.keys() - before.keys()})
    return missing


def prepare() -> str:
    """Make the kernel that forks become, as far as it can be; or why it cannot, in one sentence.

    After ``preimport``. What this leaves behind if it fails is not fit for anything.
    """
    global _prepared
    if why := prepared.why_not():
        return why
    _prepared = prepared.PreparedKernel()
    return ""


def freeze() -> None:
    """The last before the first fork: what there is now is never looked through again."""
    _our_names.extend(name for name in sys.modules if name.partition(".")[0] == __package__)
    gc.freeze()


def _warm_completion() -> None:
    """The analyser reads descriptions of Python's own types when it is first asked."""
    import jedi

    jedi.Interpreter("import os; os.pat", [{"text": "", "numbers": [1]}]).complete()
    jedi.Interpreter("text.spl", [{"text": "", "numbers": [1]}]).complete()


def run(request: dict[str, Any]) -> None:
    """Be a kernel until it is shut down."""
    for name, value in request["rlimits"].items():
        _limit(getattr(resource, f"RLIMIT_{name.upper()}"), value)
    os.environ.clear()
    os.environ.update({**_imported_with, **request["environment"]})
    time.tzset()
    os.umask(0o022)
    os.chdir(request["directory"])
    _forget_ourselves(request["environment"])
    _make_random()
    launcher = importlib.util.find_spec(request["argv"][0])
    sys.argv = [(launcher and launcher.origin) or "", *request["argv"][1:]]
    if _prepared is None:
        from ipykernel.kernelapp import IPKernelApp

        gc.enable()
        IPKernelApp.launch_instance(argv=request["argv"][1:])
    elif _prepared.fits(request["argv"][1:]):
        gc.enable()
        _prepared.run(request["argv"][1:])
    else:
        _start(request)


def _start(request: dict[str, Any]) -> NoReturn:
    """Start the kernel as its kernelspec says: nothing of what was prepared is left then."""
    argv = [*sys.orig_argv[:-2], "-m", *request["argv"]]  # what follows is "-c" and our code
    os.execve(argv[0], argv, request["environment"])


def _limit(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    limit = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (limit, limit))


def _forget_ourselves(environment: dict[str, str]) -> None:
    """What a kernel imports and finds is as if it had been started by itself."""
    for name in _our_names:
        del sys.modules[name]
    added = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:] = [*added, *(path for path in sys.path if path not in ("", _OURS))]


def _make_random() -> None:
    """Python reseeds itself in a fork; numpy's old generator would repeat the others' numbers."""
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()
