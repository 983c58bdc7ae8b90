"""The sockets of one kernel: what it is told, and what it says."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from sessions.exceptions import KernelBusy
from sessions.kernels import zmtp
from sessions.kernels.connection import Connection
from sessions.kernels.flow import Flow
from sessions.kernels.messages import BadMessage, Message, MessageCodec

logger = logging.getLogger(__name__)

TYPES = {"iopub": "SUB", "shell": "DEALER", "stdin": "DEALER", "control": "DEALER"}
# Of one message. Outputs are large, and answers may be; prompts are not.
MAX_BYTES = {"iopub": 128 * 2**20, "shell": 128 * 2**20, "stdin": 8 * 2**20, "control": 8 * 2**20}
# Messages that are none, and bytes of them, before it is a flood; of the first few the log tells.
MAX_BAD_MESSAGES, MAX_BAD_BYTES, BAD_MESSAGES_LOGGED = 1_000, 64 * 1024 * 1024, 3


class Channels:
    """A kernel's sockets, each from ``open`` on, all until ``close``.

    ``on_message`` is called with a channel's name and each message on it; ``on_flood`` when what
    arrived was none too often; ``on_lost`` with the name of a channel whose connection was cut,
    by the kernel or for what it sent.
    """

    def __init__(
        self,
        name: str,
        codec: MessageCodec,
        *,
        identity: bytes,
        flow: Flow,
        on_message: Callable[[str, Message], None],
        on_flood: Callable[[], None],
        on_lost: Callable[[str], None],
    ) -> None:
        self._name = name
        self._codec = codec
        self._identity = identity
        self._flow = flow
        self._on_message = on_message
        self._on_flood = on_flood
        self._on_lost = on_lost
        self._sockets: dict[str, Connection] = {}
        # What arrived and was no message.
        self._bad_messages = self._bad_bytes = 0

    def open(self, channel: str, url: str, *, waits: bool = False) -> None:
        """Connect to a socket that the kernel has bound, or soon binds if it is no ``ipc`` one.

        ``waits``: the kernel waits if we do not take what it publishes. Others would drop it, so
        it is read far ahead of what is handled.
        """
        self._sockets[channel] = Connection(
            url,
            TYPES[channel],
            # Input requests come to the stdin socket with the shell socket's identity.
            identity=b"" if channel == "iopub" else self._identity,
            max_bytes=MAX_BYTES[channel],
            on_frames=lambda frames: self._read(channel, frames),
            on_lost=lambda: self._on_lost(channel),
            flow=self._flow if waits else None,
            reads_ahead=channel == "iopub" and not waits,
        )

    def send(
        self,
        channel: str,
        msg_type: str,
        content: dict[str, Any],
        *,
        metadata: dict[str, Any] | None = None,
        buffers: list[bytes] | None = None,
        header: dict[str, Any] | None = None,
    ) -> str:
        """Send a message, and return its id. Raises KernelBusy if the kernel takes none."""
        msg_id, frames = self._codec.write(
            msg_type, content, metadata=metadata, buffers=buffers, header=header
        )
        socket = self._sockets.get(channel)
        if socket is None or not socket.send(frames):
            raise KernelBusy("The kernel does not take messages.")
        return msg_id

    def close(self) -> None:
        """Hang up. Idempotent."""
        for socket in self._sockets.values():
            socket.close()
        self._sockets.clear()

    def _read(self, channel: str, frames: list[bytes]) -> None:
        try:
            self._on_message(channel, self._codec.read(frames))
        except BadMessage as error:
            self._count_bad(frames, error)
        except Exception:
            logger.exception("a message of kernel %s could not be handled", self._name)

    def _count_bad(self, frames: list[bytes], error: BadMessage) -> None:
        self._bad_messages += 1
        self._bad_bytes += sum(len(frame) + zmtp.FRAME_COST for frame in frames)
        if self._bad_messages <= BAD_MESSAGES_LOGGED:
            logger.warning("dropped a bad message of kernel %s: %s", self._name, error)
        if self._bad_messages > MAX_BAD_MESSAGES or self._bad_bytes > MAX_BAD_BYTES:
            self._on_flood()
