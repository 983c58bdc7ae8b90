"""A kernel's messages: what they say comes through, what is none is refused."""

from __future__ import annotations

import hmac
import json
from typing import Any

import pytest
from jupyter_client.session import Session

from sessions.kernels import messages
from sessions.kernels.messages import DELIMITER, BadMessage, MessageCodec
from sessions.kernels.outputs import output_of

KEY = b"key of the kernel"
HEADER = {"msg_id": "1", "msg_type": "stream"}
GOOD = [json.dumps(each).encode() for each in (HEADER, {"msg_id": "parent"}, {}, {"a": 1})]


@pytest.fixture
def codec() -> MessageCodec:
    return MessageCodec(KEY, "us")


def signed(parts: list[bytes], key: bytes = KEY) -> list[bytes]:
    """A message as a kernel could sign it, whatever it holds."""
    signature = hmac.new(key, b"".join(parts[:4]), "sha256").hexdigest().encode()
    return [DELIMITER, signature, *parts]


def with_part(number: int, value: Any) -> list[bytes]:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return signed([raw if at == number else part for at, part in enumerate(GOOD)])


def test_jupyter_reads_what_is_written(codec: MessageCodec) -> None:
    msg_id, frames = codec.write(
        "comm_msg",
        {"data": "ä"},
        metadata={"m": 1},
        buffers=[b"one", b"two"],
        header={"subshell_id": "s"},
    )
    theirs = Session(key=KEY)
    _, parts = theirs.feed_identities(frames)
    read = theirs.deserialize(parts)

    assert (read["msg_id"], read["msg_type"]) == (msg_id, "comm_msg")
    assert (read["content"], read["metadata"], read["parent_header"]) == (
        {"data": "ä"},
        {"m": 1},
        {},
    )
    assert [bytes(buffer) for buffer in read["buffers"]] == [b"one", b"two"]
    assert read["header"]["subshell_id"] == "s"


def test_what_jupyter_writes_is_read(codec: MessageCodec) -> None:
    theirs = Session(key=KEY)
    parent = theirs.msg("execute_request")
    sent = theirs.msg("stream", {"text": "ä"}, parent=parent, metadata={"m": 1})
    frames = theirs.serialize(sent, ident=[b"kernel.stream", b"other"])

    read = codec.read([*frames, b"buffer"])

    assert (read.type, read.parent_id) == ("stream", parent["msg_id"])
    assert (read.content, read.metadata) == ({"text": "ä"}, {"m": 1})
    assert read.buffers == [b"buffer"]


def test_each_message_has_an_id_of_its_own(codec: MessageCodec) -> None:
    ids = [codec.write("execute_request", {})[0] for _ in range(3)]

    assert len(set(ids)) == 3


@pytest.mark.parametrize(
    "frames",
    [
        signed(GOOD, key=b"another"),
        [DELIMITER, b"", *GOOD],
        [*signed(GOOD)[:-1], b'{"a": 2}'],
    ],
    ids=["another key", "none", "other content"],
)
def test_a_wrong_signature_is_refused(codec: MessageCodec, frames: list[bytes]) -> None:
    with pytest.raises(BadMessage, match="signature"):
        codec.read(frames)


def test_a_message_counts_once(codec: MessageCodec) -> None:
    codec.read(signed(GOOD))

    with pytest.raises(BadMessage, match="before"):
        codec.read(signed(GOOD))


def test_what_was_refused_may_still_come(codec: MessageCodec) -> None:
    """Somebody without the key cannot use up a signature."""
    good = signed(GOOD)
    with pytest.raises(BadMessage):
        codec.read([*good[:-1], b"{}"])

    assert codec.read(good).content == {"a": 1}


def test_old_signatures_are_forgotten(codec: MessageCodec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "MAX_REMEMBERED", 2)
    different = [with_part(3, {"number": number}) for number in range(4)]
    for frames in different:
        codec.read(frames)

    codec.read(different[0])
    with pytest.raises(BadMessage, match="before"):
        codec.read(different[3])


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [b"a", b"b"],
        [DELIMITER],
        [b"", DELIMITER, b"", b"", b"", b"", b""],
        signed(GOOD[:3]),
        *(with_part(at, value) for at in range(4) for value in ([], None, 7, "x", b"", b"{", b"\xff")),
        with_part(0, {"msg_id": "1"}),
        with_part(0, {"msg_id": "1", "msg_type": 7}),
        with_part(1, {"msg_id": ["x"]}),
        with_part(3, b'{"a": ' + b"9" * 10_000 + b"}"),
        with_part(3, b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    ],
)  # fmt: skip
def test_what_is_no_message_is_refused(codec: MessageCodec, frames: list[bytes]) -> None:
    with pytest.raises(BadMessage):
        codec.read(frames)


def test_what_has_too_many_parts_is_not_looked_at(codec: MessageCodec) -> None:
    bomb = b'{"data": [' + b"[]," * 300_000 + b"[]]}"

    message = codec.read(with_part(3, bomb))

    assert (message.type, message.parent_id, message.content) == ("stream", "parent", {})
    assert message.left_out == len(bomb) + len(GOOD[2])


@pytest.mark.parametrize("part", [0, 1])
def test_a_header_of_too_many_parts_is_refused(codec: MessageCodec, part: int) -> None:
    with pytest.raises(BadMessage, match="too many parts"):
        codec.read(with_part(part, {"a": [0] * 600_000}))


@pytest.mark.parametrize("text", ["1,2,3\n", '",[{', "\\,,", '\\",'])
def test_the_marks_in_a_text_are_no_parts(codec: MessageCodec, text: str) -> None:
    content = {"text": text * 600_000, "name": "stdout"}

    assert codec.read(with_part(3, content)).content == content


def test_quotes_that_never_end_take_no_time(codec: MessageCodec) -> None:
    with pytest.raises(BadMessage, match="not JSON"):
        codec.read(with_part(3, b'{"' + b'\\",' * 2_000_000))


def test_what_json_does_not_know_becomes_null(codec: MessageCodec) -> None:
    content = codec.read(with_part(3, b'{"a": [NaN, Infinity, -Infinity, 1.5]}')).content

    assert content == {"a": [None, None, None, 1.5]}


def test_half_characters_end_as_text_that_everybody_can_write(codec: MessageCodec) -> None:
    raw = b'{"name": "stdout", "text": "\\ud800 \xff"}'
    message = codec.read(with_part(3, raw))

    output = output_of(message.type, message.content, message.metadata, message.buffers)

    assert output is not None
    assert output[1]["text"] == "\ufffd \ufffd"
