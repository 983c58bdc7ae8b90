"""No page of another site can make a browser run code or read here, through whichever door."""

from __future__ import annotations

import json
import re

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


# Some of these open a session for a program that reads, and some would only tell of sessions.
READ = {
    "azure": "/files?api-version=2025-10-02-preview&identifier=s",
    "azure, first generation": "/files?identifier=s",
    "azure, pool": (
        "/subscriptions/a/resourceGroups/b/sessionPools/c/files?api-version=2024-02-02-preview"
        "&identifier=s"
    ),
    "azure, list": "/listSessions",
    "azure and backendai": "/session",
    "sandbox": "/sandbox/s",
    "sandbox, files": "/files/download/-/mnt/data/a",
    "rce": "/sessions/list",
    "rce, below": "/rce/sessions/list",
    "backendai": "/backendai",
    "backendai, session": "/session/s",
    "backendai, events": "/events/session?name=s",
    "native": "/api/v1/kernelspecs",
    "native, files": "/api/v1/sessions/s/files",
    "root": "/",
}
# Where each contract has its sentence.
SENTENCES = {
    "azure": lambda body: body["error"]["message"],
    "sandbox": lambda body: body["error"],
    "rce": lambda body: body["detail"],
    "backendai": lambda body: body["msg"],
    "native": lambda body: body["detail"],
    "root": lambda body: body["error"],
}
# Where a link may lead.
LINKED = {"native", "native, files", "root"}
PICTURE = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}
LINK = {
    "sec-fetch-site": "cross-site",
    "sec-fetch-mode": "navigate",
    "sec-fetch-dest": "document",
    "accept": "text/html",
}
FRAME = LINK | {"sec-fetch-dest": "iframe"}


@pytest.mark.parametrize("door", READ)
async def test_pages_of_other_sites_read_nothing_at_any_door(api, door):
    for headers in (*FOREIGN, PICTURE, FRAME):
        answer = await api.get(READ[door], headers=headers)

        assert answer.status_code == 403, headers
        assert "another site" in SENTENCES[re.split(r"[ ,]", door)[0]](answer.json())
    assert (await api.head(READ[door], headers=PICTURE)).status_code == 403
    assert not await Session.objects.aexists()


@pytest.mark.parametrize("door", READ)
async def test_a_link_leads_only_where_reading_opens_nothing(api, door):
    answer = await api.get(READ[door], headers=LINK)

    assert (answer.status_code != 403) is (door in LINKED)
    assert not await Session.objects.aexists()


@pytest.mark.parametrize("door", DOORS)
async def test_a_form_is_no_link(api, door):
    path, body = DOORS[door]

    answer = await api.post(path, json.dumps(body), content_type="text/plain", headers=LINK)

    assert answer.status_code == 403
    assert not await Session.objects.aexists()


@pytest.mark.parametrize("path", ["/workbench/", "/admin/login/", "/workbench/s/"])
async def test_links_lead_to_our_pages(api, path):
    answer = await api.get(path, headers=LINK)

    assert answer.status_code in (200, 404)
    assert answer.headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize("path", ["/workbench/", "/workbench/s/", "/login/", "/admin/"])
async def test_pages_are_for_links_and_nothing_else(api, path):
    """Another site's page may not read ours, but its browser tells it whether there is one."""
    for headers in (*FOREIGN, PICTURE, FRAME):
        assert (await api.get(path, headers=headers)).status_code == 403, headers


async def test_a_link_to_the_server_leads_to_the_workbench(api):
    answer = await api.get("/", headers=LINK)

    assert (answer.status_code, answer.headers["Location"]) == (302, "/workbench/")


async def test_a_frame_without_an_origin_gets_static_files(api):
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "cors", "origin": "null"}

    answer = await api.get("/static/workbench/frame/frame.css", headers=headers)
    content = b"".join([chunk async for chunk in answer.streaming_content])

    assert answer.status_code == 200
    assert content


@pytest.mark.parametrize("door", DOORS)
async def test_asking_what_an_address_takes_is_harmless(api, door):
    answer = await api.options(DOORS[door][0], headers=PICTURE | {"origin": "null"})

    assert answer.status_code == 204
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize(
    "headers", [{}, {"sec-fetch-site": "same-origin"}, {"sec-fetch-site": "none"}]
)
@pytest.mark.parametrize("door", ["azure, list", "sandbox", "rce", "backendai", "native", "root"])
async def test_programs_our_own_pages_and_people_read_at_every_door(api, door, headers):
    answer = await api.get(READ[door], headers=headers)

    assert answer.status_code == 200


@pytest.mark.parametrize(
    "headers", [{}, {"sec-fetch-site": "same-origin"}, {"origin": "http://testserver"}]
)
async def test_programs_and_our_own_pages_are_served(api, headers):
    path, body = DOORS["native"]

    answer = await api.post(path, body, content_type="application/json", headers=headers)

    assert answer.status_code == 201
