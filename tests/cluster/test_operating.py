"""What operators do with a cluster, and what code in it must not see."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import Any

import pytest

from sessions import fleet, operations
from sessions.exceptions import Conflict
from sessions.models import Host, Session
from sessions.operations import SessionRef
from sessions.states import SessionState
from tests.cluster.test_faults import opened, run, until

pytestmark = pytest.mark.timeout(300)


async def test_a_drained_host_opens_no_sessions_and_keeps_those_it_has(api, cluster):
    sessions = await opened(api, "a", "b", "c")
    drained = sessions["a"].host
    await fleet.drain_host(drained)

    async def is_draining() -> bool:
        said = {each["host"]: each["is_draining"] for each in await operations.survey()}
        return said[drained]

    async def is_back() -> bool:
        return not await is_draining()

    try:
        await until(is_draining)
        more = await opened(api, *(f"more{number}" for number in range(6)))

        assert {each.host for name, each in more.items() if name.startswith("more")} == {
            each.host for each in sessions.values() if each.host != drained
        }
        assert (await run(api, "a", "print(x)")).json()["events"][0]["text"] == "1\n"
        assert await fleet.wait_until_empty(drained, 0) == 1
        assert await fleet.close_sessions(drained) == 1
        assert await fleet.wait_until_empty(drained, 30) == 0
    finally:
        await fleet.drain_host(drained, is_draining=False)
        await until(is_back)


async def test_a_host_that_is_renewed_takes_its_sessions_back_with_their_files(api, cluster):
    session = (await opened(api, "a"))["a"]
    assert (await run(api, "a", "open('f', 'w').write('kept')")).status_code == 200
    before = await Host.objects.aget(name=session.host)

    await fleet.restart_host(session.host)

    async def is_renewed() -> bool:
        return (await Host.objects.aget(name=session.host)).life != before.life

    await until(is_renewed)
    row = await Session.objects.aget(id=session.id)
    assert (row.state, row.reason[:40]) == (
        SessionState.STOPPED,
        "The kernel host was restarted by an oper",
    )

    async def reads() -> Any:
        answer = await run(api, "a", "print(open('f').read())")
        return answer.status_code == 200 and answer.json()["events"][0]["text"]

    assert await until(reads) == "kept\n"


async def test_names_and_ids_are_one_namespace_over_all_hosts(api, cluster):
    sessions = await opened(api, "a", "b", "c")
    a, b = (
        sessions["a"],
        next(each for each in sessions.values() if each.host != sessions["a"].host),
    )

    with pytest.raises(Conflict):
        await operations.rename_session(SessionRef(owner_id=None, identifier="a"), str(b.id))
    assert (await Session.objects.aget(id=a.id)).identifier == "a"


async def test_many_who_open_the_same_name_at_once_have_one_session(api, cluster):
    answers = await asyncio.gather(*(run(api, "same", "print(1)") for _ in range(8)))

    assert [each.status_code for each in answers] == [200] * 8
    assert await Session.objects.live().acount() == 1


async def test_code_sees_no_secret_of_the_cluster(api, cluster):
    code = (
        "import os, pathlib\n"
        "found = dict(os.environ)\n"
        "for path in pathlib.Path('/proc').glob('[0-9]*/environ'):\n"
        "    try: found[str(path)] = path.read_text()\n"
        "    except OSError: pass\n"
        "print(found)"
    )
    seen = (await run(api, "a", code)).json()["events"][0]["text"]

    secrets = [
        os.environ["RAY_AUTH_TOKEN"],
        cluster.settings["WORKBENCH_SECRET_KEY"],
        cluster.settings["WORKBENCH_DATABASE_URL"],
        cluster.settings["WORKBENCH_REDIS_URL"],
    ]
    assert "HOME" in seen
    assert not [each for each in secrets if each in seen]


def test_nobody_joins_without_the_token(cluster):
    joins = "import ray, sys; ray.init(address=sys.argv[1], logging_level='ERROR')"
    environment = {**os.environ, "RAY_AUTH_TOKEN": "0" * 64}

    refused = subprocess.run(
        [sys.executable, "-c", joins, cluster.address],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
    )

    assert refused.returncode != 0
    assert "token" in refused.stderr.lower() or "unauthenticated" in refused.stderr.lower()


async def test_measures_of_all_hosts_are_told_by_each_web_process(api, cluster):
    text = (await api.get("/metrics")).content.decode()

    for name in ("n0", "n1", "n2"):
        assert f'workbench_warm_kernels{{host="{name}"}}' in text
