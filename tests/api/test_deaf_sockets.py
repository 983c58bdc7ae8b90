"""Sockets while the Redis that they should be woken by was never there."""

from __future__ import annotations

import io

import pytest

from files.operations import save_file
from sessions.models import Session
from tests.api.sockets import connected, events_until, frame_of
from tests.running import free_port


@pytest.mark.kernel
async def test_a_socket_sees_everything_and_only_later(host, settings):
    address = f"redis://127.0.0.1:{free_port()}"
    settings.CHANNEL_LAYERS = {
        "wakeups": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"prefix": "workbench:", "hosts": [{"address": address}]},
        }
    }
    async with connected("/ws/sessions/") as listed:
        await frame_of(listed, "live")
        await listed.send_json_to({"type": "open", "identifier": "s"})
        await frame_of(listed, "opened")
        async with connected("/ws/sessions/s/") as socket:
            await frame_of(socket, "live")
            await socket.send_json_to({"type": "execute", "code": "print('later')"})
            events = await events_until(socket, "execution_finished")
            session = await Session.objects.aget()
            await save_file(session.pk, "a", io.BytesIO(b"x"), origin="azure")
            files = await frame_of(socket, "files")

    await session.arefresh_from_db()
    assert files["version"] == session.files_version
    assert "later\n" in [event["data"].get("text") for event in events]
