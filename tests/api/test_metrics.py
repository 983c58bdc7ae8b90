"""What Prometheus is told, and that the documentation says the same."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sessions.kernels.flow import Flow
from tests.api.doors import Question, ask
from workbench.measures import metrics
from workbench.observed import Observed

ROOT = Path(__file__).resolve().parents[2]
Values = dict[tuple[str, frozenset[tuple[str, str]]], float]


async def scraped() -> tuple[str, Values]:
    """The text, and each sample's value by its name and labels."""
    response = await ask(Question("GET", "/metrics"))
    assert response.status == 200
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    text = response.body.decode()
    families = text_string_to_metric_families(text)
    samples = [sample for family in families for sample in family.samples]
    values = {(each.name, frozenset(each.labels.items())): each.value for each in samples}
    assert len(values) == len(samples)
    return text, values


def growth(before: Values, after: Values, name: str, **labels: str) -> float:
    key = (name, frozenset(labels.items()))
    return after[key] - before.get(key, 0)


def documented() -> set[str]:
    rows = (ROOT / "docs/operations.md").read_text().splitlines()
    firsts = [row.split("|")[1] for row in rows if row.startswith("| `workbench_")]
    return {name for first in firsts for name in re.findall(r"`(workbench_\w+)`", first)}


async def test_the_documentation_lists_what_is_told_and_nothing_else(host):
    text, _ = await scraped()

    told = re.findall(r"^# HELP (\w+) \S", text, re.MULTILINE)
    assert sorted(told) == sorted(documented())


async def test_the_labels_documented_are_those_there_are(host):
    await ask(Question("GET", "/healthz"))
    _, values = await scraped()
    rows = (ROOT / "docs/operations.md").read_text().splitlines()
    cells = [row.split("|") for row in rows if row.startswith("| `workbench_")]
    expected = {
        name: set(re.findall(r"`(\w+)`", labels))
        for _, names, labels, *_ in cells
        for name in re.findall(r"`(\w+)`", names)
    }

    told: dict[str, set[str]] = {}
    for name, labels in values:
        family = name if name in expected else re.sub(r"_(bucket|sum|count)$", "", name)
        told.setdefault(family, set()).update(label for label, _ in labels if label != "le")
    assert told == expected


async def test_requests_are_counted_by_door_and_status(host):
    _, before = await scraped()
    notebook = "/api/v1/sessions/nobody/notebook.ipynb"
    for target in ("/healthz", "/healthz", notebook, "/nothing/there", "/admin/"):
        await ask(Question("GET", target))
    _, after = await scraped()

    def more(door: str, status: str) -> float:
        return growth(before, after, "workbench_requests_total", door=door, status=status)

    # The first look, too, was a request.
    assert more("health", "200") == 3
    assert more("api", "404") == 1
    assert more("none", "404") == 1
    assert more("admin", "302") == 1
    assert growth(before, after, "workbench_request_duration_seconds_count", door="health") == 3
    assert growth(before, after, "workbench_refusals_total", code="session_not_found") == 1


@pytest.mark.parametrize(
    ("method", "target", "door"),
    [
        ("GET", "/session?identifier=x", "azure"),
        ("POST", "/session", "backendai"),
        ("GET", "/backendai/", "backendai"),
        ("GET", "/sessions/list", "rce"),
        ("GET", "/sandbox/", "sandbox"),
        ("GET", "/workbench/", "pages"),
        ("GET", "/static/nothing.js", "static"),
    ],
)
async def test_each_face_is_a_door(host, method, target, door):
    def count(values: Values) -> float:
        name = "workbench_request_duration_seconds_count"
        return values.get((name, frozenset({("door", door)})), 0)

    _, before = await scraped()
    await ask(Question(method, target))
    _, after = await scraped()

    assert count(after) - count(before) == 1


async def test_a_host_that_is_away_leaves_out_its_part(settings, transactional_db):
    settings.WORKBENCH_ENGINE = "local"

    text, values = await scraped()

    assert values["workbench_host_up", frozenset()] == 0
    assert "workbench_sessions" not in text
    assert "workbench_requests_total" in text


async def test_labels_hold_nothing_that_clients_say(host):
    secret = "4f0c2a"
    for target in (f"/{secret}", f"/session/{secret}/logs", f"/sandbox/{secret}"):
        await ask(Question("GET", target))
    await ask(Question(secret.upper(), "/healthz"))

    text, _ = await scraped()
    assert secret not in text.lower()


async def test_open_sockets_are_counted():
    during: list[float] = []

    async def application(scope: object, receive: object, send: object) -> None:
        during.append(await sockets())

    async def sockets() -> float:
        text = metrics.exposition(is_host_up=False)
        return float(re.search(r"^workbench_sockets (\S+)$", text, re.MULTILINE)[1])

    before = await sockets()
    await Observed(application)({"type": "websocket", "headers": []}, None, None)

    assert [during[0] - before, await sockets() - before] == [1, 0]


async def test_a_client_that_leaves_is_counted_as_gone(host):
    async def application(scope: object, receive: object, send: object) -> None:
        raise asyncio.CancelledError

    _, before = await scraped()
    with pytest.raises(asyncio.CancelledError):
        await Observed(application)({"type": "http", "path": "/", "headers": []}, None, None)
    _, after = await scraped()

    assert growth(before, after, "workbench_requests_total", door="none", status="499") == 1


async def test_a_flow_counts_how_often_it_had_to_close():
    flow = Flow()
    for turn in (flow.close, flow.close, flow.open, flow.open, flow.close):
        turn()

    assert flow.closures == 2


@pytest.mark.kernel
async def test_what_the_host_did_is_told(api):
    _, before = await scraped()
    assert before["workbench_host_up", frozenset()] == 1
    for code in ("print(1)", "1/0"):
        response = await api.post(
            "/sandbox/s/execute", {"code": code}, content_type="application/json"
        )
        assert response.status_code == 200
    _, after = await scraped()

    assert growth(before, after, "workbench_executions_total", state="succeeded") == 1
    assert growth(before, after, "workbench_executions_total", state="failed") == 1
    assert growth(before, after, "workbench_execution_seconds_count") == 2
    assert growth(before, after, "workbench_execution_wait_seconds_count") == 2
    assert growth(before, after, "workbench_kernel_start_seconds_count", way="started") == 1
    assert growth(before, after, "workbench_events_written_total", type="execution_finished") == 2
    assert growth(before, after, "workbench_events_written_total", type="error") == 1
    assert after["workbench_sessions", frozenset({("state", "idle")})] == 1
    assert after["workbench_executions_running", frozenset()] == 0
    assert after["workbench_executions_waiting", frozenset()] == 0
