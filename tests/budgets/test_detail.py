"""One limit as its readers see it: who sees which windows, and what is told of them."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from budgets import operations
from budgets.calls import Call
from budgets.changes import ask_increase, decide_increase
from budgets.detail import detail
from budgets.errors import BudgetExceeded
from budgets.limits import update_budget_config
from budgets.models import BudgetLimit
from tests.budgets.conftest import make_limit, new_id

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("own_db", "at_once")]
D = Decimal


@pytest.fixture
def staff(staff):
    staff.is_staff = staff.is_superuser = True
    staff.save()
    return staff


def spend(user, amount: str) -> None:
    now, call_id = timezone.now(), new_id()
    operations.reserve(Call(at=now, user=user.pk, model="gpt-4o"), hold_id=call_id, amount=D(amount))
    operations.settle(call_id, cost=D(amount), now=now)


def seen(limit, user, **asked):
    return detail(limit.pk, user=user, at=timezone.now(), **asked)


def test_each_user_sees_his_own_window_and_staff_see_all(owner, member, staff):
    limit = make_limit("10", scope="each_user", period="month")
    spend(owner, "2")
    spend(member, "7")
    mine = seen(limit, owner)
    assert (mine.line.spent, mine.whose, mine.others) == (D(2), owner.email, [])
    assert [window.spent for window in mine.windows] == [D(2)]
    assert mine.may_ask and not mine.may_change and mine.changes == []
    theirs = seen(limit, staff)
    assert (theirs.line.spent, theirs.whose) == (D(7), member.email), "the fullest one"
    assert [name for _, name in theirs.others] == [owner.email]
    assert theirs.may_change and theirs.changes[0].what == "made" and not theirs.may_ask
    assert seen(limit, staff, subject=f"user:{owner.pk}").line.spent == D(2)
    assert seen(limit, owner, subject=f"user:{member.pk}").line.spent == D(2), "no looking at others by the address"


def test_what_somebody_elses_limit_is_nobody_learns(owner, member, staff):
    update_budget_config(owner, daily_limit="5")
    own = BudgetLimit.objects.get(owner=owner)
    assert seen(own, owner).row == own
    assert not seen(own, owner).may_ask, "he changes it himself"
    assert seen(own, member) is None
    assert seen(make_limit("5", scope="user", user=owner), member) is None
    assert detail(10**9, user=staff, at=timezone.now()) is None


def test_thresholds_refusals_increases_and_changes_are_told(owner, staff):
    limit = make_limit("10", scope="user", user=owner)
    spend(owner, "9")
    with pytest.raises(BudgetExceeded):
        spend(owner, "5")
    now = timezone.now()
    asked = ask_increase(limit, amount=D(5), until=now + timedelta(hours=1), why="launch", by=owner, at=now)
    found = seen(limit, owner)
    assert [(one.kind, one.threshold) for one in found.crossings] == [("refused", D(1)), ("spent", D("0.8"))]
    assert found.windows[0].refused == 1
    assert [(one.amount, one.status) for one in found.increases] == [(D(5), "asked")]
    decide_increase(asked, approve=True, by=staff, at=now)
    found = seen(limit, staff)
    assert found.line.limit == D(15)
    assert [change.what for change in found.changes] == ["increase approved", "increase asked", "made"]


def test_a_limit_that_is_over_keeps_its_history(owner, staff):
    limit = make_limit("10", scope="user", user=owner)
    spend(owner, "9")
    limit.active_until = timezone.now() - timedelta(seconds=1)
    limit.active_from = timezone.now() - timedelta(days=2)
    limit.save()
    found = seen(limit, staff)
    assert found.line is None and found.burn is None and not found.may_ask
    assert [window.spent for window in found.windows] == [D(9)]
