"""Lock files: one holder, whose name can be read, until its last process ends."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from sessions.engines.locks import Held, holder, holding


def test_a_holder_is_named_for_as_long_as_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "lock"

    before = holder(path)
    with holding(path, "the first"):
        meanwhile = holder(path)
    after = holder(path)

    assert (before, meanwhile, after) == (None, "the first", None)


def test_a_second_holder_is_refused_and_told_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "lock"

    with holding(path, "the first"):
        with pytest.raises(Held) as refused, holding(path, "the second"):
            pass
        assert holder(path) == "the first"
    with holding(path, "3rd"):
        assert holder(path) == "3rd"

    assert refused.value.note == "the first"


def test_a_child_with_the_descriptor_holds_on(tmp_path: Path) -> None:
    path = tmp_path / "lock"

    with holding(path, "a family") as descriptor:
        child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[descriptor])
    alone = holder(path)
    child.communicate()

    assert (alone, holder(path)) == ("a family", None)


def test_other_children_do_not(tmp_path: Path) -> None:
    path = tmp_path / "lock"

    with holding(path, "me") as descriptor:
        assert not os.get_inheritable(descriptor)
