"""What a host needs to know of its machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sessions.kernels.limits import Limits
from sessions.kernels.policy import Network
from sessions.kernels.quotas import Quota


@dataclass(frozen=True, kw_only=True)
class HostConfig:
    """The settings of one host; the face that starts it fills them in."""

    # What the sessions of this host say of where they are.
    name: str
    # Workspaces live below; workspace_path() says where.
    data_dir: Path
    # Kernels' sockets live below. Short: a socket's path has at most 107 bytes.
    run_dir: Path
    # Environments with kernelspecs (below share/jupyter/kernels), the likeliest first; their
    # files are readable in sessions.
    prefixes: tuple[Path, ...]
    contained: bool = True
    max_sessions: int = 200
    max_output_bytes: int = 10 * 1024 * 1024
    # Default of sessions that do not say; None: they never expire.
    idle_timeout_seconds: int | None = 1800
    # Whether Python kernels may be forked from a process that has imported what they need.
    forks: bool = True
    # Modules it imports, if they are there.
    preimport: tuple[str, ...] = ("numpy", "pandas", "matplotlib.pyplot")
    # Kernels that are kept waiting for a session.
    warm_kernels: int = 0
    # What a session may use; one that asks for less gets less.
    limits: Limits = field(default_factory=Limits.none)
    network: Network = Network.NONE
    # The numbers of the GPUs that sessions may have, as their devices are called: nvidia0 is 0.
    gpus: tuple[int, ...] = ()
    devices: Path = Path("/dev")
    # What sessions may ask of their machine by name and value.
    labels: Mapping[str, str] = field(default_factory=dict)
    # What each owner may use who has no other quota.
    quota: Quota = field(default_factory=Quota)
