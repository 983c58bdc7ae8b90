"""What a session's processes see of the machine: a bubblewrap command line.

Inside there is a read-only system and Python, the session's workspace as /mnt/data (and as
/home/work, Backend.AI's name for it), a private /tmp and /proc, and no network unless asked for.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

INSIDE_WORKSPACE = "/mnt/data"
INSIDE_HOME = "/home/work"

# What programs need of /etc; passwords and keys of the machine stay outside.
_ETC = (
    "alternatives",
    "bash.bashrc",
    "ca-certificates",
    "ca-certificates.conf",
    "fonts",
    "group",
    "host.conf",
    "hosts",
    "inputrc",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "magic",
    "mime.types",
    "nsswitch.conf",
    "passwd",
    "profile",
    "profile.d",
    "protocols",
    "resolv.conf",
    "services",
    "ssl/certs",
    "ssl/openssl.cnf",
    "terminfo",
    "timezone",
)
_ROOT_LINKS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
# Caches and settings of programs; kept out of the workspace, whose files people look at.
_STATE = "/tmp/.state"


@dataclass(frozen=True, kw_only=True)
class Sandbox:
    """The walls round one session. ``contained`` False: none, for machines that cannot."""

    workspace: Path
    # Where the kernel's sockets are; writable inside, at the same path. None: no kernel.
    sockets: Path | None
    # Environments and kernelspecs, readable inside at the same paths.
    readable: tuple[Path, ...]
    # (file outside, path inside): what is put into place so that programs start faster.
    prepared: tuple[tuple[Path, str], ...] = ()
    # Where programs keep caches and settings if there are no walls; inside, it is _STATE.
    state: Path | None = None
    # What its processes find in their environment beyond what they are started with.
    variables: dict[str, str] = field(default_factory=dict)
    network: bool = False
    contained: bool = True

    @property
    def directory(self) -> str:
        """The workspace's path as the session's processes see it."""
        return INSIDE_WORKSPACE if self.contained else str(self.workspace)

    def environment(self, *, path: tuple[Path, ...] = ()) -> dict[str, str]:
        """The environment its processes start with: a list, never what the server has."""
        home = INSIDE_HOME if self.contained else str(self.workspace)
        state = _STATE if self.contained or self.state is None else str(self.state)
        directories = [*map(str, path), "/usr/local/bin", "/usr/bin", "/bin"]
        return {
            "HOME": home,
            "LANG": "C.UTF-8",
            "PATH": ":".join(directories),
            "TERM": "xterm-256color",
            "USER": "work",
            "XDG_CACHE_HOME": f"{state}/cache",
            "XDG_CONFIG_HOME": f"{state}/config",
            "XDG_DATA_HOME": f"{state}/data",
            "IPYTHONDIR": f"{state}/ipython",
            "JUPYTER_CONFIG_DIR": f"{state}/jupyter",
            "MPLCONFIGDIR": f"{state}/matplotlib",
            # Figures as data: the alternative is a script of 4.5 MB with each of them.
            "PLOTLY_RENDERER": "plotly_mimetype",
            "PYTHONDONTWRITEBYTECODE": "1",
            # AutoGen's executor lists packages this way and reads what is printed.
            "PYTHONWARNINGS": "ignore:pkg_resources is deprecated:UserWarning",
        }

    @contextmanager
    def launch(
        self, argv: list[str], *, directory: str | None = None
    ) -> Iterator[tuple[list[str], tuple[int, ...]]]:
        """``argv`` to be started inside, and the descriptors it needs; they are closed afterwards.

        ``directory`` is where it starts, as seen inside; None: in the workspace. There is no
        other without walls.

        Start it with ``environment``: that passes through. What the walls are is in a
        descriptor, which bubblewrap closes, and not on the command line, where all could read it.
        The ``variables`` are there too: bubblewrap itself, outside, must not obey an LD_PRELOAD.
        """
        if not self.contained:
            assignments = [f"{name}={value}" for name, value in self.variables.items()]
            yield (["env", *assignments, *argv] if assignments else argv), ()
            return
        options = [*self._options(), "--chdir", directory or INSIDE_WORKSPACE]
        descriptor = os.memfd_create("walls")
        try:
            with os.fdopen(os.dup(descriptor), "wb") as file:
                file.write(b"".join(os.fsencode(option) + b"\0" for option in options))
            os.lseek(descriptor, 0, os.SEEK_SET)
            yield ["bwrap", "--args", str(descriptor), "--", *argv], (descriptor,)
        finally:
            os.close(descriptor)

    def _options(self) -> list[str]:
        bind = ["--bind", str(self.workspace)]
        return [
            *("--unshare-all", *(["--share-net"] if self.network else [])),
            *("--die-with-parent", "--new-session", "--cap-drop", "ALL", "--hostname", "session"),
            *_system(),
            *("--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--dir", _STATE),
            *(part for path in self.readable for part in ("--ro-bind", str(path), str(path))),
            *(part for file, inside in self.prepared for part in ("--ro-bind", str(file), inside)),
            *(*bind, INSIDE_WORKSPACE, *bind, INSIDE_HOME),
            *(["--bind", str(self.sockets), str(self.sockets)] if self.sockets else []),
            *(part for each in self.variables.items() for part in ("--setenv", *each)),
            *("--remount-ro", "/"),
        ]


def why_not_contained() -> str:
    """Why this machine cannot contain code, in one sentence; empty if it can."""
    if shutil.which("bwrap") is None:
        return "bubblewrap is not installed (on Debian and Ubuntu: apt-get install bubblewrap)."
    probe = Sandbox(workspace=Path("/tmp"), sockets=None, readable=())
    with probe.launch(["true"]) as (argv, descriptors):
        result = subprocess.run(
            argv,
            env=probe.environment(),
            pass_fds=descriptors,
            capture_output=True,
            text=True,
            timeout=10,
        )
    if result.returncode:
        return f"bubblewrap cannot make its walls here: {result.stderr.strip()}"
    return ""


def _system() -> list[str]:
    options = ["--ro-bind", "/usr", "/usr"]
    for name in _ROOT_LINKS:
        outside = Path("/", name)
        if outside.is_symlink():
            options += ["--symlink", str(outside.readlink()), str(outside)]
        elif outside.exists():
            options += ["--ro-bind", str(outside), str(outside)]
    for name in _ETC:
        options += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    return options
