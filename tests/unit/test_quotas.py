"""What an owner may use: what is counted, for how long, and the sentences."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessions.exceptions import (
    QueueLimitReached,
    QuotaReached,
    SessionLimitReached,
    WorkspaceFull,
)
from sessions.kernels import quotas
from sessions.kernels.executions import LiveExecution
from sessions.kernels.quotas import (
    PERIOD_SECONDS,
    STEP_SECONDS,
    UNCOUNTED_BYTES,
    Account,
    Ledger,
    Quota,
    Spending,
)
from sessions.kernels.records import Elsewhere, ExecutionRecord, Spent

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC).timestamp()
HOUR = 3600.0
MIB = 1024 * 1024


class Clock:
    """A time that stands still until it is set."""

    now = NOON

    def __call__(self) -> float:
        return self.now


class FakeDisk:
    """A disk that is full of what it is told; a look finds ``found``."""

    def __init__(self, files: float, found: float | None = None) -> None:
        self.files, self._found = files, files if found is None else found

    async def renew(self) -> None:
        self.files = self._found

    async def glance(self) -> None:
        raise OSError("it cannot be read")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reached() -> Counter[str]:
    return Counter()


def account_of(clock: Clock, reached: Counter[str], owner_id: int | None = 7, **quota) -> Account:
    return Account(owner_id, Quota(**quota), lambda name: reached.update([name]), clock)


def an_execution() -> LiveExecution:
    record = ExecutionRecord(session_id=uuid4(), kind="code", code="1", origin="test")
    return LiveExecution(record, max_output_bytes=1000)


def begun(account: Account) -> LiveExecution:
    execution = an_execution()
    account.executions += 1
    account.started(execution)
    return execution


def use(account: Account, name: str) -> float:
    return next(each["used"] for each in account.usage(0) if each["name"] == name)


# --- What was used in a day --------------------------------------------------------------------


def test_what_was_used_counts_for_a_day_and_five_minutes_at_most():
    spending = Spending()
    spending.add(10, NOON)

    assert spending.total(NOON + PERIOD_SECONDS) == 10
    assert spending.total(NOON + PERIOD_SECONDS + STEP_SECONDS) == 0


def test_a_long_run_counts_when_it_was_and_not_when_it_ended():
    spending = Spending()
    spending.add_time(NOON, NOON + 10 * HOUR)

    assert spending.total(NOON + 10 * HOUR) == pytest.approx(10 * HOUR)
    assert spending.total(NOON + PERIOD_SECONDS + 4 * HOUR) == pytest.approx(
        6 * HOUR, abs=STEP_SECONDS
    )


def test_of_a_run_of_many_days_only_the_last_counts():
    spending = Spending()
    spending.add_time(NOON - 30 * PERIOD_SECONDS, NOON)

    assert spending.total(NOON) == pytest.approx(PERIOD_SECONDS)


def test_what_is_told_late_and_is_too_old_does_not_count():
    spending = Spending()
    spending.add(1, NOON)
    spending.add(100, NOON - 2 * PERIOD_SECONDS)

    assert spending.total(NOON) == 1


@settings(derandomize=True, database=None)
@given(
    st.lists(st.tuples(st.integers(0, 3 * PERIOD_SECONDS), st.integers(1, 1000)), max_size=30),
    st.integers(0, PERIOD_SECONDS),
)
def test_the_total_is_what_a_list_of_all_would_say(uses, later):
    spending = Spending()
    uses.sort()
    for at, amount in uses:
        spending.add(amount, at)
    now = max([at for at, _ in uses], default=0) + later

    total = spending.total(now)

    certain = sum(amount for at, amount in uses if at > now - PERIOD_SECONDS)
    possible = sum(amount for at, amount in uses if at > now - PERIOD_SECONDS - STEP_SECONDS)
    assert certain <= total <= possible


@settings(derandomize=True, database=None)
@given(
    st.lists(st.tuples(st.integers(0, PERIOD_SECONDS), st.integers(1, 1000)), min_size=1),
    st.integers(1, 1000),
)
def test_there_is_more_when_it_is_said_and_not_a_step_before(uses, most):
    def spent() -> Spending:
        spending = Spending()
        for at, amount in sorted(uses):
            spending.add(amount, at)
        return spending

    now = float(max(at for at, _ in uses))
    then = spent().falls_below(most, now)

    assert then >= now
    assert spent().total(then) < most
    if then > now:
        assert spent().total(max(now, then - 1)) >= most


# --- Accounts ----------------------------------------------------------------------------------


async def test_without_quotas_nothing_is_refused_and_all_is_counted(clock, reached):
    account = account_of(clock, reached)
    execution = begun(account)
    account.put_out(10**12, execution)
    account.disks.add(FakeDisk(10**12))
    clock.now += 50 * HOUR

    account.enforce()
    account.check_sessions(10**6)
    account.check_submission()
    await account.check_storage()

    assert not execution.interrupted.done()
    assert use(account, "execution_seconds") == pytest.approx(24 * HOUR, abs=STEP_SECONDS)
    assert use(account, "storage_bytes") == 10**12
    assert use(account, "executions") == 1
    assert not reached


def test_one_session_more_than_may_be_is_refused(clock, reached):
    account = account_of(clock, reached, sessions=2)
    account.check_sessions(1)

    with pytest.raises(SessionLimitReached) as refusal:
        account.check_sessions(2)

    assert refusal.value.message == (
        "You have 2 sessions open, and may have 2 at once. Close one, or ask the operator for more "
        "(WORKBENCH_OWNER_SESSIONS, or the quota of your account)."
    )
    assert reached == {"sessions": 1}


def test_who_has_no_account_is_not_sent_to_one(clock, reached):
    account = account_of(clock, reached, owner_id=None, sessions=1)

    with pytest.raises(SessionLimitReached, match=r"for more \(WORKBENCH_OWNER_SESSIONS\)\.$"):
        account.check_sessions(1)


async def test_what_waits_and_what_runs_count_alike(clock, reached):
    account = account_of(clock, reached, executions=2)
    execution = begun(account)
    account.check_submission()
    account.executions += 1

    with pytest.raises(QueueLimitReached) as refusal:
        account.check_submission()
    account.finished(execution)
    account.check_submission()

    assert refusal.value.message == (
        "You have 2 executions running or waiting, and may have 2 at once. Wait for one to end, "
        "cancel one, or ask the operator for more (WORKBENCH_OWNER_EXECUTIONS, or the quota of "
        "your account)."
    )


async def test_code_is_interrupted_when_its_owners_time_is_used_up(clock, reached):
    account = account_of(clock, reached, execution_seconds=7200)
    first, second = begun(account), begun(account)
    clock.now += HOUR - 1
    account.enforce()
    assert not first.interrupted.done()

    clock.now += 1
    account.enforce()
    account.enforce()

    sentence = (
        "It was interrupted. Your code ran for 2 hours in the last 24 hours, as long as it may. "
        "Wait until 2026-01-02 12:05 UTC, when there is more, or ask the operator for more "
        "(WORKBENCH_OWNER_SECONDS, or the quota of your account)."
    )
    assert (first.interrupted_because, second.interrupted_because) == (sentence, sentence)
    assert reached == {"execution_seconds": 2}


async def test_used_up_time_refuses_what_comes_until_there_is_more(clock, reached):
    account = account_of(clock, reached, execution_seconds=90)
    execution = begun(account)
    clock.now += 90
    account.finished(execution)

    with pytest.raises(QuotaReached, match="ran for 90 seconds in the last 24 hours") as refusal:
        account.check_submission()
    wait = refusal.value.data["retry_seconds"]
    clock.now += wait - 1
    with pytest.raises(QuotaReached):
        account.check_spending()
    clock.now += 1
    account.check_submission()

    assert wait == PERIOD_SECONDS + STEP_SECONDS - 90


async def test_code_is_interrupted_when_it_puts_out_more_than_may_be(clock, reached):
    account = account_of(clock, reached, output_bytes=2 * MIB)
    loud, silent = begun(account), begun(account)
    account.put_out(2 * MIB, loud)
    assert not loud.interrupted.done()

    account.put_out(1, loud)
    account.put_out(1, loud)
    account.put_out(1, None)  # of nobody that runs

    assert loud.interrupted_because.startswith(
        "It was interrupted. Your code put out 2 MiB in the last 24 hours, as much as it may. "
        "Wait until 2026-01-02 12:05 UTC"
    )
    assert not silent.interrupted.done()
    assert reached == {"output_bytes": 1}
    with pytest.raises(QuotaReached, match="put out 2 MiB"):
        account.check_submission()


async def test_too_many_files_are_looked_at_once_more_before_anything_is_refused(clock, reached):
    account = account_of(clock, reached, storage_bytes=10 * MIB)
    account.disks |= {FakeDisk(8 * MIB, found=1 * MIB), FakeDisk(8 * MIB)}
    assert account.storage_refusal()

    await account.check_storage()
    account.disks.add(FakeDisk(2 * MIB))
    with pytest.raises(WorkspaceFull) as refusal:
        await account.check_storage()

    assert refusal.value.message == (
        "The files of your sessions take 11 MiB, together more than 10 MiB. Delete some, close a "
        "session, or ask the operator for more (WORKBENCH_OWNER_STORAGE, or the quota of your "
        "account)."
    )


async def test_a_session_may_store_what_the_others_leave(clock, reached):
    account = account_of(clock, reached, storage_bytes=10 * MIB)
    own, other = FakeDisk(5 * MIB), FakeDisk(0, found=7 * MIB)
    account.disks |= {own, other}

    assert await account.share_of(own) == 3 * MIB
    other._found = math.inf
    assert await account.share_of(own) == 0
    assert use(account, "storage_bytes") == UNCOUNTED_BYTES
    assert "more than can be counted" in account.storage_refusal()


async def test_a_look_that_does_not_end_holds_nobody_up_for_long(clock, reached, monkeypatch):
    monkeypatch.setattr(quotas, "LOOK_SECONDS", 0.01)
    account = account_of(clock, reached, storage_bytes=10 * MIB)
    slow = FakeDisk(11 * MIB)
    slow.renew = asyncio.Event().wait
    account.disks.add(slow)

    with pytest.raises(WorkspaceFull):
        await account.check_storage()
    assert await account.share_of(FakeDisk(0)) == 0


async def test_a_disk_that_cannot_be_read_is_as_it_was(clock, reached):
    account = account_of(clock, reached)
    account.disks.add(FakeDisk(MIB))

    await account.look()

    assert use(account, "storage_bytes") == MIB


# --- Ledgers -----------------------------------------------------------------------------------


def quotas_of(ledger: Ledger, owner_id: int | None) -> tuple[int | None, int | None]:
    quota = ledger.account(owner_id).quota
    return quota.sessions, quota.executions


def test_accounts_have_the_servers_quota_or_their_own():
    ledger = Ledger(Quota(sessions=3, executions=4))
    ledger.account(1)
    ledger.grant({1: {"sessions": 9}, 2: {"sessions": 0, "executions": 1}})

    assert quotas_of(ledger, 1) == (9, 4)
    assert quotas_of(ledger, 2) == (None, 1)
    assert quotas_of(ledger, 3) == (3, 4)
    assert quotas_of(ledger, None) == (3, 4)
    ledger.grant({})
    assert quotas_of(ledger, 1) == (3, 4)


def test_what_one_owner_uses_is_no_other_owners(clock, reached):
    ledger = Ledger(Quota(output_bytes=10), lambda name: reached.update([name]), clock)
    ledger.account(1).put_out(10, None)

    with pytest.raises(QuotaReached):
        ledger.account(1).check_submission()
    ledger.account(2).check_submission()
    ledger.account(None).check_submission()


def test_the_day_before_the_host_counts(clock):
    ledger = Ledger(Quota(), clock=clock)
    start, end, future = (
        datetime.fromtimestamp(NOON + seconds, UTC) for seconds in (-HOUR, -HOUR / 2, 9 * HOUR)
    )

    ledger.restore([Spent(1, start, end, 100), Spent(1, start, end, 1), Spent(2, end, future, 5)])

    assert use(ledger.account(1), "execution_seconds") == HOUR
    assert use(ledger.account(1), "output_bytes") == 101
    # Somebody has set the clock back: what is to come has not been.
    assert use(ledger.account(2), "execution_seconds") == HOUR / 2


# --- On other hosts -----------------------------------------------------------------------------


def test_what_is_used_on_other_hosts_counts_as_well():
    most = Quota(
        sessions=3, executions=3, storage_bytes=100, execution_seconds=100, output_bytes=100
    )
    ledger = Ledger(most)
    account = ledger.account(7)
    account.check_submission()

    ledger.hear(
        {
            7: Elsewhere(
                sessions=2, executions=2, storage_bytes=40, execution_seconds=60.0, output_bytes=50
            )
        }
    )

    used = {each["name"]: each["used"] for each in account.usage(1)}
    assert used == {
        "sessions": 3,
        "executions": 2,
        "storage_bytes": 40,
        "execution_seconds": 60.0,
        "output_bytes": 50,
    }
    with pytest.raises(SessionLimitReached, match="You have 3 sessions open"):
        account.check_sessions(1)
    account.check_submission()


@pytest.mark.parametrize(
    ("used", "refusal"),
    [
        (Elsewhere(executions=3), QueueLimitReached),
        (Elsewhere(execution_seconds=100.0), QuotaReached),
        (Elsewhere(output_bytes=100), QuotaReached),
    ],
)
def test_who_has_used_all_on_other_hosts_runs_nothing_here(used, refusal):
    ledger = Ledger(Quota(executions=3, execution_seconds=100, output_bytes=100))
    ledger.hear({7: used})

    with pytest.raises(refusal):
        ledger.account(7).check_submission()
    ledger.account(8).check_submission()

    ledger.hear({})
    ledger.account(7).check_submission()


def test_files_on_other_hosts_fill_the_storage():
    ledger = Ledger(Quota(storage_bytes=100))
    ledger.hear({7: Elsewhere(storage_bytes=101)})

    assert "more than 100 bytes" in ledger.account(7).storage_refusal()
