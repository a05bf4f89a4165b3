"""The reads that pages and commands share."""

import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from tests.tracking.making import NOW, an_event, microseconds
from tracking import periods, queries
from tracking.models import ApiUsageLog
from tracking.recording import record

pytestmark = pytest.mark.django_db

COST = Decimal("0.0075")


def at(day: int, hour: int = 12) -> int:
    return microseconds(datetime(2026, 11, day, hour, tzinfo=UTC))


@pytest.fixture
def month(owner, member):
    """Alice: two calls on the 18th, one on the 20th; Bob: one on the 19th, unpriced; nobody: a transcription."""
    record(
        [
            an_event(at_us=at(18), user=owner.pk, feature="pitch"),
            an_event(at_us=at(18, 13), user=owner.pk, feature="critique"),
            an_event(at_us=at(20), user=owner.pk, feature="pitch"),
            an_event(at_us=at(19), user=member.pk, model_served="gpt-99", feature="pitch"),
            an_event(
                at_us=at(20, 9),
                operation="transcription",
                model_served="whisper-1",
                feature="",
                usage={"type": "duration", "seconds": 60},
            ),
        ],
        now=NOW,
    )
    return periods.last_days(NOW, 7)


def test_sums_of_a_period_and_of_one_user(month, owner, member):
    everyone = queries.totals(period=month)
    assert (everyone.calls, everyone.cost, everyone.unpriced) == (5, 3 * COST + Decimal("0.006"), 1)
    assert everyone.audio_minutes == 1
    assert everyone.average_cost == everyone.cost / 4, "the unpriced call is not averaged in as zero"
    assert queries.totals(period=month, user_id=owner.pk).cost == 3 * COST
    assert queries.totals(period=month, user_id=member.pk).unpriced == 1
    assert queries.totals(period=periods.today(NOW)).calls == 2
    assert queries.totals(period=periods.last_days(NOW - timedelta(days=100), 7)) == queries.Totals()


def test_every_day_is_there(month, owner):
    days = queries.by_day(period=month, user_id=owner.pk)
    assert [entry.day.day for entry in days] == [14, 15, 16, 17, 18, 19, 20]
    assert [entry.totals.calls for entry in days] == [0, 0, 0, 0, 2, 0, 1]
    assert [entry.totals.calls for entry in queries.by_day(period=month)][4:] == [2, 1, 2]


def test_by_service_model_feature_and_user(month, owner, member):
    def names(entries):
        return [(entry.name, entry.totals.calls) for entry in entries]

    assert names(queries.by_service(period=month)) == [("chat", 4), ("whisper", 1)]
    assert names(queries.by_service(period=month, user_id=owner.pk)) == [("chat", 3)]
    assert names(queries.by_model(period=month)) == [("gpt-4o-2024-08-06", 3), ("whisper-1", 1), ("gpt-99", 1)]
    assert names(queries.by_model(period=month, user_id=member.pk)) == [("gpt-99", 1)]
    assert names(queries.by_feature(period=month)) == [("pitch", 3), ("critique", 1), ("", 1)]
    assert names(queries.by_feature(period=month, user_id=owner.pk)) == [("pitch", 2), ("critique", 1)]
    assert [(u.email, u.totals.calls) for u in queries.by_user(period=month)] == [
        ("alice@example.com", 3),
        ("", 1),
        ("bob@example.com", 1),
    ]
    assert [u.user_id for u in queries.top_users(period=month)] == [owner.pk, member.pk]
    assert len(queries.by_model(period=month, limit=1)) == 1


def test_latest_calls_page_by_page(owner):
    events = [an_event(at_us=at(20), feature=str(n), user=owner.pk) for n in range(25)]
    record([*events, an_event(at_us=at(19), feature="oldest")], now=NOW)
    seen, cursor, pages = [], None, 0
    while True:
        page = queries.latest_calls(limit=10, before=cursor)
        seen += page.calls
        pages += 1
        cursor = page.next
        if cursor is None:
            break
    assert pages == 3
    assert len({call.id for call in seen}) == 26
    assert seen[-1].feature == "oldest"
    assert len(queries.latest_calls(user_id=owner.pk, limit=10_000).calls) == 25
    for bad in ("x", "1-2", "-", "99999999999999999999-" + uuid.uuid4().hex):
        with pytest.raises(ValueError, match="not a cursor"):
            queries.latest_calls(before=bad)


def test_one_call_is_shown_to_its_owner(owner, member):
    event = an_event(user=owner.pk)
    record([event], now=NOW)
    found = queries.call(event.id, user_id=owner.pk)
    assert found.call.cost == COST
    assert found.receipt["total_usd"] == "0.0075"
    assert queries.call(event.id, user_id=member.pk) is None
    assert queries.call(uuid.uuid4()) is None
    assert queries.call("no id") is None


def test_last_calls_by_user(month, owner, member):
    assert [(email, at.day) for _, email, at in queries.last_calls_by_user()] == [
        ("alice@example.com", 20),
        ("", 20),
        ("bob@example.com", 19),
    ]


def test_analyses_by_cost():
    record([an_event(analysis="cheap"), an_event(analysis="dear"), an_event(analysis="dear", feature="x")], now=NOW)
    assert [(a.analysis_id, a.totals.cost, a.totals.calls) for a in queries.analyses()] == [
        ("dear", 2 * COST, 2),
        ("cheap", COST, 1),
    ]


def test_sums_never_read_the_ledger(month, django_assert_num_queries):
    ApiUsageLog.objects.all().delete()
    with django_assert_num_queries(1):
        assert queries.totals(period=month).calls == 5
    with django_assert_num_queries(1):
        assert queries.by_service(period=month)[0].totals.calls == 4


@pytest.mark.parametrize(
    ("zone", "now", "today", "monday", "first"),
    [
        ("UTC", datetime(2026, 11, 22, 23, 30, tzinfo=UTC), date(2026, 11, 22), date(2026, 11, 16), date(2026, 11, 1)),
        (
            *("Europe/Vienna", datetime(2026, 11, 30, 23, 30, tzinfo=UTC)),
            *(date(2026, 12, 1), date(2026, 11, 30), date(2026, 12, 1)),
        ),
    ],
)
def test_periods_are_those_of_the_site(settings, zone, now, today, monday, first):
    settings.TIME_ZONE = zone
    assert periods.today(now).start == today
    assert periods.week(now).start == monday
    assert len(periods.week(now).days) == 7
    assert periods.month(now).start == first
    assert periods.month(now).end.day == 1
    with pytest.raises(ValueError, match="at least one day"):
        periods.last_days(now, 0)


def test_a_day_of_a_clock_change_has_its_25_hours(settings):
    settings.TIME_ZONE = "Europe/Vienna"
    day = periods.today(datetime(2026, 10, 25, 12, tzinfo=UTC))
    assert day.ends_at - day.starts_at == timedelta(hours=25)
