"""``python -m tests.scale measure [PART …]``: measure, and keep the figures in measured.json.
``python -m tests.scale write``: work out docs/scale.md's tables from them.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import sys

from tests.scale import figures

PARTS = ("sessions", "executions", "commits", "notices", "web", "ray")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.scale", description=__doc__)
    parser.add_argument("action", choices=["measure", "write"])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="usually all")
    parser.add_argument(
        "--best",
        action="store_true",
        help="measure: keep what was measured before where it is better",
    )
    given = parser.parse_args()
    if given.action == "write":
        from tests.scale import page

        page.write()
        return
    for part in given.parts or PARTS:
        found = asyncio.run(importlib.import_module(f"tests.scale.{part}").measure())
        figures.store(found, best=given.best)
        for name, figure in found.items():
            print(f"{name:<32}{figure.value:>12.4g} {figure.unit:<8}{figure.what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
