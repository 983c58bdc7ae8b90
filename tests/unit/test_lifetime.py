"""What programs inherit of the process that starts them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.running import ROOT

# As in a worker of Ray's: the main thread is not ours, and SIGINT is blocked.
STARTS_A_PROGRAM = """
import signal, subprocess, threading
from sessions.engines.lifetime import let_interrupts_through

def starts_a_program():
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    let_interrupts_through()
    subprocess.run(["grep", "^Sig[BI]", "/proc/self/status"])

thread = threading.Thread(target=starts_a_program)
thread.start()
thread.join()
"""
SIGINT = 1 << 1


@pytest.mark.parametrize("before", [":", "trap '' INT"], ids=["as usual", "ignored"])
def test_programs_hear_of_interrupts(before):
    command = ["bash", "-c", f'{before}; exec "$@"', "bash", sys.executable, "-c", STARTS_A_PROGRAM]

    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    masks = {name: int(mask, 16) for name, mask in map(str.split, said.splitlines())}
    assert masks.keys() == {"SigBlk:", "SigIgn:"}
    assert not any(mask & SIGINT for mask in masks.values())
