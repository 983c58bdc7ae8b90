"""What the measured costs mean for so many live sessions: loads, how many of what, what fills first.

Plain arithmetic on three kinds of numbers: figures that were measured (figures.py), what users do
(Users) and what machines have (Machine). The last two are assumptions, stated in docs/scale.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from tests.scale.figures import Figure

SIZES = (10, 1_000, 100_000)
# Of what there is, how much is used by plan: what is fuller answers late (see queues.py).
FULL = 0.6
_DAY_SECONDS = 86_400
_GIB = 1024.0  # in MiB
_MS = 1e-3


@dataclass(frozen=True)
class Users:
    """What the people and programs behind the live sessions do."""

    # Of the live sessions, so many have somebody at work; the others wait for their timeout.
    active: float = 0.2
    # Of the live sessions, so many have run code: they keep what it imported.
    used: float = 0.7
    # MiB of its own data that such a session holds, beside what was measured.
    data_mib: float = 60.0
    executions_per_minute: float = 2.0
    # Seconds of a processor that the code of an execution takes by itself.
    code_seconds: float = 0.25
    # Events of an execution beyond the four that a print has, and bytes that they hold.
    more_events: float = 6.0
    output_bytes: float = 2_000.0
    # Of the active sessions, so many are looked at by pages; sockets of such a session.
    watched: float = 0.5
    sockets: float = 2.0
    # Of the active sessions, so many are polled; how often a second.
    polled: float = 0.2
    polls_per_second: float = 0.5
    # A session lives so long, its idle time included.
    life_seconds: float = 2_700.0


@dataclass(frozen=True)
class Machine:
    """What a machine, or a service on one of its own, has."""

    processors: int = 16
    memory_gib: float = 64.0
    # Left to the system, and to what is not counted.
    spare_gib: float = 6.0
    open_files: float = 1_048_576.0
    connections: float = 500.0  # of PostgreSQL, before a pooler stands in front of it
    # Connections of a web process, and of a host.
    web_pool: float = 20.0
    host_pool: float = 5.0


@dataclass(frozen=True)
class Load:
    """What comes from so many live sessions, in a second where nothing else is said."""

    sessions: int
    executions: float
    events: float
    starts: float
    polls: float
    sockets: float
    # Transactions, if each execution has its own; and what they put into the log in a day.
    transactions: float
    log_gib_a_day: float
    wal_mib: float
    memory_gib: float


@dataclass(frozen=True)
class Need:
    """How much of one resource is wanted, in units of what one machine or process has."""

    name: str
    # 1.0 is all that one has; FULL is what is planned with.
    units: float
    # Of what one has: a machine with kernels, a web process, the database …
    of: str

    @property
    def count(self) -> int:
        """How many are planned."""
        return max(1, math.ceil(self.units / FULL - 1e-9))


@dataclass
class Model:
    """The arithmetic, for some figures, users and machines."""

    figures: dict[str, Figure]
    users: Users = field(default_factory=Users)
    machine: Machine = field(default_factory=Machine)

    def load(self, sessions: int) -> Load:
        """What so many live sessions make."""
        users, active = self.users, sessions * self.users.active
        executions = active * users.executions_per_minute / 60
        more = users.more_events
        row_bytes = self["execution_postgresql_bytes"] + more * self["event_postgresql_bytes"]
        wal_bytes = self["execution_wal_bytes"] + more * self["event_wal_bytes"]
        return Load(
            sessions=sessions,
            executions=executions,
            events=executions * (4 + more),
            starts=sessions / users.life_seconds,
            polls=active * users.polled * users.polls_per_second,
            sockets=active * users.watched * users.sockets,
            transactions=executions * self["execution_transactions"],
            log_gib_a_day=executions * (row_bytes + users.output_bytes) * _DAY_SECONDS / 2**30,
            wal_mib=executions * (wal_bytes + users.output_bytes) / 2**20,
            memory_gib=sessions * self._session_mib() / _GIB,
        )

    def needs(self, sessions: int) -> list[Need]:
        """Each resource, the fullest first if there were one of each."""
        found = self._needs_of_work(sessions)
        connections = self._connections(found) / self.machine.connections
        found.append(Need("connections", connections, "database"))
        return sorted(found, key=lambda need: -need.units)

    def _needs_of_work(self, sessions: int) -> list[Need]:
        load, machine = self.load(sessions), self.machine
        memory = (machine.memory_gib - machine.spare_gib) * _GIB
        host_files = sessions * self["session_host_descriptors"]
        return [
            Need("memory", sessions * self._session_mib() / memory, "kernels"),
            Need("processors", self.processors(load) / machine.processors, "kernels"),
            Need("the host's process", self.host_process(load), "kernels"),
            Need(
                "what a recorder writes", load.executions / self["recorded_postgresql"], "kernels"
            ),
            Need("the host's open files", host_files / machine.open_files, "kernels"),
            Need("the web process", self.web_process(load), "web"),
            Need("its open files", load.sockets / 65_536, "web"),
            Need("its memory", load.sockets * self["socket_memory"] / 1024 / (2 * _GIB), "web"),
            Need("transactions", load.transactions / self.most_transactions(), "database"),
            Need("processors", self.database_processors(load) / machine.processors, "database"),
            Need("its process", self.redis_process(load), "Redis"),
        ]

    def plan(self, sessions: int) -> dict[str, int]:
        """How many of what: clusters of their own, and in each of them the rest."""
        clusters = 1
        while not self._is_room(needs := self.needs(math.ceil(sessions / clusters))):
            clusters += 1
        return {"clusters": clusters, **_counts(needs)}

    def _is_room(self, needs: list[Need]) -> bool:
        """Whether the one database and the one Redis of a cluster are enough."""
        return all(need.units <= FULL for need in needs if need.of in ("database", "Redis"))

    def _connections(self, needs: list[Need]) -> float:
        """Those of as many machines and processes as are planned."""
        counts = _counts(needs)
        return counts["kernels"] * self.machine.host_pool + counts["web"] * self.machine.web_pool

    # --- CPU: seconds of it in a second --------------------------------------------------

    def processors(self, load: Load) -> float:
        """Of the machines with kernels."""
        an_execution = self["execution_postgresql_kernel_cpu"] * _MS + self.users.code_seconds
        start = self["start_warm_cpu"] - self["start_warm_host_cpu"]
        idle = self["session_idle_cpu"] - self["session_idle_host_cpu"]
        kernels = (
            load.executions * an_execution + (load.starts * start + load.sessions * idle) * _MS
        )
        return kernels + self.host_process(load)

    def host_process(self, load: Load) -> float:
        """Of the hosts' processes; one has one processor."""
        notice = self["notices_redis_cpu"] / 2  # one end of the two that were measured
        per_execution = (
            self["execution_postgresql_host_cpu"]
            + self.users.more_events * self["event_postgresql_host_cpu"]
            + self.notices_per_execution() * notice
        )
        work = load.executions * per_execution + load.starts * self["start_warm_host_cpu"]
        return (work + load.sessions * self["session_idle_host_cpu"]) * _MS

    def web_process(self, load: Load) -> float:
        """Of the web processes; one has one processor."""
        follow = self.users.watched * self.users.sockets * load.executions
        more = 1 + self.users.more_events / 4  # frames grow with the events
        return _MS * (
            load.executions * self["run_cpu"]
            + load.polls * self["poll_cpu"]
            + load.sockets * self["socket_idle_cpu"]
            + load.sockets / self.users.life_seconds * self["socket_open_cpu"]
            + follow * self["socket_follow_cpu"] * more
            + follow * self.notices_per_execution() * self["notices_redis_cpu"] / 2
        )

    def database_processors(self, load: Load) -> float:
        """Of PostgreSQL."""
        # What one more event costs there was not measured by itself: in proportion to its bytes.
        more = self.users.more_events * self["event_wal_bytes"] / self["execution_wal_bytes"]
        writes = load.executions * self["execution_database_cpu"] * (1 + more)
        reads = (load.polls + load.sockets / self.users.life_seconds) * self["poll_database_cpu"]
        # Each socket reads what its session's executions have written.
        follow = self.users.watched * self.users.sockets * load.executions
        return (writes + reads + follow * self["poll_database_cpu"]) * _MS

    def redis_process(self, load: Load) -> float:
        """Of Redis, which has one processor: a notice in, and one out for each who listens."""
        return (
            load.executions * self.notices_per_execution() * self["notices_redis_server_cpu"] * _MS
        )

    def most_transactions(self) -> float:
        """A second, that PostgreSQL takes from many on the disk that was measured."""
        return max(self["commits_pgbench_8"], self["commits_pgbench_32"])

    def notices_per_execution(self) -> float:
        """The session's and that of the list of sessions, when it begins and when it ends."""
        return 4.0

    def _session_mib(self) -> float:
        """MiB of one live session, on average, with its part of the host."""
        users = self.users
        used = self["session_used_share"] + users.data_mib
        mine = users.used * used + (1 - users.used) * self["session_idle_share"]
        return mine + self["session_host_memory"]

    def __getitem__(self, name: str) -> float:
        return self.figures[name].value


def _counts(needs: list[Need]) -> dict[str, int]:
    """Machines with kernels and web processes, so that none is fuller than planned."""
    return {of: max(need.count for need in needs if need.of == of) for of in ("kernels", "web")}
