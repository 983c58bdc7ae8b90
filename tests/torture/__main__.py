"""``make torture``: many rounds of faults, and a report of what came of them.

    python -m tests.torture [--rounds 300] [--seed 1] [--report docs/reliability.md]

Each round has a seed; ``--rounds 1 --seed N`` plays round N alone. As root, the server's data lies
on a small disk of its own, in memory, that rounds fill up; it goes with this process.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.running import RunningServer
from tests.torture.faults import left_behind
from tests.torture.rounds import Result, Victim, play

DISK = "256m"
INSIDE = "WORKBENCH_TORTURE_INSIDE"  # set in the process that has mounts of its own


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.torture")
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1, help="of the first round")
    parser.add_argument("--report", type=Path, help="a file to write what came of it into")
    options = parser.parse_args()
    if os.geteuid() == 0 and INSIDE not in os.environ:
        # Mounts of our own: they are gone when we are, however we end.
        command = ["unshare", "--mount", "--propagation", "private", sys.executable]
        return subprocess.run(
            [*command, "-m", "tests.torture", *sys.argv[1:]], env={**os.environ, INSIDE: "1"}
        ).returncode
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="torture") as directory:
        data_dir = Path(directory) / "data"
        data_dir.mkdir()
        if INSIDE in os.environ:
            mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "torture", str(data_dir)]
            subprocess.run(mount, check=True)
        try:
            with RunningServer(data_dir) as server:
                seeds = list(range(options.seed, options.seed + options.rounds))
                result = asyncio.run(play(Victim.single(server), seeds, say=True))
            result.problems += [f"afterwards: {each}" for each in left_behind(data_dir)]
        finally:
            if INSIDE in os.environ:
                subprocess.run(["umount", str(data_dir)], check=True)
    report = _report(result, options.seed, time.monotonic() - began)
    print(report)
    if options.report:
        options.report.write_text(report)
    return 1 if result.problems else 0


def _report(result: Result, seed: int, seconds: float) -> str:
    faults = "\n".join(f"| {name} | {count} |" for name, count in sorted(result.faults.items()))
    problems = "\n".join(f"- {problem}" for problem in result.problems) or "None."
    today = datetime.datetime.now(datetime.UTC).date()
    return f"""# Reliability

What is promised: every event is in the log once, in order; what a client was told is what the rows say; nothing that has ended
says that it runs; nothing is left behind. `make torture` tries to break it: real servers, kernels and clients, real kills, a
database that others lock, a disk that is full, at moments that a seed chooses. Afterwards a reader that knows nothing of our code
looks at the log (`tests/torture/checker.py`). A short run is part of `make test`.

## The last long run

{today}: {result.rounds} rounds (seeds {seed} to {seed + result.rounds - 1}) in {seconds / 60:.0f} minutes,
{result.executions:,} executions answered or accepted, {result.events:,} events read by sockets meanwhile.

| fault | times |
| --- | --- |
{faults}

Broken promises: {problems}
"""


if __name__ == "__main__":
    sys.exit(main())
