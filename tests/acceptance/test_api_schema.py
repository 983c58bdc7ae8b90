"""The native API answers generated requests as its schema says, on the whole server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.running import RunningServer
from workbench.api.schema import as_json

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]

SECONDS = 30  # for one answer
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    # What the schema does not allow is refused.
    negative_data_rejection,
]
# Of the session "demo", which is the schema's example.
FILES = {
    "data/table.csv": b"a,b\n1,2\n",
    "data/code.py": b"print('hello')\n",
    "data/image.png": b"\x89PNG",
    "data/bytes": bytes(range(256)),
}
# Stands for an execution that runs in "demo", and asks for input again and again.
SOME_EXECUTION = "00000000-0000-4000-8000-000000000000"
ASKING = {"code": "while True: input()", "allow_input": True}
# Values that exist, or nearly so: otherwise most of what is generated would be refused.
KNOWN = {
    "path.identifier": ["demo", "ended"],
    "query.path": [*FILES, "data", "/mnt/data/data", "..", "nothing"],
    "header.Range": ["bytes=0-3", "bytes=2-", "bytes=-1", "bytes=9999-", "bytes=3-2"],
    "body.path": ["data/table.csv", "new/name", "data/code.py/below"],
    "body.identifier": ["demo", "another"],
    "body.kernel": ["python3", "nothing"],
    "body.notebook_of": ["demo", "ended"],
    "path.execution": [SOME_EXECUTION],
    "body.code": ["1", "print('a')", "1/0"],
    "query.wait": [0],
    "query.limit": [1, 50],
    "query.since": [0, 3],
    "header.Idempotency-Key": ["one", '"two"'],
    "header.Last-Event-ID": ["0", "3"],
}
CONFIG = {
    "generation": {"deterministic": True, "max-examples": 20, "no-shrink": True},
    "dictionaries": {name: {"values": values} for name, values in KNOWN.items()},
    "parameters": {name: {"dictionary": name, "probability": 0.7} for name in KNOWN},
    # Each page is made in a process of its own, and each kernel started: that takes a second.
    "operations": [
        {"include-operation-id": name, "generation": {"max-examples": 3}}
        for name in ("export_html", "restart_session")
    ],
}


def closed(document: dict[str, Any]) -> dict[str, Any]:
    """The schema, without room for fields in answers that it does not have."""
    for shape in document["components"]["schemas"].values():
        shape["additionalProperties"] = False
    return document


SCHEMA = schemathesis.openapi.from_dict(
    closed(json.loads(as_json())), config=schemathesis.Config.from_dict(CONFIG)
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with the sessions "demo", which lives, and "ended"; it may have two more."""
    settings = {"WORKBENCH_MAX_SESSIONS": "3", "WORKBENCH_WARM_KERNELS": "0"}
    with RunningServer(tmp_path_factory.mktemp("schema"), **settings) as running:
        for name in ("demo", "ended"):
            send("POST", f"{running.url}/api/v1/sessions", json={"identifier": name})
        code = {"code": "print(6 * 7)"}
        send("POST", f"{running.url}/executions?identifier=ended", json=code)
        send("POST", f"{running.url}/.management/stopSession?identifier=ended")
        yield running


def send(method: str, url: str, **options: Any) -> Any:
    """Send what has to succeed; the JSON that comes back, None for anything else."""
    answer = httpx.request(method, url, timeout=SECONDS, trust_env=False, **options)
    is_json = answer.raise_for_status().headers.get("Content-Type") == "application/json"
    return answer.json() if is_json else None


def asking(url: str) -> str:
    """The id of an execution that waits for input in the session at the address."""
    id_ = send("POST", f"{url}/executions", json=ASKING)["id"]
    page, types = {"last_number": 0}, set()
    while "input_request" not in types:
        query = {"since": page["last_number"], "wait": 10}
        page = send("GET", f"{url}/events", params=query)
        types = {event["type"] for event in page["events"] if event["execution"] == id_}
    return str(id_)


@pytest.fixture(scope="module")
def client() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


@dataclass
class Turn:
    """The operation at hand: what it has answered, and the execution it finds."""

    statuses: set[int] = field(default_factory=set)
    execution: str = ""


@pytest.fixture(scope="module")
def turn() -> Turn:
    return Turn()


@pytest.fixture(autouse=True)
def operation(server: RunningServer, turn: Turn) -> Iterator[None]:
    """Each finds all files and an execution, whatever an earlier one did to them.

    And each succeeds at least once.
    """
    url = f"{server.url}/api/v1/sessions/demo"
    send("POST", f"{server.url}/api/v1/sessions", json={"identifier": "demo"})
    for path, content in FILES.items():
        send("PUT", f"{url}/files/content", params={"path": path}, content=content)
    send("POST", f"{url}/interrupt")
    turn.execution = asking(url)
    turn.statuses.clear()
    yield
    assert any(200 <= status < 300 for status in turn.statuses)


def settle(case: Any, turn: Turn) -> None:
    """Put in what is known only now, and nothing that takes long."""
    if case.path_parameters.get("execution") == SOME_EXECUTION:
        case.path_parameters["execution"] = turn.execution
    if case.query.get("format") == "sse":  # of a live session it has no end
        case.path_parameters["identifier"] = "ended"
    if str(case.query.get("wait", "")) in map(str, range(2, 61)):
        case.query["wait"] = 0
    if "Prefer" in case.headers:
        case.headers["Prefer"] = "wait=0"


@SCHEMA.parametrize()
def test_every_answer_is_as_the_schema_says(case, server, client, turn):
    settle(case, turn)
    answer = case.call_and_validate(server.url, client, checks=CHECKS, timeout=SECONDS)

    if case.method.lower() == case.operation.method.lower():
        turn.statuses.add(answer.status_code)
