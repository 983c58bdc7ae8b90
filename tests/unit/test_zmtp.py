"""ZMTP's frames: what a real socket of zmq says is understood, and nothing else does harm."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions.kernels import zmtp
from sessions.kernels.zmtp import Reader, WireError

READY = zmtp.opening("DEALER")
MOST = 100_000


def read(reader: Reader, data: bytes) -> list[list[bytes]]:
    """All messages that are whole."""
    reader.feed(data)
    found = []
    while (frames := reader.next()) is not None:
        found += [frames] if frames else []
    return found


def command(name: bytes, data: bytes = b"", flags: int = 4) -> bytes:
    body = bytes([len(name)]) + name + data
    return bytes([flags, len(body)]) + body


messages = st.lists(st.lists(st.binary(max_size=400), min_size=1, max_size=5), max_size=5)


@given(messages, st.lists(st.integers(1, 300)))
def test_messages_come_out_as_they_went_in_wherever_they_were_cut(said, cuts):
    data = READY + b"".join(map(zmtp.message, said))
    reader, heard = Reader(MOST), []
    for cut in cuts:
        heard += read(reader, data[:cut])
        data = data[cut:]
    heard += read(reader, data)

    assert heard == said
    assert reader.is_ready


@given(st.binary(max_size=300), st.booleans())
def test_garbage_is_refused_or_waited_for(garbage, is_greeted):
    try:
        for frames in read(Reader(MOST), (READY if is_greeted else b"") + garbage):
            assert frames
    except WireError:
        pass


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"\x00" * 64, "greeting"),
        (READY.replace(b"\x7f\x03", b"\x7f\x02"), "greeting"),
        (READY.replace(b"NULL", b"PLAI"), "security"),
        (zmtp.GREETING + zmtp.message([b"early"]), "before READY"),
        (zmtp.GREETING + command(b"PING", b"\0\0"), "before READY"),
        (READY + b"\x08\x00", "flags"),
        (READY + command(b"PING", b"\0\0", flags=5), "flags"),
        (READY + command(b"ERROR"), "gave up"),
        (zmtp.GREETING + command(b"ERROR"), "gave up"),
        (READY + zmtp.message([b"x" * MOST]), "too large"),
        (READY + b"\x02" + b"\xff" * 8, "too large"),
        (READY + b"\x01\x00" * (MOST // zmtp.FRAME_COST + 1), "too large"),
        (READY + b"\x06" + (zmtp.MAX_COMMAND_BYTES + 1).to_bytes(8, "big"), "command"),
    ],
)
def test_who_does_not_speak_as_agreed_is_refused(said, why):
    with pytest.raises(WireError, match=why):
        read(Reader(MOST), said)


def test_a_sign_of_life_is_answered_with_what_it_wants_back():
    reader = Reader(MOST)

    assert read(reader, READY + command(b"PING", b"\0\7" + b"c" * 40)) == []
    assert reader.answers == command(b"PONG", b"c" * zmtp.MAX_CONTEXT_BYTES)


def test_each_command_is_a_turn_of_its_own():
    """Who sends nothing else does not hold up everybody by it."""
    reader = Reader(MOST)
    reader.feed(READY + command(b"") * 3)

    assert [reader.next() for _ in range(5)] == [[], [], [], [], None]


def test_commands_between_the_frames_of_a_message_cost_and_change_nothing():
    first, rest = b"\x01\x01a", b"\x00\x01b"
    between = command(b"SUBSCRIBE", b"x" * 200) * 100

    assert read(Reader(MOST), READY + first + between + rest) == [[b"a", b"b"]]
