"""What the native API says of itself."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import call_command
from django.test import AsyncClient

from sessions.kernels.limits import Limits
from sessions.kernels.policy import Network
from workbench.api import urls
from workbench.api.operation import Operation, operation_of
from workbench.api.schema import Generator, as_json

ROOT = Path(__file__).parents[2]
METHODS = ("get", "post", "put", "patch", "delete")


@pytest.fixture(scope="module")
def document() -> Any:
    return json.loads(as_json())


def operations(document: Any) -> list[dict[str, Any]]:
    return [operation for path in document["paths"].values() for operation in path.values()]


async def get(query: str = "", **headers: str) -> Any:
    return await AsyncClient().get(f"/api/v1/schema/{query}", headers=headers)


def test_the_schema_is_valid_and_made_without_warnings():
    written = io.StringIO()

    call_command("spectacular", "--validate", "--fail-on-warn", stdout=written)

    assert yaml.safe_load(written.getvalue())["openapi"] == "3.1.0"


def test_the_schema_has_the_native_api_and_no_other_contract(document):
    assert all(path.startswith("/api/v1/") for path in document["paths"])


def test_programs_learn_how_to_send_a_key(document):
    (name,) = document["components"]["securitySchemes"]

    assert document["components"]["securitySchemes"][name]["scheme"] == "bearer"
    assert document["security"] == [{}, {name: []}]


def test_a_closed_server_asks_for_a_key(document, settings):
    settings.WORKBENCH_IS_OPEN = False

    assert json.loads(as_json()) == {**document, "security": [{"key": []}]}


def test_the_networks_are_those_that_are_allowed(settings):
    for allowed, names in ((Network.NONE, ["none"]), (Network.HOST, ["none", "host"])):
        settings.WORKBENCH_SESSION_NETWORK = allowed
        shapes = Generator().get_schema(public=True)["components"]["schemas"]
        assert shapes["NewSession"]["properties"]["network"]["enum"] == [*names, None]


def test_every_handler_is_in_the_schema(document):
    views = [getattr(pattern.callback, "view_class", None) for pattern in urls.urlpatterns]
    handlers = [(view, method) for view in views for method in METHODS if hasattr(view, method)]

    described = [operation_of(view, method) for view, method in handlers]

    assert all(isinstance(each, Operation) for each in described)
    names = sorted(each.name for each in described if each)
    assert names == sorted(each["operationId"] for each in operations(document))
    assert len(names) == len(set(names))


def test_every_operation_is_told_in_full(document):
    tags = {tag["name"] for tag in document["tags"]}

    for operation in operations(document):
        assert operation["summary"]
        assert operation["description"]
        assert set(operation["tags"]) <= tags
        assert {"400", "403"} < operation["responses"].keys()
        for answer in operation["responses"].values():
            assert answer["description"]


def test_every_operation_is_in_the_manual(document):
    manual = (ROOT / "docs/api.md").read_text()

    for path, methods in document["paths"].items():
        address = path.removeprefix("/api/v1/").replace("{", "<").replace("}", ">")
        assert not [method for method in methods if f"`{method.upper()} {address}" not in manual]


def test_the_limits_are_this_servers(settings):
    settings.WORKBENCH_SESSION_LIMITS = Limits(processes=99)

    limits = Generator().get_schema(public=True)["components"]["schemas"]["Limits"]["properties"]

    assert (limits["processes"]["minimum"], limits["processes"]["maximum"]) == (16, 99)
    assert "maximum" not in limits["memory_bytes"]


@pytest.mark.parametrize(
    ("query", "accept", "content_type"),
    [
        ("", "*/*", "application/json"),
        ("", "text/html,application/xhtml+xml,*/*;q=0.8", "application/json"),
        ("", "text/plain", "application/json"),
        ("", "application/yaml", "application/yaml"),
        ("", "application/json;q=0.1, application/openapi+yaml", "application/yaml"),
        ("?format=yaml", "application/json", "application/yaml"),
        ("?format=json", "application/yaml", "application/json"),
    ],
)
async def test_the_schema_comes_in_json_or_yaml(document, query, accept, content_type):
    answer = await get(query, accept=accept)

    assert (answer.status_code, answer["Content-Type"]) == (200, content_type)
    assert "Accept" in answer["Vary"]
    read = json.loads if content_type == "application/json" else yaml.safe_load
    assert read(answer.content) == document


@pytest.mark.parametrize("query", ["?format=xml", "?format=", "?lang=en"])
async def test_another_format_is_refused(query):
    answer = await get(query)

    assert answer.status_code == 400
    assert answer["Content-Type"] == "application/problem+json"


async def test_the_page_loads_nothing_from_elsewhere():
    answer = await AsyncClient().get("/api/v1/docs/")

    policy = answer["Content-Security-Policy"]
    assert "default-src 'self'; script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "//" not in answer.content.decode().replace("<!--", "")
