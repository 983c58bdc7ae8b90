"""Events to console items."""

from __future__ import annotations

from typing import Any

from workbench.dialects.backendai.console import MAX_STREAM_CHARACTERS, console_of


def event(kind: str, **data: Any) -> dict[str, Any]:
    return {"type": kind, "data": data}


def stream(name: str, text: str) -> dict[str, Any]:
    return event("stream", name=name, text=text)


def shown(**bundle: Any) -> dict[str, Any]:
    mimes = {name.replace("__", "/").replace("_xml", "+xml"): it for name, it in bundle.items()}
    return event("display_data", data=mimes, metadata={}, display_id=None)


def test_nothing_is_an_empty_list():
    assert console_of([]) == []


def test_adjacent_pieces_of_a_stream_are_one_item_and_the_order_stays():
    events = [
        stream("stdout", "a"),
        stream("stdout", "b"),
        stream("stderr", "x"),
        stream("stdout", "c"),
    ]

    assert console_of(events) == [["stdout", "ab"], ["stderr", "x"], ["stdout", "c"]]


def test_a_value_is_text_with_an_end_of_line():
    events = [shown(text__plain="42"), stream("stdout", "next\n")]

    assert console_of(events) == [["stdout", "42\nnext\n"]]


def test_a_picture_is_media_with_a_data_uri_and_divides_a_stream():
    events = [
        stream("stdout", "a"),
        shown(text__plain="<Figure>", image__png="iVBO\nRw=="),
        stream("stdout", "b"),
    ]

    assert console_of(events) == [
        ["stdout", "a"],
        ["media", ["image/png", "data:image/png;base64,iVBORw=="]],
        ["stdout", "b"],
    ]


def test_svg_is_raw_media_and_html_an_item_of_its_own():
    assert console_of([shown(image__svg_xml="<svg/>", text__plain="x")]) == [
        ["media", ["image/svg+xml", "<svg/>"]]
    ]
    assert console_of([shown(text__html="<b>x</b>", text__plain="x")]) == [["html", "<b>x</b>"]]


def test_other_types_are_media():
    data = {"application/json": {"a": 1}}
    item = console_of([event("execute_result", data=data, metadata={}, execution_count=1)])

    assert item == [["media", ["application/json", '{"a": 1}']]]


def test_an_exception_is_its_traceback_on_stderr():
    error = event(
        "error", ename="ValueError", evalue="no", traceback=["Traceback", "ValueError: no"]
    )
    bare = event("error", ename="ValueError", evalue="no", traceback=[])

    assert console_of([error]) == [["stderr", "Traceback\nValueError: no\n"]]
    assert console_of([bare]) == [["stderr", "ValueError: no\n"]]


def test_a_prompt_is_output():
    events = [stream("stdout", "hi\n"), event("input_request", prompt="name? ", password=False)]

    assert console_of(events) == [["stdout", "hi\nname? "]]


def test_dropped_output_is_said():
    (item,) = console_of([event("truncated", dropped_bytes=7)])

    assert item[0] == "stderr"
    assert "7 bytes" in item[1]


def test_each_stream_is_cut_at_its_limit():
    half = "x" * (MAX_STREAM_CHARACTERS // 2 + 1)
    events = [stream("stdout", half), stream("stderr", half), stream("stdout", half)]
    items = console_of(events)

    assert [kind for kind, _ in items] == ["stdout", "stderr", "stdout"]
    assert len(items[0][1]) + len(items[2][1]) == MAX_STREAM_CHARACTERS
    assert len(items[1][1]) == len(half)
    assert console_of([stream("stdout", "y" * MAX_STREAM_CHARACTERS), stream("stdout", "z")]) == [
        ["stdout", "y" * MAX_STREAM_CHARACTERS]
    ]


def test_clearing_takes_nothing_back():
    events = [stream("stdout", "a"), event("clear_output", wait=False), stream("stdout", "b")]

    assert console_of(events) == [["stdout", "ab"]]
