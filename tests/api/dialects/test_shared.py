"""Addresses of two contracts, and refusals before any view: worded by the contract all the same."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.django_db(transaction=True)

JSON = "application/json"
ELSEWHERE = {"Host": "evil.example"}


async def test_a_refused_creation_is_worded_by_backendai(async_client):
    for query, headers in (("&a" * 1001, {}), ("", ELSEWHERE)):
        answer = await async_client.post(f"/session?{query}", {}, JSON, headers=headers)

        assert answer.status_code == 400
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["type"].startswith("https://api.backend.ai/probs/")


@pytest.mark.parametrize("address", ["/session?identifier=s", "/session?api%2Dversion=1", "/files"])
async def test_a_foreign_host_is_refused_in_azures_words(async_client, address):
    answer = await async_client.post(address, {}, JSON, headers=ELSEWHERE)

    assert answer.status_code == 400
    assert answer.headers["x-ms-error-code"] == answer.json()["error"]["code"]
    assert "2025-10-02-preview" in answer.headers["api-supported-versions"]
