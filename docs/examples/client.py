"""A small client of the native API. It needs httpx, and nothing else.

with Session("http://127.0.0.1:8000", "demo") as session:
    session.write("data.csv", b"a,b\\n1,2\\n")
    run = session.run("open('data.csv').read()")
    print(run["outputs"]["result"]["text/plain"])
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import httpx

WAIT_SECONDS = 30  # of one request; GET limits says how long one may wait
TRIES = 5  # for a request that may have been lost on its way
PAUSE_SECONDS = 1.0  # between two of them


class WorkbenchError(Exception):
    """What the server refused: ``code`` is the word for programs, the text is for people."""

    def __init__(self, problem: dict[str, Any]) -> None:
        super().__init__(problem["detail"])
        self.code: str = problem["code"]
        self.status: int = problem["status"]


def sessions(url: str, *, key: str = "", state: str = "live") -> Iterator[dict[str, Any]]:
    """The sessions there are for who has this key, the newest first; "ended": those of before."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    query = {"state": state}
    with httpx.Client(base_url=f"{url.rstrip('/')}/api/v1/", headers=headers) as http:
        while True:
            answer = http.get("sessions", params=query)
            if answer.is_error:
                raise WorkbenchError(answer.json())
            page = answer.json()
            yield from page["sessions"]
            if page["next_cursor"] is None:
                return
            query["cursor"] = page["next_cursor"]


class Session:
    """A live session, opened if there is none of this name. It outlives this object."""

    def __init__(
        self, url: str, identifier: str, *, kernel: str | None = None, key: str = ""
    ) -> None:
        self._http = httpx.Client(
            base_url=f"{url.rstrip('/')}/api/v1/",
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(10, read=WAIT_SECONDS + 30),
        )
        opened = self._ask("POST", "sessions", json={"identifier": identifier, "kernel": kernel})
        # By its id: the name may be another session's some day.
        self._address = f"sessions/{opened.json()['id']}"

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.leave()

    def leave(self) -> None:
        """Hang up. The session goes on, and so does what runs in it."""
        self._http.close()

    def close(self) -> None:
        """End the session: its kernel and its files go, its history stays."""
        self._ask("DELETE", self._address)

    # Running

    def submit(self, code: str, **options: Any) -> str:
        """Queue code; its id. ``options`` are further fields, such as ``timeout_seconds``."""
        return str(self._execute({"code": code, **options}, wait=0)["id"])

    def run(self, code: str, **options: Any) -> dict[str, Any]:
        """Run code to its end, however long it takes: the execution, with its ``outputs``."""
        return self.wait_for(self._execute({"code": code, **options}, wait=WAIT_SECONDS))

    def run_command(self, *command: str, **options: Any) -> dict[str, Any]:
        """Run a program in the session's workspace: the execution, with its ``exit_code``."""
        return self.wait_for(self._execute({"command": command, **options}, wait=WAIT_SECONDS))

    def wait_for(self, execution: dict[str, Any] | str) -> dict[str, Any]:
        """The execution, or that of the id, once it has ended."""
        found = {"id": execution} if isinstance(execution, str) else execution
        while found.get("finished_at") is None:
            address = f"{self._address}/executions/{found['id']}"
            found = self._ask("GET", address, params={"wait": WAIT_SECONDS}).json()
        return found

    def cancel(self, execution_id: str) -> None:
        """Take it out of the queue, or interrupt it."""
        self._ask("POST", f"{self._address}/executions/{execution_id}/cancel")

    def restart(self) -> None:
        """Begin anew with a fresh kernel; the files stay."""
        self._ask("POST", f"{self._address}/restart")

    def answer(self, text: str) -> None:
        """Answer code that waits in ``input()``; submit it with ``allow_input=True``."""
        self._ask("POST", f"{self._address}/input", json={"text": text})

    # Watching

    def events(self, since: int = 0) -> Iterator[dict[str, Any]]:
        """Every event after a number, as it happens, until the session ends.

        A connection that is lost is taken up where it broke: each event comes once, in order.
        """
        while True:
            try:
                with self._http.stream(
                    "GET",
                    f"{self._address}/events",
                    headers={"Accept": "text/event-stream", "Last-Event-ID": str(since)},
                ) as answer:
                    if answer.status_code == httpx.codes.NO_CONTENT:
                        return
                    if answer.is_error:
                        answer.read()
                        raise WorkbenchError(answer.json())
                    for kind, data in _messages(answer.iter_lines()):
                        if kind == "end":
                            return
                        since = data["number"]
                        yield data
            except httpx.TransportError:
                pass
            time.sleep(PAUSE_SECONDS)

    def output(self, execution_id: str, since: int = 0) -> Iterator[str]:
        """The text that an execution prints, as it comes."""
        for event in self.events(since):
            if event["execution"] == execution_id:
                if event["type"] == "stream":
                    yield event["data"]["text"]
                if event["type"] == "execution_finished":
                    return

    # Files

    def files(self, directory: str = "") -> list[dict[str, Any]]:
        """What is in a directory of the workspace."""
        answer = self._ask("GET", f"{self._address}/files", params={"path": directory})
        found: list[dict[str, Any]] = answer.json()["files"]
        return found

    def read(self, path: str) -> bytes:
        """The content of a file."""
        return self._ask("GET", f"{self._address}/files/content", params={"path": path}).content

    def write(self, path: str, content: bytes) -> None:
        """Write a file; directories on the way are made."""
        address = f"{self._address}/files/content"
        self._ask("PUT", address, params={"path": path}, content=content)

    # Asking

    def _execute(self, body: dict[str, Any], *, wait: int) -> dict[str, Any]:
        """Submit once, however often it has to be sent: the server knows the key again."""
        key = {"Idempotency-Key": f'"{uuid.uuid4()}"'}
        address = f"{self._address}/executions"
        for tries_left in reversed(range(TRIES)):
            try:
                answer = self._ask("POST", address, params={"wait": wait}, json=body, headers=key)
                found: dict[str, Any] = answer.json()
                return found
            except httpx.TransportError:
                if not tries_left:
                    raise
                time.sleep(PAUSE_SECONDS)
        raise AssertionError("there is at least one try")

    def _ask(self, method: str, address: str, **options: Any) -> httpx.Response:
        answer = self._http.request(method, address, **options)
        if answer.is_error:
            raise WorkbenchError(answer.json())
        return answer


def _messages(lines: Iterator[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The messages of a stream of server-sent events: their kinds and what they say."""
    kind, data = "message", ""
    for line in lines:
        name, _, value = line.partition(": ")
        if name == "event":
            kind = value
        elif name == "data":
            data = value
        elif not line:
            if data:
                yield kind, json.loads(data)
            kind, data = "message", ""


if __name__ == "__main__":
    with Session("http://127.0.0.1:8000", "demo") as session:
        for text in session.output(session.submit(sys.stdin.read())):
            print(text, end="", flush=True)
