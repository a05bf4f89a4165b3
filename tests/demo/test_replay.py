"""The demo's past happens: hard limits refuse, and whatever was noticed has the date when it was."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from alerts.kinds import Type
from alerts.models import AlertRead, CostAlert, Delivery
from budgets import book
from budgets.models import BudgetLimit, BudgetWindow, Crossing, Period, RefusalCount, Scope
from costwatch.demo import accounts
from costwatch.demo.workspace import fill
from tracking.audit import audit
from tracking.models import ApiUsageLog

pytestmark = pytest.mark.django_db(transaction=True)
NOW = datetime(2026, 10, 30, 12, tzinfo=UTC)
DAYS = 12


@pytest.fixture
def people():
    return accounts.make(password="a-demo-password").users


@pytest.fixture
def limit(people) -> BudgetLimit:
    """What the busiest of them has used up within a few days."""
    row = BudgetLimit(
        name="Small", scope=Scope.USER, user=people[0], period=Period.WEEK, amount=Decimal("0.8"), thresholds=[0.5],
        active_from=NOW - timedelta(days=DAYS),
    )  # fmt: skip
    row.save(at=row.active_from)
    book.forget()
    return row


def play(people, *, now: datetime = NOW):
    return fill(users=[user.pk for user in people], now=now, days=DAYS)


def test_a_hard_limit_refuses_and_nothing_passes_it(people, limit):
    play(people)
    windows = list(BudgetWindow.objects.filter(limit=limit))
    assert len(windows) >= 2 and all(window.spent <= limit.amount for window in windows)
    refused = ApiUsageLog.objects.filter(status="refused")
    assert set(refused.values_list("user_id", "http_status", "error")) == {(people[0].pk, 402, "budget_exceeded")}
    assert sum(RefusalCount.objects.values_list("count", flat=True)) == refused.count() > 0
    assert audit().ok


def test_what_was_noticed_has_the_date_when_it_was(people, limit):
    play(people)
    for row in Crossing.objects.select_related("window"):
        over = row.kind == Crossing.Kind.LIFTED
        assert row.crossed_at == row.window.ends_at if over else row.window.starts_at < row.crossed_at <= NOW, row
    alerts = CostAlert.objects.all()
    assert {Type.THRESHOLD, Type.REFUSED, Type.RESUMED} <= set(alerts.values_list("type", flat=True))
    assert all(timedelta(0) <= alert.created_at - alert.occurred_at <= timedelta(seconds=5) for alert in alerts)
    ended = alerts.filter(type=Type.THRESHOLD, window_end__lte=NOW)
    assert ended and all(alert.resolved_at == alert.window_end for alert in ended)
    old = alerts.filter(created_at__lt=NOW - timedelta(days=5))
    assert old and not AlertRead.objects.filter(alert__in=old, read_at=None).exists()
    assert not Delivery.objects.filter(alert__in=old).exclude(state=Delivery.State.SKIPPED).exists()


def test_it_happens_once_and_goes_on_later(people, limit):
    first = play(people, now=NOW - timedelta(days=1))
    counted = list(RefusalCount.objects.order_by("window").values_list("window", "count"))
    again = play(people, now=NOW - timedelta(days=1))
    assert (again.added, again.already) == (0, first.added)
    assert list(RefusalCount.objects.order_by("window").values_list("window", "count")) == counted
    later = play(people)
    assert later.already == first.added and later.added > 0
    assert ApiUsageLog.objects.filter(source="demo").count() == first.added + later.added
