"""Forecasts from the ledger's own sums, for limits of every scope."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import Group

from budgets import operations
from budgets.outlook import with_forecasts
from budgets.queries import standings, standings_of_limit
from tests.budgets.conftest import call_at, make_limit, new_id
from tests.budgets.history import spend

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("own_db", "at_once")]
D = Decimal
#: A Thursday noon, ten days into the month.
NOW = datetime(2026, 6, 11, 12, tzinfo=UTC)


@pytest.fixture
def workdays(member):
    """Six weeks in which every workday cost $4 at noon, and no weekend anything."""
    for day in range(1, 43):
        at = NOW - timedelta(days=day)
        if at.weekday() < 5:
            spend("4", at, user=member, feature="mail", model="gpt-4o")
    return member


def forecast_of(limit, *, at=NOW):
    [line] = with_forecasts(standings_of_limit(limit.pk, at=at), at=at)
    return line.forecast


@pytest.mark.parametrize(
    "scope",
    [
        {},
        {"scope": "feature", "target": "mail"},
        {"scope": "provider", "target": "openai"},
        {"scope": "model", "target": "gpt-*"},
    ],
    ids=lambda scope: scope.get("scope", "everyone"),
)
def test_a_month_is_forecast_by_its_workdays(workdays, scope):
    found = forecast_of(make_limit("60", period="month", **scope))
    # 8 workdays so far at $4; 13 after today, and nearly all of today, as spending comes at noon
    assert found.basis == "pattern"
    assert D(84) < found.expected < D(92)
    assert found.low <= found.expected <= found.high
    assert found.exhausted_at is not None
    assert datetime(2026, 6, 16, tzinfo=UTC) < found.exhausted_at < datetime(2026, 6, 25, tzinfo=UTC)


def test_a_user_and_a_group_are_forecast_by_their_own_spending(workdays, owner):
    group = Group.objects.create(name="team")
    workdays.groups.add(group)
    for day in range(1, 30):
        spend("100", NOW - timedelta(days=day), user=owner)
    for limit in (
        make_limit("60", period="month", scope="user", user=workdays),
        make_limit("60", period="month", scope="group", group=group),
    ):
        assert D(84) < forecast_of(limit).expected < D(92)


def test_a_day_is_forecast_by_its_hours(workdays):
    limit = make_limit("10")
    morning, evening = NOW - timedelta(days=1, hours=4), NOW - timedelta(days=1) + timedelta(hours=6)
    assert forecast_of(limit, at=morning).expected > D("1.5")  # noon is still to come
    late = forecast_of(limit, at=evening)
    assert late.expected - D(4) < D("0.8")  # noon is over


def test_everyone_of_each_is_forecast_by_himself(workdays, owner):
    make_limit("60", period="month", scope="each_user")
    for user in (workdays, owner):
        operations.reserve(call_at(NOW, user=user.pk), hold_id=new_id(), amount=D("0.01"))
    lines = {line.subject: line.forecast for line in with_forecasts(standings(at=NOW), at=NOW)}
    assert D(84) < lines[f"user:{workdays.pk}"].expected < D(92)
    assert lines[f"user:{owner.pk}"] is None  # he never spent anything


def test_what_has_no_sums_by_time_goes_by_its_pace(workdays):
    spend("3", NOW - timedelta(days=1), user=workdays, tags={"team": "a"})
    found = forecast_of(make_limit("60", period="month", scope="tag", target="team=a"))
    assert (found.basis, found.low) == ("pace", None)
    assert D(8) < found.expected < D(9)


def test_a_total_names_the_day_of_its_end(workdays):
    found = forecast_of(make_limit("200", period="total"))
    assert (found.expected, found.low) == (None, None)
    assert datetime(2026, 7, 1, tzinfo=UTC) < found.exhausted_at < datetime(2026, 8, 1, tzinfo=UTC)
