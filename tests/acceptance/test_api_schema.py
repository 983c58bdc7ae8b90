"""The native API answers generated requests as its schema says, on whole servers, open and closed."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests
import schemathesis
from schemathesis.checks import CHECKS
from schemathesis.openapi.checks import IgnoredAuth
from schemathesis.specs.openapi.checks import ignored_auth

from tests.running import RunningServer, http, made_key
from workbench.api.schema import as_json

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]

SECONDS = 30  # for one answer


@functools.wraps(ignored_auth)
def refused(*arguments: Any) -> bool | None:
    """Whether a wrong key is refused: after ten of them in a minute, whoever comes with one is."""
    try:
        return ignored_auth(*arguments)
    except IgnoredAuth as failure:
        if "got `429 " not in str(failure):
            raise
    return None


ALL_CHECKS = [refused if check is ignored_auth else check for check in CHECKS.get_all()]
# Of the session "demo", which is the schema's example.
FILES = {
    "data/table.csv": b"a,b\n1,2\n",
    "data/code.py": b"print('hello')\n",
    "data/image.png": b"\x89PNG",
    "data/bytes": bytes(range(256)),
}
# Stand for what is made when it is needed: an execution that runs in "demo" and asks for input
# again and again, a cell of its notebook, a link to it, and a key.
SOME_EXECUTION = "00000000-0000-4000-8000-000000000000"
SOME_CELL = "00000000-0000-4000-8000-000000000001"
SOME_KEY = "SOMEKEY"
SOME_SHARE = "AAAAAAAAAAAA"
ASKING = {"code": "while True: input()", "allow_input": True}
# Values that exist, or nearly so: otherwise most of what is generated would be refused.
KNOWN = {
    "path.identifier": ["demo", "ended"],
    "path.execution": [SOME_EXECUTION],
    "path.cell": [SOME_CELL],
    "path.key": [SOME_KEY],
    "path.share": [SOME_SHARE],
    "query.path": [*FILES, "data", "/mnt/data/data", "..", "nothing"],
    "query.wait": [0],
    "query.limit": [1, 50],
    "query.since": [0, 3],
    "header.Range": ["bytes=0-3", "bytes=2-", "bytes=-1", "bytes=9999-", "bytes=3-2"],
    "header.Idempotency-Key": ["one", '"two"'],
    "header.Last-Event-ID": ["0", "3"],
    "body.path": ["data/table.csv", "new/name", "data/code.py/below"],
    "body.identifier": ["demo", "another"],
    "body.kernel": ["python3", "nothing"],
    "body.notebook_of": ["demo", "ended"],
    "body.after": [SOME_CELL],
    "body.version": [0, 1],
}
# What may become of a request that the schema allows: what is there and what is full it cannot know.
WELL_FORMED = ["2xx", 401, 403, 404, 409, 413, 416, 422, 429, 507]
# Which paths, names, code and notebooks there can be is more than JSON Schema can say.
SAID_IN_WORDS = "/files|/executions$|/notebook$|/sessions$|/sessions/\\{identifier\\}$"
# Each page is made in a process of its own, and each kernel started: that takes a second.
SLOW = ("export_html", "restart_session")
# At the open door nobody has keys.
OF_AN_ACCOUNT = ("/api/v1/keys", "/api/v1/keys/{key}")


def config(examples: int, *, with_coverage: bool) -> dict[str, Any]:
    """So many requests for each operation, beside those for each rule of the schema."""

    def allowed(*statuses: int) -> dict[str, Any]:
        return {"positive_data_acceptance": {"expected-statuses": [*WELL_FORMED, *statuses]}}

    return {
        "generation": {"deterministic": True, "max-examples": examples, "no-shrink": True},
        "phases": {"coverage": {"enabled": with_coverage}},
        "checks": allowed(),
        "dictionaries": {name: {"values": values} for name, values in KNOWN.items()},
        "parameters": {name: {"dictionary": name, "probability": 0.7} for name in KNOWN},
        "operations": [
            *({"include-operation-id": id_, "generation": {"max-examples": 3}} for id_ in SLOW),
            {"include-path-regex": SAID_IN_WORDS, "checks": allowed(400)},
        ],
    }


def schema(examples: int, *, with_coverage: bool = True, **said: Any) -> Any:
    """The schema, without room for fields in answers that it does not have."""
    document = {**json.loads(as_json()), **said}
    for shape in document["components"]["schemas"].values():
        shape["additionalProperties"] = False
    how = schemathesis.Config.from_dict(config(examples, with_coverage=with_coverage))
    return schemathesis.openapi.from_dict(document, config=how)


OPEN = schema(6)
CLOSED = schema(3, with_coverage=False, security=[{"key": []}])


@dataclass
class Place:
    """A server with the sessions "demo", which lives, and "ended"; it may have some more."""

    server: RunningServer
    # Who asks.
    headers: dict[str, str]
    client: requests.Session
    # What the operation at hand has answered; None: nothing is prepared for it.
    statuses: set[int] | None = None
    demo: str = ""
    execution: str = ""
    paths: set[str] = field(default_factory=set)

    def send(self, method: str, address: str, **options: Any) -> Any:
        """Send what has to succeed; the JSON that comes back, None for anything else."""
        url = f"{self.server.url}{address}"
        options = {"headers": self.headers, "timeout": SECONDS, **options}
        answer = http.request(method, url, **options)
        is_json = answer.raise_for_status().headers.get("Content-Type") == "application/json"
        return answer.json() if is_json else None

    def begin(self) -> None:
        """Make the sessions there are."""
        for name in ("demo", "ended"):
            self.send("POST", "/api/v1/sessions", json={"identifier": name})
        run = {"code": "print(6 * 7)"}
        self.send("POST", "/executions?identifier=ended", json=run)
        self.send("POST", "/.management/stopSession?identifier=ended")

    def prepare(self, path: str) -> None:
        """An operation finds what it is about, whatever an earlier one did to it."""
        self.statuses = set()
        for session in self.send("GET", "/api/v1/sessions?state=live")["sessions"]:
            if session["identifier"] != "demo":  # or there might be no room for it
                self.send("DELETE", f"/api/v1/sessions/{session['id']}")
        self.demo = self.send("POST", "/api/v1/sessions", json={"identifier": "demo"})["id"]
        here = f"/api/v1/sessions/{self.demo}"
        if "/files" in path:
            for name, content in FILES.items():
                self.send("PUT", f"{here}/files/content", params={"path": name}, content=content)
        if "/shares" in path:  # there may be so many
            for share in self.send("GET", f"{here}/shares")["shares"]:
                self.send("DELETE", f"{here}/shares/{share['id']}")
        if path.endswith(("/input", "/executions")) or "/{execution}" in path:
            self.send("POST", f"{here}/interrupt")
            self.execution = self._asking(here)

    def settle(self, case: Any) -> None:
        """Put in what is known only now, and nothing that takes long."""
        here = f"/api/v1/sessions/{self.demo}"
        given, body = case.path_parameters, case.body if isinstance(case.body, dict) else {}
        if given.get("execution") == SOME_EXECUTION:
            given["execution"] = self.execution
        if given.get("cell") == SOME_CELL or body.get("after") == SOME_CELL:
            cell = self.send("POST", f"{here}/cells", json={})["id"]
            given.update({"cell": cell} if "cell" in given else {})
            body.update({"after": cell} if "after" in body else {})
        if given.get("key") == SOME_KEY and self.headers:
            given["key"] = self.send("POST", "/api/v1/keys", json={})["id"]
        if given.get("share") == SOME_SHARE:
            given["share"] = self.send("POST", f"{here}/shares", json={})["id"]
        if case.method.upper() == "PATCH" and given.get("identifier") == "demo":
            given["identifier"] = self.demo  # which it is whatever its name
        if case.query.get("format") == "sse":  # of a live session it has no end
            given["identifier"] = "ended"
        if str(case.query.get("wait", "")) in map(str, range(2, 61)):
            case.query["wait"] = 0
        if "Prefer" in case.headers:
            case.headers["Prefer"] = "wait=0"

    def check(self, case: Any) -> None:
        """Send a request; the answer is as the schema says."""
        if self.statuses is None:
            self.prepare(case.operation.path)
        self.settle(case)
        options = {"headers": self.headers} if self.headers else {}
        answer = case.call_and_validate(
            self.server.url, self.client, checks=ALL_CHECKS, timeout=SECONDS, **options
        )
        if case.method.lower() == case.operation.method.lower():
            assert self.statuses is not None
            self.statuses.add(answer.status_code)
            self.paths.add(case.operation.path)

    def end(self) -> None:
        """Each operation succeeds at least once."""
        statuses, paths = self.statuses or set(), set(self.paths)
        self.statuses = None
        self.paths.clear()
        is_nobodys = not self.headers and paths <= set(OF_AN_ACCOUNT)
        assert is_nobodys or any(200 <= status < 300 for status in statuses), statuses

    def _asking(self, here: str) -> str:
        """The id of an execution that waits for input."""
        id_ = self.send("POST", f"{here}/executions", json=ASKING)["id"]
        page, types = {"last_number": 0}, set()
        while "input_request" not in types:
            query = {"since": page["last_number"], "wait": 10}
            page = self.send("GET", f"{here}/events", params=query)
            types = {event["type"] for event in page["events"] if event["execution"] == id_}
        return str(id_)


def place(directory: Any, **settings: str) -> Iterator[Place]:
    limits = {"WORKBENCH_MAX_SESSIONS": "5", "WORKBENCH_WARM_KERNELS": "0"}
    server = RunningServer(directory, **limits, **settings)
    key = made_key(server, "ada")["key"] if settings else ""
    with server, requests.Session() as client:
        client.trust_env = False
        found = Place(server, {"Authorization": f"Bearer {key}"} if key else {}, client)
        found.begin()
        yield found


@pytest.fixture(scope="module")
def open_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    yield from place(tmp_path_factory.mktemp("open"))


@pytest.fixture(scope="module")
def closed_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    yield from place(tmp_path_factory.mktemp("closed"), WORKBENCH_ACCESS="closed")


@pytest.fixture(autouse=True)
def operation(request: pytest.FixtureRequest) -> Iterator[None]:
    """Around all requests of one operation."""
    (name,) = {"open_place", "closed_place"} & set(request.fixturenames)
    found: Place = request.getfixturevalue(name)
    yield
    found.end()


@OPEN.parametrize()
def test_every_answer_is_as_the_schema_says(case, open_place):
    open_place.check(case)


@CLOSED.parametrize()
def test_every_answer_to_a_key_is_as_the_schema_says(case, closed_place):
    """And without a key, or with a wrong one, there is none: ignored_auth."""
    closed_place.check(case)
