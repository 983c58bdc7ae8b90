"""Ray's head goes away, for a moment or for long, and comes back without its memory."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.cluster.user import MAKE, READ, User, user_of
from tests.services.redis import needs_redis

pytestmark = [pytest.mark.timeout(400), needs_redis]

# For how long Ray's own processes do without a head: a minute, otherwise.
PATIENCE = {"RAY_gcs_rpc_server_reconnect_timeout_s": "10"}
DOORS = {
    "sandbox": ("/sandbox/a/execute", {"code": "1"}),
    "rce": ("/sessions/execute", {"session_id": "a", "code": "1"}),
    "azure": ("/executions?api-version=2025-10-02-preview&identifier=a", {"code": "1"}),
    "backendai": ("/session/a", {"mode": "query", "code": "1", "runId": "r"}),
    "native": ("/api/v1/sessions/a/executions", {"code": "1"}),
}


@pytest.fixture(scope="module")
def user() -> Iterator[User]:
    """Of a cluster whose head remembers nothing, as Ray is started usually."""
    with user_of(ray_settings=PATIENCE) as user:
        yield user


def test_all_goes_on_until_ray_ends_it_and_is_back_with_the_head(user):
    """The head is away for longer than Ray's processes do without it."""
    assert user.run("a", MAKE).status_code == 200
    before = user.sessions()["a"]

    user.cluster.kill_head()

    assert user.prints("a", "x += 1; print(x)") == "2\n"
    assert user.prints("new", "print('opened')") == "opened\n"
    assert user.get("/healthz").json()["status"] == "ok"
    user.until(lambda: "Ray's head does not answer" in user.web.log.read_text())

    user.until(lambda: user.get("/healthz").status_code == 503)
    for name, (address, body) in DOORS.items():
        answer = user.post(address, body)
        assert (name, answer.status_code) == (name, 503)
        assert "ry again" in answer.text
    assert user.run("never", "1").status_code == 503
    assert user.get("/livez").status_code == 200
    assert user.get("/api/v1/sessions").status_code == 200
    # Nobody says that it is gone.
    assert user.sessions()["a"] == before
    late = User(user.cluster, user.cluster.add_web())
    user.until(late.is_there)
    assert late.post(*DOORS["native"]).status_code == 503

    user.cluster.start_head()

    user.until(lambda: user.prints("a", READ) == "kept False\n")
    user.until(lambda: user.prints("new", "print('opened')"))
    assert user.sessions()["a"][0] == before[0]
    assert user.hosts() == {"n0": "up", "n1": "up"}
    late.until(lambda: late.prints("a", READ) == "kept False\n")
    late.close()
    assert user.nothing_is_wrong()


def test_a_head_that_has_forgotten_everything_ends_the_kernels_and_no_session(user):
    """It is back at once; Ray ends what it does not know."""
    assert user.run("b", MAKE).status_code == 200
    before = user.sessions()["b"]
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(user.run, "b", "import time; time.sleep(600)")
        user.until(lambda: user.sessions()["b"][1] == "busy")

        user.cluster.kill_head()
        user.cluster.start_head()

        user.until(waiting.done)
        assert waiting.result().status_code == 503
    user.until(lambda: user.prints("b", READ) == "kept False\n")
    assert user.sessions()["b"][0] == before[0]
    user.until(lambda: len(user.get("/healthz").json().get("hosts", ())) == 2)
    assert user.hosts() == {"n0": "up", "n1": "up"}
    assert user.nothing_is_wrong()
