"""Spending that is unusual is told within the hour: what it is, and against what. Once a day for each."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from alerts.detect import hours
from alerts.detect.watch import watch_spending
from alerts.models import CostAlert, ReadHour, SpentHour
from tests.alerts.detect.past import five_weeks, spend
from tracking.models import ApiUsageLog

pytestmark = pytest.mark.django_db
#: A Tuesday afternoon.
HOUR = datetime(2026, 6, 16, 14, 0, tzinfo=UTC)


def minutes(count: int) -> timedelta:
    return timedelta(minutes=count)


@pytest.fixture
def office(owner, monkeypatch):
    """Alice's mails have cost about three dollars an hour at this time of the day."""
    monkeypatch.setattr(hours, "MOST_HOURS", 2000)
    five_weeks(HOUR, user=owner)
    return owner


def titles(**filters) -> set[str]:
    return set(CostAlert.objects.filter(**filters).values_list("title", flat=True))


@pytest.mark.slow
def test_an_ordinary_afternoon_is_not_told(office):
    for minute in (10, 30, 50):
        spend(HOUR + minutes(minute), 1.2, user=office)
        assert watch_spending(at=HOUR + minutes(minute + 5)) == []


def test_five_times_as_much_is_told_within_the_hour_to_staff_and_to_whose_it_is(office, staff):
    spend(HOUR + minutes(20), 21, user=office)
    new = watch_spending(at=HOUR + minutes(25))
    assert titles(user=None) == {
        "Unusual spending: feature mail",
        "Unusual spending: model openai/gpt-4o",
        "Unusual spending: user alice@example.com",
    }
    assert titles(user=office) == {"Your spending is unusual"}
    text = next(alert.text for alert in new if "feature" in alert.title)
    assert text.startswith("Feature mail spent $21.00 between 14:00 and 14:25 on Tuesday, 16 June (UTC); on Tuesdays")
    assert "at that hour it is usually $" in text and text.endswith("(5 weeks).")
    assert {alert.severity for alert in new} == {"warning"}


@pytest.mark.slow
def test_it_is_told_once_a_day_and_is_over_when_it_is_usual_again(office):
    spend(HOUR + minutes(20), 40, user=office)
    assert len(watch_spending(at=HOUR + minutes(25))) == 4
    for minute in (30, 45, 70, 90):
        assert watch_spending(at=HOUR + minutes(minute)) == []
        assert not CostAlert.objects.exclude(resolved_at=None).exists()
    for hour in (1, 2, 3, 4):
        spend(HOUR + timedelta(hours=hour, minutes=5), 2, user=office)
    watch_spending(at=HOUR + timedelta(hours=5))
    assert not CostAlert.objects.filter(resolved_at=None).exists()
    spend(HOUR + timedelta(hours=5, minutes=2), 60, user=office)
    assert watch_spending(at=HOUR + timedelta(hours=5, minutes=5)) == [], "told for this day"
    assert CostAlert.objects.filter(resolved_at=None).count() == 4, "and it holds again"
    spend(HOUR + timedelta(hours=24, minutes=2), 200, user=office)
    watch_spending(at=HOUR + timedelta(hours=20))
    assert len(watch_spending(at=HOUR + timedelta(hours=24, minutes=5))) == 4, "another day is news"


@pytest.mark.slow
def test_it_is_found_when_the_task_ran_late_or_never_before(office):
    spend(HOUR + minutes(20), 40, user=office)
    assert len(watch_spending(at=HOUR + minutes(100))) == 4


@pytest.mark.slow
def test_another_feature_does_not_hide_it_nor_is_it_blamed(office, member):
    spend(HOUR + minutes(5), 2, user=office)
    five_weeks(HOUR, user=member, feature="search", seed=2)
    spend(HOUR + minutes(20), 21, user=member, feature="search")
    watch_spending(at=HOUR + minutes(25))
    assert titles() >= {"Unusual spending: feature search", "Unusual spending: user bob@example.com"}
    assert not {"Unusual spending: feature mail", "Unusual spending: user alice@example.com"} & titles()


@pytest.mark.slow
def test_a_name_without_a_past_is_not_judged(office):
    spend(HOUR + minutes(5), 30, user=office, feature="brand new")
    watch_spending(at=HOUR + minutes(10))
    assert "Unusual spending: feature brand new" not in titles()


@pytest.mark.slow
def test_little_money_is_not_told_however_unusual(office, settings):
    settings.UNUSUAL_MIN_USD = 100
    spend(HOUR + minutes(20), 40, user=office)
    assert watch_spending(at=HOUR + minutes(25)) == []


def test_hours_are_read_once_and_again_when_late_calls_changed_them(office):
    assert hours.read_hours(at=HOUR) == 5 * 168
    assert hours.read_hours(at=HOUR) == 0
    before = SpentHour.objects.get(dimension="feature", name="mail", hour=HOUR - timedelta(hours=3)).cost
    spend(HOUR - timedelta(hours=2, minutes=30), 5, user=office)
    assert hours.read_hours(at=HOUR + minutes(5)) == 1
    assert SpentHour.objects.get(dimension="feature", name="mail", hour=HOUR - timedelta(hours=3)).cost == before + 5
    hours.read_hours(at=HOUR + timedelta(weeks=20))
    assert not SpentHour.objects.exists() and not ReadHour.objects.exists()


@pytest.mark.slow
def test_a_run_reads_no_more_than_it_may_and_judges_by_what_is_known(office, monkeypatch, settings):
    monkeypatch.setattr(hours, "MOST_HOURS", 24)
    assert hours.read_hours(at=HOUR) == 24
    assert hours.known_since(at=HOUR) == HOUR - timedelta(hours=24)
    spend(HOUR + minutes(20), 21, user=office)
    watch_spending(at=HOUR + minutes(25))
    assert titles() == {"Unusual spending: model openai/gpt-4o"}, "models have a rollup by the hour"
    spend(HOUR + minutes(40), 150, user=office)
    watch_spending(at=HOUR + minutes(45))
    assert "Unusual spending: feature mail" in titles(), "and the whole day is compared by days"
    assert "on a whole Tuesday it is usually" in CostAlert.objects.get(title__contains="feature").text


@pytest.mark.slow
def test_hours_with_too_many_calls_are_not_read(office, settings):
    settings.UNUSUAL_MAX_CALLS = 1
    for minute in (10, 20):
        spend(HOUR + minutes(minute), 15, user=office)
    with CaptureQueriesContext(connection) as queries:
        watch_spending(at=HOUR + timedelta(hours=1, minutes=1))
    assert ReadHour.objects.get(hour=HOUR).too_many
    ledger = [q["sql"] for q in queries if ApiUsageLog._meta.db_table in q["sql"]]
    assert not [sql for sql in ledger if "2026-06-16 14:" in sql.partition("GROUP")[0].partition(">=")[2][:25]]
    assert titles() == {"Unusual spending: model openai/gpt-4o"}
