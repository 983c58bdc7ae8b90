"""The third-party bundles: what may be in them, and how much it is."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENDOR = ROOT / "static/vendor"
FIRST_LOAD = ("editor.js", "markdown.js")  # what a page loads at once, beside our own code
MAX_FIRST_LOAD_BYTES = 270 * 1024  # compressed; 350 with ours
# What would tell where it was built.
FOREIGN = re.compile(rb"registry\.(npmjs|yarnpkg)|node_modules/|sourceMappingURL=(?!data)")


def test_no_bundle_says_where_it_was_built() -> None:
    texts = [path for path in VENDOR.iterdir() if path.suffix in {".js", ".css", ".txt"}]

    assert len(texts) > 8
    assert [path.name for path in texts if FOREIGN.search(path.read_bytes())] == []


def test_the_lock_has_hashes_and_no_addresses() -> None:
    lock = json.loads((ROOT / ".setup/vendor/package-lock.json").read_text())

    packages = [entry for name, entry in lock["packages"].items() if name]
    assert all(entry["integrity"] for entry in packages)
    assert not any("resolved" in entry for entry in packages)


def test_every_bundled_package_has_its_licence_beside_it() -> None:
    licences = (VENDOR / "LICENSES.txt").read_text()
    wanted = json.loads((ROOT / ".setup/vendor/package.json").read_text())["dependencies"]

    assert [name for name in wanted if f"{name} " not in licences] == []


def test_the_first_load_stays_small() -> None:
    sizes = [len(gzip.compress((VENDOR / name).read_bytes())) for name in FIRST_LOAD]

    assert sum(sizes) < MAX_FIRST_LOAD_BYTES
