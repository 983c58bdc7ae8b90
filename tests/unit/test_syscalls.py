"""The filter of system calls, as a program inside the walls meets it."""

from __future__ import annotations

import errno
import json
import platform
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sessions.kernels import sandbox, syscalls
from sessions.kernels.sandbox import Sandbox
from sessions.kernels.syscalls import REFUSED, REFUSED_BY_NUMBER, filter_program
from tests.hosts import needs_walls

pytestmark = needs_walls
on_x86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers of x86_64")

PROLOGUE = """
import ctypes, errno, json, mmap, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
def call(number, *arguments):
    ctypes.set_errno(0)
    longs = [ctypes.c_long(each) for each in (*arguments, 0, 0, 0, 0, 0, 0)[:6]]
    result = libc.syscall(ctypes.c_long(number), *longs)
    return ctypes.get_errno() if result == -1 else 0
def opened(*arguments):
    try:
        socket.socket(*arguments).close()
    except OSError as error:
        return error.errno
    return 0
def say(value):
    print(json.dumps(value))
"""


def inside(tmp_path: Path, code: str, *arguments: str) -> Any:
    """What a program inside the walls says."""
    walls = Sandbox(workspace=tmp_path, sockets=None, readable=())
    argv = ["/usr/bin/python3", "-c", PROLOGUE + code, *arguments]
    with walls.launch(argv) as (started, descriptors):
        done = subprocess.run(
            started,
            env=walls.environment(),
            pass_fds=descriptors,
            capture_output=True,
            text=True,
            timeout=30,
        )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def numbers() -> dict[str, int]:
    """The refused calls this machine has."""
    import pyseccomp

    found = {name: pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name) for name in REFUSED}
    return {name: number for name, number in found.items() if number >= 0} | REFUSED_BY_NUMBER


def test_the_filter_is_a_program_of_whole_instructions():
    assert len(filter_program()) % 8 == 0
    assert len(filter_program()) // 8 < 4096  # what the kernel takes
    assert filter_program() is filter_program()


def test_what_is_listed_is_refused_whatever_its_arguments(tmp_path):
    code = "say({name: call(number, -1, -1, -1, -1, -1) for name, number in json.loads(sys.argv[1]).items()})"

    answers = inside(tmp_path, code, json.dumps(numbers()))

    assert len(answers) > 60
    assert {name for name, answer in answers.items() if answer != errno.EPERM} == set()


@on_x86
def test_a_process_may_be_made_but_not_in_a_new_namespace(tmp_path):
    code = """
CLONE, CLONE3 = 56, 435
flags = [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000]
answers = [call(CLONE, flag | 17) for flag in flags]
answers += [call(CLONE, 0x10000000 | 1 << 32), call(CLONE3, 0, 0)]
pid = os.fork()
if pid == 0:
    os._exit(7)
say([*answers, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])])
"""
    assert inside(tmp_path, code) == [errno.EPERM] * 8 + [errno.ENOSYS, 7]


def test_the_families_of_ordinary_programs_are_allowed(tmp_path):
    code = """
stream, raw = socket.SOCK_STREAM, socket.SOCK_RAW
say([opened(socket.AF_UNIX, stream), opened(socket.AF_INET, stream),
     opened(socket.AF_INET6, stream), opened(socket.AF_NETLINK, raw, 0),
     os.close(socket.socketpair()[0].detach()) is None])
"""
    assert inside(tmp_path, code) == [0, 0, 0, 0, True]


@on_x86
def test_all_other_families_are_refused(tmp_path):
    code = """
SOCKET, SOCKETPAIR = 41, 53
others = [family for family in range(64) if family not in (1, 2, 10, 16)]
hidden = [1 << 32 | 17, 1 << 32 | 38, 1 << 32 | 3, -1]
netlink = [call(SOCKET, 16, 3, protocol) for protocol in (4, 9, 12, 15, 16, 1 << 32 | 15)]
say([sorted({call(SOCKET, each, 3) for each in others + hidden}),
     sorted({call(SOCKETPAIR, each, 1) for each in others + hidden}), sorted(set(netlink))])
"""
    assert inside(tmp_path, code) == [[errno.EPERM]] * 3


@on_x86
def test_nothing_is_typed_into_a_terminal(tmp_path):
    code = """
IOCTL, TIOCSTI, TIOCLINUX, TCGETS = 16, 0x5412, 0x541C, 0x5401
say([call(IOCTL, 0, TIOCSTI), call(IOCTL, 0, 1 << 32 | TIOCSTI), call(IOCTL, 0, TIOCLINUX),
     call(IOCTL, 0, TCGETS)])
"""
    *refused, harmless = inside(tmp_path, code)

    assert refused == [errno.EPERM] * 3
    assert harmless == errno.ENOTTY


def test_where_descriptors_can_be_sent_to_the_host_no_socket_lingers(tmp_path, monkeypatch):
    """On older machines: who closes it last would wait, and that could be the host."""
    monkeypatch.setattr(syscalls, "can_refuse_descriptors", lambda: False)
    monkeypatch.setattr(sandbox, "filter_program", filter_program.__wrapped__)
    code = """
def set_to(option, value):
    try:
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, option, value)
    except OSError as error:
        return error.errno
    return 0
say([set_to(socket.SO_LINGER, b"\\1\\0\\0\\0" * 2), set_to(socket.SO_REUSEADDR, 1)])
"""
    assert inside(tmp_path, code) == [errno.EPERM, 0]


@on_x86
def test_a_personality_may_be_asked_but_not_taken(tmp_path):
    code = """
PERSONALITY = 135
say([call(PERSONALITY, value) for value in
     (0xffffffff, -1, 0, 0x40000, 0x400000, 0x8, 0x8000000, 1 << 32 | 0x40000)])
"""
    assert inside(tmp_path, code) == [0, 0, 0] + [errno.EPERM] * 5


@on_x86
def test_calls_of_other_architectures_are_refused(tmp_path):
    code = """
# mov eax, 20 (getpid); int 0x80; ret
memory = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
memory.write(b"\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3")
at = ctypes.addressof(ctypes.c_char.from_buffer(memory))
say([ctypes.CFUNCTYPE(ctypes.c_int)(at)(), call(0x40000000 | 39)])
"""
    by_interrupt, by_x32 = inside(tmp_path, code)

    assert by_interrupt in (-errno.EPERM, -errno.ENOSYS)  # ENOSYS: the kernel knows none
    assert by_x32 in (errno.EPERM, errno.ENOSYS)
