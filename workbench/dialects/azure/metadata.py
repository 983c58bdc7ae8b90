"""What the kernels' environment holds; read from the disk, once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

from workbench.dialects.azure.views import timestamp


@dataclass(frozen=True)
class Environment:
    """An environment with a Python of its own."""

    python_version: str
    # ``{"name", "version"}`` each, by name.
    packages: tuple[dict[str, str], ...]
    kernel_version: str
    kernel_description: str
    kernel_url: str
    created_at: str
    updated_at: str


@cache
def read_environment(prefix: Path) -> Environment:
    """What is installed below ``prefix``. Reads a hundred files: to be called in a thread."""
    folders = sorted(prefix.glob("lib/python3*/site-packages"))
    found = {dist.name: dist for dist in distributions(path=[str(folder) for folder in folders])}
    kernel = found.get("ipykernel")
    packages = sorted(found.values(), key=lambda dist: dist.name.lower())
    return Environment(
        python_version=_python_version(prefix, folders),
        packages=tuple({"name": dist.name, "version": dist.version} for dist in packages),
        kernel_version=kernel.version if kernel else "",
        kernel_description=_field(kernel, "Summary"),
        kernel_url=_url(kernel),
        created_at=_changed(prefix / "pyvenv.cfg", prefix),
        updated_at=_changed(*reversed(folders), prefix),
    )


def metadata_body(environment: Environment, specs: list[dict[str, Any]]) -> dict[str, Any]:
    """The answer of /metadata; ``specs`` are the kernels, the default one first."""
    default = specs[0] if specs else {"name": "", "version": ""}
    runtimes = [
        {
            "name": spec["language"] or spec["name"],
            "version": spec["version"]
            or (environment.python_version if spec["language"] == "python" else ""),
        }
        for spec in specs
    ]
    return {
        "runtimes": runtimes,
        "preInstalledPackages": list(environment.packages),
        "createdAt": environment.created_at,
        "lastUpdatedAt": environment.updated_at,
        "jupyterKernel": {
            "name": default["name"],
            "version": default["version"] or environment.kernel_version,
            "projectUrl": environment.kernel_url,
            "description": environment.kernel_description,
        },
    }


def _python_version(prefix: Path, folders: list[Path]) -> str:
    """From the virtual environment's own record, else from the name of its folder."""
    try:
        lines = (prefix / "pyvenv.cfg").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        name, _, value = line.partition("=")
        if name.strip() in ("version", "version_info"):
            return value.strip()
    return folders[0].parent.name.removeprefix("python") if folders else ""


def _field(dist: Distribution | None, name: str) -> str:
    return dist.metadata[name] if dist and name in dist.metadata else ""


def _url(dist: Distribution | None) -> str:
    if dist is None:
        return ""
    listed = (entry.partition(",") for entry in dist.metadata.get_all("Project-URL") or ())
    urls = {label.strip().lower(): url.strip() for label, _, url in listed}
    return urls.get("homepage") or _field(dist, "Home-page") or next(iter(urls.values()), "")


def _changed(*paths: Path) -> str:
    """When the first of the paths that exists was changed."""
    for path in paths:
        if path.exists():
            return timestamp(datetime.fromtimestamp(path.stat().st_mtime, UTC))
    return timestamp(datetime.fromtimestamp(0, UTC))
