"""The system calls that Python has no names for. All raise OSError."""

from __future__ import annotations

import contextlib
import ctypes
import os

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18

_MNT_DETACH = 2
_PR_SET_DUMPABLE = 4
_PR_SET_SECCOMP = 22
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_SECCOMP_MODE_FILTER = 2
_CAPABILITY_VERSION = 0x20080522  # two words for each set
_LAST_CAPABILITY = "/proc/sys/kernel/cap_last_cap"

_libc = ctypes.CDLL(None, use_errno=True)


def unshare(flags: int) -> None:
    _call("unshare", flags)


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    names = (source, target, kind, data)
    encoded = [os.fsencode(name) if name else None for name in names]
    arguments = (*encoded[:3], ctypes.c_ulong(flags), encoded[3])
    _call("mount", *arguments, about=target)


def change_root(new: str) -> None:
    """Make ``new``, a mount, the root of this mount namespace; what was there before goes."""
    os.chdir(new)
    _call("pivot_root", b".", b".")  # the old root lies on the new one now
    _call("umount2", b".", _MNT_DETACH)
    os.chdir("/")


def set_dumpable(*, on: bool) -> None:
    """Whether processes of the same user may look into this one."""
    _prctl(_PR_SET_DUMPABLE, int(on))


def give_up_privileges(uid: int | None) -> None:
    """Become that user, and have no capability, for good: nor has any program started from here."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    with open(_LAST_CAPABILITY) as file:
        last = int(file.read())
    for capability in range(last + 1):
        _prctl_if_allowed(_PR_CAPBSET_DROP, capability)
    _prctl_if_allowed(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    _call("capset", header, (ctypes.c_uint32 * 6)())


def filter_calls(program: bytes) -> None:
    """Load a compiled seccomp program; it holds for all that follows."""

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))

    loaded = Program(len(program) // 8, program)
    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(loaded))


def _prctl(option: int, *arguments: object) -> None:
    padded = [*arguments, 0, 0, 0, 0][:4]
    longs = [ctypes.c_ulong(each) if isinstance(each, int) else each for each in padded]
    _call("prctl", option, *longs)


def _prctl_if_allowed(option: int, *arguments: object) -> None:
    with contextlib.suppress(OSError):  # it is not ours to drop: then we do not have it
        _prctl(option, *arguments)


def _call(name: str, *arguments: object, about: str = "") -> None:
    if getattr(_libc, name)(*arguments) == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}", about or None)
