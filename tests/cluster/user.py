"""Somebody who asks a cluster's web process, and looks at its rows, from elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import psycopg

from tests.cluster.running import RunningCluster, WebProcess
from tests.cluster.victim import log_of
from tests.running import NO_CERTIFICATES
from tests.torture.checker import Told, violations

SOON_SECONDS = 90.0  # for anything that happens in seconds on a machine that is not busy
ANSWER_SECONDS = 40.0  # for any request: nothing hangs
# What makes a variable and a file, and what says which of them there are.
MAKE = "x = 1; open('kept.txt', 'w').write('kept')"
READ = "print(open('kept.txt').read(), 'x' in dir())"


class User:
    """Asks one web process of a cluster, which is not to end."""

    def __init__(self, cluster: RunningCluster, web: WebProcess) -> None:
        self.cluster, self.web = cluster, web
        self._http = httpx.Client(
            base_url=self.web.url,
            trust_env=False,
            verify=NO_CERTIFICATES,
            timeout=ANSWER_SECONDS,
        )

    def is_there(self) -> bool:
        """Whether the process answers at all."""
        try:
            return self.get("/livez").status_code == 200
        except httpx.TransportError:
            return False

    def get(self, address: str) -> httpx.Response:
        return self._http.get(address)

    def post(self, address: str, body: Any) -> httpx.Response:
        return self._http.post(address, json=body)

    def run(self, identifier: str, code: str) -> httpx.Response:
        return self.post(f"/sandbox/{identifier}/execute", {"code": code})

    def prints(self, identifier: str, code: str) -> str | None:
        """What code prints; None if it is not run."""
        answer = self.run(identifier, code)
        if answer.status_code != 200:
            return None
        return "".join(event["text"] for event in answer.json()["events"] if "text" in event)

    def hosts(self) -> dict[str, str]:
        """The states of the hosts' rows."""
        return dict(self.rows("select name, state from workbench_sessions_host"))

    def close(self) -> None:
        self._http.close()

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.cluster.settings["WORKBENCH_DATABASE_URL"]) as connection:
            return connection.execute(query.encode()).fetchall()

    def sessions(self) -> dict[str, tuple[Any, ...]]:
        """The id and the state of each session, by its name."""
        found = self.rows("select identifier, id, state from workbench_sessions_session")
        return {name: about for name, *about in found}

    def until(self, holds: Callable[[], Any]) -> None:
        """Meanwhile supervisors start again what has ended."""
        deadline = time.monotonic() + SOON_SECONDS
        while not holds():
            assert time.monotonic() < deadline, holds
            assert not self.web.has_ended
            self.cluster.keep_up()
            time.sleep(0.1)

    def nothing_is_wrong(self) -> bool:
        assert not self.web.has_ended
        with log_of(self.cluster) as log:
            return violations(log, Told()) == []


@contextmanager
def user_of(**more: Any) -> Iterator[User]:
    """Of a cluster with two nodes."""
    with RunningCluster(nodes=2, webs=1, **more) as cluster:
        user = User(cluster, cluster.webs[0])
        try:
            yield user
        finally:
            user.close()
