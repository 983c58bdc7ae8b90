"""What a session may use: sizes, what it may ask for, and the sentences."""

from __future__ import annotations

import pytest

from sessions.exceptions import InvalidValue
from sessions.kernels.limits import (
    Limits,
    default_memory_bytes,
    machine_memory_bytes,
    parse_count,
    parse_size,
    size_text,
)

GIB = 1024**3
SERVER = Limits(memory_bytes=2 * GIB, processes=256, open_files=1024, file_bytes=GIB)


class Group:
    """A control group in which so many processes were ended for want of memory."""

    def __init__(self, kills: int) -> None:
        self._kills = kills

    def oom_kills(self) -> int:
        return self._kills


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4096", 4096),
        ("1k", 1024),
        ("512m", 512 * 1024**2),
        (" 2G ", 2 * GIB),
        ("1.5 GiB", 3 * GIB // 2),
        ("1TB", 1024 * GIB),
        ("0", None),
        ("none", None),
    ],
)
def test_sizes_are_written_with_units_of_1024(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "g", "-1", "2x", "1e9", "2 2g", "²g"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(InvalidValue, match="no size"):
        parse_size(text)


def test_counts_are_numbers_or_none():
    assert [parse_count(text) for text in ("256", "none", "0")] == [256, None, None]
    with pytest.raises(InvalidValue):
        parse_count("many")


@pytest.mark.parametrize(
    ("size", "text"),
    [(None, "no limit"), (700, "700 bytes"), (1536 * 1024, "1.5 MiB"), (2 * GIB, "2 GiB")],
)
def test_sizes_are_shown_short(size, text):
    assert size_text(size) == text


def test_a_session_may_ask_for_less():
    limits = SERVER.within({"memory_bytes": GIB, "cpu_weight": 50})

    assert (limits.memory_bytes, limits.cpu_weight) == (GIB, 50)
    assert limits.processes == 256


def test_a_session_may_ask_for_what_has_no_limit():
    assert Limits.none().within({"tmp_bytes": GIB}).tmp_bytes == GIB


@pytest.mark.parametrize(
    "asked",
    [
        {"memory_bytes": 3 * GIB},
        {"memory_bytes": 1},
        {"memory_bytes": "1g"},
        {"processes": 0},
        {"processes": True},
        {"cpu_weight": 101},
        {"cpu_weight": 0},
        {"open_files": None},
        {"gpus": 1},
    ],
)
def test_a_session_may_not_ask_for_more_or_for_nonsense(asked):
    with pytest.raises(InvalidValue):
        SERVER.within(asked)


def test_a_refusal_names_the_bounds_and_the_setting():
    with pytest.raises(InvalidValue) as refusal:
        SERVER.within({"memory_bytes": 3 * GIB})

    assert "64 MiB to 2 GiB" in str(refusal.value)
    assert "WORKBENCH_SESSION_MEMORY" in str(refusal.value)


def test_limits_nobody_could_live_with_are_refused_as_settings():
    SERVER.check()
    with pytest.raises(InvalidValue):
        Limits(memory_bytes=1000).check()
    with pytest.raises(InvalidValue):
        Limits(cpu_weight=20_000).check()


def test_limits_travel_as_plain_data():
    assert Limits(**SERVER.to_wire()) == SERVER


def test_a_processs_limits_leave_to_the_group_what_the_group_can_do():
    limited = SERVER.rlimits(counts_processes=True, measures_memory=True)

    assert limited == {"core": 0, "nofile": 1024, "fsize": GIB, "nproc": 256}


def test_without_a_group_what_a_process_may_allocate_is_limited():
    limited = SERVER.rlimits(counts_processes=False, measures_memory=False)

    assert limited["data"] == 4 * GIB
    assert "nproc" not in limited


def test_without_limits_only_core_dumps_are_off():
    assert Limits.none().rlimits(counts_processes=True, measures_memory=False) == {"core": 0}


@pytest.mark.parametrize("code", [-9, 137])
def test_a_kill_is_for_want_of_memory_only_if_the_group_says_so(code):
    sentence = SERVER.why_it_ended(Group(1), code)

    assert sentence.startswith(
        "The session used more than its 2 GiB of memory, so its kernel was ended."
    )
    assert SERVER.why_it_ended(Group(1), code, kills_before=1) == ""
    assert SERVER.why_it_ended(Group(0), code) == ""
    assert SERVER.why_it_ended(None, code) == ""


@pytest.mark.parametrize("code", [0, 1, -11, 139, None])
def test_other_ends_are_not_for_want_of_memory(code):
    assert SERVER.why_it_ended(Group(1), code) == ""


@pytest.mark.parametrize("code", [-25, 153])
def test_a_file_that_grew_too_large_is_said(code):
    sentence = SERVER.why_it_ended(None, code, what="the program")

    assert sentence.startswith("A file grew larger than 1 GiB, so the program was ended.")


def test_what_is_measured_is_compared_with_what_is_allowed():
    limits = Limits(memory_bytes=GIB, workspace_bytes=GIB)

    assert limits.memory_exceeded(GIB) == ""
    assert limits.memory_exceeded(GIB + 1) == limits.memory_sentence()
    assert limits.workspace_exceeded(GIB) == ""
    assert "more than 1 GiB" in limits.workspace_exceeded(GIB + 1)
    assert Limits.none().memory_exceeded(2**60) == ""
    assert Limits.none().workspace_exceeded(2**60) == ""


def test_by_default_a_session_has_no_more_than_half_of_the_machine():
    assert default_memory_bytes() <= max(machine_memory_bytes() // 2, 64 * 1024**2)
    assert default_memory_bytes() <= 2 * GIB
