"""The walls round one kernel: built by the process that becomes the first inside them."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from typing import Any

from . import system

# Where the new root is put together; in the zygote's own /tmp.
_ROOT = "/tmp/root"
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_DEVICE_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
    "core": "/proc/kcore",
}
_PLAIN = system.MS_NOSUID | system.MS_NODEV
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1


def leave(*, own_user: bool, network: bool) -> None:
    """Leave the zygote's namespaces; the next process that is forked is the first of new ones.

    ``own_user``: we are not root, and need a user namespace to be allowed to.
    """
    if own_user:
        uid, gid = os.getuid(), os.getgid()
        system.unshare(system.CLONE_NEWUSER)
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{uid} {uid} 1")
        _write("/proc/self/gid_map", f"{gid} {gid} 1")
    flags = (
        system.CLONE_NEWNS
        | system.CLONE_NEWPID
        | system.CLONE_NEWIPC
        | system.CLONE_NEWUTS
        | system.CLONE_NEWCGROUP
    )
    system.unshare(flags if network else flags | system.CLONE_NEWNET)


def build(request: dict[str, Any]) -> None:
    """Make the request's walls, with a root, /proc and /dev of their own."""
    system.mount("", "/", flags=system.MS_REC | system.MS_PRIVATE)
    _make_root(request)
    system.change_root(_ROOT)
    _remount("/", system.MS_RDONLY)
    socket.sethostname("session")
    if not request["network"]:
        _raise_loopback()


def _make_root(request: dict[str, Any]) -> None:
    os.makedirs(_ROOT, exist_ok=True)
    system.mount("tmpfs", _ROOT, "tmpfs", _PLAIN, "mode=755,size=4m")
    for target, path in request["links"]:
        os.makedirs(os.path.dirname(_ROOT + target), exist_ok=True)
        os.symlink(path, _ROOT + target)
    _make_devices()
    os.makedirs(f"{_ROOT}/proc")
    system.mount("proc", f"{_ROOT}/proc", "proc", _PLAIN | system.MS_NOEXEC)
    _bind(f"{_ROOT}/proc/sys", f"{_ROOT}/proc/sys", writable=False)
    for target, size, mode in request["scratch"]:
        os.makedirs(_ROOT + target, exist_ok=True)
        options = f"mode={mode:o}" + ("" if size is None else f",size={size}")
        system.mount("tmpfs", _ROOT + target, "tmpfs", _PLAIN, options)
    _remount(f"{_ROOT}/dev", system.MS_RDONLY | system.MS_NOEXEC, plain=system.MS_NOSUID)
    for directory in request["directories"]:
        os.makedirs(_ROOT + directory, exist_ok=True)
        os.chmod(_ROOT + directory, 0o1777)  # noqa: S103  # a /tmp, of this session only
    for source, target, is_writable in request["mounts"]:
        if target not in request["files"]:
            _bind(source, _ROOT + target, writable=is_writable)
    for target, text in request["files"].items():
        _put(text, _ROOT + target)


def _make_devices() -> None:
    devices = f"{_ROOT}/dev"
    os.makedirs(devices)
    system.mount("tmpfs", devices, "tmpfs", system.MS_NOSUID, "mode=755,size=64k")
    for name in _DEVICES:
        _bind(f"/dev/{name}", f"{devices}/{name}", writable=True)
    for name, target in _DEVICE_LINKS.items():
        os.symlink(target, f"{devices}/{name}")
    os.mkdir(f"{devices}/pts")
    os.mkdir(f"{devices}/shm")
    flags = system.MS_NOSUID | system.MS_NOEXEC
    system.mount("devpts", f"{devices}/pts", "devpts", flags, "newinstance,ptmxmode=0666,mode=620")


def _bind(source: str, target: str, *, writable: bool) -> None:
    if not os.path.exists(source):
        return  # as the list of walls says: what the machine has of it
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
    system.mount(source, target, flags=system.MS_BIND | system.MS_REC)
    if not source.startswith("/dev/"):
        _remount(target, 0 if writable else system.MS_RDONLY)


def _put(text: str, target: str) -> None:
    """A file of that text, which nobody inside can change."""
    _write(target, "")
    source = f"{_ROOT}/.put"
    _write(source, text)
    os.chmod(source, 0o444)
    system.mount(source, target, flags=system.MS_BIND)
    _remount(target, system.MS_RDONLY)
    os.unlink(source)


def _remount(target: str, flags: int, plain: int = _PLAIN) -> None:
    system.mount("", target, flags=system.MS_REMOUNT | system.MS_BIND | plain | flags)


def _raise_loopback() -> None:
    """So that what runs inside can at least talk to itself."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14x", b"lo", 0)
        answer = fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request)
        flags = struct.unpack_from("h", answer, 16)[0] | _IFF_UP
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags))


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)
