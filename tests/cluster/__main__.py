"""``python -m tests.cluster [options of pytest]``: its tests, with a cluster around them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.cluster import running
from tests.running import SERVERS

HERE = Path(__file__).parent


def run_within_one(options: list[str]) -> int:
    """The tests that share a cluster; pytest's exit code."""
    with running.RunningCluster() as cluster:
        running.current.append(cluster)
        # This process is one more web process of the cluster.
        os.environ |= {
            **cluster.settings,
            "WORKBENCH_RAY_ADDRESS": cluster.address,
            "WORKBENCH_DATA_DIR": str(cluster.directory / "tests"),
        }
        # What the cluster needs was imported before pytest could look at it.
        ignored = "ignore:Module already imported:pytest.PytestAssertRewriteWarning"
        return pytest.main([str(HERE), "-W", ignored, *options])


def run_alone(options: list[str], environment: dict[str, str]) -> dict[int, str]:
    """The tests that make clusters of their own: pytest's exit codes, and what it said."""
    told: dict[int, str] = {}
    for file in sorted((HERE / "alone").glob("test_*.py")):
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", str(file), *options],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        SERVERS.add(process.pid)
        said, _ = process.communicate()
        told[process.returncode] = told.get(process.returncode, "") + said
    return told


def main(options: list[str]) -> int:
    """Both at once, as much of it is waiting; an exit code."""
    with tempfile.TemporaryDirectory() as directory, ThreadPoolExecutor() as pool:
        # As it is now: their processes inherit none of what a cluster around this one needs.
        environment = {**os.environ, "WORKBENCH_DATA_DIR": directory}
        alone = pool.submit(run_alone, options, environment)
        codes = {run_within_one(options), *alone.result()}
        print(*alone.result().values())
    failed = codes - {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}
    return int(max(failed, default=min(codes)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
