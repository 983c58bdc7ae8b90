"""What tests of a cluster share; `make test-cluster` runs them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model

from sessions import operations
from sessions.engines import close_engine
from sessions.engines.ray_cluster import cluster as cluster_of_process
from sessions.exceptions import WorkbenchError
from sessions.models import AuditEntry, Session
from sessions.operations import SessionRef
from tests.cluster import running
from tests.cluster.client import ClusterClient
from tests.cluster.running import RunningCluster

# Without a cluster around them there is nothing to run.
collect_ignore_glob = [] if running.current else ["test_*.py"]


@pytest.fixture(scope="session", autouse=True)
def process(django_db_blocker) -> Iterator[None]:
    """This one looks at the cluster as long as it runs, tests or not, and needs the rows for it."""
    with django_db_blocker.unblock():
        yield
        if cluster_of_process.cache_info().currsize:
            cluster_of_process().close()


@pytest.fixture
def _django_db_helper() -> None:
    """The database is the cluster's: not made, and not emptied behind the hosts' backs."""


@pytest.fixture
async def host(settings, transactional_db) -> AsyncIterator[None]:
    """The cluster whole, and without sessions."""
    running.current[0].be_whole()
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
    async for session in Session.objects.live():
        ref = SessionRef(owner_id=session.owner_id, identifier=str(session.id))
        with suppress(WorkbenchError):
            await operations.close_session(ref)
    await sync_to_async(_forget)()


def _forget() -> None:
    Session.objects.all().delete()
    AuditEntry.objects.all().delete()
    get_user_model().objects.all().delete()
