"""The frame that outputs run in, and the policies that keep it apart from the pages."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import AsyncClient

from workbench.pages import FRAME_PERMISSIONS

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
async def frame() -> HttpResponse:
    response: Any = await AsyncClient().get("/output-frame/")
    assert response.status_code == 200
    return response


def policy_of(response: HttpResponse) -> dict[str, list[str]]:
    directives = (part.split() for part in response["Content-Security-Policy"].split(";"))
    return {name: values for name, *values in directives}


async def test_the_frame_has_no_origin_even_when_opened_alone(frame):
    assert "allow-scripts" in policy_of(frame)["sandbox"]
    assert "allow-same-origin" not in policy_of(frame)["sandbox"]
    assert "allow-top-navigation" not in " ".join(policy_of(frame)["sandbox"])


async def test_of_this_server_the_frame_may_load_static_files_only(frame):
    policy = policy_of(frame)

    ours = {source for values in policy.values() for source in values if "testserver" in source}
    assert ours == {"http://testserver/static/"}
    assert policy["connect-src"] == ["data:", "blob:", "https:"]
    assert policy["default-src"] == policy["form-action"] == policy["base-uri"] == ["'none'"]
    sources = {name: values for name, values in policy.items() if name != "frame-ancestors"}
    assert "'self'" not in {source for values in sources.values() for source in values}


async def test_only_our_pages_may_hold_the_frame(frame):
    assert policy_of(frame)["frame-ancestors"] == ["'self'"]
    assert frame["X-Frame-Options"] == "SAMEORIGIN"


async def test_the_operator_says_whence_outputs_may_load(settings):
    settings.WORKBENCH_OUTPUT_SOURCES = []

    response = await AsyncClient().get("/output-frame/")

    assert policy_of(response)["connect-src"] == ["data:", "blob:"]


async def test_the_iframe_asks_for_what_the_policy_allows():
    script = (ROOT / "static/workbench/js/outputs/isolated.js").read_text()

    assert f'PERMISSIONS = "{FRAME_PERMISSIONS}"' in script


async def test_what_the_frame_loads_exists(frame):
    addresses = re.findall(rb'"/static/(?:v-\w+/)?([^"]+)"', frame.content)

    assert len(addresses) > 8
    assert [name for name in addresses if not (ROOT / "static" / name.decode()).is_file()] == []


async def test_a_page_applies_only_style_sheets_with_its_nonce():
    first = await AsyncClient().get("/workbench/")
    second = await AsyncClient().get("/workbench/")

    nonces = [
        re.search(rb'name="style-nonce" nonce="([\w-]{16,})"', r.content) for r in (first, second)
    ]
    assert all(nonces)
    assert nonces[0][1] != nonces[1][1]
    assert f"'nonce-{nonces[0][1].decode()}'" in policy_of(first)["style-src"]
    assert policy_of(first)["script-src"] == ["'self'"]
