"""The pool of connections, with connections that only say how they are."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from psycopg.pq import TransactionStatus

from workbench.postgresql import pool as pool_module
from workbench.postgresql.pool import Pool


@dataclass(eq=False)
class Connection:
    """What the pool needs of psycopg's."""

    is_closed: bool = False
    is_broken: bool = False
    pgconn: Any = field(
        default_factory=lambda: SimpleNamespace(transaction_status=TransactionStatus.IDLE)
    )
    ends: tuple[int, int] = field(default_factory=os.pipe)
    _pool: Any = None

    def fileno(self) -> int:
        return self.ends[0]

    def execute(self, text: str) -> None:
        if self.is_broken:
            raise psycopg.OperationalError("the connection is lost")

    def hang_up(self) -> None:
        """As its server does when it ends."""
        self.is_broken = True
        os.write(self.ends[1], b"bye")

    def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            for end in self.ends:
                os.close(end)


@pytest.fixture
def made() -> Any:
    """The connections that were made."""
    made: list[Connection] = []
    yield made
    for each in made:
        each.close()


@pytest.fixture
def pool(made: list[Connection], monkeypatch: pytest.MonkeyPatch) -> Pool:
    """A pool of two, in which nobody waits for long."""
    monkeypatch.setattr(pool_module, "WAIT_SECONDS", 0.01)

    def connect() -> Any:
        made.append(Connection())
        return made[-1]

    return Pool(connect, most=2)


def test_what_was_given_back_is_lent_again(pool, made):
    pool.putconn(pool.getconn())
    pool.putconn(pool.getconn())

    assert len(made) == 1


def test_there_are_never_more_than_the_most(pool, made):
    lent = [pool.getconn(), pool.getconn()]
    with pytest.raises(psycopg.OperationalError, match="all 2 connections are in use"):
        pool.getconn()
    pool.putconn(lent[0])

    assert pool.getconn() is lent[0]
    assert len(made) == 2


def test_those_that_the_server_has_ended_are_never_lent(pool, made):
    """After a restart the pool is full of them; the first to ask gets one that works."""
    for each in [pool.getconn(), pool.getconn()]:
        pool.putconn(each)
    for each in made:
        each.hang_up()

    assert pool.getconn() is made[2]
    assert [each.is_closed for each in made] == [True, True, False]


def test_what_the_server_has_only_said_something_on_is_lent(pool, made):
    pool.putconn(pool.getconn())
    os.write(made[0].ends[1], b"a notice")

    assert pool.getconn() is made[0]


@pytest.mark.parametrize("status", [TransactionStatus.UNKNOWN, TransactionStatus.INTRANS])
def test_what_comes_back_broken_or_in_a_transaction_is_closed(pool, made, status):
    connection = pool.getconn()
    connection.pgconn.transaction_status = status
    pool.putconn(connection)

    assert made[0].is_closed
    assert pool.getconn() is made[1]


def test_who_finds_no_database_leaves_room_for_others(made, monkeypatch):
    def refuse() -> Any:
        raise psycopg.OperationalError("connection refused")

    pool = Pool(refuse, most=1)
    for _ in range(3):
        with pytest.raises(psycopg.OperationalError, match="refused"):
            pool.getconn()


def test_those_that_nobody_needs_are_closed(pool, made, monkeypatch):
    lent = [pool.getconn(), pool.getconn()]
    for each in lent:
        pool.putconn(each)
    monkeypatch.setattr(pool_module, "IDLE_SECONDS", 0.0)
    pool.putconn(pool.getconn())

    assert made[0].is_closed


def test_those_that_are_old_are_replaced(pool, made, monkeypatch):
    connection = pool.getconn()
    monkeypatch.setattr(pool_module, "LIFE_SECONDS", 0.0)
    pool.putconn(connection)

    assert made[0].is_closed


def test_a_closed_pool_keeps_nothing(pool, made):
    lent, idle = pool.getconn(), pool.getconn()
    pool.putconn(idle)
    pool.close()
    pool.putconn(lent)

    assert all(each.is_closed for each in made)
