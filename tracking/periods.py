"""Periods of reports: half-open ranges of days of the site's TIME_ZONE."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings


@dataclass(frozen=True, slots=True)
class Period:
    """The days from `start` up to, not including, `end`."""

    start: date
    end: date

    @property
    def days(self) -> list[date]:
        """Every day of the period."""
        return [self.start + timedelta(days=n) for n in range(self.length)]

    @property
    def length(self) -> int:
        """How many days it has."""
        return max(0, (self.end - self.start).days)

    @property
    def starts_at(self) -> datetime:
        """The moment at which the first day begins, in UTC."""
        return start_of(self.start)

    @property
    def ends_at(self) -> datetime:
        """The moment at which the period is over, in UTC."""
        return start_of(self.end)


def site_zone() -> ZoneInfo:
    """The time zone whose days are those of reports."""
    return ZoneInfo(settings.TIME_ZONE)


def start_of(day: date) -> datetime:
    """The moment at which a day begins in the site's time zone, in UTC."""
    return datetime.combine(day, time.min, tzinfo=site_zone()).astimezone(UTC)


def day_of(at: datetime) -> date:
    """The day of the site's time zone that holds the moment."""
    return at.astimezone(site_zone()).date()


def today(now: datetime) -> Period:
    """The day of `now`."""
    return last_days(now, 1)


def week(now: datetime) -> Period:
    """The calendar week of `now`, from Monday on."""
    monday = day_of(now) - timedelta(days=day_of(now).weekday())
    return Period(monday, monday + timedelta(days=7))


def month(now: datetime) -> Period:
    """The calendar month of `now`."""
    first = day_of(now).replace(day=1)
    return Period(first, (first + timedelta(days=32)).replace(day=1))


def last_days(now: datetime, days: int) -> Period:
    """The `days` days that end with the day of `now`, which counts. Raises `ValueError` for less than one day."""
    if days < 1:
        raise ValueError("A period has at least one day.")
    end = day_of(now) + timedelta(days=1)
    return Period(end - timedelta(days=days), end)
