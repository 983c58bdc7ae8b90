"""What makes a Python kernel wait for who reads it. Runs INSIDE kernels, once in each.

ipykernel publishes in a thread of its own, and lets code run ahead of that as far as memory goes;
what its socket does not take beyond a thousand messages is dropped without a word, and what is
printed in a fifth of a second is one message, however large. Here code waits where it puts
something out, as it would at a full pipe, and long texts go in pieces.

Its text is sent to the kernel: it imports nothing of ours.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import zmq
from ipykernel.iostream import (  # type: ignore[import-not-found, unused-ignore]
    IOPubThread,
    OutStream,
)

PIECE_LENGTH = 256 * 1024  # characters of a text in one message
MOST_UNSENT_LENGTH = 1024 * 1024  # characters of a stream, before who writes there waits
# Before who publishes more waits; as many again may wait in the socket. Few: each may be large.
MOST_UNSENT_MESSAGES = 16
SECONDS_TO_CHANGE = 10

_schedule_flush, _flush_buffers = OutStream._schedule_flush, OutStream._flush_buffers
_send_multipart, _schedule = IOPubThread.send_multipart, IOPubThread.schedule


def schedule_flush(stream: Any) -> None:
    """OutStream._schedule_flush, which ends each write: waits if much was written since the last."""
    _schedule_flush(stream)
    with stream._buffer_lock:  # those that it holds no more are closed
        unsent = sum(buffer.tell() for buffer in stream._buffers.values())
    if unsent >= MOST_UNSENT_LENGTH and _may_wait(stream.pub_thread):
        stream.flush()


def flush_buffers(stream: Any) -> Iterator[tuple[dict[str, Any], str]]:
    """OutStream._flush_buffers, in pieces."""
    for parent, text in _flush_buffers(stream):
        for start in range(0, len(text), PIECE_LENGTH):
            yield parent, text[start : start + PIECE_LENGTH]


def send_multipart(thread: Any, *args: Any, **kwargs: Any) -> None:
    """IOPubThread.send_multipart, waiting for those before."""
    if len(thread._events) > MOST_UNSENT_MESSAGES and _may_wait(thread):
        _wait_for(thread)
    _send_multipart(thread, *args, **kwargs)


def schedule(thread: Any, event: Callable[[], None]) -> None:
    """IOPubThread.schedule; the thread itself never waits for its own queue to have room."""
    if thread.thread is threading.current_thread():
        thread._events.append(event)
        thread.io_loop.add_callback(thread._handle_event, None)
    else:
        _schedule(thread, event)


def tee(channel: str) -> AbstractContextManager[None]:
    """InteractiveShell._tee, remembering nothing.

    IPython would keep all that is ever printed, for its ``%notebook``.
    """
    return nullcontext()


def be_patient(shell: Any) -> None:
    """Wait for readers, from now on; none may be connected yet.

    Raises AssertionError if that could not be had.
    """
    shell._tee = tee
    thread = shell.kernel.iopub_thread
    done = threading.Event()

    def change() -> None:
        _rebind(thread.socket)
        done.set()

    thread.schedule(change)
    assert done.wait(SECONDS_TO_CHANGE)
    IOPubThread.send_multipart, IOPubThread.schedule = send_multipart, schedule
    OutStream._schedule_flush, OutStream._flush_buffers = schedule_flush, flush_buffers
    # None: for ever. What is flushed after ten seconds would come behind the end of its execution.
    OutStream.flush_timeout = None


def _rebind(socket: Any) -> None:
    """Bind it again, as what may wait in a socket holds for readers of later bindings only."""
    socket.setsockopt(zmq.XPUB_NODROP, 1)
    socket.setsockopt(zmq.SNDHWM, MOST_UNSENT_MESSAGES)
    address = socket.last_endpoint.decode()
    socket.unbind(address)
    socket.bind(address)


def _may_wait(thread: Any) -> bool:
    """Whether somebody else sends: not in that thread itself, nor in a forked process."""
    return (
        thread is not None
        and thread.thread is not threading.current_thread()
        and thread.thread.is_alive()
        and thread._master_pid == os.getpid()
    )


def _wait_for(thread: Any) -> None:
    done = threading.Event()
    thread.schedule(done.set)
    while not done.wait(SECONDS_TO_CHANGE) and thread.thread.is_alive():
        pass
