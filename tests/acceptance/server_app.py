"""A small ASGI application behind our server: python server_app.py <max body bytes> <host:port>…"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from workbench.server import serve

CHUNK = b"x" * 65536
FLOOD_CHUNKS = 4096  # 256 MiB

# What the flooding handlers have handed over so far, how they ended, and where the last request
# says that the server is mounted.
progress: dict[str, Any] = {"sent": 0, "ended": 0, "disconnects": 0, "mounted_at": ""}


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    handlers = {
        "/upload": upload,
        "/flood": flood,
        "/progress": report,
        "/wait": wait,
        "/break": fail_midway,
    }
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await (flood_socket if scope["path"] == "/flood" else echo_socket)(receive, send)
    else:
        progress["mounted_at"] = scope["root_path"]
        await handlers[scope["path"]](receive, send)


async def answer(send: Any, value: dict[str, Any]) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(value).encode()})


async def upload(receive: Any, send: Any) -> None:
    """Count the body; then the answer, and after it a disconnect and nothing else."""
    size, messages, more = 0, 0, True
    while more:
        message = await receive()
        size, messages, more = size + len(message["body"]), messages + 1, message["more_body"]
    await answer(send, {"bytes": size, "messages": messages})
    progress["disconnects"] += (await receive())["type"] == "http.disconnect"


async def flood(receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    progress.update(sent=0)
    for _ in range(FLOOD_CHUNKS):
        await send({"type": "http.response.body", "body": CHUNK, "more_body": True})
        progress["sent"] += len(CHUNK)
    await send({"type": "http.response.body", "body": b""})
    progress["ended"] += 1


async def fail_midway(receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"half", "more_body": True})
    raise RuntimeError("the other half is missing")


async def wait(receive: Any, send: Any) -> None:
    """Never answer; notice that the client is gone."""
    await receive()
    progress["disconnects"] += (await receive())["type"] == "http.disconnect"


async def report(receive: Any, send: Any) -> None:
    await answer(send, progress)


async def flood_socket(receive: Any, send: Any) -> None:
    progress.update(sent=0)
    for _ in range(FLOOD_CHUNKS):
        await send({"type": "websocket.send", "bytes": CHUNK})
        progress["sent"] += len(CHUNK)
    await send({"type": "websocket.close"})
    progress["ended"] += 1


async def echo_socket(receive: Any, send: Any) -> None:
    """Each text comes back twice as long."""
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"] * 2})


def main() -> None:
    limit, *addresses = sys.argv[1:]
    pairs = [address.rsplit(":", 1) for address in addresses]
    serve(
        application,
        [(host, int(port)) for host, port in pairs],
        max_body_bytes=int(limit),
        ready=lambda: print("ready", flush=True),
    )


if __name__ == "__main__":
    main()
