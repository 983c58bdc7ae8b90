"""Reading, seeing and touching what belongs to the server, to other sessions and to the machine.

GIVEN: secrets (texts that no file below /proc may show), paths (of the machine, closed to us),
sockets (of others), readable (environments that we see, but may not change), pids (of others),
is_root (whether the server is, and so sessions must not be), own (where its sockets are).
"""

# ruff: noqa: F821, SIM115 - common.py stands before this; descriptors end with their process

import glob

ME = os.getpid()
_LINKS = ("root", "cwd", "exe", "fd/*", "task/*/root", "task/*/cwd")


def shown(pattern):
    """The secrets in the files of a glob pattern."""
    for path in glob.glob(pattern):
        try:
            with open(path, "rb") as file:
                text = file.read(1_000_000)
        except OSError:
            continue
        for secret in GIVEN["secrets"]:
            if secret.encode() in text:
                return f"{secret} in {path}"
    return ""


def way_out():
    """A way through a link of /proc, up and down again, to a closed path."""
    for link in (link for each in _LINKS for link in glob.glob(f"/proc/[0-9]*/{each}")):
        for up in range(12):
            for path in GIVEN["paths"]:
                if os.path.lexists(f"{link}{'/..' * up}{path}"):
                    return f"{link}{'/..' * up}{path}"
    return ""


def exists(path):
    os.lstat(path)
    return path


def writes(path):
    """Write into a file that is there, or make one in a directory."""
    if os.path.isdir(path):
        path = f"{path}/made-by-the-attack"
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
        os.unlink(path)
        return path
    with open(path, "r+b", buffering=0) as file:
        return f"{path} opened as {file.fileno()}"


def writable_mounts():
    """Mounts that may be written, beyond those that belong to the session."""
    # The session's sockets are where its own connection file is.
    ours = ("/mnt/data", "/home/work", "/tmp", "/dev", "/proc", *GIVEN["own"])
    found = []
    for line in open("/proc/self/mountinfo"):
        point, options = line.split()[4:6]
        is_ours = any(point == each or point.startswith(f"{each}/") for each in ours)
        if "rw" in options.split(",") and not is_ours and os.access(point, os.W_OK):
            found.append(point)
    return found


def other_processes():
    """Processes that are not the session's: it has its kernel or command, and what we start."""
    seen = [path.split("/")[2] for path in glob.glob("/proc/[0-9]*")]
    return seen if len(seen) > 40 else ""


def signals_one(signum):
    """Whether process 1 dies of a signal: then so do we, and nothing is said."""
    os.kill(1, signum)


def connects(path):
    import socket

    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
    return path


def finds_sockets():
    """Sockets of other sessions that the file system shows."""
    return [path for path in GIVEN["sockets"] if os.path.lexists(path)]


def memory_of_one():
    with open("/proc/1/mem", "r+b", buffering=0) as file:
        return f"/proc/1/mem opened as {file.fileno()}"


def descriptors_of_one():
    """What process 1 holds open that leads somewhere: no null device, no pipe of its own."""
    held = [os.readlink(f"/proc/1/fd/{each}") for each in os.listdir("/proc/1/fd")]
    return [each for each in held if each.startswith("/") and each != "/dev/null"]


def memory_of_others():
    """A token of the neighbour's in our own memory: from a process that both were forked from."""
    import re

    pattern = re.compile(b"token" * 3 + b"-[0-9a-f]{32}")
    with open("/proc/self/mem", "rb", buffering=0) as memory:
        for line in open("/proc/self/maps"):
            span, rights = line.split()[:2]
            start, end = (int(each, 16) for each in span.split("-"))
            if not rights.startswith("rw") or end - start > 2**30:
                continue
            try:
                memory.seek(start)
                found = pattern.search(memory.read(end - start))
            except (OSError, OverflowError):
                continue
            if found:
                return f"at {start + found.start():x}"
    return ""


def inherited_channels():
    """Sockets without a name whose other end is outside, and directories and files from there."""
    import socket

    found = []
    for each in os.listdir("/proc/self/fd"):
        link = f"/proc/self/fd/{each}"
        target = os.readlink(link) if os.path.lexists(link) else ""
        ours = (f"/proc/{ME}", f"/proc/{os.getpid()}")
        is_strange = target.startswith(("/memfd", "/proc/")) or "(deleted)" in target
        if is_strange and not target.startswith(ours):
            found.append(f"{each} {target}")
        if target.startswith("socket:"):
            end = socket.socket(fileno=os.dup(int(each)))
            if end.family == socket.AF_UNIX and not end.getsockname():
                is_named = _has_name(end)
                if not is_named and end.getsockopt(1, 17, 12)[:4] == bytes(4):  # SO_PEERCRED
                    found.append(f"{each} {target}")
    return found


def _has_name(end):
    try:
        return bool(end.getpeername())
    except OSError:
        return False


for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGSTOP, signal.SIGKILL):
    attempt(f"signal {number.name} to process 1", lambda number=number: signals_one(number))
for file in ("environ", "cmdline", "maps", "task/*/environ", "task/*/cmdline", "mountinfo"):
    attempt(f"secrets in {file}", lambda file=file: shown(f"/proc/[0-9]*/{file}"))
for pattern in ("/proc/keys", "/proc/net/unix", "/proc/*", "/etc/*", "/tmp/*", "/dev/shm/*"):
    attempt(f"secrets in {pattern}", lambda pattern=pattern: shown(pattern))
attempt("a way out through /proc", way_out)
attempt("other processes", other_processes)
attempt("writable mounts", writable_mounts)
attempt("sockets of others", finds_sockets)
attempt("memory of others", memory_of_others)
attempt("inherited channels", inherited_channels)
if GIVEN["is_root"]:  # otherwise it is a user's own, and has no more rights than any other
    attempt("memory of process 1", memory_of_one)
attempt("descriptors of process 1", descriptors_of_one)
for path in [*GIVEN["paths"], "/etc/shadow", "/boot", "/var/log", "/sys/kernel", "/sys/fs"]:
    attempt(f"see {path}", lambda path=path: exists(path))
for path in (
    "/run/docker.sock",
    "/var/run/docker.sock",
    "/run/dbus",
    "/tmp/.X11-unix",
    "/dev/kmsg",
):
    attempt(f"see {path}", lambda path=path: exists(path))
for path in ("/dev/mem", "/dev/kvm", "/dev/fuse", "/dev/net/tun", "/dev/loop-control", "/dev/vda"):
    attempt(f"see {path}", lambda path=path: exists(path))
for path in GIVEN["sockets"]:
    attempt(f"connect to {path}", lambda path=path: connects(path))
for path in ["/", "/usr/bin", "/usr/bin/env", "/etc", "/etc/passwd", *GIVEN["readable"]]:
    attempt(f"write {path}", lambda path=path: writes(path))
for path in (
    "sys/kernel/core_pattern",
    "sys/kernel/hostname",
    "sys/vm/drop_caches",
    "sysrq-trigger",
):
    attempt(f"write /proc/{path}", lambda path=path: writes(f"/proc/{path}"))
for path in ("sys/fs/file-max", "kcore", "irq"):
    attempt(f"write /proc/{path}", lambda path=path: writes(f"/proc/{path}"))
for pid in GIVEN["pids"]:
    attempt(f"signal to {pid}", lambda pid=pid: os.kill(pid, 0) or f"{pid} is there")
