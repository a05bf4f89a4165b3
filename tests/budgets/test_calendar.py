"""Windows against an independent model that only ever reads a clock minute by minute."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from budgets.calendar import EPOCH, PERIODS, WindowRule, window_at

ZONES = [
    "UTC",
    "Europe/Vienna",
    "Europe/London",
    "America/New_York",
    "America/Havana",  # jumps over midnight in spring, shows it twice in autumn
    "America/Sao_Paulo",  # jumped over midnight until 2018
    "America/St_Johns",  # changed at one minute past midnight until 2011
    "Asia/Kolkata",  # half an hour
    "Asia/Kathmandu",  # three quarters
    "Australia/Lord_Howe",  # jumps by half an hour
    "Pacific/Apia",  # had no 30 December 2011
    "Pacific/Kwajalein",  # had no 21 August 1993
    "Africa/Casablanca",  # changes around Ramadan
    "Asia/Tehran",
]
MINUTE = timedelta(minutes=1)


def is_first_date(rule: WindowRule, day: date) -> bool:
    if rule.period == "day":
        return True
    if rule.period == "week":
        return day.weekday() == rule.week_start
    last = (day.replace(day=1) + timedelta(days=40)).replace(day=1) - timedelta(days=1)
    months = {"month": range(1, 13), "quarter": (1, 4, 7, 10), "year": (1,)}[rule.period]
    return day.month in months and day.day == min(rule.month_start, last.day)


def clock_first_reaches(zone: ZoneInfo, day: date) -> datetime:
    """Watch the clock from two days before, minute by minute."""
    moment = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=30)
    while moment.astimezone(zone).date() < day:
        moment += MINUTE
    return moment


def model_window(rule: WindowRule, at: datetime) -> tuple[datetime, datetime]:
    """Walk back over the calendar to a date that begins a period and whose beginning is not after `at`."""
    zone = ZoneInfo(rule.time_zone)
    day = at.astimezone(zone).date() + timedelta(days=2)
    start = end = None
    while start is None:
        if is_first_date(rule, day):
            begins = clock_first_reaches(zone, day)
            if begins <= at:
                start = begins
            else:
                end = begins
        day -= timedelta(days=1)
    day += timedelta(days=2)
    while end is None:
        if is_first_date(rule, day) and clock_first_reaches(zone, day) > start:
            end = clock_first_reaches(zone, day)
        day += timedelta(days=1)
    return start, end


rules = st.builds(
    WindowRule,
    period=st.sampled_from([p for p in PERIODS if p not in ("hour", "total")]),
    time_zone=st.sampled_from(ZONES),
    week_start=st.integers(0, 6),
    month_start=st.integers(1, 31),
)
#: any moment, and moments around the days on which clocks and months change
moments = st.one_of(
    st.datetimes(datetime(1971, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)),
    st.builds(
        lambda day, minutes: datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(minutes=minutes),
        st.sampled_from(
            [
                date(2026, 3, 8),
                date(2026, 3, 29),
                date(2026, 10, 25),
                date(2026, 11, 1),
                date(2026, 4, 5),
                date(2026, 10, 4),
                date(2018, 11, 4),
                date(2018, 2, 18),
                date(2006, 10, 29),
                date(2011, 12, 30),
                date(1993, 8, 21),
                date(2024, 2, 29),
                date(2025, 2, 28),
                date(2026, 1, 1),
                date(2026, 12, 31),
                date(2026, 2, 15),
                date(2026, 3, 22),
            ]  # fmt: skip
        ),
        st.integers(-2 * 1440, 2 * 1440),
    ),
)


@given(rule=rules, at=moments)
@settings(max_examples=250, deadline=None)
@example(rule=WindowRule("day", "Pacific/Apia"), at=datetime(2011, 12, 30, 9, 59, tzinfo=UTC))
@example(rule=WindowRule("day", "Pacific/Apia"), at=datetime(2011, 12, 30, 10, 0, tzinfo=UTC))
@example(rule=WindowRule("day", "America/St_Johns"), at=datetime(2006, 10, 29, 2, 45, tzinfo=UTC))
@example(rule=WindowRule("day", "America/Havana"), at=datetime(2026, 3, 8, 5, 0, tzinfo=UTC))
@example(rule=WindowRule("month", "UTC", month_start=31), at=datetime(2024, 2, 29, tzinfo=UTC))
def test_a_window_is_what_a_patient_observer_of_the_clock_would_say(rule, at):
    span = window_at(rule, at)
    minute = at.replace(second=0, microsecond=0)
    assert (span.starts_at, span.ends_at) == model_window(rule, minute)


@given(rule=st.builds(WindowRule, period=st.sampled_from(PERIODS[:-1]), time_zone=st.sampled_from(ZONES),
                      week_start=st.integers(0, 6), month_start=st.integers(1, 31)), at=moments)  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_windows_tile_time(rule, at):
    span = window_at(rule, at)
    assert span.starts_at <= at < span.ends_at
    assert window_at(rule, span.starts_at) == span
    assert window_at(rule, span.ends_at - timedelta(microseconds=1)) == span
    following = window_at(rule, span.ends_at)
    assert following.starts_at == span.ends_at
    before = window_at(rule, span.starts_at - timedelta(microseconds=1))
    assert before.ends_at == span.starts_at


@given(zone=st.sampled_from(ZONES), at=moments)
@settings(max_examples=200, deadline=None)
def test_an_hour_ends_when_the_clock_shows_a_full_hour_or_jumps(zone, at):
    span = window_at(WindowRule("hour", zone), at)
    assert span.ends_at - span.starts_at <= timedelta(hours=1)
    moment, shown = span.starts_at, []
    while moment < span.ends_at:
        shown.append(moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None))
        moment += MINUTE
    assert all(later - earlier == MINUTE for earlier, later in zip(shown, shown[1:], strict=False)), "no jump inside"
    after = span.ends_at.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    assert after.minute == 0 or after - shown[-1] != MINUTE, "it ends at a full hour or at a jump"


def test_lord_howe_has_half_hours_where_its_clock_jumps():
    rule = WindowRule("hour", "Australia/Lord_Howe")
    jump = datetime(2026, 10, 3, 15, 30, tzinfo=UTC)  # 02:00 becomes 02:30
    span = window_at(rule, jump)
    assert span.ends_at - span.starts_at == timedelta(minutes=30)
    assert window_at(rule, jump - timedelta(seconds=1)).ends_at == jump


def test_a_repeated_hour_is_two_windows():
    rule = WindowRule("hour", "Europe/Vienna")
    first = window_at(rule, datetime(2026, 10, 25, 0, 15, tzinfo=UTC))
    second = window_at(rule, datetime(2026, 10, 25, 1, 15, tzinfo=UTC))
    assert first.ends_at == second.starts_at
    assert first.starts_at.astimezone(ZoneInfo("Europe/Vienna")).hour == 2
    assert second.starts_at.astimezone(ZoneInfo("Europe/Vienna")).hour == 2


def test_months_that_begin_on_the_31st_begin_on_the_last_day_of_shorter_ones():
    rule = WindowRule("month", month_start=31)
    starts, at = [], datetime(2024, 1, 31, tzinfo=UTC)
    for _ in range(5):
        span = window_at(rule, at)
        starts.append(f"{span.starts_at:%m-%d}")
        at = span.ends_at
    assert starts == ["01-31", "02-29", "03-31", "04-30", "05-31"]


def test_a_total_has_one_window_from_its_origin_on():
    at = datetime(2026, 5, 1, tzinfo=UTC)
    assert window_at(WindowRule("total"), at).starts_at == EPOCH
    span = window_at(WindowRule("total", origin=at), at + timedelta(days=9999))
    assert (span.starts_at, span.ends_at) == (at, None)
    assert span.holds(at) and not span.holds(at - MINUTE)
    with pytest.raises(ValueError, match="before"):
        window_at(WindowRule("total", origin=at), at - MINUTE)


@pytest.mark.parametrize(
    "wrong, words",
    [({"period": "fortnight"}, "not a period"), ({"week_start": 7}, "Monday"), ({"month_start": 0}, "1 to 31")],
)
def test_a_rule_says_what_is_wrong_with_it(wrong, words):
    with pytest.raises(ValueError, match=words):
        WindowRule(**{"period": "day", **wrong})
    with pytest.raises(ValueError, match="naive"):
        window_at(WindowRule("day"), datetime(2026, 1, 1))
