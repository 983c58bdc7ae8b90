"""Sessions go where there is what they need: GPUs that nobody has, and labels.

The nodes say that they have GPUs, and have none: code is not walled in here, and is only told which
are its own. What it sees of real devices is in tests/kernel/test_gpu_devices.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cluster.running import RunningCluster
from tests.running import ROOT

pytestmark = pytest.mark.timeout(300)

# Where it is: below the directory of its node. And what CUDA is told.
LOOK = "import os; print(os.getcwd(), os.environ['CUDA_VISIBLE_DEVICES'], sep='|')"


@pytest.fixture(scope="module")
def cluster() -> Iterator[RunningCluster]:
    """A plain node, and one with two GPUs and a label."""
    alike = {"WORKBENCH_SANDBOX": "off", "WORKBENCH_LABELS": "disk=fast"}
    with RunningCluster(nodes=1, webs=1, **alike) as cluster:
        cluster.add_node("special", num_gpus=2, labels={"zone": "a"})
        cluster.webs[0].wait(2)
        yield cluster


@pytest.fixture
def api(cluster: RunningCluster) -> Iterator[httpx.Client]:
    """The native API; sessions that a test leaves are closed."""
    url = f"{cluster.webs[0].url}/api/v1/"
    with httpx.Client(base_url=url, trust_env=False, timeout=60) as api:
        yield api
        for each in api.get("sessions", params={"state": "live"}).json()["sessions"]:
            api.delete(f"sessions/{each['id']}").raise_for_status()


def opened(api: httpx.Client, identifier: str, **needs: Any) -> httpx.Response:
    return api.post("sessions", json={"identifier": identifier, **needs})


def looked(api: httpx.Client, identifier: str) -> tuple[str, str]:
    """The node that a session is on, and the GPUs that CUDA is told of there."""
    address = f"sessions/{identifier}/executions"
    ran = api.post(address, params={"wait": 60}, json={"code": LOOK}).json()
    assert ran["state"] == "succeeded", ran
    directory, _, gpus = ran["outputs"]["stdout"].strip().partition("|")
    (node,) = {"n0", "special"} & set(Path(directory).parts)
    return node, gpus


def test_gpus_are_had_by_one_session_each_until_all_are_in_use(api, cluster):
    answers = [opened(api, name, gpus=1).status_code for name in ("a", "b")]
    third = opened(api, "c", gpus=1)

    assert answers == [201, 201]
    assert looked(api, "a") == ("special", "0")
    assert looked(api, "b") == ("special", "1")
    assert (third.status_code, third.json()["code"]) == (429, "session_limit_reached")
    assert third.json()["detail"] == (
        "The session needs 1 GPU, and no machine has so many that are not in use. "
        "Close a session that has some, or try again later."
    )

    api.delete("sessions/a").raise_for_status()

    assert opened(api, "c", gpus=1).status_code == 201
    assert looked(api, "c") == ("special", "0")


def test_who_needs_no_gpu_has_none_wherever_it_is(api):
    for name in ("a", "b", "c", "d"):
        assert opened(api, name).status_code == 201

    assert {looked(api, name)[1] for name in ("a", "b", "c", "d")} == {""}


def test_labels_lead_to_the_machines_that_have_them(api):
    for name in ("a", "b", "c"):
        assert opened(api, name, labels={"zone": "a", "disk": "fast"}).status_code == 201

    assert {looked(api, name)[0] for name in ("a", "b", "c")} == {"special"}


@pytest.mark.parametrize("needs", [{"gpus": 3}, {"labels": {"zone": "b"}}])
def test_what_no_machine_has_is_refused_with_what_there_is(api, needs):
    refused = opened(api, "a", **needs)

    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_value")
    detail = refused.json()["detail"]
    assert detail.startswith("No machine here has what this session needs: ")
    assert "2 GPUs, disk=fast, zone=a" in detail
    assert " disk=fast" in detail.replace("GPUs, disk=fast", "")


def test_a_full_machine_is_told_from_one_that_is_missing(api):
    while (answer := opened(api, f"s{len(listed(api))}", labels={"zone": "a"})).status_code == 201:
        assert len(listed(api)) < 20

    assert answer.status_code == 429
    assert answer.json()["detail"].startswith(
        "The machines that have what this session needs run as many sessions as they may (6)."
    )
    assert opened(api, "elsewhere").status_code == 201


def test_operators_see_the_gpus_that_are_in_use(api, cluster):
    assert opened(api, "a", gpus=1).status_code == 201

    environment = {**os.environ, **cluster.settings, "WORKBENCH_RAY_ADDRESS": cluster.address}
    shown = subprocess.run(
        [sys.executable, "manage.py", "workbench", "cluster"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout

    gpus = {line.split()[0]: line for line in shown.splitlines()}
    assert " 1/2 " in gpus["special"]
    assert " disk=fast,zone=a " in gpus["special"]
    assert " - " in gpus["n0"]


def listed(api: httpx.Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.get("sessions", params={"state": "live"}).json()["sessions"]
    return found
