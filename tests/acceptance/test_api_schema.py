"""The native API answers generated requests as its schema says, on the whole server."""

from __future__ import annotations

import json
from collections.abc import Iterator
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
# Values that exist, or nearly so: otherwise most of what is generated would be refused.
KNOWN = {
    "path.identifier": ["demo", "ended"],
    "query.path": [*FILES, "data", "/mnt/data/data", "..", "nothing"],
    "header.Range": ["bytes=0-3", "bytes=2-", "bytes=-1", "bytes=9999-", "bytes=3-2"],
    "body.path": ["data/table.csv", "new/name", "data/code.py/below"],
    "body.identifier": ["demo", "another"],
    "body.kernel": ["python3", "nothing"],
    "body.notebook_of": ["demo", "ended"],
}
CONFIG = {
    "generation": {"deterministic": True, "max-examples": 20, "no-shrink": True},
    "dictionaries": {name: {"values": values} for name, values in KNOWN.items()},
    "parameters": {name: {"dictionary": name, "probability": 0.7} for name in KNOWN},
    # Each page is made in a process of its own, which takes a second.
    "operations": [{"include-operation-id": "export_html", "generation": {"max-examples": 3}}],
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


def send(method: str, url: str, **options: Any) -> None:
    """Send what has to succeed."""
    httpx.request(method, url, timeout=SECONDS, trust_env=False, **options).raise_for_status()


@pytest.fixture(scope="module")
def client() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


@pytest.fixture(scope="module")
def statuses() -> set[int]:
    """What the operation at hand has answered."""
    return set()


@pytest.fixture(autouse=True)
def operation(server: RunningServer, statuses: set[int]) -> Iterator[None]:
    """Each finds all files, whatever an earlier one did to them, and succeeds at least once."""
    for path, content in FILES.items():
        url = f"{server.url}/api/v1/sessions/demo/files/content"
        send("PUT", url, params={"path": path}, content=content)
    statuses.clear()
    yield
    assert any(200 <= status < 300 for status in statuses)


@SCHEMA.parametrize()
def test_every_answer_is_as_the_schema_says(case, server, client, statuses):
    answer = case.call_and_validate(server.url, client, checks=CHECKS, timeout=SECONDS)

    if case.method.lower() == case.operation.method.lower():
        statuses.add(answer.status_code)
