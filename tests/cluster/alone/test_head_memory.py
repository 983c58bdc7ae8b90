"""Ray's head goes away, and comes back with its memory, which it has in Redis."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest

from tests.cluster.user import MAKE, READ, User, user_of
from tests.services.redis import needs_redis

pytestmark = [pytest.mark.timeout(400), needs_redis]

# For how long Ray's own processes do without a head: a minute, otherwise.
PATIENCE = {"RAY_gcs_rpc_server_reconnect_timeout_s": "20"}


def test_with_its_memory_a_head_finds_everything_as_it_was():
    with user_of(head_remembers=True, ray_settings=PATIENCE) as user:
        assert user.run("c", MAKE).status_code == 200
        lives = lives_of(user)
        with ThreadPoolExecutor() as pool:
            waiting = pool.submit(user.prints, "c", "import time; time.sleep(5); x += 1; print(x)")

            user.cluster.kill_gcs()
            user.cluster.start_gcs()

            assert waiting.result() == "2\n"
        # It notices what comes and goes again.
        user.cluster.add_node("n2")
        user.until(lambda: user.get("/healthz").json().get("hosts") == ["n0", "n1", "n2"])
        user.cluster.remove_node("n2")
        user.until(lambda: user.hosts()["n2"] == "gone")

        # Now with what the web process has its part in Ray in.
        user.cluster.kill_head()
        assert user.prints("c", READ) == "kept True\n"
        user.cluster.start_head()

        user.until(lambda: "Ray has been started anew on this machine" in user.web.log.read_text())
        user.until(lambda: user.get("/healthz").json().get("hosts") == ["n0", "n1"])
        assert user.prints("c", READ) == "kept True\n"
        assert lives_of(user) == lives

        # For longer than Ray's processes do without it: then its memory is of nodes that have ended.
        user.cluster.kill_head()
        user.until(lambda: user.get("/healthz").status_code == 503)
        user.cluster.start_head()

        user.until(lambda: user.prints("c", READ) == "kept False\n")
        assert user.hosts() == {"n0": "up", "n1": "up", "n2": "gone"}
        assert user.nothing_is_wrong()


def lives_of(user: User) -> dict[str, UUID]:
    """Of each host that is up."""
    return dict(user.rows("select name, life from workbench_sessions_host where state = 'up'"))
