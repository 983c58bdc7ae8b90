"""What tests of a cluster share; `make test-cluster` runs them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model

from sessions import operations
from sessions.engines import close_engine
from sessions.exceptions import HostUnavailable, WorkbenchError
from sessions.models import AuditEntry, Session
from sessions.operations import SessionRef
from tests.cluster import running
from tests.cluster.client import ClusterClient
from tests.cluster.running import RunningCluster

CLOSE_SECONDS = 60.0
# Without a cluster around them there is nothing to run.
collect_ignore_glob = [] if running.current else ["test_*.py"]


@pytest.fixture(scope="session", autouse=True)
def process(django_db_blocker) -> Iterator[None]:
    """This one looks at the cluster as long as it runs, tests or not, and needs the rows for it."""
    with django_db_blocker.unblock():
        yield
        # Not imported above: a cluster of a test's own has to say first how one gets into it.
        from sessions.engines.ray_cluster import cluster as cluster_of_process

        if cluster_of_process.cache_info().currsize:
            cluster_of_process().close()


@pytest.fixture
def _django_db_helper() -> None:
    """The database is the cluster's: not made, and not emptied behind the hosts' backs."""


@pytest.fixture
async def host(settings, transactional_db) -> AsyncIterator[None]:
    """The cluster; when the test is over, whole again and without sessions."""
    yield
    await _close_all()
    await close_engine()


@pytest.fixture
def place() -> None:
    """Where files are: on the disks of the hosts."""


@pytest.fixture
def cluster(host) -> RunningCluster:
    """The cluster."""
    return running.current[0]


@pytest.fixture
async def api(host) -> AsyncIterator[ClusterClient]:
    """A client whose requests reach all web processes in turn."""
    client = ClusterClient([web.url for web in running.current[0].webs])
    yield client
    await client.aclose()


async def _close_all() -> None:
    """Close what hosts have, those too that come back only now; then forget it."""
    running.current[0].be_whole()
    async with asyncio.timeout(CLOSE_SECONDS):
        while left := await _what_is_left():
            for ref in left:
                with suppress(WorkbenchError):
                    await operations.close_session(ref)
            await asyncio.sleep(0.05)
    await sync_to_async(_forget)()


async def _what_is_left() -> list[SessionRef]:
    """The sessions of all hosts; not empty while this process does not know each of them."""
    try:
        said = await operations.survey()
    except HostUnavailable:
        said = []
    if len(said) < len(running.current[0].nodes):
        return [SessionRef(owner_id=None, identifier="of a host that does not answer")]
    sessions = [each for host in said for each in host["sessions"]]
    return [SessionRef(owner_id=each["owner_id"], identifier=each["id"]) for each in sessions]


def _forget() -> None:
    Session.objects.all().delete()
    AuditEntry.objects.all().delete()
    get_user_model().objects.all().delete()
