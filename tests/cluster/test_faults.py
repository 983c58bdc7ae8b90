"""What goes away while code runs: a node, a host, a web process, Redis, PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx
import pytest
import websockets

from sessions import fleet
from sessions.models import Execution, Host, Session
from sessions.states import ExecutionState, HostState, SessionState
from tests.cluster.client import ClusterClient
from tests.cluster.running import RunningCluster
from tests.cluster.victim import log_of, victim_of
from tests.torture.checker import Told, violations
from tests.torture.rounds import play

pytestmark = pytest.mark.timeout(300)

SOON_SECONDS = 60.0  # for anything that happens in seconds on a machine that is not busy
WAITS = "import time; time.sleep(120)"


async def until(found: Any) -> Any:
    """What an asynchronous function gives, once that is something."""
    async with asyncio.timeout(SOON_SECONDS):
        while not (result := await found()):
            await asyncio.sleep(0.05)
    return result


async def post(api: ClusterClient, address: str, body: Any) -> Any:
    return await api.post(address, json.dumps(body), content_type="application/json")


async def run(api: ClusterClient, identifier: str, code: str) -> Any:
    return await post(api, f"/sandbox/{identifier}/execute", {"code": code})


async def opened(api: ClusterClient, *identifiers: str) -> dict[str, Session]:
    """Sessions by name, in each of which something was run."""
    for identifier in identifiers:
        answer = await run(api, identifier, "x = 1")
        assert answer.status_code == 200, answer.content
    return {row.identifier: row async for row in Session.objects.live()}


async def runs_in(session: Session) -> bool:
    running = Execution.objects.filter(session=session, state=ExecutionState.RUNNING)
    return await running.aexists()


def nothing_is_wrong(cluster: RunningCluster) -> None:
    with log_of(cluster) as log:
        assert violations(log, Told()) == []


async def test_sessions_are_spread_over_the_hosts(api, cluster):
    sessions = await opened(api, *(f"s{number}" for number in range(6)))

    hosts = [each.host for each in sessions.values()]
    assert {name: hosts.count(name) for name in hosts} == {"n0": 2, "n1": 2, "n2": 2}


async def test_what_ran_on_a_node_that_is_gone_is_lost_and_nothing_else(api, cluster):
    sessions = await opened(api, "a", "b", "c")
    gone = sessions["a"]
    others = [each for each in sessions.values() if each.host != gone.host]
    waiting = asyncio.create_task(run(api, "a", WAITS))
    quiet = [asyncio.create_task(run(api, each.identifier, "x += 1; x")) for each in others]
    await until(lambda: runs_in(gone))

    cluster.remove_node(gone.host)

    told = await waiting
    assert told.status_code == 503
    assert "Try again" in told.json()["error"]
    lost = Session.objects.filter(id=gone.id, state=SessionState.LOST)
    await until(lost.aexists)
    row = await lost.aget()
    assert row.reason == "The machine that it ran on is gone."
    ended = await Execution.objects.filter(session=gone).alatest("queued_at")
    assert ended.state == ExecutionState.LOST
    assert (await Host.objects.aget(name=gone.host)).state == HostState.GONE
    assert [(await each).status_code for each in quiet] == [200, 200]
    assert await Session.objects.live().acount() == 2
    nothing_is_wrong(cluster)
    anew = await run(api, "a", "print('x' in globals())")
    assert anew.json()["events"][0]["text"] == "False\n"


async def test_every_door_says_that_the_machine_does_not_answer(api, cluster):
    """Between the node's end and the loss of its sessions; each in its contract's shape."""
    session = (await opened(api, "a"))["a"]
    cluster.remove_node(session.host)

    async def is_away() -> bool:
        """Its processes notice a little later that their node is gone."""
        return (await run(api, "a", "1")).status_code == 503

    await until(is_away)
    azure = await post(
        api, "/executions?api-version=2025-10-02-preview&identifier=a", {"code": "1"}
    )
    backendai = await post(api, "/session/a", {"mode": "query", "code": "1", "runId": "r"})
    native = await post(api, "/api/v1/sessions/a/executions", {"code": "1"})

    # Who comes later hears of a session that is not there, or has a new one.
    assert {each.status_code for each in (azure, backendai, native)} <= {200, 201, 202, 404, 503}
    lost = Session.objects.filter(id=session.id, state=SessionState.LOST)
    await until(lost.aexists)


async def test_a_host_that_dies_is_made_anew_and_takes_its_sessions_back(api, cluster):
    session = (await opened(api, "a"))["a"]
    upload = await post(api, "/sandbox/a/execute", {"code": "open('kept.txt', 'w').write('kept')"})
    assert upload.status_code == 200
    waiting = asyncio.create_task(run(api, "a", WAITS))
    await until(lambda: runs_in(session))

    os.kill(cluster.host_process(session.host), signal.SIGKILL)

    assert (await waiting).status_code == 503
    stopped = Session.objects.filter(id=session.id, state=SessionState.STOPPED)
    await until(stopped.aexists)

    async def reads() -> Any:
        answer = await run(api, "a", "print(open('kept.txt').read())")
        return answer.status_code == 200 and answer.json()["events"]

    (event,) = await until(reads)
    assert event["text"] == "kept\n"
    assert (await Session.objects.live().aget(identifier="a")).id == session.id
    nothing_is_wrong(cluster)


@contextmanager
def hanging(cluster: RunningCluster, name: str) -> Iterator[None]:
    """A host lives, and does nothing, until it is let go on; Ray does not mind."""
    process = cluster.host_process(name)
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGCONT)


async def test_a_host_that_hangs_holds_up_only_its_own_sessions(api, cluster):
    sessions = await opened(api, "a", "b", "c", "d", "e", "f")
    hung = sessions["a"].host
    (closed,) = (name for name, each in sessions.items() if each.host == hung and name != "a")
    # Both web processes remember where it was.
    await opened(api, closed, closed)
    assert (await api.delete(f"/api/v1/sessions/{closed}")).status_code == 204

    async def is_healthy_without(name: str) -> bool:
        health = await api.get("/healthz")
        return health.status_code == 200 and name not in health.json()["hosts"]

    azure = "/executions?api-version=2025-10-02-preview&identifier=a"
    with hanging(cluster, hung):
        told = asyncio.gather(*(post(api, azure, {"code": "x = 2"}) for _ in range(2)))
        new = [closed, *(f"more{number}" for number in range(4))]
        more = await opened(api, *new)

        assert hung not in {more[name].host for name in new}
        assert not told.done()
        await until(lambda: is_healthy_without(hung))
        assert (await api.get("/metrics")).status_code == 200
        assert [each.status_code for each in await told] == [503, 503]
        assert all("Try again" in each.json()["error"]["message"] for each in await told)

    async def remembers() -> Any:
        answer = await run(api, "a", "print(x)")
        return answer.status_code == 200 and answer.json()["events"][0]["text"]

    assert await until(remembers) == "1\n"
    assert (await Host.objects.aget(name=hung)).state == HostState.UP
    nothing_is_wrong(cluster)


async def test_a_host_that_hangs_can_be_renewed(api, cluster):
    session = (await opened(api, "a"))["a"]
    life = (await Host.objects.aget(name=session.host)).life

    with hanging(cluster, session.host):
        await fleet.restart_host(session.host)

        async def is_renewed() -> bool:
            return (await Host.objects.aget(name=session.host)).life != life

        await until(is_renewed)

    async def runs_again() -> bool:
        return (await run(api, "a", "print(1)")).status_code == 200

    await until(runs_again)
    assert (await Session.objects.live().aget(identifier="a")).id == session.id
    nothing_is_wrong(cluster)


async def test_code_goes_on_when_its_web_process_dies(api, cluster):
    first, second = cluster.webs
    await opened(api, "a")
    address = "/executions?api-version=2025-10-02-preview&identifier=a"
    code = "import time\nfor i in range(20): print(i, flush=True); time.sleep(0.1)"
    body = {"code": code}
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        asked = asyncio.create_task(
            http.post(first.url + address, json=body, headers={"operation-id": "mine"})
        )
        session = await Session.objects.live().aget()
        await until(lambda: runs_in(session))

        await asyncio.to_thread(first.stop, signal.SIGKILL)

        with pytest.raises(httpx.TransportError):
            await asked
        ended = Execution.objects.filter(client_id="mine", state=ExecutionState.SUCCEEDED)
        await until(ended.aexists)
        answer = await http.get(second.url + address.replace("/executions", "/executions/mine"))
    assert answer.json()["result"]["stdout"] == "".join(f"{number}\n" for number in range(20))
    nothing_is_wrong(cluster)


async def test_a_socket_has_everything_while_redis_is_away_and_when_it_is_back(api, cluster):
    await opened(api, "a")
    web = cluster.webs[0]
    seen: list[dict[str, Any]] = []
    async with websockets.connect(
        f"ws://127.0.0.1:{web.port}/ws/sessions/a/", proxy=None, max_size=None
    ) as socket:

        async def prints(text: str) -> None:
            """Run something through the other process, and hear its end here."""
            await post(api, "/sandbox/a/execute", {"code": f"print({text!r})"})
            while True:
                frame = json.loads(await socket.recv())
                if frame["type"] == "events":
                    seen.extend(frame["events"])
                texts = [each["data"].get("text") for each in seen]
                if f"{text}\n" in texts and seen[-1]["type"] == "execution_finished":
                    return

        async def hears_of_a_file(name: str) -> None:
            """Make one through the other process, and hear of it here."""
            url = f"/api/v1/sessions/a/files/content?path={name}"
            assert (await api.put(url, b"x", content_type="text/plain")).status_code == 201
            while json.loads(await socket.recv())["type"] != "files":
                pass

        async with asyncio.timeout(SOON_SECONDS):
            await prints("before")
            await hears_of_a_file("before")
            cluster.redis.stop()
            await prints("meanwhile")
            await hears_of_a_file("meanwhile")
            cluster.redis.start()
            await prints("after")
            await hears_of_a_file("after")

    numbers = [each["number"] for each in seen]
    assert numbers == list(range(1, len(numbers) + 1))


async def test_nothing_is_lost_while_postgres_is_restarted(api, cluster):
    session = (await opened(api, "a"))["a"]
    code = "import time\nfor i in range(60): print(i, flush=True); time.sleep(0.05)"
    running = asyncio.create_task(run(api, "a", code))
    await until(lambda: runs_in(session))

    await asyncio.to_thread(cluster.postgres.stop)
    await asyncio.to_thread(cluster.postgres.start)

    async def ends() -> bool:
        ended = Execution.objects.filter(session=session, state=ExecutionState.SUCCEEDED)
        return await ended.acount() == 2

    async def asks() -> bool:
        from django.db import DatabaseError

        try:
            return await ends()
        except DatabaseError:
            return False

    await until(asks)
    answer = await running
    assert answer.status_code in (200, 503)
    texts = session.events.filter(type="stream").order_by("number").values_list("data", flat=True)
    text = "".join([data["text"] async for data in texts])
    assert text == "".join(f"{number}\n" for number in range(60))
    nothing_is_wrong(cluster)


async def test_half_a_character_is_refused_before_any_row_is_looked_for(api, cluster):
    for body in ({"code": "1", "client_id": "\ud800"}, {"code": "\ud800"}):
        answer = await post(api, "/api/v1/sessions/a/executions", body)
        assert answer.status_code in (400, 404, 422)
    opened_as = await post(api, "/api/v1/sessions", {"identifier": "\ud800"})
    assert opened_as.status_code == 400


async def test_two_machines_cannot_have_the_same_name(api, cluster):
    """Neither takes it from the other again and again."""
    before = await Host.objects.aget(name="n0")
    cluster.add_node("twin", host_name="n0")
    try:

        async def is_told() -> bool:
            return "Two machines have a host named 'n0'" in cluster.webs[0].log.read_text()

        await until(is_told)
        assert (await Host.objects.aget(name="n0")).life == before.life
        assert (await run(api, "a", "1")).status_code == 200
    finally:
        cluster.remove_node("twin")


async def test_rounds_of_faults_break_no_promise(host, cluster):
    result = await play(victim_of(cluster), [201, 202, 203, 204])

    assert result.problems == []
    assert result.events > 0
