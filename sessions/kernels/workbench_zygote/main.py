"""The zygote itself: waits for requests, and forks a kernel for each.

It makes no thread, no event loop and no zmq context: a fork would inherit them broken.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import traceback
from contextlib import suppress
from typing import Any, NoReturn

from . import keeper, kernel, system, walls

_MAX_DESCRIPTORS = 8
# Where there is too little memory, a session ends before the server; and the kernel before its
# keeper, which tells how it ended.
_OOM_SCORE = "500"


def serve(descriptor: int) -> None:
    """Answer requests until the host closes the other end, or is gone.

    The first message tells what to import; the answers, what is being imported, and when that is
    done.
    """
    channel = socket.socket(fileno=descriptor)
    channel.set_inheritable(False)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # who is forked here is reaped by the system
    asked = json.loads(channel.recv(65_536))
    missing = kernel.preimport(asked["modules"], lambda name: _tell(channel, importing=name))
    unprepared = ""
    if asked["prepare"]:
        _tell(channel, importing=asked["prepare"])
        unprepared = kernel.prepare()
    kernel.freeze()
    _tell(channel, missing=missing, unprepared=unprepared)
    while True:
        try:
            message, descriptors, _, _ = socket.recv_fds(channel, 32, _MAX_DESCRIPTORS)
        except ConnectionError:  # the host was killed, with answers of ours unread
            return
        if not message:
            return
        try:
            process = os.fork()
        except OSError as error:
            _tell(channel, birth=int(message), failed=str(error))
        else:
            if process == 0:
                _give_birth(channel, int(message), descriptors)
        for each in descriptors:
            os.close(each)


def _tell(channel: socket.socket, **what: Any) -> None:
    """Tell the host; one that was killed meanwhile needs to know nothing."""
    with suppress(ConnectionError):
        channel.send(json.dumps(what).encode())


def _give_birth(channel: socket.socket, number: int, descriptors: list[int]) -> NoReturn:
    """In the first fork: leave, fork once more, and tell the host of that one."""
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        about, lifeline, status, complaints = descriptors
        with open(about, "rb") as file:
            request = json.load(file)
        walls.leave(own_user=os.geteuid() != 0, network=request["network"])
        first = os.fork()
        if first == 0:
            channel.close()
            _be_first(request, lifeline, status, complaints)
        process = os.pidfd_open(first)
        socket.send_fds(channel, [json.dumps({"birth": number}).encode()], [process])
    except BaseException as error:
        with_type = f"{type(error).__name__}: {error}"
        _tell(channel, birth=number, failed=with_type[:1000])
    os._exit(0)


def _be_first(request: dict[str, Any], lifeline: int, status: int, complaints: int) -> NoReturn:
    """The first process inside: build the walls, fork the kernel, and keep it."""
    try:
        os.dup2(complaints, 2)
        if os.read(lifeline, 1) != b"!":  # it counts against its limits from now on
            os._exit(0)
        walls.build(request)
        system.give_up_privileges(request["uid"])
        child = os.fork()
        if child:
            os.dup2(os.open("/dev/null", os.O_RDWR), 2)
            system.set_dumpable(on=False)
            keeper.keep(child, lifeline, status)
        _be_kernel(request)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        os._exit(code & 0xFF)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _be_kernel(request: dict[str, Any]) -> None:
    os.setsid()
    system.set_dumpable(on=True)
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write(_OOM_SCORE)
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)  # what counts comes through iopub
    os.closerange(3, 1024)
    if request["filter"]:
        system.filter_calls(bytes.fromhex(request["filter"]))
    kernel.run(request)
