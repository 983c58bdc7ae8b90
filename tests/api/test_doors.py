"""One session, many doors: made by one client, used by all, watched by a browser."""

import json

import pytest
from channels.routing import URLRouter

from sessions.routing import websocket_urlpatterns
from tests.api.sockets import Socket
from workbench.access.middleware import SocketAccess

pytestmark = pytest.mark.kernel

PROGRAM = b"print(open('numbers.txt').read().strip()[::-1])\nopen('made.txt', 'w').write('made')\n"


async def post(api, path, body):
    response = await api.post(path, json.dumps(body), content_type="application/json")
    assert response.status_code < 300, response.content
    return response.json()


async def upload(api, path, name, content):
    body = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="%s"\r\n\r\n%s\r\n--b--\r\n'
        % (name.encode(), content)
    )
    response = await api.post(path, body, content_type="multipart/form-data; boundary=b")
    assert response.status_code < 300, response.content


async def run_batch(api, name):
    """A Backend.AI batch run, followed to its end; what it printed."""
    body = {"mode": "batch", "code": "", "options": {"build": "true", "exec": "python main.py"}}
    printed = ""
    while True:
        result = (await post(api, f"/session/{name}", body))["result"]
        printed += "".join(text for kind, text in result["console"] if kind == "stdout")
        if result["status"] == "finished":
            assert result["exitCode"] == 0, printed
            return printed
        body = {"mode": "continue", "code": "", "runId": result["runId"]}


async def watch(name, until):
    """What a browser sees of the session, up to an event that ``until`` accepts."""
    router = SocketAccess(URLRouter(websocket_urlpatterns))
    socket = Socket(router, f"/ws/sessions/{name}/?since=0")
    assert (await socket.connect())[0]
    seen = []
    while not any(map(until, seen)):
        frame = await socket.receive_json_from()
        seen += frame.get("events", [])
    await socket.disconnect()
    return seen


async def test_one_session_through_every_door(api):
    name = (await post(api, "/sessions/create", {}))["session_id"]  # python_rce
    azure = f"api-version=2025-10-02-preview&identifier={name}"
    await upload(api, f"/files?{azure}", "numbers.txt", b"54321\n")  # Azure
    await upload(api, f"/session/{name}/upload", "main.py", PROGRAM)  # Backend.AI

    printed = await run_batch(api, name)
    await post(api, "/sessions/execute", {"session_id": name, "code": "x = 41"})
    azure_value = await post(api, f"/executions?{azure}", {"code": "x + 1"})
    sandbox_value = await post(api, f"/sandbox/{name}/execute", {"code": "print(x + 2)"})
    made = await api.get(f"/sandbox/{name}/files/download/-/made.txt")
    content = b"".join([chunk async for chunk in made.streaming_content])
    seen = await watch(name, lambda event: event["data"].get("text") == "43\n")

    assert printed == "12345\n"
    assert azure_value["result"]["executionResult"] == 42
    assert [event["data"]["text"] for event in sandbox_value["events"]] == ["43\n"]
    assert content == b"made"
    origins = {e["data"]["origin"] for e in seen if e["type"] == "execution_queued"}
    assert origins == {"rce", "azure", "sandbox", "backendai"}
    numbers = [event["number"] for event in seen]
    assert numbers == list(range(1, len(numbers) + 1))
    listed = (await api.get("/sessions/list")).json()["sessions"]
    assert {"session_id": name} in listed
