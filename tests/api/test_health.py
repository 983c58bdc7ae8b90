"""Whether the server is there, and for whom."""

import pytest
from django.test import AsyncClient

from sessions.engines import close_engine, engine
from sessions.engines.inline import InlineEngine
from sessions.exceptions import HostUnavailable
from tests.api.doors import Question, ask

pytestmark = pytest.mark.django_db(transaction=True)


async def test_health_is_ok_once_code_can_run(api):
    response = await api.get("/healthz")

    assert (response.status_code, response.json()["status"]) == (200, "ok")


async def test_health_without_a_host_says_how_to_start_one(settings):
    settings.WORKBENCH_ENGINE = "local"

    response = await AsyncClient().get("/healthz")

    assert response.status_code == 503
    assert "python manage.py workbench" in response.json()["status"]


async def test_a_process_lives_without_a_host_and_a_database(settings, monkeypatch):
    def connect(*_: object) -> None:
        raise AssertionError("livez asked the database")

    settings.WORKBENCH_ENGINE = "local"
    monkeypatch.setattr(
        "django.db.backends.base.base.BaseDatabaseWrapper.ensure_connection", connect
    )

    answer = await ask(Question("GET", "/livez"))

    assert (answer.status, answer.json()) == (200, {"status": "ok"})


async def test_a_data_directory_has_one_host_in_scripts_too(host):
    """A second one would end what the first has in control groups."""
    other = InlineEngine()
    await engine().call("health")

    with pytest.raises(HostUnavailable, match=r"\(process \d+\) runs for this data directory"):
        await other.call("health")
    await close_engine()

    assert (await other.call("health"))["sessions"] == 0
    await other.close()


async def test_a_foreign_host_name_is_refused_in_words():
    """A page of another site could have its name point here (DNS rebinding)."""
    response = await AsyncClient().get("/healthz", headers={"Host": "rebound.example"})

    assert response.status_code == 400
    assert "WORKBENCH_ALLOWED_HOSTS" in response.json()["error"]["message"]
