"""Notices a second: through a host's socket, and through Redis with its raw channel layer."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any, cast

from channels_redis.pubsub import RedisPubSubChannelLayer

from sessions.engines import wire
from sessions.engines.server import HostServer
from sessions.kernels.host import Host
from tests.scale.figures import Figure
from tests.scale.processes import cpu_seconds
from tests.scale.services import redis

PART = "notices"
TOPICS = 200
ROUNDS = 200


async def measure() -> dict[str, Figure]:
    """Both ways, both ends in one process: what it costs them together."""
    return await _through_socket() | await _through_redis()


async def _through_socket() -> dict[str, Figure]:
    topics = [f"topic-{number}" for number in range(TOPICS)]
    arrived = 0
    done = asyncio.Event()

    def receive(message: dict[str, Any]) -> None:
        nonlocal arrived
        arrived += len(message["notices"])
        if arrived == TOPICS * ROUNDS:
            done.set()

    with tempfile.TemporaryDirectory() as folder:
        path, server = Path(folder) / "host.sock", HostServer()
        await server.listen(cast(Host, object()), path)  # nobody calls it
        peer = wire.Peer(receive, lambda: None, other="the host")
        await asyncio.get_running_loop().create_unix_connection(lambda: peer, str(path))
        for topic in topics:
            peer.send({"subscribe": topic})
        await asyncio.sleep(0.5)
        began, cpu = time.perf_counter(), time.process_time()
        for number in range(ROUNDS):
            for topic in topics:
                server.tell({topic: number})  # as after a transaction of one session
            await asyncio.sleep(0)
        await done.wait()
        taken, cpu = time.perf_counter() - began, time.process_time() - cpu
        peer.hang_up()
        await server.close()
    count = TOPICS * ROUNDS
    return {
        "notices_socket": Figure(count / taken, "/s", "notices through a host's socket, one at a time, both ends in one process", PART),
        "notices_socket_cpu": Figure(cpu / count * 1e3, "ms", "CPU of one, both ends together", PART),
    }  # fmt: skip


async def _through_redis() -> dict[str, Figure]:
    with redis() as service:
        sender = RedisPubSubChannelLayer(hosts=[service.url])
        receiver = RedisPubSubChannelLayer(hosts=[service.url])
        channel = await receiver.new_channel()
        groups = [f"topic.{number}" for number in range(TOPICS)]
        for group in groups:
            await receiver.group_add(group, channel)
        count = TOPICS * ROUNDS // 4
        await _send(sender, receiver, channel, groups, ROUNDS // 20)  # everything connected
        used, began, cpu = cpu_seconds([service.pid]), time.perf_counter(), time.process_time()
        await _send(sender, receiver, channel, groups, ROUNDS // 4)
        taken, cpu = time.perf_counter() - began, time.process_time() - cpu
        used = cpu_seconds([service.pid]) - used
        await sender.flush()
        await receiver.flush()
    return {
        "notices_redis": Figure(count / taken, "/s", "notices through Redis (channels_redis, pub/sub), one publishing process, one reading, both in one", PART),
        "notices_redis_cpu": Figure(cpu / count * 1e3, "ms", "CPU of one, both ends together, without Redis", PART),
        "notices_redis_server_cpu": Figure(used / count * 1e3, "ms", "CPU of Redis for it, one reader", PART),
    }  # fmt: skip


async def _send(
    sender: RedisPubSubChannelLayer,
    receiver: RedisPubSubChannelLayer,
    channel: str,
    groups: list[str],
    rounds: int,
) -> None:
    async def read() -> None:
        for _ in range(rounds * len(groups)):
            await receiver.receive(channel)

    reading = asyncio.create_task(read())
    for number in range(rounds):
        sent = (sender.group_send(group, {"type": "n", "to": number}) for group in groups)
        await asyncio.gather(*sent)
    await reading
