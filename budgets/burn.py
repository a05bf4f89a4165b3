"""How a window was used up: what was spent by the end of each day (or hour) of it, and what is expected by its end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from budgets.outlook import has_hours, history_filters
from budgets.queries import Standing
from tracking.history import daily_costs, hourly_costs
from tracking.periods import Period, day_of, start_of

#: Windows longer than this are drawn from so many days before now on.
MOST_DAYS = 400
_HOUR = timedelta(hours=1)
_BY_HOUR_UP_TO = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class Point:
    """What was spent in the window by `at`, in USD; None for moments that are yet to come."""

    at: datetime
    spent: Decimal | None


@dataclass(frozen=True, slots=True)
class Burn:
    """A window from its beginning to its end, in order of time. USD."""

    points: list[Point]
    by_hour: bool
    started_with: Decimal  # spent in it before the first point, or without a time that is known


def burn(line: Standing, *, at: datetime) -> Burn | None:
    """How a window was used up until `at`. None where no rollup keeps its past by time (analyses, keys, tags), or
    only by days while the window is shorter than that.

    The last point that is not to come is what the window says it has spent; what the days do not explain (calls that
    settled in the window that reserved them) stands at its beginning.
    """
    filters = history_filters(line)
    short = line.resets_at is not None and line.resets_at - line.window_start <= _BY_HOUR_UP_TO
    if filters is None or (short and not has_hours(line)):
        return None
    start = max(line.window_start, at - timedelta(days=MOST_DAYS))
    end = line.resets_at or at
    costs, ends = _by_hour(start, end, filters) if short else _by_day(start, end, filters)
    # A day is complete, and drawn, at its end; the present one at this moment.
    known = sum((cost for begins, cost in costs.items() if begins <= at), Decimal(0))
    first = line.spent - known
    total, points = first, [Point(start, first)]
    for begins, stops in ends:
        if begins > at:
            points.append(Point(stops, None))
            continue
        total += costs.get(begins, Decimal(0))
        points.append(Point(min(stops, at), total))
        if stops > at:
            points.append(Point(stops, None))
    return Burn(points, short, first)


def _by_hour(
    start: datetime, end: datetime, filters: dict
) -> tuple[dict[datetime, Decimal], list[tuple[datetime, datetime]]]:
    first = start.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    count = int((end - first) / _HOUR) + ((end - first) % _HOUR > timedelta(0))
    hours = [(first + n * _HOUR, min(first + (n + 1) * _HOUR, end)) for n in range(count)]
    return hourly_costs(start=first, end=end, **filters), hours


def _by_day(
    start: datetime, end: datetime, filters: dict
) -> tuple[dict[datetime, Decimal], list[tuple[datetime, datetime]]]:
    last = day_of(end - timedelta(microseconds=1))
    period = Period(day_of(start), last + timedelta(days=1))
    costs = {start_of(day): cost for day, cost in daily_costs(period=period, **filters).items()}
    return costs, [(start_of(day), min(start_of(day + timedelta(days=1)), end)) for day in period.days]
