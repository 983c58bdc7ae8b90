"""What the log says of requests: their ids, and their sessions."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sessions.engines import close_engine, engine
from sessions.engines.assembly import make_run_dir
from sessions.engines.local import SOCKET_NAME
from sessions.engines.server import HostServer
from sessions.exceptions import KernelStartFailed, WorkbenchError
from sessions.kernels import trace
from sessions.kernels.journal import Journal
from sessions.kernels.records import SessionRecord
from sessions.kernels.slot import KernelSlot
from sessions.testing import MemoryRecorder
from tests.api.doors import Question, ask
from workbench.logs import Json, Text
from workbench.observed import Observed

logger = logging.getLogger("tests.logs")
OURS = re.compile(r"[0-9a-f]{16}")


@pytest.fixture
def lines() -> Iterator[Any]:
    """A function that returns what was logged since, as JSON says it."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Json())
    logging.getLogger().addHandler(handler)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logging.getLogger().removeHandler(handler)


async def id_answered(*given: bytes) -> str:
    headers = tuple((b"x-request-id", value) for value in given)
    answer = await ask(Question("GET", "/livez", headers))
    return answer.headers["x-request-id"]


@pytest.mark.parametrize("id_", ["a", "5bd17e29-aa4c", "a" * 128, "Root=1-67:a/b@c.d_e"])
async def test_a_sane_id_is_taken_over(id_):
    assert await id_answered(id_.encode()) == id_


@pytest.mark.parametrize(
    "given",
    [
        [],
        [b""],
        [b"a" * 129],
        [b"a b"],
        [b"a\n"],
        [b'a"b'],
        ["ä".encode()],
        [b"\xff"],
        [b"-a"],
        [b"a", b"b"],
    ],
)
async def test_others_get_one_of_ours(given):
    first, second = await id_answered(*given), await id_answered(*given)

    assert OURS.fullmatch(first)
    assert OURS.fullmatch(second)
    assert first != second


async def test_an_answer_that_is_remembered_has_the_id_of_its_request(transactional_db):
    page = (await ask(Question("GET", "/workbench/"))).body
    path = re.search(rb'/static/[^"]+\.js', page)[0].decode()
    question = [
        Question("GET", path, ((b"accept-encoding", b"gzip"), (b"x-request-id", name)))
        for name in (b"first", b"second")
    ]

    answers = [await ask(each) for each in question]

    assert [each.headers["x-request-id"] for each in answers] == ["first", "second"]


async def test_each_line_names_its_request(lines):
    gate = asyncio.Event()

    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        logger.warning("in %s", scope["path"])
        await gate.wait()
        await asyncio.to_thread(logger.warning, "later in %s", scope["path"])

    requests = [
        asyncio.create_task(
            Observed(application)(
                {"type": kind, "path": name, "headers": [(b"x-request-id", name.encode())]},
                None,
                None,
            )
        )
        for kind, name in (("http", "a"), ("http", "b"), ("websocket", "c"))
    ]
    gate.set()
    await asyncio.gather(*requests)

    said = {(line["message"], line["request"]) for line in lines()}
    assert said == {(f"{when}in {name}", name) for name in "abc" for when in ("", "later ")}


def test_a_line_of_json_is_one_object_whatever_is_in_it(lines):
    try:
        raise ValueError("two\nlines \udce4")
    except ValueError:
        logger.exception('"quoted"\nand %s', "\x1b[1m")

    (line,) = lines()
    assert (line["level"], line["logger"]) == ("ERROR", "tests.logs")
    assert line["message"] == '"quoted"\nand \x1b[1m'
    assert line["exception"].startswith("Traceback")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", line["time"])
    assert line.keys() == {"time", "level", "logger", "message", "exception"}


def test_a_line_of_text_ends_with_what_it_is_about():
    record = logging.LogRecord("n", logging.INFO, "", 0, "said", None, None)

    def told() -> str:
        trace.request_id.set("r")
        return Text().format(record)

    assert Text().format(record).endswith(" INFO n: said")
    session = "00000000-0000-0000-0000-000000000001"
    context = trace.of_nobody()
    context.run(trace.session_id.set, session)
    assert context.run(told).endswith(f" INFO n: said [request=r session={session}]")


@pytest.fixture
async def failing_host(settings, db) -> AsyncIterator[None]:
    """A host's socket, behind which every look at the health is a bug."""
    settings.WORKBENCH_ENGINE = "local"

    async def health() -> None:
        raise RuntimeError("a bug")

    server = HostServer()
    host: Any = SimpleNamespace(health=health)
    path: Path = make_run_dir() / SOCKET_NAME
    await server.listen(host, path)
    yield
    await close_engine()
    await server.close()


@pytest.mark.usefixtures("failing_host")
async def test_the_host_logs_the_request_that_a_call_is_for(lines):
    for name in (b"first", b"second"):
        await ask(Question("GET", "/healthz", ((b"x-request-id", name),)))
    trace.request_id.set("")
    with pytest.raises(WorkbenchError):
        await engine().call("health")

    failed = [line.get("request") for line in lines() if line["message"] == "health failed"]
    assert failed == ["first", "second", None]


async def test_what_a_session_does_is_logged_with_it_alone(lines):
    """Its kernel serves all requests, whichever made it start."""
    record = SessionRecord(
        identifier="s",
        owner_id=None,
        kernel_name="python3",
        origin="test",
        host="test",
        idle_timeout_seconds=None,
    )

    def make_kernel() -> Any:
        raise OSError("no room")

    slot = KernelSlot(Journal(record, MemoryRecorder(), 1000), make_kernel, lambda: False)
    trace.request_id.set("first")
    with pytest.raises(KernelStartFailed):
        await slot.kernel()

    (line,) = lines()
    assert (line["message"], line["session"]) == ("a kernel did not start", str(record.id))
    assert "request" not in line


async def test_a_request_that_found_its_session_names_it(session):
    await ask(Question("GET", "/api/v1/sessions/s/notebook.ipynb"))

    assert trace.session_id.get() == str(session.id)
