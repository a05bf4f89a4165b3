"""When the clocks of a time zone were changed. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

_DAY, _SECOND = timedelta(days=1), timedelta(seconds=1)
#: Years that are looked at, at most: those before the end of a longer period.
MOST_YEARS = 100


def offsets(zone: ZoneInfo, start: datetime, end: datetime) -> list[tuple[datetime, timedelta]]:
    """How far the zone is ahead of UTC from `start` on, and from each change before `end` on; in the order of time."""
    start, end = start.astimezone(UTC), end.astimezone(UTC)
    found = [(start, _ahead(zone, start))]
    for year in range(max(start.year, end.year - MOST_YEARS), end.year + 1):
        found += [(at, ahead) for at, ahead in _changes(zone.key, year) if start < at < end]
    return found


@lru_cache(maxsize=2048)
def _changes(key: str, year: int) -> tuple[tuple[datetime, timedelta], ...]:
    """The changes of a year: days are compared, and searched where their ends differ."""
    zone, found = ZoneInfo(key), []
    at = datetime(year, 1, 1, tzinfo=UTC) - _SECOND
    end = datetime(year, 12, 31, 23, 59, 59, tzinfo=UTC)
    while at < end:
        later = min(at + _DAY, end)
        if _ahead(zone, later) != _ahead(zone, at):
            later = _change(zone, at, later)
            found.append((later, _ahead(zone, later)))
        at = later
    return tuple(found)


def _change(zone: ZoneInfo, before: datetime, after: datetime) -> datetime:
    """The first second of what holds at `after`."""
    while after - before > _SECOND:
        middle = before + (after - before) // _SECOND // 2 * _SECOND
        if _ahead(zone, middle) == _ahead(zone, before):
            before = middle
        else:
            after = middle
    return after


def _ahead(zone: ZoneInfo, at: datetime) -> timedelta:
    return at.astimezone(zone).utcoffset() or timedelta(0)
