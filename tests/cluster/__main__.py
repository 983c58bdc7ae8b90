"""``python -m tests.cluster [options of pytest]``: its tests, with a cluster around them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.cluster import running

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


def run_alone(options: list[str]) -> list[int]:
    """The tests that make clusters of their own; pytest's exit code for each file."""
    files = sorted((HERE / "alone").glob("test_*.py"))
    commands = ([sys.executable, "-m", "pytest", str(file), *options] for file in files)
    with tempfile.TemporaryDirectory() as directory:
        environment = {**os.environ, "WORKBENCH_DATA_DIR": directory}
        return [subprocess.run(command, env=environment).returncode for command in commands]


if __name__ == "__main__":
    # Before the others: their processes inherit none of what a cluster around this one needs.
    codes = [*run_alone(sys.argv[1:]), run_within_one(sys.argv[1:])]
    failed = set(codes) - {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}
    sys.exit(max(failed, default=min(codes)))
