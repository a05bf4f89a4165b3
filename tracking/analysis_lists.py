"""Analyses with what they cost: lists by cost or time, and one of them by feature, model and time. Money in USD.

A list goes through the analyses made in a period, by index, and adds up their rollup rows: at most `MOST_COMPARED` of
them, the newest, and says so where there are more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from django.db.models import Max, Q, QuerySet, Sum
from django.db.models.functions import TruncDay, TruncHour, TruncMinute, TruncSecond

from tracking.calls import bounded_limit
from tracking.lists import MOST_ROWS
from tracking.models import Analysis, AnalysisRollup, ApiUsageLog
from tracking.queries import Totals
from tracking.rollups import MEASURES

MOST_COMPARED = 2_000
#: Analyses whose id begins as searched for that are looked at.
MOST_NAMED = 500
#: Rollup rows of one analysis that are read: a feature and a model each.
MOST_PARTS = 2_000
#: Calls of which each is a point of the course of an analysis.
MOST_BY_CALL = 200
SORTS = ("cost", "calls", "newest", "last")
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One analysis and what all its calls cost so far."""

    id: str
    title: str
    user_id: int | None
    created_at: datetime
    closed_at: datetime | None
    last_call_at: datetime | None
    calls: int
    unpriced: int
    cost: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A list of analyses, and what those that were compared add up to."""

    lines: Sequence[Line]
    count: int  # compared
    with_calls: int  # of these
    cost: Decimal
    bounded: bool  # there are more, older ones

    @property
    def average(self) -> Decimal | None:
        """USD per analysis that has calls."""
        return self.cost / self.with_calls if self.with_calls else None


def compare(
    *,
    since: datetime,
    until: datetime,
    user_id: int | None = None,
    search: str = "",
    is_open: bool | None = None,
    sort: str = "cost",
    limit: int = 50,
    offset: int = 0,
) -> Compared:
    """Analyses made in `[since, until)`, sorted by one of `SORTS`; with `search`, those whose id begins so, whenever
    they were made, and those made in the period whose title has it.

    Raises `ValueError` for another sort.
    """
    if sort not in SORTS:
        raise ValueError(f"Analyses are not sorted by {sort!r}.")
    rows = _rows(since, until, user_id, search, is_open)
    ids = list(rows.values_list("pk", flat=True)[: MOST_COMPARED + 1])
    bounded, ids = len(ids) > MOST_COMPARED, ids[:MOST_COMPARED]
    sums = {name: _Sums(*values) for name, *values in _sums(rows[:MOST_COMPARED].values("pk"))}
    if sort != "newest":
        ids.sort(key=lambda name: _ORDERS[sort](sums.get(name, _NOTHING)), reverse=True)
    shown = ids[offset : offset + bounded_limit(limit)]
    known = {row.pk: row for row in Analysis.objects.filter(pk__in=shown)}
    return Compared(
        lines=[_line(known[name], sums.get(name, _NOTHING)) for name in shown if name in known],
        count=len(ids),
        with_calls=sum(1 for one in sums.values() if one.calls),
        cost=sum((one.cost for one in sums.values()), ZERO),
        bounded=bounded,
    )


class _Sums(NamedTuple):
    calls: int
    unpriced: int
    cost: Decimal
    last_call_at: datetime | None


_NOTHING = _Sums(0, 0, ZERO, None)
_ORDERS = {
    "cost": lambda sums: (sums.cost, sums.calls),
    "calls": lambda sums: (sums.calls, sums.cost),
    "last": lambda sums: (sums.last_call_at is not None, sums.last_call_at),
}


def _line(row: Analysis, sums: _Sums) -> Line:
    return Line(
        id=row.pk,
        title=row.title,
        user_id=row.user_id,
        created_at=row.created_at,
        closed_at=row.closed_at,
        **sums._asdict(),
    )


def _rows(since: datetime, until: datetime, user_id: int | None, search: str, is_open: bool | None) -> QuerySet:
    rows = Analysis.objects.all() if user_id is None else Analysis.objects.filter(user_id=user_id)
    made = Q(created_at__gte=since, created_at__lt=until)
    text = search.strip().replace("\0", "")[:200]
    if text:
        # The beginnings of ids are looked up apart: one condition with both would use neither index.
        named = Analysis.objects.filter(pk__startswith=text).order_by("pk").values_list("pk", flat=True)[:MOST_NAMED]
        rows = rows.filter(Q(pk__in=list(named)) | made & Q(title__icontains=text))
    else:
        rows = rows.filter(made)
    if is_open is not None:
        rows = rows.filter(closed_at__isnull=is_open)
    return rows.order_by("-created_at", "pk")


def _sums(ids: QuerySet) -> QuerySet:
    rows = AnalysisRollup.objects.filter(analysis_id__in=ids).order_by().values_list("analysis_id")
    return rows.annotate(n=Sum("calls"), u=Sum("unpriced"), c=Sum("cost"), last=Max("last_call_at"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What the calls of an analysis cost that share a feature or a model."""

    name: str
    totals: Totals


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """One analysis: all it cost, by feature and by model, and since when."""

    totals: Totals
    by_feature: Sequence[Part]
    by_model: Sequence[Part]
    first_call_at: datetime | None
    last_call_at: datetime | None


def whole(analysis_id: str) -> Whole:
    """All that the calls of an analysis add up to; of one without calls, nothing."""
    rows = list(AnalysisRollup.objects.filter(analysis_id=analysis_id).order_by("feature", "model")[:MOST_PARTS])
    return Whole(
        totals=_added(rows),
        by_feature=_parts(rows, "feature"),
        by_model=_parts(rows, "model"),
        first_call_at=min((row.first_call_at for row in rows), default=None),
        last_call_at=max((row.last_call_at for row in rows), default=None),
    )


def _added(rows: Sequence[AnalysisRollup]) -> Totals:
    return Totals(
        **{name: sum((getattr(row, name) for row in rows), ZERO if name == "cost" else 0) for name in MEASURES}
    )


def _parts(rows: Sequence[AnalysisRollup], column: str) -> list[Part]:
    found: dict[str, list[AnalysisRollup]] = {}
    for row in rows:
        found.setdefault(getattr(row, column), []).append(row)
    parts = [Part(name=name, totals=_added(some)) for name, some in found.items()]
    return sorted(parts, key=lambda part: (-part.totals.cost, -part.totals.calls, part.name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What an analysis had cost by the end of each stretch of time, oldest first."""

    step: str  # call, second, minute, hour or day
    points: Sequence[tuple[datetime, Decimal]] = field(default_factory=list)
    bounded: bool = False  # only the newest calls were read; what was before is in the first point


def course(analysis_id: str, *, first: datetime, last: datetime, total: Decimal, calls: int) -> Course:
    """How the cost of an analysis grew from nothing to `total`: by each of its `calls`; where they are many, by time.

    From its newest calls, `tracking.lists.MOST_ROWS` at most.
    """
    if calls <= MOST_BY_CALL:
        return _by_call(analysis_id, total)
    span = last - first
    step, trunc = ("minute", TruncMinute) if span <= timedelta(hours=3) else ("hour", TruncHour)
    if span <= timedelta(minutes=5):
        step, trunc = "second", TruncSecond
    elif span > timedelta(days=4):
        step, trunc = "day", TruncDay
    rows = ApiUsageLog.objects.filter(analysis_id=analysis_id).exclude(analysis_id="")
    times = rows.order_by("-occurred_at", "-id").values_list("occurred_at", flat=True)[MOST_ROWS : MOST_ROWS + 1]
    floor = next(iter(times), None)
    if floor is not None:
        rows = rows.filter(occurred_at__gte=floor)
    sums = dict(rows.order_by().values_list(trunc("occurred_at")).annotate(total=Sum("cost")))
    cost = total - sum((amount for amount in sums.values() if amount), ZERO)  # what was before the calls that were read
    points = [(first, cost)]  # nothing, where all of its calls were read
    for at in sorted(sums):
        cost += sums[at] or ZERO
        points.append((at, cost))
    return Course(step=step, points=points, bounded=floor is not None)


def _by_call(analysis_id: str, total: Decimal) -> Course:
    rows = ApiUsageLog.objects.filter(analysis_id=analysis_id).exclude(analysis_id="").order_by("-occurred_at", "-id")
    # A correction stands at the time of its call and has an id of its own.
    found = list(rows.values_list("occurred_at", "corrects", "id", "cost")[: 4 * MOST_BY_CALL])
    costs: dict[tuple[datetime, UUID], Decimal] = {}
    for at, corrects, row_id, cost in found:
        key = (at, corrects or row_id)
        costs[key] = costs.get(key, ZERO) + (cost or ZERO)
    cost = total - sum(costs.values(), ZERO)
    ordered = sorted(costs)
    points = [(ordered[0][0], cost)] if ordered else []
    for key in ordered:
        cost += costs[key]
        points.append((key[0], cost))
    return Course(step="call", points=points)
