"""A kernelspec may name another provisioner: its kernels are started and reached as that one says."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.provisioning.factory import KernelProvisionerFactory
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from sessions.exceptions import KernelspecNotFound
from sessions.kernels.host import Host
from sessions.outcomes import fold
from tests.hosts import NAMED, ROOT, newcomers, run, started_host

pytestmark = pytest.mark.kernel


class OverTcp(LocalProvisioner):
    """Has kernels listen at TCP ports, as those do that start them on other machines."""

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        assert self.parent is not None
        self.parent.transport, self.parent.ip = "tcp", "127.0.0.1"
        return await super().pre_launch(**kwargs)


@pytest.fixture
def factory() -> KernelProvisionerFactory:
    """jupyter_client's list of provisioners, with one more."""
    found = KernelProvisionerFactory.instance()
    value = f"{__name__}:{OverTcp.__name__}"
    found.provisioners["over-tcp"] = EntryPoint("over-tcp", value, found.GROUP_NAME)
    return found


@pytest.fixture
async def host(
    tmp_path: Path, before: dict[int, str], factory: KernelProvisionerFactory
) -> AsyncIterator[Host]:
    """A host with a kernel for each provisioner."""
    own = ROOT / ".venv-kernels/share/jupyter/kernels/python3/kernel.json"
    for name in ("local-provisioner", "over-tcp", "not-there"):
        spec = json.loads(own.read_text())
        spec["metadata"] = {"kernel_provisioner": {"provisioner_name": name}}
        folder = tmp_path / "other/share/jupyter/kernels" / name
        folder.mkdir(parents=True)
        (folder / "kernel.json").write_text(json.dumps(spec))
    prefixes = (ROOT / ".venv-kernels", tmp_path / "other")
    host = await started_host(tmp_path, prefixes=prefixes)
    yield host
    await host.stop()
    assert not newcomers(before), "a process outlived its host"


@pytest.mark.parametrize("provisioner", ["local-provisioner", "over-tcp"])
async def test_a_kernel_of_another_provisioner_runs_code(host, provisioner):
    await host.open_session(**NAMED, origin="test", kernel_name=provisioner)

    result = await run(host, "print(6 * 7)")

    assert result["state"] == "succeeded"
    assert fold(result["events"]).stdout == "42\n"


@pytest.mark.parametrize("provisioner", ["local-provisioner", "over-tcp"])
async def test_it_is_interrupted(host, provisioner):
    await host.open_session(**NAMED, origin="test", kernel_name=provisioner)

    result = await run(host, "import time; time.sleep(60)", timeout_seconds=0.5)

    assert result["state"] == "timed_out"
    assert (await run(host, "print(1)"))["state"] == "succeeded"


async def test_one_whose_provisioner_is_not_installed_is_no_kernel(host):
    with pytest.raises(KernelspecNotFound):
        await host.open_session(**NAMED, origin="test", kernel_name="not-there")

    assert "not-there" not in {spec["name"] for spec in await host.kernelspecs()}
