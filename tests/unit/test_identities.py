"""Users of their own: numbers that nobody has."""

from __future__ import annotations

import os
import pwd

import pytest

from sessions.exceptions import SessionLimitReached
from sessions.kernels.identities import BLOCK, Identities, _blocks, why_no_identities

EVERYTHING = [(0, 2**32 - 1)]


def test_no_two_live_sessions_have_the_same_number():
    identities = Identities(1000, 3)
    taken = {identities.allocate() for _ in range(3)}

    assert taken == {1000, 1001, 1002}
    with pytest.raises(SessionLimitReached):
        identities.allocate()


def test_a_number_that_is_given_back_is_the_last_to_be_given_again():
    identities = Identities(1000, 3)
    first = identities.allocate()
    identities.free(first)
    identities.free(first)
    identities.free(7)

    assert [identities.allocate() for _ in range(3)] == [1001, 1002, first]
    with pytest.raises(SessionLimitReached):
        identities.allocate()


def test_the_best_block_is_far_from_every_account():
    assert next(_blocks(EVERYTHING, {0, 1000, 65534})) > 2**30


def test_a_block_with_an_account_in_it_is_passed_over():
    first = next(_blocks(EVERYTHING, set()))

    assert next(_blocks(EVERYTHING, {first + 17})) == first + BLOCK


def test_in_a_small_container_the_block_is_what_exists_there():
    first = next(_blocks([(0, 65536)], {0, 1000, 65534}))

    assert first > 1000
    assert first + BLOCK <= 65534


def test_where_there_are_too_few_numbers_there_is_no_block():
    assert list(_blocks([(0, 1)], set())) == []


needs_root = pytest.mark.skipif(bool(why_no_identities()), reason=why_no_identities())


@needs_root
def test_two_hosts_of_a_machine_have_different_numbers():
    one, other = Identities.find(), Identities.find()
    try:
        assert one is not None
        assert other is not None
        assert abs(one.first - other.first) >= BLOCK
    finally:
        for each in (one, other):
            if each is not None:
                each.close()


@needs_root
def test_the_numbers_are_nobodys():
    identities = Identities.find()
    assert identities is not None
    uid = identities.allocate()
    identities.close()
    identities.close()

    with pytest.raises(KeyError):
        pwd.getpwuid(uid)


@pytest.mark.skipif(os.geteuid() == 0, reason="we are root")
def test_an_ordinary_user_is_told_why_there_are_none():
    assert "not root" in why_no_identities()
    assert Identities.find() is None
