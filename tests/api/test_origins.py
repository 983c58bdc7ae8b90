"""No page of another site can make a browser run code here, through whichever door."""

from __future__ import annotations

import json

import pytest

from sessions.models import Session

AZURE = "/executions?api-version=2025-10-02-preview&identifier=s"
DOORS = {
    "azure": (AZURE, {"code": "1"}),
    "sandbox": ("/execute", {"code": "1"}),
    "rce": ("/sessions/create", {}),
    "backendai": ("/session", {"lang": "python3", "clientSessionToken": "session"}),
    "native": ("/api/v1/sessions", {"identifier": "s"}),
}
FOREIGN = [
    {"sec-fetch-site": "cross-site", "origin": "https://evil.example"},
    {"sec-fetch-site": "same-site", "origin": "http://localhost:3000"},
    {"sec-fetch-site": "cross-site", "origin": "null"},
    {"origin": "https://evil.example"},
    {"origin": "null"},
]


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("content_type", ["application/json", "text/plain"])
async def test_pages_of_other_sites_are_refused_at_every_door(api, door, headers, content_type):
    path, body = DOORS[door]

    answer = await api.post(path, json.dumps(body), content_type=content_type, headers=headers)

    assert answer.status_code == 403
    assert answer.headers["Content-Type"].split(";")[0].endswith("json")
    assert "another site" in answer.content.decode()
    assert not await Session.objects.aexists()


@pytest.mark.parametrize(
    "headers", [{}, {"sec-fetch-site": "same-origin"}, {"origin": "http://testserver"}]
)
async def test_programs_and_our_own_pages_are_served(api, headers):
    path, body = DOORS["native"]

    answer = await api.post(path, body, content_type="application/json", headers=headers)

    assert answer.status_code == 201
