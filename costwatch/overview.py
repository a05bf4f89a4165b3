"""What the overview tells: spending of a time against the one before, where it goes, what is left, what comes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from django.core.cache import cache

from budgets import book
from budgets.book import Limit, Snapshot
from budgets.forecast import Ahead, Forecast, Past, forecast
from budgets.models import Scope
from budgets.outlook import Known, with_forecasts
from budgets.overview import fullest_windows
from budgets.queries import Standing, standings_of_user
from tracking import overview, periods
from tracking.overview import Breakdown, Stack, Sums, Timeline
from tracking.periods import Period, day_of, start_of

#: How far back the pattern of a month's forecast is looked for, in days.
PAST_DAYS = 56
#: How far back hours are read: how a day goes, and as far as this moment of the week before.
HOURS_DAYS = 16
#: Hours that no rollup has are read from the ledger up to so many calls.
MOST_CALLS_BY_HOUR = 2_000
ZERO = Decimal(0)
_SECOND = timedelta(seconds=1)
_REMEMBERED_S = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A span that is not over against the one before, up to the same moment of it where that is known."""

    name: str  # today, week, month
    now: Sums
    before: Decimal  # USD of the span before, up to the same moment of it
    is_exact: bool  # whether that moment's day is known by the hour; else a part of it counts as the time does
    before_period: Period


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Today, the week and the month so far, and where the month will end."""

    spans: Sequence[Figure]
    forecast: Forecast | None
    last_month: Decimal  # USD, all of it
    line: Timeline  # what they are made from: at least the last `PAST_DAYS` days


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """The spending of a period: its sums, those before, how they are made up, and the stacks of its chart."""

    total: Sums
    before: Decimal
    parts: Mapping[str, Breakdown | None]
    stacks: Sequence[Stack] | None
    by_hour: bool
    calls_before: int = 0
    unpriced_before: int = 0


def figures(*, at: datetime, filters: Mapping[str, str]) -> Figures | None:
    """Today, this week and this month; None where no sums are kept for these filters together. One query, or two."""
    month = periods.month(at)
    last = _before_month(month)
    until, ago = day_of(at) + timedelta(days=1), day_of(last.starts_at + (at - month.starts_at))
    hours_of = (Period(until - timedelta(days=HOURS_DAYS), until), Period(ago, ago + timedelta(days=1)))
    line = overview.timeline(since=_since(at), until=until, filters=filters, hours_of=hours_of)
    if line is None:
        return None
    spans = {
        "today": (periods.today(at), _shifted(periods.today(at), 1)),
        "week": (periods.week(at), _shifted(periods.week(at), 7)),
        "month": (month, last),
    }
    parts = _parts_of_days(line, spans.values(), at=at, filters=filters) if line.hours is None else {}
    return Figures(
        spans=[_figure(name, now, before, at, line, parts) for name, (now, before) in spans.items()],
        forecast=month_forecast(line, at=at),
        last_month=line.of(last).cost,
        line=line,
    )


def _parts_of_days(
    line: Timeline, spans: Iterable[tuple[Period, Period]], *, at: datetime, filters: Mapping[str, str]
) -> dict[date, Decimal]:
    """What of the days that figures are compared with was spent up to the same moment, of one user who made no more
    calls on them than are read; of other filters without hours nothing is known. At most one query.
    """
    if set(filters) != {"user"} or filters["user"] == "0":
        return {}
    moments = {day_of(then): then for now, before in spans if (then := before.starts_at + (at - now.starts_at))}
    wanted = {day: then for day, then in moments.items() if day in line.days}
    if not wanted or sum(line.days[day].calls for day in wanted) > MOST_CALLS_BY_HOUR:
        return {}
    user_id = int(filters["user"])
    # Of days that are over it is read once: other sums, another name.
    name = repr((user_id, [(day, line.days[day]) for day in sorted(wanted)]))
    name = "overview:" + hashlib.sha256(name.encode()).hexdigest()
    calls = cache.get_or_set(name, lambda: overview.costs_of_days(list(wanted), user_id=user_id), _REMEMBERED_S)
    return {day: sum((cost for at, cost in calls[day] if at < then), ZERO) for day, then in wanted.items()}


def spending(
    *,
    period: Period,
    before: Period,
    by: str,
    dimensions: Sequence[str],
    filters: Mapping[str, str],
    by_hour: bool,
    most: int,
) -> Spending | None:
    """The spending of a period against the one before. None where no sums are kept for these filters together."""
    if not overview.is_kept(list(filters)):
        return None
    parts = overview.parts(dimensions, period=period, before=before, filters=filters)
    known = next((found for found in parts.values() if found is not None and found.complete), None)
    if known is None:
        line = overview.timeline(since=before.start, until=period.end, filters=filters)
        total, then = line.of(period), line.of(before)
    else:
        total = sum((part.now for part in known.parts), Sums())
        then = Sums(
            calls=sum(part.calls_before for part in known.parts),
            unpriced=sum(part.unpriced_before for part in known.parts),
            cost=sum((part.before for part in known.parts), ZERO),
        )
    stacks, hours = None, None
    if (split := parts.get(by)) is not None:
        top = [part.name for part in split.parts[:most] if part.now.cost]
        if by_hour:
            hours = overview.stacks(by, top=top, period=period, filters=filters, by_hour=True)
            if hours is None:
                few = {"top": top, "period": period, "filters": filters, "most": MOST_CALLS_BY_HOUR}
                hours = overview.hours_of_few(by, **few)
        stacks = hours if hours is not None else overview.stacks(by, top=top, period=period, filters=filters)
    return Spending(
        total=total, before=then.cost, parts=parts, stacks=stacks, by_hour=hours is not None, calls_before=then.calls,
        unpriced_before=then.unpriced,
    )  # fmt: skip


def standings_of(user_id: int, *, at: datetime, figures: Figures | None) -> list[Standing]:
    """The limits that bind a user, the one with the least left first, with their forecasts."""
    lines = [line for line in standings_of_user(user_id, at=at) if line.enforced]
    lines.sort(key=lambda line: (-line.percent, line.remaining))
    return with_forecasts(lines, at=at, known=_known(user_id, figures), remember=True)


def fullest_standings(*, at: datetime, most: int, figures: Figures | None) -> list[Standing]:
    """The limits of staff that are fullest, each by its fullest window, with their forecasts."""
    lines = [
        Standing(
            limit_id=limit.pk, window_id=None, name=str(limit), scope=limit.scope, subject=one.subject,
            period=limit.period, hard=one.hard, own=False, enforced=True, limit=one.limit, spent=one.spent,
            held=one.held, thresholds=Limit.of(limit).thresholds, window_start=one.starts_at, resets_at=one.resets_at,
        )
        for limit, one in fullest_windows(at=at, most=most)
    ]  # fmt: skip
    return with_forecasts(lines, at=at, known=_known(None, figures), remember=True)


def _known(user_id: int | None, figures: Figures | None) -> Known | None:
    if figures is None:
        return None
    hours = figures.line.hours
    return Known(
        user_id=user_id,
        days={day: sums.cost for day, sums in figures.line.days.items()},
        hours=None if hours is None or user_id is not None else {hour: sums.cost for hour, sums in hours.items()},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What a limit leaves for each day, or hour. USD."""

    name: str
    amount: Decimal
    per: str  # day, hour


def bound_of(*, at: datetime, filters: Mapping[str, str], by_hour: bool) -> Bound | None:
    """The limit that bounds just these calls, as USD a day (or hour): of several the one that leaves the least.

    None where there is none, or more is filtered than a limit can say. No query: limits are kept in memory.
    """
    lengths = {"hour": 1} if by_hour else {"day": 1, "week": 7, "month": len(periods.month(at).days)}
    per, snapshot = "hour" if by_hour else "day", book.current()
    found = [
        Bound(name=limit.name, amount=limit.amount / lengths[limit.rule.period], per=per)
        for limit in snapshot.limits
        if limit.rule.period in lengths and limit.is_active(at) and _bounds(snapshot, limit, filters, at)
    ]
    return min(found, key=lambda bound: bound.amount, default=None)


def _bounds(snapshot: Snapshot, limit: Limit, filters: Mapping[str, str], at: datetime) -> bool:
    if not filters:
        return limit.scope == Scope.EVERYONE
    (name, value), *more = filters.items()
    if more:
        return False
    if name == "user":
        if limit.scope == Scope.EACH_USER:
            return value != "0" and not snapshot.is_replaced(limit, f"user:{value}", at)
        return limit.scope == Scope.USER and str(limit.user_id) == value
    return limit.scope == name and limit.target == value


def month_forecast(line: Timeline, *, at: datetime) -> Forecast | None:
    """What this month will have cost when it is over, from the pattern of the past weeks; see `budgets.forecast`."""
    month = periods.month(at)
    today = day_of(at)
    past = [
        Past(day.weekday(), line.days[day].cost if day in line.days else ZERO)
        for day in Period(today - timedelta(days=PAST_DAYS), today).days
    ]
    first, then = start_of(today), start_of(today + timedelta(days=1))
    left = _share_left(line, at=at, first=first, then=then)
    ahead = [Ahead(today.weekday(), left, at, then)]
    for day in Period(today + timedelta(days=1), month.end).days:
        ahead.append(Ahead(day.weekday(), Decimal(1), start_of(day), start_of(day + timedelta(days=1))))
    return forecast(
        spent=line.of(month).cost,
        limit=Decimal(10) ** 12,  # no budget: nothing is used up
        started_at=month.starts_at,
        now=at,
        ends_at=month.ends_at,
        past=past,
        ahead=ahead,
    )


def _share_left(line: Timeline, *, at: datetime, first: datetime, then: datetime) -> Decimal:
    """Which part of a day's spending usually comes after this time of the day; an even day where hours are not kept."""
    even = Decimal(int((then - at).total_seconds())) / Decimal(int((then - first).total_seconds()))
    if line.hours is None:
        return even
    elapsed, total, after = at - first, ZERO, ZERO
    for back in range(1, 15):
        start = start_of(day_of(at) - timedelta(days=back))
        for number in range(24):
            hour = start + timedelta(hours=number)
            cost = max(line.hours[hour].cost, ZERO) if hour in line.hours else ZERO
            total += cost
            after += cost if timedelta(hours=number) >= elapsed else ZERO
    # What never happened so far is not impossible: a tenth of an even day is mixed in.
    return even if total <= 0 else after / total * 9 / 10 + even / 10


def _since(at: datetime) -> date:
    return min(_before_month(periods.month(at)).start, day_of(at) - timedelta(days=PAST_DAYS))


def _before_month(month: Period) -> Period:
    return Period((month.start - timedelta(days=1)).replace(day=1), month.start)


def _shifted(period: Period, days: int) -> Period:
    return Period(period.start - timedelta(days=days), period.end - timedelta(days=days))


def _figure(name: str, period: Period, before: Period, at: datetime, line: Timeline, parts: Mapping) -> Figure:
    """A span against the one before, up to the same moment of it."""
    moment = min(before.starts_at + (at - period.starts_at), before.ends_at)
    then = line.until(before, moment)
    exact = then is not None
    if then is None:
        whole = [day for day in before.days if start_of(day + timedelta(days=1)) <= moment]
        then, last = sum((line.days.get(day, Sums()) for day in whole), Sums()), day_of(moment)
        exact = last not in before.days or last not in line.days or last in parts
        if last in before.days:
            gone, length = moment - start_of(last), start_of(last + timedelta(days=1)) - start_of(last)
            even = line.days.get(last, Sums()).cost * Decimal(gone // _SECOND) / Decimal(length // _SECOND)
            then += Sums(cost=parts.get(last, even))
    return Figure(name=name, now=line.of(period), before=then.cost, is_exact=exact, before_period=before)
