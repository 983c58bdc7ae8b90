"""Machines with addresses of their own, on this one: each has a network namespace and a cable.

Nothing of it has a name that others could see: the bridge between them is in a network namespace
of this process's own, and all is gone when the processes have ended, however they do.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

from tests.cluster.running import OBJECT_STORE_BYTES, STOP_SECONDS, RunningCluster
from tests.running import ROOT, SERVERS

CLONE_NEWNET = 0x40000000
# What Ray says when a node is there. On a machine that is busy it gives up now and then.
STARTED = "Ray runtime started"
START_ATTEMPTS = 3
# Of the machine in the middle, where all is that is no node.
MIDDLE = "10.213.0.1"

_libc = ctypes.CDLL(None, use_errno=True)


def why_not() -> str | None:
    """Why there can be no networks here; None if there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    try:
        os.close(_new_namespace())
    except OSError as error:
        return f"no network namespaces can be made here: {error}"
    # What is to be installed is no reason to be silent where all is installed.
    if shutil.which("ip") is None and "CI" not in os.environ:
        return "there is no ip: .setup/setup.sh test"
    return None


class Machine:
    """One with an address of its own, and a cable to the bridge."""

    def __init__(self, number: int) -> None:
        self.address = f"{MIDDLE.rpartition('.')[0]}.{10 + number}"
        self._cable = f"cable{number}"
        self._namespace = _new_namespace()
        self.enter = ["nsenter", f"--net=/proc/{os.getpid()}/fd/{self._namespace}"]
        peer = ("peer", "name", "eth0", "netns", self.enter[1].removeprefix("--net="))
        _ip("link", "add", self._cable, "type", "veth", *peer)
        _ip("link", "set", self._cable, "master", "bridge")
        self.plug_in()
        _ip("link", "set", "lo", "up", within=self.enter)
        _have_address(self.address, "eth0", self.enter)

    def pull_cable(self) -> None:
        """Nothing goes in or out any more, and nobody is told."""
        _ip("link", "set", self._cable, "down")

    def plug_in(self) -> None:
        """Undo that."""
        _ip("link", "set", self._cable, "up")

    def processes(self) -> list[int]:
        """The ids of those that use its network; kernels have none."""
        mine = os.fstat(self._namespace).st_ino
        found = []
        for directory in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if (directory / "ns" / "net").stat().st_ino == mine:
                    found.append(int(directory.name))
        return found

    def lose_power(self) -> None:
        """End all that runs there."""
        deadline = time.monotonic() + STOP_SECONDS
        while running := self.processes():
            for pid in running:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if time.monotonic() > deadline:
                raise TimeoutError(f"these do not end: {running}")
            time.sleep(0.02)

    def remove(self) -> None:
        """End all that runs there, and leave nothing."""
        self.lose_power()
        os.close(self._namespace)


class Network:
    """This thread, and all that it starts from then on, on the middle machine of a new network.

    For a ``with`` block, before there are other threads that shall be there too.
    """

    def __enter__(self) -> None:
        self._before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        _unshare()
        _ip("link", "set", "lo", "up")
        # An address of its own: otherwise it takes that of a cable, and another with the next one.
        _ip("link", "add", "bridge", "address", "02:00:00:00:00:01", "type", "bridge")
        _have_address(MIDDLE, "bridge", [])

    def __exit__(self, *exception: object) -> None:
        _check(_libc.setns(self._before, CLONE_NEWNET))
        os.close(self._before)


class ClusterOfMachines(RunningCluster):
    """A cluster with each node on a machine of its own. Within a ``Network``."""

    def __init__(self, **more: Any) -> None:
        super().__init__(address=MIDDLE, **more)
        self.machines: dict[str, Machine] = {}

    def add_node(self, name: str, host_name: str = "", **more: Any) -> None:
        """As systemd does on the machine of that name, which is made if there is none."""
        if name not in self.machines:
            machine = self.machines[name] = Machine(len(self.machines) + 1)
            self._stack.callback(machine.remove)
        machine = self.machines[name]
        # Of its own, as on a machine of its own: what nodes write there would get mixed up. Short,
        # for the paths of sockets are.
        directory = tempfile.mkdtemp(prefix="ray-")
        self._stack.callback(shutil.rmtree, directory, ignore_errors=True)
        environment = {
            **self._inherited(),
            **self.settings,
            "WORKBENCH_HOST_NAME": host_name or name,
            "WORKBENCH_DATA_DIR": str(self.directory / name),
        }
        command = [
            *(*machine.enter, sys.executable, "-m", "ray.scripts.scripts", "start", "--block"),
            *(f"--address={self.address}", f"--node-ip-address={machine.address}"),
            *(f"--node-name={name}", f"--temp-dir={directory}", "--num-cpus=1"),
            f"--resources={json.dumps({'kernel_slots': self._slots})}",
            f"--object-store-memory={OBJECT_STORE_BYTES}",
        ]
        log = self.directory / f"{name}.log"
        for _ in range(START_ATTEMPTS):
            log.write_bytes(b"")
            with log.open("ab") as output:
                node = subprocess.Popen(
                    command,
                    cwd=ROOT,
                    env=environment,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            SERVERS.add(node.pid)
            self.nodes[name] = node
            self._stack.callback(_end, machine, node)
            while node.poll() is None:
                if STARTED in log.read_text():
                    return
                time.sleep(0.05)
        raise RuntimeError(f"the node does not start:\n{log.read_text()}")

    def remove_node(self, name: str) -> None:
        """As if its machine had lost its power."""
        _end(self.machines[name], self.nodes.pop(name))


def _end(machine: Machine, node: subprocess.Popen[bytes]) -> None:
    machine.lose_power()
    node.wait()


def _new_namespace() -> int:
    """A descriptor of a network namespace with nothing in it. Raises OSError."""
    made: list[int | OSError] = []

    def make() -> None:
        try:
            _unshare()
            made.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY))
        except OSError as error:
            made.append(error)

    # A thread of its own is the only one that goes there.
    thread = Thread(target=make)
    thread.start()
    thread.join()
    (result,) = made
    if isinstance(result, OSError):
        raise result
    return result


def _have_address(address: str, interface: str, within: list[str]) -> None:
    _ip("address", "add", f"{address}/24", "dev", interface, within=within)
    _ip("link", "set", interface, "up", within=within)
    # Ray finds a machine's address by asking which way leads to the world.
    _ip("route", "add", "default", "dev", interface, within=within)


def _ip(*arguments: str, within: list[str] | None = None) -> None:
    command = [*(within or []), "ip", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")


def _unshare() -> None:
    _check(_libc.unshare(CLONE_NEWNET))


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
