"""What this machine can contain and limit: findings, for whoever shows them. Prints nothing."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from sessions.kernels.cgroups import ControlGroups
from sessions.kernels.gpus import device
from sessions.kernels.identities import Identities, why_no_identities
from sessions.kernels.limits import Limits, machine_memory_bytes, size_text
from sessions.kernels.needs import gpus_text
from sessions.kernels.policy import Network
from sessions.kernels.sandbox import why_not_contained
from sessions.kernels.syscalls import why_not_filtered


class Verdict(Enum):
    """How good what was found is."""

    GOOD = "good"
    # Something else is in its place, or it is not needed everywhere.
    WEAKER = "weaker"
    BAD = "bad"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    verdict: Verdict
    sentence: str
    # What to do to have it better; empty: nothing.
    remedy: str = ""
    # Without this, sessions run without walls.
    is_wall: bool = False


def examine(
    *,
    wants_walls: bool,
    limits: Limits,
    prefixes: Iterable[Path],
    network: Network = Network.NONE,
    gpus: Sequence[int] = (),
    devices: Path = Path("/dev"),
) -> list[Finding]:
    """Look at this machine as a host would at its start. Takes some tenths of a second.

    ``wants_walls``, ``network`` and ``gpus`` are what the operator set; ``prefixes`` are the
    kernels' environments, ``devices`` is where the machine's are. It disturbs no host that runs.
    """
    walls = _walls(wants_walls=wants_walls)
    return [
        walls,
        *(_behind_walls(prefixes) if walls.verdict is Verdict.GOOD else ()),
        *([_network(network)] if walls.verdict is Verdict.GOOD else ()),
        _control_groups(),
        *([_gpus(gpus, devices)] if gpus else ()),
        _memory(limits),
        _files(limits),
    ]


def are_contained(findings: Iterable[Finding]) -> bool:
    """Whether sessions would run inside walls."""
    return not any(each.is_wall and each.verdict is Verdict.BAD for each in findings)


def _walls(*, wants_walls: bool) -> Finding:
    subject = "Walls round code"
    if not wants_walls:
        return Finding(
            subject=subject,
            verdict=Verdict.BAD,
            sentence="They are off: code in a session can do all that the server's user can.",
            remedy="Unset WORKBENCH_SANDBOX, or set it to auto.",
            is_wall=True,
        )
    if reason := why_not_contained():
        return Finding(
            subject=subject,
            verdict=Verdict.BAD,
            sentence=reason,
            remedy=_how_to_contain(),
            is_wall=True,
        )
    return Finding(
        subject=subject,
        verdict=Verdict.GOOD,
        sentence="Code sees a read-only system, its own workspace and its own processes.",
        is_wall=True,
    )


def _network(network: Network) -> Finding:
    if network is Network.NONE:
        return Finding(
            subject="Network", verdict=Verdict.GOOD, sentence="Code in a session has none."
        )
    who = "All sessions but those that ask for none" if network is Network.HOST else "Who asks"
    return Finding(
        subject="Network",
        verdict=Verdict.WEAKER,
        sentence=f"{who} may use the machine's, with all that listens on it, this server too.",
        remedy="To have sessions without one, unset WORKBENCH_SESSION_NETWORK.",
    )


def _gpus(numbers: Sequence[int], directory: Path) -> Finding:
    paths = [device(number, directory) for number in numbers]
    missing = [str(path) for path in paths if not path.exists()]
    closed = [str(path) for path in paths if path.exists() and not _is_everybodys(path)]
    if missing or closed:
        return Finding(
            subject="GPUs",
            verdict=Verdict.BAD,
            sentence=f"Sessions may ask for {gpus_text(len(numbers))}, but "
            + (f"there is no {missing[0]}." if missing else f"not everybody may use {closed[0]}."),
            remedy="nvidia-smi, run as root, makes the devices. Otherwise name in WORKBENCH_GPUS "
            "those that there are.",
        )
    return Finding(
        subject="GPUs",
        verdict=Verdict.GOOD,
        sentence=f"Sessions may ask for {gpus_text(len(numbers))}, each for itself.",
    )


def _is_everybodys(path: Path) -> bool:
    return path.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH) == stat.S_IROTH | stat.S_IWOTH


def _how_to_contain() -> str:
    """What keeps bubblewrap from working, by the switches that usually do."""
    if shutil.which("bwrap") is None:
        return "Install bubblewrap."
    for switch, bad, command in _SWITCHES:
        try:
            value = Path("/proc/sys", switch).read_text().strip()
        except OSError:
            continue
        if value == bad and os.geteuid() != 0:
            return command
    return (
        "In a container, allow it user namespaces (Docker: --security-opt seccomp=unconfined "
        "--security-opt apparmor=unconfined --security-opt systempaths=unconfined)."
    )


# (below /proc/sys, the value that forbids user namespaces, what to do)
_SWITCHES = (
    (
        "kernel/unprivileged_userns_clone",
        "0",
        "Allow user namespaces: sysctl kernel.unprivileged_userns_clone=1",
    ),
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "Allow user namespaces: sysctl kernel.apparmor_restrict_unprivileged_userns=0 "
        "(or an AppArmor profile that allows them to bwrap).",
    ),
    (
        "user/max_user_namespaces",
        "0",
        "Allow user namespaces: sysctl user.max_user_namespaces=15000",
    ),
)


def _behind_walls(prefixes: Iterable[Path]) -> list[Finding]:
    users = _users()
    # An ordinary server's sessions read what it reads.
    closed = [
        prefix for prefix in prefixes if users.verdict is Verdict.GOOD and not _is_open(prefix)
    ]
    return [_system_calls(), users, *map(_closed_environment, closed)]


def _system_calls() -> Finding:
    reason = why_not_filtered()
    return Finding(
        subject="System calls",
        verdict=Verdict.BAD if reason else Verdict.GOOD,
        sentence=reason or "A filter refuses those that ordinary programs do not need.",
        remedy="Install libseccomp (libseccomp2)." if reason else "",
    )


def _users() -> Finding:
    subject = "Users"
    reason = why_no_identities()
    identities = None if reason else Identities.find()
    if identities is None:
        return Finding(
            subject=subject,
            verdict=Verdict.WEAKER,
            sentence=reason or "Sessions cannot have users of their own: bubblewrap refused.",
            remedy="This is fine on a machine for one team. To have a user per session, run the "
            "server as root.",
        )
    identities.close()
    last = identities.first + identities.count - 1
    return Finding(
        subject=subject,
        verdict=Verdict.GOOD,
        sentence=f"Each session runs as a user of its own ({identities.first} to {last}).",
    )


def _closed_environment(prefix: Path) -> Finding:
    return Finding(
        subject="Kernels",
        verdict=Verdict.BAD,
        sentence=f"Not everybody may read {prefix}, and so neither may the sessions' users.",
        remedy=f"chmod -R go+rX {prefix}",
    )


def _is_open(prefix: Path) -> bool:
    try:
        return bool(prefix.stat().st_mode & stat.S_IXOTH)
    except FileNotFoundError:
        return True  # nothing to read


def _control_groups() -> Finding:
    subject = "Control groups"
    with tempfile.TemporaryDirectory() as directory:  # not the host's: that would end its sessions
        groups = ControlGroups.find(Path(directory))
        groups.close()
    if groups.are_usable:
        return Finding(subject=subject, verdict=Verdict.GOOD, sentence=groups.sentence)
    return Finding(
        subject=subject,
        verdict=Verdict.WEAKER,
        sentence=groups.sentence,
        remedy=(
            "Start the server where it may make control groups: as a systemd service with "
            "Delegate=yes, or in a scope (systemd-run --user --scope -p Delegate=yes make run), "
            "or as root; in a container, with /sys/fs/cgroup writable."
        ),
    )


def _memory(limits: Limits) -> Finding:
    has = machine_memory_bytes()
    allowed = limits.memory_bytes
    if allowed is None or allowed > has:
        return Finding(
            subject="Memory",
            verdict=Verdict.WEAKER,
            sentence=f"A session may use more than the {size_text(has)} there are.",
            remedy=f"Set WORKBENCH_SESSION_MEMORY to less than {size_text(has)}.",
        )
    return Finding(
        subject="Memory",
        verdict=Verdict.GOOD,
        sentence=f"A session may use {size_text(allowed)} of the {size_text(has)} there are.",
    )


def _files(limits: Limits) -> Finding:
    return Finding(
        subject="Files",
        verdict=Verdict.GOOD,
        sentence=(
            f"A file may have {size_text(limits.file_bytes)}, a workspace "
            f"{size_text(limits.workspace_bytes)}, /tmp {size_text(limits.tmp_bytes)}."
        ),
    )
