"""When a channel is quiet, and when its digest is due: in the channel's own time zone. Pure."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo


def quiet_until(at: datetime, *, begins: time | None, ends: time | None, zone: str) -> datetime | None:
    """The end of the quiet hours that `at` lies in, in UTC; None where it lies in none. They may pass midnight.

    Equal beginning and end mean no quiet hours.
    """
    if begins is None or ends is None or begins == ends:
        return None
    local = at.astimezone(ZoneInfo(zone))
    clock = local.time().replace(tzinfo=None)
    if begins < ends:
        if not begins <= clock < ends:
            return None
        day = local.date()
    elif clock >= begins:
        day = local.date() + timedelta(days=1)
    elif clock < ends:
        day = local.date()
    else:
        return None
    until = _moment(day, ends, zone)
    # Where the clock was put back, the end comes round a second time: it is never in the past.
    return until if until > at else until + timedelta(hours=1)


def next_digest(after: datetime, *, at: time, zone: str, weekly: bool) -> datetime:
    """When the next digest is due, later than `after`: each day at this time, or each Monday."""
    day = after.astimezone(ZoneInfo(zone)).date()
    while True:
        if not weekly or day.weekday() == 0:
            due = _moment(day, at, zone)
            if due > after:
                return due
        day += timedelta(days=1)


def _moment(day: date, clock: time, zone: str) -> datetime:
    """That time of that day in UTC; a time that clocks jump over is the one an hour later."""
    return datetime.combine(day, clock, ZoneInfo(zone)).astimezone(UTC)
