"""When the windows of a limit begin and end. Pure: no clock, no database, no Django.

A window is a half-open span `[starts_at, ends_at)` of one period in the limit's own time zone. Windows tile time: each
moment lies in exactly one window of a rule.

Where clocks change:

- A day (week, month, quarter, year) begins when the local clock **first reaches** midnight of its first date. One
  that the clock jumps over (Havana in spring) begins at the jump; one shown twice begins the first time.
  A date that a zone skipped altogether (Apia, 30 December 2011) has no window.
- An hour ends when the clock next shows a full hour **or jumps**. So an hour that the clock repeats is two windows, and
  none is longer than sixty minutes; Lord Howe's half-hour jumps leave windows of thirty.
- `month_start` is the day on which months begin. In a month without that day (31 in April, 29 in February) the month
  begins on its last day. Quarters begin on that day of January, April, July and October, years on that day of January.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Literal, get_args
from zoneinfo import ZoneInfo

Period = Literal["hour", "day", "week", "month", "quarter", "year", "total"]
PERIODS: tuple[Period, ...] = get_args(Period)

#: The start of a `total` window without an origin: before the first call that any ledger holds.
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_MONTHS = {"month": 1, "quarter": 3, "year": 12}


@dataclass(frozen=True, slots=True)
class WindowRule:
    """How a limit divides time."""

    period: Period
    time_zone: str = "UTC"
    week_start: int = 0  # 0 Monday ... 6 Sunday
    month_start: int = 1  # 1 ... 31, the last day where a month is shorter
    origin: datetime | None = None  # where a `total` window begins; None: EPOCH

    def __post_init__(self) -> None:
        if self.period not in PERIODS:
            raise ValueError(f"{self.period!r} is not a period. Use one of {', '.join(PERIODS)}.")
        if not 0 <= self.week_start <= 6:
            raise ValueError(f"week_start is {self.week_start}; it must be 0 (Monday) to 6 (Sunday).")
        if not 1 <= self.month_start <= 31:
            raise ValueError(f"month_start is {self.month_start}; it must be a day from 1 to 31.")


@dataclass(frozen=True, slots=True)
class WindowSpan:
    """`[starts_at, ends_at)`, both in UTC; no end for a `total` window."""

    starts_at: datetime
    ends_at: datetime | None

    def holds(self, at: datetime) -> bool:
        """Whether the moment lies in this window."""
        return self.starts_at <= at and (self.ends_at is None or at < self.ends_at)


def window_at(rule: WindowRule, at: datetime) -> WindowSpan:
    """The window of `rule` in which the moment `at` lies.

    Raises `ValueError` for a naive time, and for one before the origin of a `total` window.
    """
    if at.tzinfo is None:
        raise ValueError("A window needs a time with a zone, not a naive one.")
    at = at.astimezone(UTC)
    if rule.period == "total":
        origin = (rule.origin or EPOCH).astimezone(UTC)
        if at < origin:
            raise ValueError(f"{at} is before {origin}, when this limit begins.")
        return WindowSpan(origin, None)
    zone = ZoneInfo(rule.time_zone)
    if rule.period == "hour":
        return _hour_at(zone, at)
    first = _first_date(rule, at.astimezone(zone).date())
    span = _span(rule, first)
    # Where the clock is set back over midnight it shows the old date again, inside the window that has begun.
    while span.ends_at is not None and at >= span.ends_at:
        first = _next_date(rule, first)
        span = _span(rule, first)
    return span


@lru_cache(maxsize=4096)
def _span(rule: WindowRule, first: date) -> WindowSpan:
    return WindowSpan(_first_instant(rule.time_zone, first), _first_instant(rule.time_zone, _next_date(rule, first)))


def _first_date(rule: WindowRule, day: date) -> date:
    """The first date of the period that `day` belongs to."""
    if rule.period == "day":
        return day
    if rule.period == "week":
        return day - timedelta(days=(day.weekday() - rule.week_start) % 7)
    months = _MONTHS[rule.period]
    index = day.year * 12 + day.month - 1
    start = _month_start(index - index % months, rule.month_start)
    return start if start <= day else _month_start(index - index % months - months, rule.month_start)


def _next_date(rule: WindowRule, first: date) -> date:
    """The first date of the period that follows the one beginning on `first`."""
    if rule.period == "day":
        return first + timedelta(days=1)
    if rule.period == "week":
        return first + timedelta(days=7)
    return _month_start(first.year * 12 + first.month - 1 + _MONTHS[rule.period], rule.month_start)


def _month_start(index: int, day: int) -> date:
    """The day on which month number `index` (year * 12 + month - 1) begins: its last day where it has no such day."""
    year, month = divmod(index, 12)
    while True:
        try:
            return date(year, month + 1, day)
        except ValueError:
            if day <= 28:
                raise
            day -= 1


def _first_instant(time_zone: str, day: date) -> datetime:
    """The first moment at which the zone's clock shows midnight of `day` or later."""
    zone = ZoneInfo(time_zone)
    midnight = datetime.combine(day, time())
    instant = midnight.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) == midnight:
        return instant
    # The clock jumps over midnight. fold=1 reads it with the offset after the jump, which is a moment before it.
    before = midnight.replace(tzinfo=zone, fold=1).astimezone(UTC)
    return _first(before, instant, lambda at: at.astimezone(zone).replace(tzinfo=None) >= midnight)


def _hour_at(zone: ZoneInfo, at: datetime) -> WindowSpan:
    local = at.astimezone(zone)
    offset = local.utcoffset()
    second = at.replace(microsecond=0)
    start = second - timedelta(minutes=local.minute, seconds=local.second)
    end = start + timedelta(hours=1)
    if start.astimezone(zone).utcoffset() != offset:
        start = _first(start, second, lambda moment: moment.astimezone(zone).utcoffset() == offset)
    if (end - timedelta(seconds=1)).astimezone(zone).utcoffset() != offset:
        end = _first(second, end, lambda moment: moment.astimezone(zone).utcoffset() != offset)
    return WindowSpan(start, end)


def _first(low: datetime, high: datetime, reached: Callable[[datetime], bool]) -> datetime:
    """The first whole second in (low, high] for which `reached` is true, knowing it is so at `high`, not at `low`."""
    below, above = 0, int((high - low).total_seconds())
    while above - below > 1:
        middle = (below + above) // 2
        if reached(low + timedelta(seconds=middle)):
            above = middle
        else:
            below = middle
    return low + timedelta(seconds=above)
