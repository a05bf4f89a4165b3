"""How a window was used up, day by day and hour by hour."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from budgets.burn import burn
from budgets.queries import standings_of_limit
from tests.budgets.conftest import make_limit
from tests.budgets.history import spend

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("own_db", "at_once")]
D = Decimal
NOW = datetime(2026, 6, 11, 12, 30, tzinfo=UTC)


def burn_of(limit):
    [line] = standings_of_limit(limit.pk, at=NOW)
    return line, burn(line, at=NOW)


def test_a_month_day_by_day(member, owner):
    for day, amount in ((2, "4"), (2, "1"), (11, "10")):
        spend(amount, NOW.replace(day=day), user=member, feature="mail", model="gpt-4o")
    spend("100", NOW.replace(day=5), user=owner)
    line, found = burn_of(make_limit("60", period="month", scope="user", user=member))
    assert (len(found.points), found.by_hour, found.started_with) == (1 + 30 + 1, False, 0)
    known = [point for point in found.points if point.spent is not None]
    assert [point.spent for point in known] == [0, 0, *[D(5)] * 9, D(15)], "by the end of each day, and by now"
    assert known[-1] == found.points[11] and known[-1].at == NOW and known[-1].spent == line.spent
    assert found.points[-1].at == line.resets_at


def test_a_day_hour_by_hour():
    spend("1", NOW.replace(hour=3), model="gpt-4o")
    spend("2", NOW, model="gpt-4o")
    spend("50", NOW - timedelta(days=1), model="gpt-4o")
    line, found = burn_of(make_limit("60", period="day", scope="model", target="gpt-4o*"))
    assert found.by_hour and line.spent == 3
    assert [point.spent for point in found.points[:5]] == [0, 0, 0, 0, 1]
    assert [point.spent for point in found.points if point.spent is not None][-1] == 3
    assert found.points[-1].at == line.resets_at and found.points[-1].spent is None


def test_what_no_day_explains_stands_at_the_beginning(member):
    from budgets.models import BudgetWindow

    spend("4", NOW.replace(day=2), user=member)
    limit = make_limit("60", period="month", scope="user", user=member)
    BudgetWindow.objects.filter(limit=limit).delete()
    BudgetWindow.objects.create(
        limit=limit, version=1, subject=f"user:{member.pk}", starts_at=datetime(2026, 6, 1, tzinfo=UTC),
        ends_at=datetime(2026, 7, 1, tzinfo=UTC), opened_at=NOW, limit_amount=60, hard=True, spent=5, held=0,
    )  # fmt: skip
    _, found = burn_of(limit)
    assert found.started_with == 1 and found.points[0].spent == 1


def test_nothing_is_drawn_where_nothing_is_kept(member):
    assert burn_of(make_limit("60", period="month", scope="tag", target="team=red"))[1] is None
    assert burn_of(make_limit("60", period="day", scope="user", user=member))[1] is None, "days only are kept"
