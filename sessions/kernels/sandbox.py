"""What a session's processes see and may use of the machine, and bubblewrap's words for it.

Inside there is a read-only system and Python, the session's workspace as /mnt/data (and as
/home/work, Backend.AI's name for it), a private /tmp and /proc, and no network unless asked for; of
the GPUs only the session's own.
The processes have no capabilities, cannot get any, and may not make every system call; as root,
we let them run as a user of their own.
"""

from __future__ import annotations

import os
import re
import resource
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from sessions.kernels.cgroups import ControlGroup
from sessions.kernels.descriptors import usual_limit
from sessions.kernels.gpus import devices_of, facts_of
from sessions.kernels.limits import Limits
from sessions.kernels.syscalls import filter_program, why_not_filtered

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

# The accounts that exist inside.
_USERS = "root:x:0:0:root:/:/usr/sbin/nologin\nwork:x:{uid}:{gid}:work:{home}:/bin/bash\n"
_GROUP = "root:x:0:\nwork:x:{gid}:\n"

# What it takes to enter the workspace, which only that user may, and what setpriv needs to
# become that user; it gives them up by doing so.
_TO_CHANGE_USER = ("CAP_DAC_READ_SEARCH", "CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP")
# Where the machine has too little memory, a session ends before the server or its neighbours.
_OOM_SCORE = 500
_PREFIX = "_WORKBENCH_"
# How a shell is told to limit: the option, and the bytes of its unit.
_ULIMIT = {"core": ("c", 512), "data": ("d", 1024), "fsize": ("f", 512), "nofile": ("n", 1)}
# Since then the system counts the processes of each user namespace.
_COUNTING_KERNEL = (5, 14)
_SIZED_TMPFS = (0, 7)  # bubblewrap's version that brought --size


@dataclass(frozen=True)
class Mount:
    """A file or directory of the machine that is seen inside."""

    source: Path
    target: str
    writable: bool = False


@dataclass(frozen=True)
class Scratch:
    """An empty directory inside, in memory, that all inside may write."""

    target: str
    # None: as much as the system gives.
    size_bytes: int | None
    mode: int = 0o1777


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
    # The user (and group) its processes run as; None: as who runs the server. Only root can
    # choose, and only with walls.
    uid: int | None = None
    limits: Limits = field(default_factory=Limits.none)
    # Its processes are in here from their first instruction on; None: there is none.
    group: ControlGroup | None = None
    # The numbers of its GPUs, whose devices are below ``devices``.
    gpus: tuple[int, ...] = ()
    devices: Path = Path("/dev")

    @property
    def directory(self) -> str:
        """The workspace's path as the session's processes see it."""
        return INSIDE_WORKSPACE if self.contained else str(self.workspace)

    def mounts(self) -> list[Mount]:
        """What of the machine is seen inside, in the order in which it is to be mounted."""
        return [
            *system_mounts(),
            *(Mount(path, str(path)) for path in facts_of(self.gpus, Path("/sys"))),
            *(Mount(path, str(path)) for path in self.readable),
            *(Mount(file, inside) for file, inside in self.prepared),
            *(
                Mount(self.workspace, inside, writable=True)
                for inside in (INSIDE_WORKSPACE, INSIDE_HOME)
            ),
            *([Mount(self.sockets, str(self.sockets), writable=True)] if self.sockets else []),
        ]

    def scratch(self) -> list[Scratch]:
        """The directories in memory; mounted before ``mounts``, which may be below."""
        size = self.limits.tmp_bytes
        return [Scratch("/tmp", size), Scratch("/dev/shm", size)]

    def rlimits(self) -> dict[str, int]:
        """What each of its processes is limited to; the names are those of prlimit(1)."""
        return self.limits.rlimits(
            counts_processes=self.contained and (self.uid is not None or _counts_by_namespace()),
            measures_memory=self.group is not None and self.group.limits_memory,
        )

    def environment(self, *, path: tuple[Path, ...] = ()) -> dict[str, str]:
        """The environment its processes start with: a list, never what the server has."""
        home = INSIDE_HOME if self.contained else str(self.workspace)
        state = _STATE if self.contained or self.state is None else str(self.state)
        directories = [*map(str, path), "/usr/local/bin", "/usr/bin", "/bin"]
        # CUDA counts those whose devices it can open, from 0; without walls that is all of them.
        numbers = range(len(self.gpus)) if self.contained else self.gpus
        return {
            # As the devices are numbered; by itself CUDA begins with the fastest.
            "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
            # Empty: none, also where there are no walls.
            "CUDA_VISIBLE_DEVICES": ",".join(map(str, numbers)),
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
            yield self._limited(["env", *assignments, *argv] if assignments else argv), ()
            return
        with ExitStack() as stack:
            descriptors: list[int] = []

            def data(content: bytes) -> str:
                descriptors.append(stack.enter_context(_memory_file(content)))
                return str(descriptors[-1])

            options = [*self._options(data), "--chdir", directory or INSIDE_WORKSPACE]
            walls = data(b"".join(os.fsencode(option) + b"\0" for option in options))
            inside = [*self._as_user(), *self._with_variables(), *argv]
            yield self._limited(["bwrap", "--args", walls, "--", *inside]), tuple(descriptors)

    def accounts(self) -> dict[str, str]:
        """What /etc/passwd and /etc/group are inside, {path: content}; empty: the machine's.

        Programs ask for the name of who they run as; those of the machine's people are no
        affair of theirs.
        """
        uid, gid = (os.getuid(), os.getgid()) if self.uid is None else (self.uid, self.uid)
        if uid == 0:
            return {}
        return {
            "/etc/passwd": _USERS.format(uid=uid, gid=gid, home=INSIDE_HOME),
            "/etc/group": _GROUP.format(gid=gid),
        }

    def _options(self, data: Callable[[bytes], str]) -> list[str]:
        """bubblewrap's; ``data`` gives the descriptor of a file with that content."""
        return [
            *self._namespaces(),
            *("--die-with-parent", "--new-session", "--cap-drop", "ALL", "--hostname", "session"),
            *(() if self.uid is None else _words("--cap-add", _TO_CHANGE_USER)),
            *(() if why_not_filtered() else ("--seccomp", data(filter_program()))),
            *(part for link, to in root_links() for part in ("--symlink", to, link)),
            *("--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys", "--dev", "/dev"),
            *(part for scratch in self.scratch() for part in _scratch_options(scratch)),
            *(
                part
                for device in devices_of(self.gpus, self.devices)
                for part in ("--dev-bind", str(device), f"/dev/{device.name}")
            ),
            *("--remount-ro", "/dev"),
            *(
                part
                for path in self.own_directories()
                for part in ("--perms", "1777", "--dir", path)
            ),
            *(
                part
                for path in _ways_to(self.mounts())
                for part in ("--perms", "0755", "--dir", path)
            ),
            *(part for mount in self.mounts() for part in _mount_options(mount)),
            *(
                part
                for path, text in self.accounts().items()
                for part in ("--perms", "0644", "--ro-bind-data", data(text.encode()), path)
            ),
            *(
                part
                for name, value in self.variables.items()
                for part in ("--setenv", _PREFIX + name, value)
            ),
            *("--remount-ro", "/"),
        ]

    def _namespaces(self) -> list[str]:
        if self.uid is None:
            return ["--unshare-all", *(["--share-net"] if self.network else [])]
        # No user namespace: in one, we could not become another user.
        kinds = ["ipc", "pid", "uts", "cgroup-try", *([] if self.network else ["net"])]
        return [f"--unshare-{kind}" for kind in kinds]

    def own_directories(self) -> list[str]:
        """Directories in /tmp that all inside may write; being made on the way, they could not.

        Made before ``mounts``, with mode 1777.
        """
        found = [_STATE]
        for _, inside in self.prepared:
            above = [str(each) for each in reversed(Path(inside).parents)]
            found += [each for each in above if each.startswith(f"{_STATE}/")]
        return list(dict.fromkeys(found))

    def _limited(self, argv: list[str]) -> list[str]:
        """``argv`` started by a shell that first enters the group and limits itself."""
        files = self.group.procs_files if self.group else ()
        limits = self.rlimits()
        lines = [
            *(f"echo 0 >{shlex.quote(str(file))} || exit 125" for file in files),
            f"{{ echo {_OOM_SCORE} >/proc/self/oom_score_adj; }} 2>/dev/null",
            usual_limit(),
            *(_ulimit(name, limits[name]) for name in _ULIMIT if name in limits),
        ]
        if self.uid is not None and "nproc" in limits:
            # It binds nobody who is root: only once they have become somebody else.
            count = limits["nproc"]
            lines.append(f"ulimit -u {count} 2>/dev/null || ulimit -p {count}")
        return ["/bin/sh", "-c", "\n".join([*lines, 'exec "$@"']), "sh", *argv]

    def _as_user(self) -> list[str]:
        """What runs inside first: it becomes the user, or limits the processes of this one."""
        if self.uid is not None:
            return [
                _program("setpriv"),
                *("--reuid", str(self.uid), "--regid", str(self.uid), "--clear-groups"),
                *("--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all", "--"),
            ]
        limits = self.rlimits()
        # In the new user namespace, where only the session's own processes count.
        return (
            [_program("prlimit"), f"--nproc={limits['nproc']}", "--"] if "nproc" in limits else []
        )

    def _with_variables(self) -> list[str]:
        """Give the session's variables their names.

        Not before: what changes the user must not obey an LD_PRELOAD of theirs either.
        """
        if not self.variables:
            return []
        unset = _words("-u", [_PREFIX + name for name in self.variables])
        named = [f'{name}="${_PREFIX}{name}"' for name in self.variables]
        return ["/bin/sh", "-c", " ".join(["exec env", *unset, *named, '"$@"']), "sh"]


def why_not_contained(uid: int | None = None) -> str:
    """Why this machine cannot contain code, in one sentence; empty if it can.

    ``uid`` is a user that sessions would run as; None: as who we are.
    """
    if shutil.which("bwrap") is None:
        return "bubblewrap is not installed (on Debian and Ubuntu: apt-get install bubblewrap)."
    return _why_no_walls(uid)


@cache
def _why_no_walls(uid: int | None) -> str:
    """What bubblewrap says; tried once in a process, whatever number of hosts it has."""
    probe = Sandbox(workspace=Path("/tmp"), sockets=None, readable=(), uid=uid)
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


@cache
def root_links() -> tuple[tuple[str, str], ...]:
    """(link, where it leads) of the root directory: /bin, /lib … where they are links."""
    paths = [Path("/", name) for name in _ROOT_LINKS]
    return tuple((str(path), str(path.readlink())) for path in paths if path.is_symlink())


def system_mounts() -> list[Mount]:
    """Programs, libraries and those parts of /etc that every session sees."""
    paths = [Path("/", name) for name in _ROOT_LINKS]
    directories = [path for path in paths if path.is_dir() and not path.is_symlink()]
    files = [path for name in _ETC if (path := Path("/etc", name)).exists()]
    return [Mount(path, str(path)) for path in (Path("/usr"), *directories, *files)]


def _ways_to(mounts: Iterable[Mount]) -> list[str]:
    """The directories on the way to mounts; bubblewrap makes them for root's eyes only."""
    targets = [mount.target for mount in mounts]
    ways = {str(way): None for each in targets for way in reversed(Path(each).parents)}
    inside = tuple(f"{target}/" for target in targets)
    return [way for way in ways if way != "/" and not f"{way}/".startswith(inside)]


def _mount_options(mount: Mount) -> list[str]:
    kind = "--bind" if mount.writable else "--ro-bind"
    return [kind, str(mount.source), mount.target]


def _scratch_options(scratch: Scratch) -> list[str]:
    options = ["--perms", f"{scratch.mode:o}"]
    if scratch.size_bytes is not None and _version_of_bubblewrap() >= _SIZED_TMPFS:
        options += ["--size", str(scratch.size_bytes)]
    return [*options, "--tmpfs", scratch.target]


def _ulimit(name: str, value: int) -> str:
    option, unit = _ULIMIT[name]
    hard = resource.getrlimit(getattr(resource, f"RLIMIT_{name.upper()}"))[1]
    # What we may not exceed ourselves, we cannot allow.
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    return f"ulimit -{option} {value // unit}"


def _words(option: str, values: Iterable[str]) -> list[str]:
    return [part for value in values for part in (option, value)]


@contextmanager
def _memory_file(content: bytes) -> Iterator[int]:
    descriptor = os.memfd_create("walls")
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


@cache
def _program(name: str) -> str:
    """The full path of a program of the system; its name if there is none."""
    return shutil.which(name, path="/usr/bin:/bin:/usr/sbin:/sbin") or name


@cache
def _version_of_bubblewrap() -> tuple[int, ...]:
    try:
        said = subprocess.run(["bwrap", "--version"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(map(int, re.findall(r"\d+", said.stdout)[:2]))


@cache
def _counts_by_namespace() -> bool:
    return tuple(map(int, re.findall(r"\d+", os.uname().release)[:2])) >= _COUNTING_KERNEL
