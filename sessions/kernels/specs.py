"""Which kernels are installed, and what each needs to read."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

from sessions.exceptions import KernelspecNotFound

DEFAULT_KERNEL = "python3"
LAUNCHER = "ipykernel_launcher"  # IPython's kernel, as kernelspecs name it

# A kernelspec's name is also a directory's: nothing that could lead elsewhere.
_KERNEL_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")


class KernelSpecs:
    """The kernelspecs below ``prefixes`` (environments, the likeliest first) and the machine's."""

    def __init__(self, prefixes: tuple[Path, ...]) -> None:
        self._prefixes = prefixes
        self.manager = KernelSpecManager(ensure_native_kernel=False)
        own = [str(prefix / "share/jupyter/kernels") for prefix in prefixes]
        self.manager.kernel_dirs = own + self.manager.kernel_dirs

    def check(self, name: str) -> None:
        """Raise KernelspecNotFound unless a kernel of that name is installed."""
        try:
            if not _KERNEL_NAME.fullmatch(name):
                raise NoSuchKernel(name)
            self.manager.get_kernel_spec(name)
        except NoSuchKernel:
            sentence = f"There is no kernel named {name[:100]!r} on the server."
            raise KernelspecNotFound(sentence) from None

    def forkable(self, name: str) -> tuple[str, ...] | None:
        """How the Python of an IPython kernel is started, so that a zygote can stand in for it.

        None for other kernels, and for those that bring a provisioner of their own.
        """
        spec = self.manager.get_kernel_spec(name)
        argv = list(spec.argv)
        is_ours = "kernel_provisioner" not in spec.metadata and Path(argv[0]).is_absolute()
        if not is_ours or argv[-4:-1] != ["-m", LAUNCHER, "-f"]:
            return None
        return tuple(argv[:-4])

    def listed(self) -> list[dict[str, Any]]:
        """All of them, as ``operations.kernelspecs`` says; reads the disk."""
        specs = self.manager.get_all_specs()
        found = [_described(name, spec["spec"]) for name, spec in specs.items()]
        return sorted(found, key=lambda spec: (spec["name"] != DEFAULT_KERNEL, spec["name"]))

    def readable(self, name: str) -> tuple[Path, ...]:
        """What the kernel needs to read: environments, the Pythons they came from, its spec."""
        paths = {Path(self.manager.get_kernel_spec(name).resource_dir)}
        for prefix in self._prefixes:
            paths |= {prefix, _base_of(prefix)}
        paths = {path.resolve() for path in paths if path.exists()} | {
            path for path in paths if path.exists()
        }
        inside_usr = {path for path in paths if path.is_relative_to("/usr")}
        return tuple(sorted(paths - inside_usr))


def _base_of(prefix: Path) -> Path:
    """The Python installation a virtual environment was made from; itself if it is none."""
    try:
        lines = (prefix / "pyvenv.cfg").read_text().splitlines()
    except OSError:
        return prefix
    settings = dict(line.split(" = ", 1) for line in lines if " = " in line)
    return Path(settings.get("home", str(prefix / "bin"))).parent


def _described(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = json.loads(json.dumps(spec.get("metadata", {}), default=str))
    return {
        "name": name,
        "display_name": spec.get("display_name", name),
        "language": spec.get("language", ""),
        "version": str(metadata.get("version", "")),
    }
