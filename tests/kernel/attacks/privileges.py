"""Getting rights, namespaces and parts of the kernel that sandboxes were broken with.

x86_64 only. GIVEN: is_root (whether the server is root, and so sessions must not be).
"""

# ruff: noqa: F821, SIM115 - common.py stands before this; descriptors end with their process

import mmap
import stat
import subprocess

NUMBERS = {
    "ptrace": 101, "syslog": 103, "uselib": 134, "vhangup": 153,
    "pivot_root": 155, "chroot": 161, "acct": 163, "settimeofday": 164, "mount": 165,
    "umount2": 166, "swapon": 167, "swapoff": 168, "reboot": 169, "sethostname": 170,
    "setdomainname": 171, "iopl": 172, "ioperm": 173, "init_module": 175, "delete_module": 176,
    "quotactl": 179, "lookup_dcookie": 212, "clock_settime": 227, "mbind": 237,
    "set_mempolicy": 238, "kexec_load": 246, "add_key": 248, "request_key": 249, "keyctl": 250,
    "migrate_pages": 256, "unshare": 272, "move_pages": 279, "perf_event_open": 298,
    "fanotify_init": 300, "name_to_handle_at": 303, "open_by_handle_at": 304, "setns": 308,
    "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312, "finit_module": 313,
    "kexec_file_load": 320, "bpf": 321, "userfaultfd": 323, "io_uring_setup": 425,
    "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428, "move_mount": 429,
    "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "clone3": 435,
    "pidfd_getfd": 438, "mount_setattr": 442, "quotactl_fd": 443, "open_tree_attr": 467,
}  # fmt: skip
# With these, some would do what they are asked for: the numbers are wrong, or do nothing.
ROOT = ctypes.create_string_buffer(b"/")
ARGUMENTS = {
    "chroot": (ctypes.addressof(ROOT),),
    "unshare": (0x10000000,), "reboot": (1, 2, 3, 0), "kexec_load": (0, 99, 0, 0xFFFF0000),
    "userfaultfd": (1,), "swapoff": (1,), "process_vm_readv": (os.getpid(), 0, 0, 0, 0, 0),
    "process_vm_writev": (os.getpid(), 0, 0, 0, 0, 0), "setns": (-1, 0x40000000),
    "kcmp": (os.getpid(), os.getpid(), 0, 0, 1), "sethostname": (0, -1), "setdomainname": (0, -1),
    "acct": (1,), "settimeofday": (1, 0),
}  # fmt: skip
NAMESPACES = {
    "mount": 0x20000, "cgroup": 0x02000000, "uts": 0x04000000, "ipc": 0x08000000,
    "user": 0x10000000, "pid": 0x20000000, "net": 0x40000000,
}  # fmt: skip
UNSHARE_32 = bytes.fromhex("53 b836010000 bb00000010 cd80 5b c3")  # unshare(NEWUSER), int 0x80
READ_IMPLIES_EXEC, MMAP_PAGE_ZERO = 0x400000, 0x100000
SETUID = ("su", "sudo", "mount", "umount", "passwd", "newgrp", "chsh", "pkexec", "fusermount3")


def clones(flag):
    result = LIBC.syscall(56, ctypes.c_long(flag | signal.SIGCHLD), 0, 0, 0, 0)
    if result == 0:
        os._exit(0)
    return f"process {result}" if result > 0 else ""


def foreign_call():
    """What the processor offers programs of another kind, past a filter that knows one only."""
    memory = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    memory.write(UNSHARE_32)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    return "a namespace" if ctypes.CFUNCTYPE(ctypes.c_int)(address)() == 0 else ""


def x32_call():
    return "a namespace" if LIBC.syscall(ctypes.c_long(0x40000000 + 272), 0x10000000) == 0 else ""


def status_of(pid):
    lines = open(f"/proc/{pid}/status").read().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def too_much_of(pid):
    """Rights a process should not have."""
    status = status_of(pid)
    found = [f"{name} {status[name]}" for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
             if int(status[name], 16)]  # fmt: skip
    found += [name for name in ("NoNewPrivs", "Seccomp") if status[name].strip() == "0"]
    return found


def user_of_the_server():
    if GIVEN["is_root"] and 0 in (os.getuid(), os.geteuid(), os.getgid(), *os.getgroups()):
        return f"uid {os.getuid()}, gid {os.getgid()}, groups {os.getgroups()}"
    return ""


def becomes(uid):
    if os.getuid() == uid:
        return ""
    os.setresuid(uid, uid, uid)
    return f"uid {os.getuid()}"


def runs_as_root(name):
    """Whether a setuid program leaves somebody with capabilities."""
    with subprocess.Popen(
        [name, "--help"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        effective = status_of(process.pid).get("CapEff", "0")
        process.communicate()
    return effective if int(effective, 16) else ""


def makes(path, mode, device=0):
    path = f"{path}-{os.getpid()}"
    os.mknod(path, mode | 0o666, device)
    opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    return f"{path} opened as {opened}"


def gives_capabilities():
    path = f"/mnt/data/capable-{os.getpid()}"
    open(path, "w").close()
    version_2_effective, all_of_them = 0x02000001, (0xFFFFFFFF, 0, 0xFFFFFFFF, 0)
    value = b"".join(n.to_bytes(4, "little") for n in (version_2_effective, *all_of_them))
    os.setxattr(path, "security.capability", value)
    return path


def gives_away(path):
    path = f"{path}-{os.getpid()}"
    open(path, "w").close()
    os.chown(path, 0, 0)
    return path if os.stat(path).st_uid == 0 and os.getuid() else ""


def writes(path, value):
    with open(path, "wb", buffering=0) as file:
        return file.write(value)


def changes_personality(persona):
    return call(135, persona)


for name, number in NUMBERS.items():
    attempt(name, lambda name=name, number=number: call(number, *ARGUMENTS.get(name, (0,) * 6)))
for name, flag in NAMESPACES.items():
    attempt(f"clone into a new {name} namespace", lambda flag=flag: clones(flag))
attempt("system call of 32 bits", foreign_call)
attempt("system call of x32", x32_call)
for persona in (READ_IMPLIES_EXEC, MMAP_PAGE_ZERO):
    attempt(f"personality {persona:#x}", lambda persona=persona: changes_personality(persona))
attempt("rights of ours", lambda: too_much_of("self"))
attempt("user of ours", user_of_the_server)
for uid in (0, 1, 65534):
    attempt(f"become user {uid}", lambda uid=uid: becomes(uid))
attempt("become a group", lambda: os.setgroups([0, 4, 27]) or os.getgroups())
for name in SETUID:
    attempt(f"setuid {name}", lambda name=name: runs_as_root(name))
for place in ("/mnt/data/device", "/tmp/device", "/dev/device", "/dev/shm/device"):
    attempt(f"device {place}", lambda place=place: makes(place, stat.S_IFCHR, os.makedev(1, 1)))
    attempt(f"disk {place}", lambda place=place: makes(place, stat.S_IFBLK, os.makedev(254, 0)))
attempt("capabilities of a file", gives_capabilities)
attempt("a file of root's", lambda: gives_away("/mnt/data/gift"))
attempt("less likely to be killed", lambda: writes("/proc/self/oom_score_adj", b"-1000"))
attempt("more important", lambda: os.setpriority(os.PRIO_PROCESS, 0, -20) or "priority -20")
attempt("real time", lambda: os.sched_setscheduler(0, 1, os.sched_param(99)) or "real time")
