"""ZMTP, which ZeroMQ sockets speak over a connection: pure, no I/O.

Version 3.0 without security, https://rfc.zeromq.org/spec/23/, with the signs of life of 3.1
(https://rfc.zeromq.org/spec/37/), which libzmq answers in either. Who speaks to us may be hostile, and
zmq's own library is not made for that: some of what a peer may do when it is read slowly, such as
to ask for a sign of life and to leave, ends the whole process by an assertion (libzmq 4.3.5).

    ours:  greeting, READY, messages …        theirs:  greeting, READY, messages and commands …
"""

from __future__ import annotations

GREETING_BYTES = 64
# signature, version 3.0, mechanism, as a client, filler
GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
SUBSCRIBE_TO_ALL = b"\x00\x01\x01"  # a message of one frame: 1, and the prefix of nothing
# Of a frame, besides what is in it: many empty ones take little memory, but much time.
FRAME_COST = 4096
MAX_COMMAND_BYTES = 64 * 1024  # those that mean something here are far smaller
# Of what a PING wants to have back.
MAX_CONTEXT_BYTES = 16

_MORE, _LONG, _COMMAND = 1, 2, 4
_SHORT_HEADER, _LONG_HEADER = 2, 9


class WireError(Exception):
    """The peer does not speak as it should, or says too much; says why."""


def opening(socket_type: str, identity: bytes = b"") -> bytes:
    """What a socket sends first, without waiting for the other's; messages wait for READY."""
    properties = _property(b"Socket-Type", socket_type.encode())
    if identity:
        properties += _property(b"Identity", identity)
    return GREETING + _command(b"READY", properties)


def message(frames: list[bytes]) -> bytes:
    """The frames of one message, as they are sent."""
    sent: list[bytes] = []
    last = len(frames) - 1
    for number, frame in enumerate(frames):
        sent += (_header(_MORE if number < last else 0, len(frame)), frame)
    return b"".join(sent)


class Reader:
    """Takes what a peer sends apart. ``max_bytes`` is what one message may have.

    After each ``feed``, ``next`` is called until it has nothing more. ``answers`` is what is to be
    sent back for what it has read; whoever sends it empties it.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._data = b""
        self._at = 0
        self._is_greeted = False
        # Whether messages may be sent: before, libzmq hangs up on who sends some.
        self.is_ready = False
        # The message that has begun, and what it costs so far.
        self._frames: list[bytes] = []
        self._cost = 0
        # The frame that has begun: its flags, what has come of it, and how many bytes are missing.
        self._flags = 0
        self._begun = bytearray()
        self._missing = 0
        self._is_inside = False
        self.answers = bytearray()

    def feed(self, data: bytes) -> None:
        """What has come. Everything before must have been taken apart."""
        self._data, self._at = self._data[self._at :] + data, 0

    def next(self) -> list[bytes] | None:
        """The next message's frames, none for a command; None until more has come.

        Raises WireError.
        """
        if not self._is_greeted and not self._read_greeting():
            return None
        while self._is_inside or self._begin_frame():
            frame = self._rest_of_frame()
            if frame is None:
                return None
            if self._flags & _COMMAND:
                self._obey(frame)
                return []
            self._frames.append(frame)
            if not self._flags & _MORE:
                frames, self._frames, self._cost = self._frames, [], 0
                return frames
        return None

    # --- Internal -------------------------------------------------------------------------

    def _read_greeting(self) -> bool:
        if len(self._data) < GREETING_BYTES:
            return False
        greeting = self._data[:GREETING_BYTES]
        if greeting[0] != 0xFF or not greeting[9] & 1 or greeting[10] < 3:
            raise WireError("no greeting of ZMTP 3")
        if greeting[12:32].rstrip(b"\0") != b"NULL":
            raise WireError("another security mechanism than ours")
        self._at, self._is_greeted = GREETING_BYTES, True
        return True

    def _begin_frame(self) -> bool:
        """Read a frame's header, if it is there."""
        data, at = self._data, self._at
        if len(data) - at < _SHORT_HEADER:
            return False
        flags = data[at]
        if flags & _LONG:
            if len(data) - at < _LONG_HEADER:
                return False
            size = int.from_bytes(data[at + 1 : at + _LONG_HEADER], "big")
            self._at = at + _LONG_HEADER
        else:
            size = data[at + 1]
            self._at = at + _SHORT_HEADER
        if flags > (_MORE | _LONG | _COMMAND) or (flags & _COMMAND and flags & _MORE):
            raise WireError("a frame with flags that there are not")
        if not self.is_ready and not flags & _COMMAND:
            raise WireError("a message before READY")
        if flags & _COMMAND and size > MAX_COMMAND_BYTES:
            raise WireError("a command that is too large")
        self._cost += size + FRAME_COST
        if self._cost > self._max_bytes:
            raise WireError("a message that is too large")
        self._flags, self._missing, self._is_inside = flags, size, True
        return True

    def _rest_of_frame(self) -> bytes | None:
        piece = self._data[self._at : self._at + self._missing]
        self._at += len(piece)
        self._missing -= len(piece)
        if self._missing:
            self._begun += piece
            return None
        self._is_inside = False
        if self._begun:
            self._begun += piece
            piece, self._begun = bytes(self._begun), bytearray()
        return piece

    def _obey(self, body: bytes) -> None:
        self._cost -= len(body) + FRAME_COST
        size = body[0] if body else 0
        name, rest = body[1 : 1 + size], body[1 + size :]
        if name == b"READY":
            self.is_ready = True
        elif name == b"ERROR":
            raise WireError("the peer gave up")
        elif not self.is_ready:
            raise WireError("another command before READY")
        elif name == b"PING":  # two bytes say for how long; the rest goes back
            self.answers += _command(b"PONG", rest[2 : 2 + MAX_CONTEXT_BYTES])


def _header(flags: int, size: int) -> bytes:
    if size > 255:
        return bytes([flags | _LONG]) + size.to_bytes(8, "big")
    return bytes([flags, size])


def _command(name: bytes, data: bytes) -> bytes:
    body = bytes([len(name)]) + name + data
    return _header(_COMMAND, len(body)) + body


def _property(name: bytes, value: bytes) -> bytes:
    return bytes([len(name)]) + name + len(value).to_bytes(4, "big") + value
