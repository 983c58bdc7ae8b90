"""The first process inside the walls: everything inside ends when it does."""

from __future__ import annotations

import os
import select
import signal
from typing import NoReturn


def keep(kernel: int, lifeline: int, status: int) -> NoReturn:
    """Reap what ends, until the kernel does, or the host is gone; then end, and all with it.

    ``lifeline`` closes with the host. The kernel's wait status, four bytes, goes to ``status``.
    No code inside can end this process or look into it.
    """
    # The first of a namespace is spared all signals from inside but those it has a handler for;
    # and Python has some.
    for signum in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(signum, signal.SIG_DFL)
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    poll = select.poll()
    poll.register(lifeline, select.POLLIN)
    poll.register(reader, select.POLLIN)
    while True:
        _reap(kernel, status)
        for descriptor, _ in poll.poll():
            if descriptor == lifeline:
                os._exit(0)
            os.read(reader, 4096)


def _reap(kernel: int, status: int) -> None:
    while True:
        try:
            ended, wait_status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if ended == 0:
            return
        if ended == kernel:
            os.write(status, wait_status.to_bytes(4, "little"))
            os._exit(0)
