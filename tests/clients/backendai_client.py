"""What a script with Backend.AI's own client does, printed as JSON; run in the client's venv.

Arguments: the server's address, and a suffix for the names of sessions. The working directory should be empty: the client reads any
``.env`` from there upwards.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import aiohttp
from ai.backend.client.config import APIConfig
from ai.backend.client.exceptions import BackendAPIError
from ai.backend.client.session import AsyncSession, Session

CONFIG = APIConfig(
    endpoint=sys.argv[1],
    endpoint_type="api",
    access_key=os.environ["BACKEND_ACCESS_KEY"],
    secret_key=os.environ["BACKEND_SECRET_KEY"],
)
SUFFIX = sys.argv[2]
NAME = f"mysess-{SUFFIX}"
NESTED = "src/deep/a b_é.txt"
MAIN_C = """
#include <stdio.h>
int part(void);
int main(void) { printf("%d\\n", part()); return 5; }
"""


def refusal(act: Any) -> list[Any]:
    """Status and type of the error that ``act`` raises."""
    try:
        act()
    except BackendAPIError as error:
        return [error.status, error.data["type"].rpartition("/")[2], error.data.get("msg")]
    return ["no error"]


def loop(session: Any, mode: str, code: str, opts: dict[str, Any] | None = None) -> dict[str, Any]:
    """A run to its end, every prompt answered with ``Alice``."""
    told, console, exit_codes, run_id = [], [], [], None
    while True:
        reply = session.execute(run_id, code, mode=mode, opts=opts)
        run_id = reply["runId"]
        told.append(reply["status"])
        console += reply["console"]
        if reply["exitCode"] is not None:
            exit_codes.append(reply["exitCode"])
        if reply["status"] == "finished":
            break
        mode, code = ("input", "Alice") if reply["status"] == "waiting-input" else ("continue", "")
    streams = {
        name: "".join(data for kind, data in console if kind == name)
        for name in ("stdout", "stderr")
    }
    return {"told": told, "exit_codes": exit_codes, **streams}


def complete(session: Any) -> dict[str, Any]:
    """A completion; a fresh kernel may take longer than the server waits, and says: try again."""
    while True:
        try:
            answer: dict[str, Any] = session.complete(
                "pri", {"row": 0, "col": 3, "line": "pri", "post": ""}
            )
        except BackendAPIError as error:
            if error.status != 503:
                raise
        else:
            return answer


def run_code(session: Any) -> dict[str, Any]:
    """Queries and batches."""
    results = {
        "query": loop(session, "query", 'print("hello world"); x = 1; 1/0'),
        "input": loop(session, "query", "print('hi', input('name? '))"),
        "python": loop(session, "batch", "", {"clean": "*", "build": "*", "exec": "*"}),
        "failed": loop(session, "batch", "", {"build": "exit 7", "exec": "touch ran"}),
        "long": loop(session, "batch", "", {"exec": "echo a; sleep 5; echo b"}),
        "completed": complete(session),
    }
    session.interrupt()
    session.restart()
    results["restarted"] = loop(session, "query", "x")
    return results


def use_files(session: Any) -> dict[str, Any]:
    """There and back, and the limits."""
    for number in range(21):
        Path(f"f{number}").write_text("x")
    Path("large").write_bytes(b"x" * (1024 * 1024 + 1))
    many = [f"f{number}" for number in range(21)]
    uploaded = session.upload([NESTED, "main.py"], basedir=".").status
    return {
        "uploaded": uploaded,
        "many": refusal(lambda: session.upload(many, basedir=".")),
        "twenty": session.upload(many[:20], basedir=".").status,
        "large": refusal(lambda: session.upload(["large"], basedir=".")),
        "listed": [
            file["filename"] for file in json.loads(session.list_files("src/deep")["files"])
        ],
        "at_home": "main.py" in session.list_files("/home/work")["files"],
        "missing": refusal(lambda: session.list_files("nothing")),
        "downloaded": session.download(["main.py", "src"], dest="out"),
        "read": Path("out", NESTED).read_text(),
        "six": refusal(lambda: session.download(many[:6], dest="out2")),
        "absent": refusal(lambda: session.download(["nothing"], dest="out3")),
    }


async def stream(name: str, opts: dict[str, Any]) -> list[dict[str, Any]]:
    """A run over a socket."""
    frames = []
    async with AsyncSession(config=CONFIG) as client:
        session = await client.ComputeSession.get_or_create("python:3.11", name=name)
        async with session.stream_execute(mode="batch", opts=opts) as socket:
            async for message in socket:
                if message.type != aiohttp.WSMsgType.TEXT:
                    continue
                frames.append(json.loads(message.data))
                if frames[-1]["status"] == "waiting-input":
                    await socket.send_str("Alice")
                if frames[-1]["status"] == "finished":
                    break
    return frames


def main() -> dict[str, Any]:
    Path(NESTED).parent.mkdir(parents=True)
    Path(NESTED).write_text("nested")
    Path("main.py").write_text("print('hi ' + input('name? '))\nraise SystemExit(3)\n")
    Path("main.c").write_text(MAIN_C)
    Path("src/part.c").write_text("int part(void) { return 7; }\n")
    with Session(config=CONFIG) as client:
        compute = client.ComputeSession
        opened = compute.get_or_create("python:3.11", name=NAME)
        again = compute.get_or_create("python:3.11", name=NAME)
        results: dict[str, Any] = {
            "version": list(client.api_version),
            "created": [opened.created, again.created, opened.status],
            "same": opened.id == again.id,
            "taken": refusal(
                lambda: compute.get_or_create("python:3.11", name=NAME, no_reuse=True)
            ),
            "image": refusal(lambda: compute.get_or_create("nonsense", name=f"other-{SUFFIX}")),
            "files": use_files(opened),
            "runs": run_code(opened),
        }
        results["info"] = opened.get_info()
        results["logs"] = opened.get_logs()
        results["stream"] = asyncio.run(stream(NAME, {"exec": "*"}))
        c = compute.get_or_create("c:latest", name=f"csess-{SUFFIX}")
        c.upload(["main.c", "src/part.c"], basedir=".")
        results["c"] = loop(c, "batch", "", {"clean": "*", "build": "*", "exec": "*"})
        renamed = compute.get_or_create("python:3.11", name=f"old-{SUFFIX}")
        renamed.rename(f"new-{SUFFIX}")
        results["renamed"] = compute(f"new-{SUFFIX}").get_info()["sessionName"]
        results["destroyed"] = opened.destroy(forced=True)
        results["gone"] = refusal(opened.get_info)
        c.destroy()
        compute(f"new-{SUFFIX}").destroy()
    return results


if __name__ == "__main__":
    json.dump(main(), sys.stdout)
