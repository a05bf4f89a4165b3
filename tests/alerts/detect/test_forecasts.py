"""A limit that will be exceeded is told once in its window, with the day; and is over when it clearly will not."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from alerts.detect.watch import watch_forecasts
from alerts.models import CostAlert, Delivery
from budgets import operations
from tests.budgets.conftest import make_limit
from tests.budgets.history import spend

#: Limits are read on a connection of their own: they must be there for others to see.
pytestmark = pytest.mark.django_db(transaction=True)
#: A Wednesday, ten days into the month.
NOW = datetime(2026, 6, 10, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr("budgets.book.MAX_AGE_S", -1)
    operations.forget()


@pytest.fixture
def steady(owner):
    """Ten dollars a day for five weeks, so that a month of thirty days costs about three hundred."""
    for day in range(35):
        spend("10", NOW - timedelta(days=day), user=owner)
    return owner


def test_it_is_told_once_with_the_day_on_which_the_limit_is_reached(steady, mailoutbox):
    limit = make_limit("200", period="month", scope="user", user=steady, name="Alice's month")
    (alert,) = watch_forecasts(at=NOW)
    assert alert.user == steady and alert.limit == limit and alert.severity == "warning"
    assert alert.title == "Forecast to be exceeded: Alice's month"
    assert "$100.00 of $200.00 is spent" in alert.text
    assert "expected to be reached on 2026-06-20" in alert.text or "expected to be reached on 2026-06-21" in alert.text
    assert dict(alert.facts)["Forecast"].startswith("$3")
    assert Delivery.objects.filter(alert=alert, channel__owner=steady).count() == 1
    for minutes in (0, 30, 60):
        assert watch_forecasts(at=NOW + timedelta(minutes=minutes)) == []
    assert CostAlert.objects.count() == 1


def test_it_is_over_only_when_the_forecast_is_clearly_below(steady):
    limit = make_limit("200", period="month", scope="user", user=steady)
    watch_forecasts(at=NOW)
    expected = Decimal(CostAlert.objects.get().details["forecast"]["expected"])
    for amount, holds in ((expected * Decimal("1.02"), True), (expected * Decimal("1.2"), False)):
        limit.amount = round(amount, 2)
        limit.save()
        watch_forecasts(at=NOW)
        assert (CostAlert.objects.get().resolved_at is None) is holds
    limit.amount = round(expected * Decimal("1.02"), 2)
    limit.save()
    watch_forecasts(at=NOW)
    assert CostAlert.objects.get().resolved_at is not None, "from below it must reach the limit again"


def test_a_limit_that_holds_or_is_over_or_alerts_nobody_is_not_told(steady):
    make_limit("400", period="month", scope="user", user=steady, name="enough")
    make_limit("90", period="month", scope="user", user=steady, name="over")
    make_limit("200", period="month", scope="user", user=steady, name="silent", alerts_enabled=False)
    make_limit("0", period="month", scope="user", user=steady, name="blocked")
    make_limit("200", period="total", scope="user", user=steady, name="without end")
    assert watch_forecasts(at=NOW) == []


def test_a_month_that_is_over_takes_its_alert_with_it_and_the_next_has_one_of_its_own(steady):
    make_limit("200", period="month", scope="everyone")
    (first,) = watch_forecasts(at=NOW)
    assert first.user is None, "a limit of everyone concerns staff"
    for day in range(1, 31):
        spend("10", NOW + timedelta(days=day), user=steady)
    (second,) = watch_forecasts(at=NOW + timedelta(days=30))
    first.refresh_from_db()
    assert first.resolved_at is not None and second.resolved_at is None
    assert (first.window_start.month, second.window_start.month) == (6, 7)


def test_the_pace_of_a_window_without_a_past_says_nothing_at_its_beginning(owner):
    make_limit("100", period="month", scope="user", user=owner)
    spend("5", datetime(2026, 6, 1, 9, tzinfo=UTC), user=owner)
    assert watch_forecasts(at=datetime(2026, 6, 1, 10, tzinfo=UTC)) == []
    spend("45", datetime(2026, 6, 9, 9, tzinfo=UTC), user=owner)
    assert len(watch_forecasts(at=NOW)) == 1


def test_one_that_came_true_says_so(steady, client):
    make_limit("200", period="month", scope="user", user=steady, name="Alice's month")
    (alert,) = watch_forecasts(at=NOW)
    spend("101", NOW, user=steady)
    assert watch_forecasts(at=NOW + timedelta(minutes=30)) == []
    alert.refresh_from_db()
    assert alert.resolved_at is not None and alert.details["came_true"] is True
    assert alert.text.startswith("It came true: $201.00 of $200.00 is spent.")
    assert dict(alert.facts)["Came true"] == "$201.00 of $200.00 is spent"
    client.force_login(steady)
    for path in ("/alerts/?show=all", f"/alerts/{alert.pk}/"):
        html = client.get(path).content.decode()
        assert "came true" in html and "no longer so" not in html
    before = alert.text
    watch_forecasts(at=NOW + timedelta(minutes=60))
    alert.refresh_from_db()
    assert alert.text == before
