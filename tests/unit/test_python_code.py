"""Python that sets variables, whatever is in their values."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions.exceptions import InvalidValue
from sessions.python_code import delete_variables, set_environment, set_variables

VALUES = st.text() | st.booleans() | st.integers() | st.floats(allow_nan=False)


@given(VALUES)
def test_a_variable_has_exactly_the_value_given(value):
    names: dict = {}
    exec(set_variables({"x": value}), names)

    assert (names["x"], type(names["x"])) == (value, type(value))


@given(st.text())
def test_code_is_one_line_of_plain_characters(value):
    code = set_variables({"x": value})

    assert code.isascii()
    assert code.isprintable()


def test_deleting_leaves_the_rest():
    names = {"x": 1, "y": 2}
    exec(delete_variables(["x", "never_there"]), names)

    assert (names.get("x"), names["y"]) == (None, 2)


def test_environment(monkeypatch):
    monkeypatch.setenv("WORKBENCH_TEST_VALUE", "")
    value = 'it\'s "quoted"\n%$é'
    exec(set_environment({"WORKBENCH_TEST_VALUE": value}), {})

    assert os.environ["WORKBENCH_TEST_VALUE"] == value


def test_nothing_to_set_is_no_code():
    assert (set_environment({}), set_variables({}), delete_variables([])) == ("", "", "")


@pytest.mark.parametrize(
    "name", ["", "1a", "a b", "a;b", "a.b", "class", "a'", "None", "a\n", "é-"]
)
def test_names_must_be_names(name):
    for make in (set_environment, set_variables, delete_variables):
        with pytest.raises(InvalidValue):
            make({name: "x"})


def test_names_are_read_as_python_reads_them():
    names: dict = {}
    exec(set_variables({"ﬁrst": 1}) + "\nsame = ﬁrst", names)

    assert names["same"] == 1
