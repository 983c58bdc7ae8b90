"""A whole cluster on this machine: PostgreSQL, Redis, Ray with several nodes, web processes."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx

from tests.running import ROOT, SERVERS, children_of, free_port, http
from tests.services.postgres import PostgresServer
from tests.services.redis import PASSWORD, RunningRedis

START_SECONDS = 120.0
STOP_SECONDS = 20.0
SLOTS = 6  # of each node
# As docs/cluster.md says: nodes that are gone, and heads that are others, are noticed in seconds.
RAY_CONFIGURATION = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 1000,
    "health_check_failure_threshold": 3,
    "raylet_liveness_self_check_interval_ms": 5000,
}
OBJECT_STORE_BYTES = 80_000_000
LOOPBACK = "127.0.0.1"

# The one that this process's tests are about: put there by tests/cluster/__main__.py.
current: list[RunningCluster] = []


class WebProcess:
    """``manage.py workbench web`` at a port of its own."""

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        self.port, azure_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = directory / f"web-{self.port}.log"
        ports = {"WORKBENCH_PORT": str(self.port), "WORKBENCH_AZURE_PORT": str(azure_port)}
        self._environment = {**environment, **ports, "WORKBENCH_DATA_DIR": str(directory / "web")}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def has_ended(self) -> bool:
        """Whether it is not there, though nobody stopped it."""
        return self._process is not None and self._process.poll() is not None

    def start(self) -> WebProcess:
        """Return at once, also if it runs already; ``wait`` says when it can run code."""
        if self._process is not None:
            return self
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "manage.py", "workbench", "web"],
                cwd=ROOT,
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        SERVERS.add(self._process.pid)
        return self

    def wait(self, hosts: int = 1) -> None:
        """Return when it knows so many hosts."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with suppress(httpx.TransportError):
                answer = http.get(f"{self.url}/healthz", timeout=30)
                if answer.status_code == 200 and len(answer.json()["hosts"]) >= hosts:
                    return
            time.sleep(0.1)
        # Of a node that dies Ray tells everybody all it knows.
        lines = [line for line in self.log.read_text().splitlines() if "[state-dump]" not in line]
        raise RuntimeError("\n".join(["the web process does not know all hosts:", *lines[-40:]]))

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it; SIGKILL is a machine that fails."""
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


class RunningCluster:
    """Three nodes with kernels, a head without, two web processes; for a ``with`` block."""

    def __init__(
        self,
        *,
        nodes: int = 3,
        webs: int = 2,
        slots: int = SLOTS,
        address: str | None = None,
        head_remembers: bool = False,
        ray_settings: dict[str, str] | None = None,
        **settings: str,
    ) -> None:
        """``address``: where its services and its head are reached. None: wherever that is here.

        ``head_remembers``: in a Redis of its own. ``ray_settings``: of Ray's processes only.
        """
        self._slots, self._head_at = slots, {"node_ip_address": address} if address else {}
        self._head_port = free_port()
        self._ray_settings = ray_settings or {}
        self._stack = ExitStack()
        self.directory = Path(tempfile.mkdtemp(prefix="workbench-cluster-"))
        self._count, self._webs_count, self._settings = nodes, webs, settings
        self.postgres = PostgresServer(address or LOOPBACK)
        self.redis = RunningRedis(self.directory, address or LOOPBACK)
        self._head_redis = RunningRedis(self.directory) if head_remembers else None
        self.webs: list[WebProcess] = []
        self.nodes: dict[str, Any] = {}
        self._ray: Any = None

    @property
    def settings(self) -> dict[str, str]:
        """What all its processes are told, and who looks at its rows."""
        return {
            "WORKBENCH_DATABASE_URL": self.postgres.url("workbench"),
            "WORKBENCH_REDIS_URL": self.redis.url,
            "WORKBENCH_SECRET_KEY": self._secret,
            "WORKBENCH_ENGINE": "ray",
            "WORKBENCH_ALLOWED_HOSTS": "127.0.0.1,localhost,testserver",
            **self._settings,
        }

    def __enter__(self) -> RunningCluster:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self) -> None:
        self._secret = secrets.token_hex(32)
        self._stack.callback(shutil.rmtree, self.directory, ignore_errors=True)
        self._stack.callback(self.postgres.remove)
        self.postgres.start()
        self.postgres.database("workbench")
        self._stack.enter_context(self.redis)
        if self._head_redis:
            self._stack.enter_context(self._head_redis)
        migrate = [sys.executable, "manage.py", "migrate", "-v", "0"]
        about = {**self._inherited(), **self.settings, "WORKBENCH_DATA_DIR": str(self.directory)}
        subprocess.run(migrate, cwd=ROOT, env={**about, "WORKBENCH_ENGINE": "local"}, check=True)
        # Before Ray is imported; its processes inherit it.
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0"}
        from ray.cluster_utils import Cluster

        before = children_of(os.getpid())
        self._ray = Cluster(initialize_head=True, head_node_args=self._head())
        # Ray's, also while its head is away.
        self.address = str(self._ray.address)
        self._stack.callback(self._ray.shutdown)
        for number in range(self._count):
            self.add_node(f"n{number}")
        SERVERS.update(children_of(os.getpid()) - before)
        for _ in range(self._webs_count):
            self.add_web()
        for web in self.webs:
            web.wait(self._count)

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def _head(self) -> dict[str, Any]:
        """The same each time: where it was, it is looked for."""
        memory: dict[str, Any] = {}
        if self._head_redis:
            address = f"127.0.0.1:{self._head_redis.port}"
            memory = {"external_addresses": [address], "redis_password": PASSWORD}
        return {
            "num_cpus": 0,
            **self._head_at,
            "gcs_server_port": self._head_port,
            "include_dashboard": False,
            "object_store_memory": OBJECT_STORE_BYTES,
            "env_vars": self._ray_settings,
            "_system_config": RAY_CONFIGURATION,
            **memory,
        }

    def kill_gcs(self) -> None:
        """What makes the head the head. The web processes have their part in Ray in what is left."""
        self._ray.head_node.kill_gcs_server()

    def start_gcs(self) -> None:
        """Again, at the same address."""
        before = children_of(os.getpid())
        self._ray.head_node.start_gcs_server()
        SERVERS.update(children_of(os.getpid()) - before)

    def kill_head(self) -> None:
        """As if its machine had lost its power."""
        self._ray.head_node.kill_all_processes(check_alive=False, allow_graceful=False, wait=True)
        self._ray.head_node = None

    def start_head(self) -> None:
        """Again, at the same address; without its memory, unless it has that elsewhere."""
        before = children_of(os.getpid())
        self._ray.add_node(**self._head())
        SERVERS.update(children_of(os.getpid()) - before)

    def keep_up(self) -> None:
        """Start nodes again that have ended by themselves, as their machines' supervisors would.

        Without a head none starts.
        """
        # All are asked: what has ended and is not waited for lives, for its children.
        nodes = {name: node.all_processes["raylet"][0].process for name, node in self.nodes.items()}
        for name in [name for name, raylet in nodes.items() if raylet.poll() is not None]:
            if self._ray.head_node is not None:
                self.remove_node(name)
                self.add_node(name)

    def add_node(self, name: str, host_name: str = "", **more: Any) -> None:
        """A node with a host of that name; of an earlier one's name, it has its directory."""
        self.nodes[name] = self._ray.add_node(
            num_cpus=1,
            resources={"kernel_slots": self._slots},
            node_name=name,
            object_store_memory=OBJECT_STORE_BYTES,
            env_vars={
                **self.settings,
                **self._ray_settings,
                "WORKBENCH_HOST_NAME": host_name or name,
                "WORKBENCH_DATA_DIR": str(self.directory / name),
            },
            **more,
        )

    def remove_node(self, name: str) -> None:
        """As if its machine had lost its power."""
        self._ray.remove_node(self.nodes.pop(name), allow_graceful=False)

    def host_process(self, name: str) -> int:
        """The process id of a node's host."""
        # The directory, not the name: another cluster may run here, with hosts of the same names.
        wanted = f"WORKBENCH_DATA_DIR={self.directory / name}".encode()
        for directory in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                is_actor = b"ray::Host" in (directory / "cmdline").read_bytes()
                if is_actor and wanted in (directory / "environ").read_bytes().split(b"\0"):
                    return int(directory.name)
        raise LookupError(f"there is no host {name}")

    def add_web(self) -> WebProcess:
        """One more web process."""
        address = {"WORKBENCH_RAY_ADDRESS": self.address}
        web = WebProcess(self.directory, {**self._inherited(), **self.settings, **address})
        self._stack.callback(web.stop)
        self.webs.append(web.start())
        return web

    def be_whole(self) -> None:
        """Bring back what a test took away, and wait until every web process knows all hosts."""
        for number in range(self._count):
            if f"n{number}" not in self.nodes:
                self.add_node(f"n{number}")
        for web in self.webs:
            web.start()
        for web in self.webs:
            web.wait(self._count)

    def _inherited(self) -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if "WORKBENCH" not in name}
