"""Jupyter messages to outputs."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions.kernels.outputs import OutputLimit, clean, count_of, output_of, pieces
from sessions.states import EventType

STREAM = {"name": "stdout", "text": "hi\n"}


def text_of(outputs):
    return "".join(data["text"] for type_, data in outputs if type_ == EventType.STREAM)


def stream(text):
    return EventType.STREAM, {"name": "stdout", "text": text}


def test_stream_keeps_name_and_text():
    assert output_of("stream", STREAM, {}, []) == (EventType.STREAM, STREAM)


@pytest.mark.parametrize(
    "content",
    [
        None,
        [],
        {},
        {"name": "stdout"},
        {"name": "stdout", "text": 7},
        {"name": "stdin", "text": "x"},
        {"name": ["stdout"], "text": "x"},
    ],
)
def test_a_stream_of_another_shape_is_no_output(content):
    assert output_of("stream", content, {}, []) is None


@pytest.mark.parametrize(
    "msg_type", ["display_data", "execute_result", "error", "update_display_data", "comm_msg"]
)
def test_an_empty_message_is_no_output(msg_type):
    assert output_of(msg_type, {}, {}, []) is None


def test_unknown_messages_are_no_output():
    assert output_of("shutdown_reply", {"status": "ok"}, {}, []) is None


def test_display_data_carries_its_display_id():
    content = {"data": {"text/plain": "x"}, "metadata": {}, "transient": {"display_id": "d"}}

    _, data = output_of("display_data", content, {}, [])

    assert data == {"data": {"text/plain": "x"}, "metadata": {}, "display_id": "d"}


def test_mime_data_given_as_lines_is_joined():
    content = {"data": {"text/plain": ["a\n", "b"], "application/json": ["a", "b"]}}

    _, data = output_of("display_data", content, {}, [])

    assert data["data"] == {"text/plain": "a\nb", "application/json": ["a", "b"]}


def test_text_becomes_what_utf8_and_databases_can_hold():
    assert clean({"a\0": "b\ud800c"}) == {"a\ufffd": "b\ufffdc"}


def test_nesting_is_cut():
    deep = []
    for _ in range(200):
        deep = [deep]

    assert "…" in json.dumps(clean(deep), ensure_ascii=False)


def test_numbers_json_cannot_say_become_null():
    assert clean([float("nan"), float("inf"), 1.5]) == [None, None, 1.5]


def test_long_stream_output_becomes_several_events():
    text = "x" * 200_000

    cut = pieces(stream(text))

    assert max(len(data["text"]) for _, data in cut) <= 64 * 1024
    assert text_of(cut) == text


def test_output_within_the_limit_is_recorded_as_it_comes():
    limit = OutputLimit(100)

    assert limit.admit(stream("a" * 50)) == [stream("a" * 50)]
    assert limit.rest() == []


@given(st.lists(st.text("abcdef", min_size=1, max_size=40), max_size=60))
def test_head_and_tail_are_kept_and_the_rest_is_counted(texts):
    limit = OutputLimit(100)
    whole = "".join(texts)

    recorded = [output for text in texts for output in limit.admit(stream(text))] + limit.rest()

    dropped = sum(d["dropped_bytes"] for type_, d in recorded if type_ == EventType.TRUNCATED)
    kept = text_of(recorded)
    assert len(kept) + dropped == len(whole)
    assert kept[:50] == whole[:50]
    if dropped:
        assert len(kept) == 100
        assert kept[50:] == whole[-50:]


def test_a_display_too_large_for_the_limit_is_dropped_and_counted():
    limit = OutputLimit(100)
    image = EventType.DISPLAY_DATA, {"data": {"image/png": "x" * 500}, "metadata": {}}

    assert limit.admit(image) == []
    assert [type_ for type_, _ in limit.rest()] == [EventType.TRUNCATED]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(2**63 - 1, 2**63 - 1), (-(2**63), -(2**63)), (2**63, float(2**63)), (10**400, None)],
)
def test_integers_no_wire_carries_become_floats_or_null(value, expected):
    assert clean([value]) == [expected]


@pytest.mark.parametrize("count", [True, -1, 2**31, "1", 1.0, None])
def test_an_odd_execution_count_is_none(count):
    assert count_of(count) is None


def test_after_the_end_nothing_is_held_back_and_little_is_recorded():
    limit = OutputLimit(100)
    limit.end()

    admitted = [
        limit.admit((EventType.STREAM, {"name": "stdout", "text": "x" * 30})) for _ in "abc"
    ]

    assert [[type_ for type_, _ in each] for each in admitted] == [
        ["stream"],
        ["stream", "truncated"],
        [],
    ]


def test_bokehs_library_is_kept_once():
    """It comes as two types of 4 MB each, which together exceed an execution's output limit."""
    bundle = {"application/javascript": "x", "application/vnd.bokehjs_load.v0+json": "x"}

    output = output_of("display_data", {"data": bundle, "metadata": {}}, {}, [])

    assert output is not None
    assert list(output[1]["data"]) == ["application/vnd.bokehjs_load.v0+json"]
