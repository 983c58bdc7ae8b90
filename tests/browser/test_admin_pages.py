"""The admin as operators have it open: it shows this moment, and goes on to."""

from __future__ import annotations

import re
import subprocess
import sys

import httpx
import pytest
from playwright.async_api import Page, expect

from tests.running import ROOT, RunningServer

PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="module")
def operator(server: RunningServer) -> str:
    """Somebody who may log in to the admin."""
    command = [sys.executable, "manage.py", "createsuperuser", "--noinput", "--username", "op"]
    environment = {**server.environment, "DJANGO_SUPERUSER_PASSWORD": PASSWORD}
    subprocess.run(
        [*command, "--email", "op@example.org"], cwd=ROOT, env=environment, check=True, timeout=60
    )
    return "op"


async def test_the_admin_shows_what_happens_without_a_reload(
    server: RunningServer, page: Page, operator: str, identifier: str
):
    api = httpx.AsyncClient(base_url=f"{server.url}/api/v1", timeout=30)
    opened = (await api.post("/sessions", json={"identifier": identifier})).json()
    await page.goto(f"{server.url}/admin/workbench_sessions/session/?q={identifier}")
    await page.get_by_label("Username").fill(operator)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Log in").click()
    state = page.locator(f'[data-session="{opened["id"]}"][data-live="state"]')
    memory = page.locator(f'[data-session="{opened["id"]}"][data-live="memory"]')
    await expect(memory).to_contain_text("MiB")

    await api.post(
        f"/sessions/{identifier}/executions", json={"code": "import time; time.sleep(999)"}
    )
    await expect(state).to_have_text("busy")

    await page.goto(f"{server.url}/admin/")
    # Of all sessions, others' too.
    await expect(page.locator('[data-live="running"]')).to_have_text(re.compile(r"[1-9]\d*"))

    await page.goto(f"{server.url}/admin/workbench_sessions/session/{opened['id']}/change/")
    now = page.locator('[data-live="now"]')
    await expect(now).to_contain_text("running for")
    await api.post(f"/sessions/{identifier}/interrupt")
    await expect(now).not_to_contain_text("running for")
    await expect(now).to_contain_text("of memory")
    await api.delete(f"/sessions/{identifier}")
    await api.aclose()
