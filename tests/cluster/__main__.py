"""``python -m tests.cluster [arguments of pytest]``: its tests, with a cluster around them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.cluster import running

if __name__ == "__main__":
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
        code = pytest.main([str(Path(__file__).parent), "-W", ignored, *sys.argv[1:]])
    sys.exit(code)
