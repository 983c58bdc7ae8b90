"""The client in docs/examples does what its words say, on the whole server."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.running import ROOT, RunningServer, http, made_key

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]


def loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("example_client", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CLIENT = loaded(ROOT / "docs/examples/client.py")


@pytest.fixture(scope="module")
def unstarted(tmp_path_factory: pytest.TempPathFactory) -> RunningServer:
    settings = {"WORKBENCH_WARM_KERNELS": "0", "WORKBENCH_ACCESS": "closed"}
    return RunningServer(tmp_path_factory.mktemp("client"), **settings)


@pytest.fixture(scope="module")
def key(unstarted: RunningServer) -> str:
    """What opens the server, which would not start before there is one."""
    return made_key(unstarted, "ada")["key"]


@pytest.fixture(scope="module")
def server(unstarted: RunningServer, key: str) -> Iterator[RunningServer]:
    with unstarted as running:
        yield running


@pytest.fixture
def session(server: RunningServer, key: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with CLIENT.Session(server.url, "example", key=key) as found:
        yield found
    with CLIENT.Session(server.url, "example", key=key) as left:
        left.close()


def test_it_runs_code_and_commands_and_moves_files(session):
    session.write("data/table.csv", b"a,b\n1,2\n")

    run = session.run("print(open('data/table.csv').read()); open('made', 'w').write('x'); 6 * 7")
    command = session.run_command("sh", "-c", "cat; exit 3", stdin="in")

    assert (run["state"], run["outputs"]["stdout"]) == ("succeeded", "a,b\n1,2\n\n")
    assert run["outputs"]["result"]["text/plain"] == "42"
    assert (command["exit_code"], command["outputs"]["stdout"]) == (3, "in")
    assert session.read("made") == b"x"
    assert {each["path"] for each in session.files()} == {"data", "made"}


def test_it_lists_the_sessions_of_its_key(server, key, session):
    assert [each["identifier"] for each in CLIENT.sessions(server.url, key=key)] == ["example"]
    with pytest.raises(CLIENT.WorkbenchError, match="state"):
        list(CLIENT.sessions(server.url, key=key, state="odd"))


def test_it_follows_answers_and_cancels(session):
    asked = session.submit("print('Hello', input())", allow_input=True)
    texts = []
    for event in session.events():
        if event["type"] == "input_request":
            session.answer("you")
        if event["type"] == "stream":
            texts.append(event["data"]["text"])
        if event["type"] == "execution_finished":
            break
    endless = session.submit("import time\nwhile True: print('more', flush=True); time.sleep(60)")
    assert next(session.output(endless)) == "more\n"
    session.cancel(endless)

    assert "".join(texts) == "Hello you\n"
    assert session.wait_for(asked)["state"] == "succeeded"
    assert session.wait_for(endless)["state"] == "interrupted"


def test_a_stream_ends_with_its_session(server, key, session):
    session.run("print('once')")
    watcher = CLIENT.Session(server.url, "example", key=key)
    log = watcher.events()
    first = next(log)
    session.close()

    rest = list(log)

    assert [event["number"] for event in [first, *rest]] == list(range(1, len(rest) + 2))
    assert rest[-1]["data"]["state"] == "closed"
    assert list(watcher.events(since=rest[-1]["number"])) == []
    with pytest.raises(CLIENT.WorkbenchError) as refused:
        watcher.run("1")
    assert (refused.value.code, refused.value.status) == ("session_ended", 409)
    watcher.leave()


def test_readers_that_leave_are_let_go(server, session):
    """As many as there are: what they held is free again, and the server answers."""
    for _ in range(20):
        assert next(session.events())["number"] == 1

    assert session.run("'alive'")["state"] == "succeeded"
    assert http.get(f"{server.url}/healthz").status_code == 200
