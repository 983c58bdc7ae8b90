"""Positions of cells: there is always room, and the order is that of the characters."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sessions import positions
from sessions.exceptions import LimitReached

digits = st.text(positions.DIGITS, max_size=8).filter(lambda text: not text.endswith("0"))
valid = st.builds(lambda n, rest: positions.of_event(n) + rest, st.integers(0, 99), digits)


@given(valid, valid)
def test_there_is_a_position_between_any_two(one, other):
    assume(one != other)
    low, high = sorted([one, other])

    middle = positions.between(low, high)

    assert low < middle < high
    assert positions.is_position(middle)


@given(valid)
def test_there_is_a_position_before_the_first_and_behind_the_last(position):
    assume(position > positions.of_event(0))

    assert positions.between("", position) < position < positions.between(position, None)


@given(valid, valid, st.integers(0, 300))
def test_spread_positions_are_in_order_between_the_two(one, other, count):
    assume(one != other)
    low, high = sorted([one, other])

    spread = positions.spread(low, high, count)

    assert [low, *spread, high] == sorted({low, *spread, high})
    assert len(spread) == count
    assert all(map(positions.is_position, spread))


@given(valid, st.integers(0, 99))
def test_the_end_is_behind_everything_and_before_the_next_event(last, number):
    end = positions.at_end(last, number)

    assert max(last, positions.of_event(number)) < end
    assert end < positions.of_event(max(number, int(last[:12])) + 1)


def test_ten_thousand_cells_fit_at_the_end_one_by_one():
    position = ""
    for _ in range(10_000):
        position = positions.at_end(position, 0)

    assert len(position) <= positions.MAX_LENGTH


def test_ten_thousand_cells_spread_are_short():
    assert max(map(len, positions.spread("", None, 10_000))) <= positions.NUMBER_LENGTH + 4


def test_where_no_room_is_left_it_says_so():
    low = positions.of_event(1)
    high = low.ljust(positions.MAX_LENGTH - 1, "0") + "1"

    with pytest.raises(LimitReached, match="no room"):
        positions.between(low, high)


def test_there_is_nothing_between_a_position_and_itself():
    with pytest.raises(ValueError, match="not before"):
        positions.between(positions.of_event(1), positions.of_event(1))


@pytest.mark.parametrize("text", ["", "0000000000010", "00000000001é", "1 2", "1" * 201, "1\n"])
def test_what_is_no_position(text):
    assert not positions.is_position(text)
