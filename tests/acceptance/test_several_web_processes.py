"""Two web processes before one host, with a Redis between them that comes and goes."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

from tests.running import START_SECONDS, STOP_SECONDS, RunningServer, http, made_key
from tests.services.redis import PASSWORD, RunningRedis, needs_redis
from workbench.access import signatures
from workbench.access.signatures import Signed

pytestmark = [needs_redis, pytest.mark.acceptance, pytest.mark.timeout(120)]

WAIT_SECONDS = 30.0
# Longer than it takes to notice that Redis is away, and that it is back.
COUNTED = 45
COUNT_SLOWLY = (
    f"import time\nfor i in range({COUNTED}):\n    print(i, flush=True)\n    time.sleep(0.1)"
)


class Servers:
    """A server with a web process of its own, and another web process of the same server."""

    def __init__(self, directory: Path, redis: RunningRedis) -> None:
        self.redis = redis
        settings = {
            "WORKBENCH_REDIS_URL": redis.url,
            "WORKBENCH_ACCESS": "closed",
            "WORKBENCH_FORWARDED_FOR": "1",  # tests come from addresses of their own
            "WORKBENCH_WARM_KERNELS": "1",
        }
        self.one = RunningServer(directory, **settings)
        self.other = RunningServer(directory, **settings)
        self.key = made_key(self.one, "ada")

    def opened(self) -> str:
        """The name of a new session."""
        answer = self.post(self.one, "/api/v1/sessions", json={"identifier": f"s{uuid4().hex}"})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["identifier"])

    def run(self, server: RunningServer, identifier: str, code: str) -> None:
        """Have a web process run something, without waiting for it."""
        answer = self.post(server, f"/api/v1/sessions/{identifier}/executions", json={"code": code})
        assert answer.status_code == 202, answer.text

    def post(self, server: RunningServer, path: str, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.key['key']}", **more.pop("headers", {})}
        address = f"{server.url}{path}"
        return http.post(address, headers=headers, timeout=WAIT_SECONDS, **more)

    @contextmanager
    def socket(self, server: RunningServer, path: str) -> Iterator[ClientConnection]:
        """A socket at a web process."""
        with connect(
            f"ws://127.0.0.1:{server.port}/ws/{path}",
            additional_headers={"Authorization": f"Bearer {self.key['key']}"},
            proxy=None,
        ) as socket:
            yield socket

    def log(self) -> str:
        return self.one.log.read_text()


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    directory = tmp_path_factory.mktemp("several")
    with RunningRedis(tmp_path_factory.mktemp("redis")) as redis:
        servers = Servers(directory, redis)
        with servers.one:
            web = servers.other.manage("workbench", "web")
            try:
                wait_for(servers.other)
                yield servers
            finally:
                web.send_signal(signal.SIGTERM)
                web.wait(STOP_SECONDS)
    assert "Traceback" not in servers.log()
    assert "Task was destroyed" not in servers.log()
    assert PASSWORD not in servers.log()


def wait_for(server: RunningServer) -> None:
    """Return once a web process says that code can be run."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            if http.get(f"{server.url}/healthz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError("the web process did not start")


def frames(socket: ClientConnection) -> Iterator[dict[str, Any]]:
    """What a socket is sent, without end."""
    while True:
        yield json.loads(socket.recv(WAIT_SECONDS))


def frame_of(socket: ClientConnection, *kinds: str) -> dict[str, Any]:
    """The next frame of these types."""
    return next(frame for frame in frames(socket) if frame["type"] in kinds)


def events(socket: ClientConnection) -> Iterator[dict[str, Any]]:
    """The events that a socket is sent, without end."""
    for frame in frames(socket):
        if frame["type"] == "events":
            yield from frame["events"]


def test_a_socket_sees_what_another_process_was_asked_to_run(servers: Servers) -> None:
    name = servers.opened()
    with servers.socket(servers.other, f"sessions/{name}/") as socket:
        frame_of(socket, "live")
        servers.run(servers.one, name, "print('seen by others')")
        printed = next(each for each in events(socket) if each["type"] == "stream")

    assert printed["data"]["text"] == "seen by others\n"


def test_lists_and_notebooks_are_in_step_between_processes(servers: Servers) -> None:
    with servers.socket(servers.other, "sessions/") as listed:
        frame_of(listed, "live")
        name = servers.opened()
        for frame in frames(listed):
            if any(each["identifier"] == name for each in frame.get("sessions", [])):
                break
    with servers.socket(servers.other, f"notebooks/{name}/") as notebook:
        frame_of(notebook, "live")
        cell = {"source": "written elsewhere"}
        answer = servers.post(servers.one, f"/api/v1/sessions/{name}/cells", json=cell)
        assert answer.status_code == 201, answer.text
        changed = next(each for each in frames(notebook) if "written elsewhere" in str(each))

    assert changed["type"] == "cells"


def test_files_changed_through_one_process_are_told_at_the_other(servers: Servers) -> None:
    name = servers.opened()
    with servers.socket(servers.other, f"sessions/{name}/") as socket:
        frame_of(socket, "live")
        made = {"path": "folder"}
        address = f"/api/v1/sessions/{name}/files/directories"
        answer = servers.post(servers.one, address, json=made)
        assert answer.status_code == 201, answer.text
        told = frame_of(socket, "files")

    assert told["version"] > 0


def test_while_redis_comes_and_goes_every_event_arrives_once_and_in_order(servers: Servers) -> None:
    name = servers.opened()
    log = len(servers.log())
    got: list[dict[str, Any]] = []
    with servers.socket(servers.other, f"sessions/{name}/") as socket:
        frame_of(socket, "live")
        servers.run(servers.one, name, COUNT_SLOWLY)
        coming = events(socket)
        for event in coming:
            got.append(event)
            if event["type"] == "stream":
                break
        servers.redis.stop()
        with servers.socket(servers.other, "sessions/") as listed:
            frame_of(listed, "live")  # no socket needs Redis
        stopped_at = event["number"]
        for event in coming:  # polled now, so many at once
            got.append(event)
            if event["number"] >= stopped_at + 15:
                break
        servers.redis.start()
        for event in coming:
            got.append(event)
            if event["type"] == "execution_finished":
                break

    numbers = [event["number"] for event in got]
    texts = [event["data"]["text"] for event in got if event["type"] == "stream"]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert "".join(texts) == "".join(f"{number}\n" for number in range(COUNTED))
    # The host, and the web process in which somebody looks on; a slow machine may seem to be away.
    assert 2 <= servers.log()[log:].count("Redis is away") <= 4


def test_the_end_of_the_host_is_told_at_once_all_the_same(servers: Servers) -> None:
    name = servers.opened()
    with servers.socket(servers.other, f"sessions/{name}/") as socket:
        frame_of(socket, "live")
        os.kill(servers.one.child("host"), signal.SIGKILL)
        error = frame_of(socket, "error")
        frame_of(socket, "live")
        wait_for(servers.other)

    assert error["code"] == "host_unavailable"


def test_a_signature_counts_once_at_all_processes(servers: Servers) -> None:
    target, host, type_ = "/backendai/session/none", "localhost", "application/json"
    date, version = datetime.now(UTC).isoformat(), "v5.20191215"
    facts = {"method": "POST", "path": target, "date": date, "host": host}
    signed = Signed(**facts, content_type=type_, version=version)
    proof = signatures.sign(signed, servers.key["secret key"])
    credential = f"credential={servers.key['access key']}:{proof}"
    headers = {
        "Authorization": f"BackendAI signMethod=HMAC-SHA256, {credential}",
        "Host": host,
        "Date": date,
        "Content-Type": type_,
        "X-BackendAI-Version": version,
        "X-Forwarded-For": "192.0.2.1",
    }

    answers = [
        servers.post(server, target, headers=headers) for server in (servers.one, servers.other)
    ]

    assert [answer.status_code for answer in answers] == [404, 401]


def test_wrong_keys_count_whichever_process_they_come_to(servers: Servers) -> None:
    wrong = {"Authorization": "Bearer wb_wrong", "X-Forwarded-For": "192.0.2.2"}
    answers = [
        servers.post(server, "/api/v1/sessions", headers=wrong).status_code
        for _ in range(6)
        for server in (servers.one, servers.other)
    ]

    assert answers == [401] * 10 + [429] * 2
