"""Reads of the overview: sums of days and hours, shares of a dimension now and before, and the stacks of a chart.

From rollups alone: what none of them has is None, and the page says so. Money is `Decimal` USD, net of corrections;
days are those of the site's TIME_ZONE.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Case, CharField, F, Q, QuerySet, Sum, Value, When
from django.db.models.functions import Cast, Coalesce

from tracking.fields import UsdField
from tracking.models import (
    ApiUsageLog,
    DailyFeatureRollup,
    DailyModelRollup,
    DailyUserFeatureRollup,
    DailyUserModelRollup,
    DailyUserRollup,
    HourlyModelRollup,
)
from tracking.periods import Period, day_of, start_of
from tracking.span_reads import summed

DIMENSIONS = ("service", "model", "feature", "user", "provider")
#: The most names of a dimension that are read; the dearest.
MOST_NAMES = 200
MOST_ROWS = 6_000
ZERO = Decimal(0)
_MEASURES = ("calls", "unpriced", "errors", "cost")
_KEYS = ("first", "second", "third")
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class _Rollup:
    model: Any
    has: frozenset[str]
    by_hour: bool = False


#: The narrowest first.
_ROLLUPS = (
    _Rollup(DailyModelRollup, frozenset({"provider", "model", "service"})),
    _Rollup(DailyFeatureRollup, frozenset({"feature", "model"})),
    _Rollup(DailyUserRollup, frozenset({"user"})),
    _Rollup(HourlyModelRollup, frozenset({"provider", "model", "service"}), by_hour=True),
    _Rollup(DailyUserFeatureRollup, frozenset({"user", "feature"})),
    _Rollup(DailyUserModelRollup, frozenset({"user", "provider", "model", "service"})),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """What some calls add up to. `cost` leaves out the `unpriced` ones."""

    calls: int = 0
    unpriced: int = 0
    errors: int = 0
    cost: Decimal = ZERO

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            calls=self.calls + other.calls,
            unpriced=self.unpriced + other.unpriced,
            errors=self.errors + other.errors,
            cost=self.cost + other.cost,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """Sums day by day; of the hours of those days too, where they are kept for what was asked."""

    days: Mapping[date, Sums] = field(default_factory=dict)
    hours: Mapping[datetime, Sums] | None = None

    def of(self, period: Period) -> Sums:
        """The sums of a period."""
        return sum((self.days[day] for day in period.days if day in self.days), Sums())

    def until(self, period: Period, at: datetime) -> Sums | None:
        """The sums from the start of a period up to a moment, the hour of which counts in part; None without hours."""
        if self.hours is None:
            return None
        whole = [day for day in period.days if start_of(day + timedelta(days=1)) <= at]
        sums = sum((self.days[day] for day in whole if day in self.days), Sums())
        hour = max((start_of(day + timedelta(days=1)) for day in whole), default=period.starts_at)
        while hour + _HOUR <= at:
            sums += self.hours.get(hour, Sums())
            hour += _HOUR
        rest = Decimal(int((at - hour).total_seconds())) / 3600
        last = self.hours.get(hour, Sums())
        return sums + Sums(calls=int(last.calls * rest), cost=last.cost * rest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One name of a dimension: its sums, and what it cost in the span before. A user is named by his id, "0": none."""

    name: str
    now: Sums
    before: Decimal
    calls_before: int = 0
    unpriced_before: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """The parts of a dimension, the dearest first; `complete` unless there are more than are read."""

    parts: Sequence[Part]
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """The costs of one name at every moment that has any. `name` is None for all names without a stack of their own."""

    name: str | None
    costs: Mapping[Any, Decimal]


def is_kept(names: Sequence[str]) -> bool:
    """Whether a rollup has these dimensions together."""
    return _rollup(frozenset(names), aligned=True) is not None


def timeline(
    *, since: date, until: date, filters: Mapping[str, str], hours_of: Sequence[Period] = ()
) -> Timeline | None:
    """The sums of each day in `[since, until)`, and of the hours of some periods where hours are kept. One read.

    None where no rollup has these filters together.
    """
    wanted, aligned = frozenset(filters), _is_aligned(since, until, *(day for one in hours_of for day in one.days[:1]))
    daily = _rollup(wanted, aligned=aligned)
    if daily is None:
        return None
    hourly = _rollup(wanted, by_hour=True, aligned=aligned) if hours_of else None
    rows = _timed(_in(daily, since, until, filters), "day")
    if hourly is not None:
        spans = Q()
        for period in hours_of:
            spans |= Q(hour__gte=period.starts_at, hour__lt=period.ends_at)
        rows = rows.union(_timed(hourly.model.objects.filter(spans, **_filters(filters)), "hour"), all=True)
    days: dict[date, Sums] = {}
    hours: dict[datetime, Sums] = {}
    for row in rows:
        if row["kind"] == "day":
            days[date.fromisoformat(row["at"][:10])] = _sums(row)
        else:
            at = datetime.fromisoformat(row["at"])
            hours[at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)] = _sums(row)
    return Timeline(days=days, hours=hours if hourly is not None else None)


def parts(
    names: Sequence[str], *, period: Period, before: Period, filters: Mapping[str, str]
) -> dict[str, Breakdown | None]:
    """How the spending of a period is made up, for each of these dimensions; None where it cannot be said.

    Dimensions of one rollup are read together.
    """
    aligned = _is_aligned(before.start, period.start, period.end)
    needed = {name: _rollup(frozenset({name, *filters}), aligned=aligned) for name in names}
    together: dict[_Rollup, list[str]] = {}
    for name, source in needed.items():
        if source is not None:
            # Of the rollups that are read anyway, the one that has most of what is asked for: one read less.
            fit = [one for one in needed.values() if one is not None and {name, *filters} <= one.has]
            together.setdefault(max(fit, key=lambda one: len(one.has & set(names))), []).append(name)
    sources = list(together.items())
    reads = [_now_and_before(source, n, names, period, before, filters) for n, (source, names) in enumerate(sources)]
    found: dict[str, Breakdown | None] = dict.fromkeys(names)
    if not reads:
        return found
    rows = list(reads[0].union(*reads[1:], all=True).order_by("-sum_cost", "source", *_KEYS)[:MOST_ROWS])
    for number, (_, dimensions) in enumerate(sources):
        own = [row for row in rows if row["source"] == number]
        for key, dimension in zip(_KEYS, dimensions, strict=False):
            ranked = _parts(own, key)
            complete = len(rows) < MOST_ROWS and len(ranked) <= MOST_NAMES
            found[dimension] = Breakdown(parts=ranked[:MOST_NAMES], complete=complete)
    return found


def stacks(
    by: str, *, top: Sequence[str], period: Period, filters: Mapping[str, str], by_hour: bool = False
) -> list[Stack] | None:
    """The costs of each name in `top` by day (or hour, in UTC), then those of all others; None where none are kept."""
    aligned = _is_aligned(period.start, period.end)
    source = _rollup(frozenset({by, *filters}), by_hour=by_hour, aligned=aligned)
    if source is None:
        return None
    if not top:
        return []
    column, time = _column(by), "hour" if source.by_hour and by_hour else "day"
    rows = _in(source, period.start, period.end, filters)
    values = [int(name) for name in top] if by == "user" else list(top)
    place = Case(
        *(When(**{column: value}, then=Value(str(number))) for number, value in enumerate(values)),
        default=Value(""),
        output_field=CharField(),
    )
    sums = rows.order_by().annotate(place=place, at=F("hour" if source.by_hour else "day"))
    costs: dict[str, dict[Any, Decimal]] = {}
    for key, at, cost in sums.values_list("place", "at").annotate(total=Sum("cost")):
        moment = day_of(at) if source.by_hour and time == "day" else at
        line = costs.setdefault(key, {})
        line[moment] = line.get(moment, ZERO) + cost
    named = [Stack(name=name, costs=costs.get(str(number), {})) for number, name in enumerate(top)]
    return [*named, Stack(name=None, costs=costs[""])] if any(costs.get("", {}).values()) else named


def hours_of_few(
    by: str, *, top: Sequence[str], period: Period, filters: Mapping[str, str], most: int
) -> list[Stack] | None:
    """The stacks of hours of a combination that no rollup has by the hour, from the calls themselves; None where the
    period has more than `most` of them. One read, along the index by time or by user and time.
    """
    rows = ApiUsageLog.objects.filter(occurred_at__gte=period.starts_at, occurred_at__lt=period.ends_at)
    rows = rows.filter(**{_column(name): value for name, value in filters.items() if (name, value) != ("user", "0")})
    if filters.get("user") == "0":
        rows = rows.filter(user_id=None)
    found = list(rows.order_by("-occurred_at", "-id").values_list("occurred_at", _column(by), "cost")[: most + 1])
    if len(found) > most:
        return None
    costs: dict[str | None, dict[datetime, Decimal]] = {name: {} for name in top}
    for at, value, cost in found:
        name = str(value or 0) if by == "user" else value
        line = costs.setdefault(name if name in costs else None, {})
        hour = at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        line[hour] = line.get(hour, ZERO) + (cost or ZERO)
    return [Stack(name=name, costs=line) for name, line in costs.items()]


def costs_of_days(days: Collection[date], *, user_id: int) -> dict[date, list[tuple[datetime, Decimal]]]:
    """What each call of one user on some days cost, and when.

    One read along the index by user and time, for few days with few calls: it reads each of them.
    """
    spans = Q()
    for day in days:
        spans |= Q(occurred_at__gte=start_of(day), occurred_at__lt=start_of(day + timedelta(days=1)))
    found: dict[date, list[tuple[datetime, Decimal]]] = {day: [] for day in days}
    rows = ApiUsageLog.objects.filter(spans, user_id=user_id).exclude(cost=None)
    for at, cost in rows.order_by("-occurred_at").values_list("occurred_at", "cost")[:MOST_ROWS]:
        found[day_of(at)].append((at, cost))
    return found


def live_mark(*, at: datetime, user_id: int | None = None) -> str:
    """Changes with every call of today and yesterday that is recorded or corrected: of one user, or of everybody."""
    since = day_of(at) - timedelta(days=1)
    rows = DailyFeatureRollup.objects if user_id is None else DailyUserRollup.objects.filter(user_id=user_id)
    sums = rows.filter(day__gte=since).aggregate(**{f"sum_{name}": Sum(name) for name in _MEASURES})
    return _mark(since, _sums(sums))


def mark_of(line: Timeline, *, at: datetime) -> str:
    """The same mark, of sums that are read already: those of whom the mark is about, without a filter."""
    since = day_of(at) - timedelta(days=1)
    return _mark(since, sum((sums for day, sums in line.days.items() if day >= since), Sums()))


def _mark(since: date, sums: Sums) -> str:
    return f"{since:%m%d}-{sums.calls}-{sums.unpriced}-{sums.errors}-{sums.cost.normalize()}"


def _rollup(wanted: frozenset[str], *, by_hour: bool = False, aligned: bool) -> _Rollup | None:
    fit = (one for one in _ROLLUPS if wanted <= one.has and (one.by_hour or not by_hour))
    return next((one for one in fit if aligned or not one.by_hour), None)


def _is_aligned(*days: date) -> bool:
    """Whether these days begin with an hour of UTC: not where the site's zone is off by a part of an hour."""
    return all(start_of(day).minute == 0 for day in days)


def _column(dimension: str) -> str:
    return "user_id" if dimension == "user" else dimension


def _in(source: _Rollup, since: date, until: date, filters: Mapping[str, str]) -> QuerySet:
    span = (
        {"hour__gte": start_of(since), "hour__lt": start_of(until)}
        if source.by_hour
        else {"day__gte": since, "day__lt": until}
    )
    return source.model.objects.filter(**span, **_filters(filters))


def _filters(filters: Mapping[str, str]) -> dict[str, str]:
    return {_column(name): value for name, value in filters.items()}


def _timed(rows: QuerySet, column: str) -> QuerySet:
    """The sums of each moment, the moment as text, so that days and hours can be read together."""
    sums = {f"sum_{name}": Sum(name) for name in _MEASURES}
    return rows.order_by().values(kind=Value(column), at=Cast(column, CharField())).annotate(**sums)


def _sums(row: Mapping[str, Any]) -> Sums:
    counts = {name: row[f"sum_{name}"] or 0 for name in ("calls", "unpriced", "errors")}
    return Sums(**counts, cost=row["sum_cost"] or ZERO)


def _now_and_before(
    source: _Rollup, number: int, dimensions: Sequence[str], period: Period, before: Period, filters: Mapping[str, str]
) -> QuerySet:
    """The sums of each combination of up to three names, as text; in one shape for all rollups, to be read at once."""
    column = "hour" if source.by_hour else "day"
    start, end = (before.starts_at, before.ends_at) if source.by_hour else (before.start, before.end)
    first = period.starts_at if source.by_hour else period.start
    now, then = Q(**{f"{column}__gte": first}), Q(**{f"{column}__gte": start, f"{column}__lt": end})
    keys = dict(
        zip(_KEYS, [*(Cast(_column(name), CharField()) for name in dimensions), *[Value("")] * 3], strict=False)
    )
    nothing = Value(ZERO, output_field=UsdField())
    if source.by_hour:
        rows = _in(source, before.start, period.end, filters)
    else:
        rows = summed(source.model, before, period).filter(**_filters(filters))
    return (
        rows.order_by()
        .values(source=Value(number), **keys)
        .annotate(
            **{f"sum_{name}": Coalesce(Sum(name, filter=now), 0) for name in ("calls", "unpriced", "errors")},
            sum_cost=Coalesce(Sum("cost", filter=now), nothing),
            before=Coalesce(Sum("cost", filter=then), nothing),
            calls_before=Coalesce(Sum("calls", filter=then), 0),
            unpriced_before=Coalesce(Sum("unpriced", filter=then), 0),
        )
    )


def _parts(rows: Sequence[Mapping[str, Any]], key: str) -> list[Part]:
    found: dict[str, tuple[Sums, Sums]] = {}
    for row in rows:
        sums, before = found.get(row[key], (Sums(), Sums()))
        then = Sums(calls=row["calls_before"], unpriced=row["unpriced_before"], cost=row["before"] or ZERO)
        found[row[key]] = sums + _sums(row), before + then
    ranked = [
        Part(
            name=name, now=sums, before=before.cost, calls_before=before.calls, unpriced_before=before.unpriced
        )
        for name, (sums, before) in found.items()
    ]  # fmt: skip
    return sorted(ranked, key=lambda part: (-part.now.cost, -part.now.calls, -part.before, part.name))
