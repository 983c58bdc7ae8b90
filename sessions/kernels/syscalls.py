"""The system calls that code in a session may not make: a seccomp filter.

Everything is allowed but what is listed. Namespaces and a uid of its own keep a session from
what belongs to others; the filter keeps it from parts of the kernel that ordinary programs do
not need and that had more than their share of holes.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from functools import cache
from typing import Any

from sessions.kernels.unix_sockets import can_refuse_descriptors

# Calls that are refused (EPERM), whatever their arguments.
REFUSED = (
    # mounts and roots
    *("mount", "umount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree"),
    *("fsopen", "fsmount", "fsconfig", "fspick", "mount_setattr"),
    # namespaces
    *("unshare", "setns"),
    # other processes' memory and descriptors
    *("ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "kcmp"),
    "pidfd_getfd",
    # programs in the kernel, its events, its queues
    *("bpf", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register"),
    *("perf_event_open", "fanotify_init", "fanotify_mark", "lookup_dcookie"),
    # keys of the machine
    *("keyctl", "add_key", "request_key"),
    # the machine itself
    *("kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module"),
    *("create_module", "get_kernel_syms", "query_module", "reboot", "swapon", "swapoff"),
    *("acct", "quotactl", "quotactl_fd", "syslog", "vhangup", "sethostname", "setdomainname"),
    *("settimeofday", "stime", "clock_settime", "clock_settime64", "adjtimex"),
    *("clock_adjtime", "clock_adjtime64", "iopl", "ioperm", "modify_ldt"),
    # files by handle, round every mount
    *("open_by_handle_at", "name_to_handle_at"),
    # where memory lies
    *("mbind", "move_pages", "migrate_pages", "set_mempolicy", "set_mempolicy_home_node"),
    # of the past
    *("nfsservctl", "uselib", "ustat", "_sysctl", "sysfs", "bdflush"),
)
# The same for calls younger than the library may be, by the number they have on every machine.
REFUSED_BY_NUMBER = {"open_tree_attr": 467}

_NAMESPACES = (
    0x00020000,  # CLONE_NEWNS
    0x02000000,  # CLONE_NEWCGROUP
    0x04000000,  # CLONE_NEWUTS
    0x08000000,  # CLONE_NEWIPC
    0x10000000,  # CLONE_NEWUSER
    0x20000000,  # CLONE_NEWPID
    0x40000000,  # CLONE_NEWNET
)
# They put characters into a terminal, as if somebody had typed them.
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_FAMILIES = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK)
_NETLINK_ROUTE = 0
# personality(0xffffffff) asks what it is; no personality has this bit, so it tells them apart.
_ASKS = 0x80000000
_LOW_WORD = 0xFFFFFFFF  # the kernel looks at no more of an int; neither may the filter


@cache
def filter_program() -> bytes:
    """The filter as a program the kernel loads; what bubblewrap's --seccomp reads.

    Raises FilterUnavailable.
    """
    library = _library()
    refuse = library.ERRNO(errno.EPERM)
    program = library.SyscallFilter(library.ALLOW)
    # 32-bit programs, whose calls have other numbers.
    program.set_attr(library.Attr.ACT_BADARCH, refuse)
    # Its flags are in memory, where no filter can look. Programs then use clone.
    program.add_rule(library.ERRNO(errno.ENOSYS), "clone3")
    for call in _refused_numbers(library):
        program.add_rule(refuse, call)
    for name, position, mask, value in _refused_arguments():
        argument = library.Arg(position, library.MASKED_EQ, mask, value)
        program.add_rule(refuse, name, argument)
    _refuse_sockets(library, program, refuse)
    if not can_refuse_descriptors():
        _refuse_to_linger(library, program, refuse)
    return _exported(program)


class FilterUnavailable(Exception):
    """This machine cannot filter system calls; the message says why in one sentence."""


@cache
def why_not_filtered() -> str:
    """Why this machine cannot filter system calls, in one sentence; empty if it can."""
    try:
        filter_program()
    except FilterUnavailable as error:
        return str(error)
    return ""


def _library() -> Any:
    try:
        import pyseccomp
    except (ImportError, RuntimeError, OSError) as error:
        raise FilterUnavailable(
            "libseccomp is not installed (on Debian and Ubuntu: apt-get install libseccomp2)."
        ) from error
    return pyseccomp


def _refused_numbers(library: Any) -> Iterator[int]:
    """Those this machine's library knows; a call of another architecture has none here."""
    for name in REFUSED:
        number = library.resolve_syscall(library.Arch.NATIVE, name)
        if number >= 0:
            yield number
    yield from REFUSED_BY_NUMBER.values()


def _refused_arguments() -> Iterator[tuple[str, int, int, int]]:
    """(call, position of an argument, mask, value): refused if the masked argument is that."""
    for flag in _NAMESPACES:
        yield "clone", 0, flag, flag
    for request in (_TIOCSTI, _TIOCLINUX):
        yield "ioctl", 1, _LOW_WORD, request
    for bit in range(31):
        yield "personality", 0, _ASKS | 1 << bit, 1 << bit


def _refuse_sockets(library: Any, program: Any, refuse: int) -> None:
    """All address families but ours; of netlink, all but what lists interfaces and routes."""
    others = set(range(max(_FAMILIES))) - set(_FAMILIES)
    comparisons = [(library.GT, max(_FAMILIES)), *((library.EQ, family) for family in others)]
    for name in ("socket", "socketpair"):
        for comparison, family in comparisons:
            program.add_rule(refuse, name, library.Arg(0, comparison, family))
    is_netlink = library.Arg(0, library.EQ, socket.AF_NETLINK)
    program.add_rule(refuse, "socket", is_netlink, library.Arg(2, library.NE, _NETLINK_ROUTE))


def _refuse_to_linger(library: Any, program: Any, refuse: int) -> None:
    """Whoever closes such a socket last has to wait, which could be us: it can be sent to us."""
    is_level = library.Arg(1, library.MASKED_EQ, _LOW_WORD, socket.SOL_SOCKET)
    is_option = library.Arg(2, library.MASKED_EQ, _LOW_WORD, socket.SO_LINGER)
    program.add_rule(refuse, "setsockopt", is_level, is_option)


def _exported(program: Any) -> bytes:
    with os.fdopen(os.memfd_create("filter"), "w+b") as file:
        program.export_bpf(file)
        file.seek(0)
        return file.read()
