"""Notebooks as files: what goes out is valid, what comes in is whole or refused in words."""

from __future__ import annotations

import ast
import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions.cell_outputs import WIDGET_STATE_TYPE, SessionOutputs
from sessions.exceptions import InvalidValue, NotebookFull
from sessions.models import Execution, Session
from sessions.notebook import Document, DocumentCell, NewCell, cut_to_fit
from sessions.notebook_files import from_ipynb, to_ipynb, to_python

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STREAM = {"output_type": "stream", "name": "stdout", "text": "hi\n"}
PICTURE = {
    "output_type": "display_data",
    "data": {"image/png": "iVBORw0K", "application/json": {"a": [1, None]}, "text/plain": "<x>"},
    "metadata": {"image/png": {"width": 3}},
}
ERROR = {"output_type": "error", "ename": "E", "evalue": "no", "traceback": ["\x1b[31mE\x1b[0m"]}
SHOWN_NUMBER = {"output_type": "display_data", "data": {"text/plain": 3}}
RESULT = {
    "output_type": "execute_result",
    "execution_count": 3,
    "data": {"text/plain": "42"},
    "metadata": {},
}


def a_cell(source: str = "", kind: str = "code", **more: Any) -> DocumentCell:
    return DocumentCell(uuid4(), kind, source, "1", **more)


def as_shown(cell: NewCell) -> DocumentCell:
    return a_cell(cell.source, cell.kind, metadata=cell.metadata, outputs=cell.outputs)


def a_document(*cells: DocumentCell, kernel_name: str = "python3", **more: Any) -> Document:
    session = Session(identifier="s", kernel_name=kernel_name)
    return Document(session, 1, more.pop("metadata", {}), list(cells), **more)


def an_execution(**more: Any) -> Execution:
    times = {"queued_at": NOW, "started_at": NOW, "finished_at": NOW}
    return Execution(origin="azure", state="succeeded", execution_count=7, **times, **more)


def valid(document: Document) -> dict[str, Any]:
    """The exported notebook, once nbformat itself has found nothing wrong with it."""
    ipynb = to_ipynb(document)
    nbformat.validate(nbformat.from_dict(ipynb))
    return json.loads(json.dumps(ipynb))


def round_trip(document: Document) -> list[tuple[str, str, list[Any]]]:
    _, cells = from_ipynb(json.dumps(valid(document)).encode())
    return [(cell.kind, cell.source, cell.outputs) for cell in cells]


def an_ipynb(*cells: Any, **more: Any) -> bytes:
    notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": list(cells), **more}
    return json.dumps(notebook).encode()


# Out


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60)
outputs = st.lists(st.sampled_from([STREAM, PICTURE, ERROR, RESULT]), max_size=3)
cells = st.builds(
    lambda kind, source, shown: a_cell(source, kind, outputs=shown if kind == "code" else []),
    st.sampled_from(["code", "markdown", "raw"]),
    texts,
    outputs,
)


@given(st.lists(cells, max_size=5))
def test_what_is_exported_is_valid_and_comes_back(found):
    expected = [(cell.kind, cell.source, cell.outputs) for cell in found]

    assert round_trip(a_document(*found)) == expected


def test_a_cells_last_run_is_in_its_metadata():
    [cell] = valid(a_document(a_cell("1", execution=an_execution())))["cells"]

    assert cell["execution_count"] == 7
    assert cell["metadata"]["workbench"]["origin"] == "azure"
    assert cell["metadata"]["execution"]["shell.execute_reply"] == "2026-01-01T00:00:00Z"


def test_the_kernel_is_named_as_jupyter_wants_it():
    spec = {"name": "bash", "display_name": "Bash", "language": "bash", "version": ""}

    metadata = to_ipynb(a_document(kernel_name="bash"), spec)["metadata"]

    assert metadata["kernelspec"] == {"name": "bash", "display_name": "Bash", "language": "bash"}
    assert metadata["language_info"] == {"name": "bash"}


def test_metadata_it_came_with_stay():
    metadata = {"kernelspec": {"name": "julia", "display_name": "Julia 1.9"}, "x": {"y": 1}}

    exported = valid(a_document(metadata=metadata))["metadata"]

    assert exported["kernelspec"]["name"] == "julia"
    assert exported["x"] == {"y": 1}


def test_what_the_format_forbids_is_left_out():
    """People and other programs write metadata and outputs; the file must be valid all the same."""
    bad_output = a_cell(outputs=[{"output_type": "dance"}, STREAM], metadata={"tags": "no list"})
    bad_files = a_cell(kind="markdown", metadata={"attachments": {"a.png": 3}})

    notebook = valid(a_document(bad_output, bad_files, metadata={"kernelspec": 3}))

    assert notebook["cells"][0]["outputs"] == [STREAM]


def test_a_command_can_be_run_again_in_jupyter():
    [cell] = valid(a_document(a_cell("ls -l", "command", outputs=[STREAM])))["cells"]

    assert (cell["source"], cell["outputs"]) == ("%%sh\nls -l", [STREAM])


def test_widgets_are_in_the_metadata():
    widgets = {"w": {"model_name": "IntSliderModel", "state": {"value": 3}}}

    metadata = valid(a_document(widgets=widgets))["metadata"]

    assert metadata["widgets"][WIDGET_STATE_TYPE]["state"]["w"]["state"] == {"value": 3}


def test_a_python_export_can_be_read_by_python():
    text = to_python(
        a_document(
            a_cell("# Title\n\nwords", "markdown"),
            a_cell("%matplotlib inline\nx = 1\nif x:\n    !ls"),
            a_cell("%%bash\nls"),
            a_cell("s = '''\n%not a magic\n'''"),
            a_cell("ls -l", "command"),
        )
    )

    ast.parse(text)
    assert "# %% [markdown]\n# # Title\n#\n# words\n" in text
    assert "# %%\n# %matplotlib inline\nx = 1\nif x:\n    pass  # !ls\n" in text
    assert "# %%bash\n# ls\n" in text
    assert "\n%not a magic\n" in text
    assert "# %% [command]\n# ls -l\n" in text


def test_code_of_other_languages_is_a_comment():
    spec = {"name": "bash", "display_name": "Bash", "language": "bash"}

    assert to_python(a_document(a_cell("echo $x")), spec) == "# %% [bash]\n# echo $x\n"


# In


def test_what_it_came_with_is_exported_again():
    cell = {
        "cell_type": "code",
        "id": "my-cell",
        "source": ["a = 1\n", "a"],
        "metadata": {"tags": ["x"]},
        "execution_count": 9,
        "outputs": [{**STREAM, "text": ["h", "i\n"]}],
    }
    metadata, [new] = from_ipynb(an_ipynb(cell, metadata={"title": "T"}))

    [again] = valid(a_document(as_shown(new)))["cells"]

    assert metadata == {"title": "T"}
    assert new.source == "a = 1\na"
    assert again == {**cell, "source": "a = 1\na", "outputs": [STREAM]}


def test_attachments_come_and_go_with_the_cell():
    files = {"a.png": {"image/png": "iVBORw0K"}}
    cell = {"cell_type": "markdown", "id": "a", "source": "", "metadata": {}, "attachments": files}

    _, [new] = from_ipynb(an_ipynb(cell))
    [again] = valid(a_document(a_cell(kind="markdown", metadata=new.metadata)))["cells"]

    assert again["attachments"] == files


def test_two_cells_with_one_id_get_two():
    twin = {"cell_type": "raw", "id": "a", "source": "", "metadata": {}}

    _, new = from_ipynb(an_ipynb(twin, twin))

    assert len({cell.metadata["workbench"]["id"] for cell in new}) == 2


def test_version_three_is_upgraded():
    old = {
        "nbformat": 3,
        "nbformat_minor": 0,
        "metadata": {"name": "old"},
        "worksheets": [
            {
                "metadata": {},
                "cells": [
                    {"cell_type": "heading", "level": 2, "source": ["Old"], "metadata": {}},
                    {
                        "cell_type": "code",
                        "language": "python",
                        "collapsed": False,
                        "metadata": {},
                        "input": ["print(1)"],
                        "prompt_number": 1,
                        "outputs": [
                            {"output_type": "stream", "stream": "stdout", "text": ["1\n"]},
                            {"output_type": "pyout", "prompt_number": 1, "text": ["2"]},
                        ],
                    },
                ],
            }
        ],
    }

    _, [heading, code] = from_ipynb(json.dumps(old).encode())

    assert (heading.kind, heading.source) == ("markdown", "## Old")
    assert (code.kind, code.source) == ("code", "print(1)")
    assert code.outputs[0] == {"output_type": "stream", "name": "stdout", "text": "1\n"}
    assert code.outputs[1]["data"] == {"text/plain": "2"}


def test_an_older_minor_version_without_ids_is_taken():
    cell = {"cell_type": "code", "source": "1", "metadata": {}, "outputs": []}

    _, [new] = from_ipynb(an_ipynb(cell, nbformat_minor=2))

    assert new.source == "1"


def test_what_many_programs_leave_out_is_added():
    result = {"output_type": "execute_result", "data": {"text/plain": "1"}}
    cell = {"cell_type": "code", "outputs": [result], "unknown": 1}

    _, [new] = from_ipynb(b"\xef\xbb\xbf" + an_ipynb(cell, metadata={"kernelspec": {"name": 3}}))

    assert (new.source, new.outputs[0]["data"]) == ("", {"text/plain": "1"})


def test_what_no_database_holds_is_replaced():
    cell = {"cell_type": "code", "source": "a\0b\ud800", "metadata": {"x": float("nan")}}

    _, [new] = from_ipynb(an_ipynb(cell))

    assert (new.source, new.metadata["x"]) == ("a\ufffdb\ufffd", None)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "not JSON"),
        (b"{", r"not JSON \(.*line 1"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[]", "not a JSON object"),
        (b"[" * 100_000, "nested too deeply"),
        (b"{}", "“nbformat” is missing"),
        (b'{"nbformat": true}', "“nbformat” is missing"),
        (b'{"nbformat": [4]}', "“nbformat” is missing"),
        (b'{"nbformat": 99}', "version 99"),
        (b'{"nbformat": 4}', "“cells” is missing"),
        (b'{"nbformat": 3}', "broken"),
        (b'{"nbformat": 3, "worksheets": 5, "metadata": {}}', "broken"),
        (an_ipynb(cells=7), "“cells” is missing, or no list"),
        (an_ipynb("x"), "cell 1 is no JSON object"),
        (an_ipynb({"cell_type": "dance"}), "cell 1 is neither"),
        (an_ipynb({"cell_type": []}), "cell 1 is neither"),
        (an_ipynb({"cell_type": "raw"}, {"cell_type": "raw", "source": 7}), "cell 2: "),
        (an_ipynb({"cell_type": "code", "outputs": {}}), "cell 1: "),
        (an_ipynb({"cell_type": "code", "outputs": [{"output_type": "stream"}]}), "cell 1"),
        (an_ipynb({"cell_type": "code", "outputs": [SHOWN_NUMBER]}), "cell 1, output 1: 3 is not"),
        (an_ipynb({"cell_type": "code", "metadata": []}), "broken"),
        (an_ipynb(metadata=[]), "broken"),
        (an_ipynb({"cell_type": "code", "execution_count": "x"}), "cell 1: "),
    ],
)
def test_a_broken_notebook_is_refused_in_words(content, sentence):
    with pytest.raises(InvalidValue, match=sentence) as refusal:
        from_ipynb(content)

    assert str(refusal.value).endswith(".")
    assert "\n" not in str(refusal.value)


def test_a_cell_that_is_too_long_is_refused():
    with pytest.raises(NotebookFull, match="1 MB"):
        from_ipynb(an_ipynb({"cell_type": "raw", "source": "x" * 1_000_001}))


CELL_FIELDS = ("source", "metadata", "outputs", "execution_count", "id", "attachments", "x")
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(
    st.fixed_dictionaries(
        {"nbformat": st.sampled_from([1, 2, 3, 4])},
        optional=dict.fromkeys(("nbformat_minor", "metadata", "cells", "worksheets"), json_values),
    )
)
def test_whatever_comes_in_is_taken_or_refused(notebook):
    with suppress(InvalidValue):
        metadata, new = from_ipynb(json.dumps(notebook).encode())
        valid(a_document(*map(as_shown, new), metadata=metadata))


@given(st.lists(st.dictionaries(st.sampled_from(CELL_FIELDS), json_values), max_size=3))
def test_whatever_cells_come_in_are_taken_or_refused(broken):
    with suppress(InvalidValue):
        _, new = from_ipynb(an_ipynb(*({"cell_type": "code", **cell} for cell in broken)))
        valid(a_document(*map(as_shown, new)))


def test_outputs_beyond_what_a_notebook_holds_are_not_copied():
    large = [{**STREAM, "text": "x" * 9_000_000}]
    _, cells = from_ipynb(an_ipynb(*[{"cell_type": "code", "outputs": large}] * 3))

    fitting = cut_to_fit(cells)

    assert [len(cell.outputs[0]["text"]) > 1_000 for cell in fitting] == [True, False, False]


# The log


def folded(*events: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    id_ = uuid4()
    outputs = SessionOutputs({id_})
    for type_, data in events:
        outputs.add(type_, data, id_)
    return outputs.of(id_)


def stream(text: str, name: str = "stdout") -> tuple[str, dict[str, Any]]:
    return "stream", {"name": name, "text": text}


def display(text: str, display_id: str | None = None, *, update: bool = False) -> tuple[str, Any]:
    data = {"data": {"text/plain": text}, "metadata": {}, "display_id": display_id}
    return "update_display_data" if update else "display_data", data


def test_pieces_of_one_stream_are_one_output():
    found = folded(stream("a"), stream("b"), stream("c", "stderr"), stream("d"))

    assert [output["text"] for output in found] == ["ab", "c", "d"]


def test_a_display_is_updated_wherever_it_is_and_by_whomever():
    first, second = uuid4(), uuid4()
    outputs = SessionOutputs({first})
    outputs.add(*display("old", "d"), first)
    outputs.add(*display("new", "d", update=True), second)

    assert [output["data"] for output in outputs.of(first)] == [{"text/plain": "new"}]


def test_outputs_are_cleared_at_once_or_when_the_next_comes():
    now = folded(stream("a"), ("clear_output", {"wait": False}), stream("b"))
    later = folded(stream("a"), ("clear_output", {"wait": True}))
    next_ = folded(stream("a"), ("clear_output", {"wait": True}), stream("b"), stream("c"))

    assert [[output["text"] for output in found] for found in (now, later, next_)] == [
        ["b"],
        ["a"],
        ["bc"],
    ]


def test_what_was_left_out_is_said():
    [output] = folded(("truncated", {"dropped_bytes": 12_345}))

    assert "12,345 bytes of output were left out" in output["text"]


def test_a_hostile_bundle_becomes_valid():
    data = {"data": {"text/html": {"a": 1}, "application/x+json": [1]}, "metadata": None}
    [output] = folded(("display_data", data))

    assert output["data"] == {"text/html": '{"a": 1}', "application/x+json": [1]}
    valid(a_document(a_cell(outputs=[output])))


def comm(kind: str, data: Any, id_: Any = "w", **more: Any) -> tuple[str, dict[str, Any]]:
    return "comm", {"kind": kind, "comm_id": id_, "data": data, "buffers": [], **more}


def test_widgets_are_followed_until_they_are_closed():
    outputs = SessionOutputs(set())
    state = {"_model_name": "IntSliderModel", "_model_module": "m", "value": 1}
    target = {"target_name": "jupyter.widget"}
    for event in (
        comm("open", {"state": state}, **target),
        comm("open", {"state": state}, "gone", **target),
        comm("msg", {"method": "update", "state": {"value": 2}}),
        comm(
            "msg",
            {"method": "update", "state": {}, "buffer_paths": [["pixels"]]},
            buffers=["AAAA"],
        ),
        comm("msg", {"method": "custom", "state": {"value": 4}}),
        comm("msg", {"state": {"value": 3}}, "unknown"),
        comm("msg", "nonsense"),
        comm("open", {"state": 1}, ["w"]),
        comm("close", {}, "gone"),
    ):
        outputs.add(*event, None)

    assert outputs.widgets.keys() == {"w"}
    assert outputs.widgets["w"]["state"]["value"] == 2
    assert outputs.widgets["w"]["model_name"] == "IntSliderModel"
    assert outputs.widgets["w"]["buffers"] == [
        {"encoding": "base64", "path": ["pixels"], "data": "AAAA"}
    ]


def test_a_widgets_binary_value_goes_with_the_next_one():
    outputs = SessionOutputs(set())
    update = {"method": "update", "state": {}, "buffer_paths": [["pixels"]]}
    outputs.add(*comm("open", {"state": {}}, target_name="jupyter.widget"), None)
    outputs.add(*comm("msg", update, buffers=["AAAA"]), None)
    outputs.add(*comm("msg", {"method": "update", "state": {"pixels": None}}), None)

    assert "buffers" not in outputs.widgets["w"]
    assert outputs.widgets["w"]["state"] == {"pixels": None}
