"""The end of windows: closed with a report, followed by the next, and news for who was paused."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connections as databases

from budgets import operations, tasks
from budgets.changes import end_limit
from budgets.errors import BudgetExceeded
from budgets.models import BudgetWindow, Crossing
from budgets.resets import reset_windows
from tests.budgets.conftest import NOON, call_at, make_limit, new_id

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("own_db", "at_once")]
TOMORROW = NOON + timedelta(days=1)


def spend(amount: str, *, at: datetime = NOON, **call) -> None:
    hold = new_id()
    operations.reserve(call_at(at, **call), hold_id=hold, amount=Decimal(amount))
    operations.settle(hold, cost=Decimal(amount), now=at)


def test_a_day_that_has_ended_is_closed_with_a_report_and_the_next_is_opened():
    make_limit("10")
    spend("3")
    assert reset_windows("day", at=NOON).closed == 0  # not over yet

    done = reset_windows("day", at=TOMORROW)

    assert (done.closed, done.opened, done.lifted) == (1, 1, 0)
    old, new = BudgetWindow.objects.order_by("starts_at")
    assert old.closed_at == TOMORROW
    assert (old.report["spent"], old.report["calls"], old.report["paused"]) == ("3", 1, False)
    assert (new.starts_at, new.spent, new.closed_at) == (datetime(2026, 5, 14, tzinfo=UTC), Decimal(0), None)


def test_twice_late_or_by_two_beats_at_once_makes_no_difference():
    make_limit("10", scope="each_user")
    for user in range(1, 9):
        spend("1", user=user)
    late = NOON + timedelta(days=3)

    def beat(_):
        try:
            return reset_windows("day", at=late)
        finally:
            databases.close_all()

    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(beat, range(2)))

    assert sum(run.closed for run in runs) == 8
    assert sum(run.opened for run in runs) == 8
    assert BudgetWindow.objects.filter(closed_at=None).count() == 8
    assert reset_windows("day", at=late).closed == 0


def test_who_was_paused_is_told_once_that_it_is_over(member):
    make_limit("1", scope="each_user")
    spend("1", user=member.pk)
    with pytest.raises(BudgetExceeded):
        operations.reserve(call_at(user=member.pk), hold_id=new_id(), amount=Decimal("0.1"))

    for _ in range(2):
        reset_windows("day", at=TOMORROW)

    news = Crossing.objects.get(kind="lifted")
    assert (news.window.subject, news.limit_amount, news.claimed_at) == (f"user:{member.pk}", Decimal(1), None)
    assert operations.reserve(call_at(TOMORROW, user=member.pk), hold_id=new_id(), amount=Decimal(1)).state == "open"


def test_a_refused_call_counts_as_paused_although_something_was_left():
    make_limit("1")
    spend("0.9")
    with pytest.raises(BudgetExceeded):
        operations.reserve(call_at(), hold_id=new_id(), amount=Decimal("0.5"))
    assert reset_windows("day", at=TOMORROW).lifted == 1


@pytest.mark.parametrize(("amount", "hard"), [("0", True), ("1", False)])
def test_a_block_and_a_soft_limit_pause_nobody(amount, hard):
    make_limit(amount, pause_on_exceed=hard)
    spend("2") if not hard else operations.post(call_at(), call_id=new_id(), cost=Decimal(2), now=NOON)
    assert reset_windows("day", at=TOMORROW).lifted == 0
    assert not Crossing.objects.filter(kind="lifted").exists()


def test_an_unused_window_and_a_limit_that_has_ended_are_followed_by_none():
    limit = make_limit("10")
    operations.check(call_at(), amount=Decimal(1))  # opens the window, spends nothing
    assert reset_windows("day", at=TOMORROW).opened == 0
    spend("1", at=TOMORROW)
    end_limit(limit, at=TOMORROW)
    assert reset_windows("day", at=TOMORROW + timedelta(days=1)).opened == 0
    assert BudgetWindow.objects.filter(closed_at=None).count() == 0


def test_money_in_flight_at_midnight_settles_in_the_window_that_held_it():
    make_limit("10")
    hold = new_id()
    operations.reserve(call_at(), hold_id=hold, amount=Decimal(2))
    assert reset_windows("day", at=TOMORROW).opened == 1
    operations.settle(hold, cost=Decimal("1.5"), now=TOMORROW)
    old, new = BudgetWindow.objects.order_by("starts_at")
    assert (old.spent, old.held, new.spent, new.held) == (Decimal("1.5"), 0, 0, 0)


def test_each_limit_has_midnight_in_its_own_time_zone():
    make_limit("10", name="Vienna")
    limit = make_limit("10")
    limit.time_zone = "Asia/Kathmandu"  # 5:45 ahead: its midnight is 18:15 UTC
    limit.save()
    spend("1")
    evening = datetime(2026, 5, 13, 18, 16, tzinfo=UTC)
    assert reset_windows("day", at=evening).closed == 1
    assert BudgetWindow.objects.get(limit=limit, closed_at=None).starts_at == datetime(2026, 5, 13, 18, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("period", "task"),
    [
        ("hour", tasks.reset_hourly_budgets),
        ("day", tasks.reset_daily_budgets),
        ("week", tasks.reset_weekly_budgets),
        ("month", tasks.reset_monthly_budgets),
        ("quarter", tasks.reset_quarterly_budgets),
        ("year", tasks.reset_yearly_budgets),
    ],
)
def test_each_task_closes_the_windows_of_its_own_period(period, task):
    for one in ("hour", "day", "week", "month", "quarter", "year"):
        make_limit("10", period=one)
    spend("1", at=datetime(2024, 5, 13, 12, tzinfo=UTC))
    assert task()["closed"] == 1
    assert BudgetWindow.objects.get(closed_at__isnull=False).limit.period == period
    assert task()["closed"] == 0


def test_a_changed_limit_leaves_a_window_behind_that_is_closed_without_news():
    limit = make_limit("1", period="total")
    spend("1")
    limit.scope, limit.target = "feature", "mail"
    limit.save()
    assert reset_windows("total", at=NOON).closed == 1
    assert not Crossing.objects.filter(kind="lifted").exists()
