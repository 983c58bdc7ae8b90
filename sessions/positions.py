"""Where cells are: texts in the order of their characters, with room between any two.

A position is a number of twelve digits, as that of an event, and then digits from ``DIGITS`` that
say where behind it, like those behind a decimal point: the last of these is never ``0``. So a cell
that an execution makes by itself stands where its event is in the log. Pure, no I/O.
"""

from __future__ import annotations

import re

from sessions.exceptions import LimitReached

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"  # in ASCII's order
NUMBER_LENGTH = 12
MAX_LENGTH = 200  # as in sessions/models.py

_POSITION = re.compile(r"[0-9A-Za-z]{1,12}|[0-9A-Za-z]{12}[0-9A-Za-z]*[1-9A-Za-z]")


def is_position(text: str) -> bool:
    """Whether ``text`` can be a position."""
    return len(text) <= MAX_LENGTH and _POSITION.fullmatch(text) is not None


def of_event(number: int) -> str:
    """The position of the event with this number; 0: before every event."""
    return str(number).zfill(NUMBER_LENGTH)


def first_event(position: str) -> int:
    """The number of the first event whose position is not before ``position``."""
    head = position[:NUMBER_LENGTH]
    digits = next((n for n, char in enumerate(head) if char not in DIGITS[:10]), len(head))
    # Letters come behind all digits.
    number = int(head[:digits].ljust(NUMBER_LENGTH, "9" if digits < len(head) else "0"))
    return number + 1 if of_event(number) < position else number


def between(low: str, high: str | None) -> str:
    """A position strictly between two; ``low`` may be empty, ``high`` None for no end.

    Raises ValueError unless ``low < high``, LimitReached if there is no room left.
    """
    low, low_rest, high_rest = _parted(low, high)
    middle = low + (_after(low_rest) if high_rest is None else _middle(low_rest, high_rest))
    return _checked(middle)


def at_end(last: str, event_number: int) -> str:
    """A position behind the last cell and the last event, before the event that comes next."""
    return between(max(last, of_event(event_number)), None)


def spread(low: str, high: str | None, count: int) -> list[str]:
    """``count`` positions strictly between two, in order and about evenly far apart."""
    low, low_rest, high_rest = _parted(low, high)
    return [_checked(low + rest) for rest in _spread(low_rest, high_rest, count)]


def _parted(low: str, high: str | None) -> tuple[str, str, str | None]:
    """The number of ``low``, its digits behind, and those of ``high`` if the number is the same."""
    low = low.ljust(NUMBER_LENGTH, "0")
    if high is not None and not low < high:
        raise ValueError(f"{low} is not before {high}")
    number, rest = low[:NUMBER_LENGTH], low[NUMBER_LENGTH:]
    is_same = high is not None and high[:NUMBER_LENGTH] == number
    return number, rest, high[NUMBER_LENGTH:] if high is not None and is_same else None


def _middle(low: str, high: str | None) -> str:
    """Digits half-way between; ``high`` None: before the next number."""
    shared = 0
    while high and low[shared : shared + 1].ljust(1, "0") == high[shared]:
        shared += 1
    if high and shared:
        return high[:shared] + _middle(low[shared:], high[shared:])
    first = DIGITS.index(low[0]) if low else 0
    last = DIGITS.index(high[0]) if high else len(DIGITS)
    if last - first > 1:
        return DIGITS[(first + last) // 2]
    if high and len(high) > 1:
        return high[0]
    return DIGITS[first] + _middle(low[1:], None)


def _after(low: str) -> str:
    """Digits a small step behind: who writes at the end does so many times."""
    for place, digit in enumerate(low):
        if digit != DIGITS[-1]:
            return low[:place] + DIGITS[DIGITS.index(digit) + 1]
    return low + DIGITS[1]


def _spread(low: str, high: str | None, count: int) -> list[str]:
    if count == 0:
        return []
    middle = _middle(low, high)
    before = (count - 1) // 2
    return [*_spread(low, middle, before), middle, *_spread(middle, high, count - 1 - before)]


def _checked(position: str) -> str:
    if len(position) > MAX_LENGTH:
        raise LimitReached("There is no room for another cell here. Add it somewhere else.")
    return position
