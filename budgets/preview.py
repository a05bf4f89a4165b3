"""What a limit would have done in the last month, had it been there: from the rollups, before anybody saves it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from django.contrib.auth import get_user_model

from budgets.book import Limit, model_matches
from budgets.calendar import window_at
from budgets.models import BudgetLimit, Period, Scope
from budgets.subjects import names_of
from tracking.history import daily_costs, daily_costs_by_user, hourly_costs
from tracking.models import AnalysisRollup
from tracking.periods import Period as Days
from tracking.periods import day_of, site_zone, start_of

DAYS = 31
_TOP = 5
_NOON = timedelta(hours=12)
_BY_HOUR = (Scope.EVERYONE, Scope.PROVIDER, Scope.MODEL)


@dataclass(frozen=True, slots=True)
class Reached:
    """A window in which the limit would have been reached. USD."""

    subject: str
    starts_at: datetime | None
    spent: Decimal

    def over(self, amount: Decimal) -> Decimal:
        """What was spent beyond `amount`."""
        return max(Decimal(0), self.spent - amount)


@dataclass(frozen=True, slots=True)
class Preview:
    """The last month under a limit. USD."""

    amount: Decimal
    hard: bool
    windows: int = 0  # in which something was spent
    reached: int = 0
    most: Decimal = Decimal(0)  # spent in one of them
    over: Decimal = Decimal(0)  # spent beyond the limit, all of them together
    worst: tuple[Reached, ...] = ()  # those furthest over, at most five
    cannot: str = ""  # why nothing can be said
    note: str = ""


def preview(row: BudgetLimit, *, at: datetime) -> Preview:
    """What this limit, saved or not, would have done in the windows that touch the last 31 days."""
    limit = Limit.of(row)
    if cannot := _why_not(limit):
        return Preview(limit.amount, limit.hard, cannot=cannot)
    spent = _analyses(at) if limit.scope == Scope.EACH_ANALYSIS else _windows(limit, at)
    used = {key: cost for key, cost in spent.items() if cost > 0}
    reached = sorted((Reached(*key, cost) for key, cost in used.items() if cost >= limit.amount), key=_by_cost)
    return Preview(
        amount=limit.amount,
        hard=limit.hard,
        windows=len(used),
        reached=len(reached),
        most=max(used.values(), default=Decimal(0)),
        over=sum((one.over(limit.amount) for one in reached), Decimal(0)),
        worst=tuple(_named(reached[:_TOP])),
        note="" if limit.scope in (*_BY_HOUR, Scope.EACH_ANALYSIS) else _day_note(limit),
    )


def _why_not(limit: Limit) -> str:
    if limit.scope in (Scope.API_KEY, Scope.TAG, Scope.ANALYSIS):
        return "Spending by key, tag and single analysis is not summed by day, so the last month cannot be replayed."
    if limit.scope == Scope.EACH_ANALYSIS and limit.rule.period != Period.TOTAL:
        return "Spending of an analysis is not summed by day: only a limit on its total can be replayed."
    if limit.rule.period == Period.TOTAL and limit.scope != Scope.EACH_ANALYSIS:
        return "A total has no month: it counts everything since the limit begins."
    if limit.rule.period == Period.HOUR and limit.scope not in _BY_HOUR:
        return "Spending of this scope is summed by day, so a limit by the hour cannot be replayed."
    return ""


def _windows(limit: Limit, at: datetime) -> dict[tuple[str, datetime | None], Decimal]:
    """What was spent in each window of each subject that touches the last month."""
    start = window_at(limit.rule, at - timedelta(days=DAYS)).starts_at
    spent: dict[tuple[str, datetime | None], Decimal] = {}
    for subject, moment, cost in _costs(limit, start, at):
        if moment < start:
            continue
        key = (subject, window_at(limit.rule, moment).starts_at)
        spent[key] = spent.get(key, Decimal(0)) + cost
    return spent


def _costs(limit: Limit, start: datetime, at: datetime) -> Iterable[tuple[str, datetime, Decimal]]:
    """(subject, a moment inside the hour or day, USD)."""
    if limit.scope in _BY_HOUR:
        provider = limit.target if limit.scope == Scope.PROVIDER else None
        model = _model_filter(limit) if limit.scope == Scope.MODEL else None
        begin = start.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        for hour, cost in hourly_costs(start=begin, end=at, provider=provider, model=model).items():
            yield "", max(hour, start), cost
        return
    days = Days(day_of(start), day_of(at) + timedelta(days=1))
    if limit.scope == Scope.EACH_USER:
        for user_id, costs in daily_costs_by_user(period=days).items():
            for day, cost in costs.items():
                yield f"user:{user_id}", _noon(day), cost
        return
    filters: dict[str, object] = {"feature": limit.target}
    if limit.scope in (Scope.USER, Scope.GROUP):
        filters = {"user_ids": [limit.user_id] if limit.scope == Scope.USER else _members(limit)}
    for day, cost in daily_costs(period=days, **filters).items():
        yield "", _noon(day), cost


def _model_filter(limit: Limit):
    return lambda provider, name: model_matches(limit.target, (name,), provider)


def _members(limit: Limit) -> list[int]:
    # Not from the snapshot: it knows the members of groups that have a limit already.
    return list(get_user_model().objects.filter(groups=limit.group_id).values_list("pk", flat=True))


def _noon(day: date) -> datetime:
    return start_of(day) + _NOON


def _analyses(at: datetime) -> dict[tuple[str, datetime | None], Decimal]:
    """What each analysis of the last month cost altogether."""
    recent = AnalysisRollup.objects.filter(last_call_at__gte=at - timedelta(days=DAYS)).values("analysis_id")
    spent: dict[tuple[str, datetime | None], Decimal] = {}
    rows = AnalysisRollup.objects.filter(analysis_id__in=recent)
    for analysis, cost in rows.values_list("analysis_id", "cost"):
        key = (f"analysis:{analysis}", None)
        spent[key] = spent.get(key, Decimal(0)) + cost
    return spent


def _day_note(limit: Limit) -> str:
    """Where the limit's days are not those that spending is summed by."""
    kept, wanted = site_zone().key, limit.rule.time_zone
    return "" if kept == wanted else f"Counted by the days of {kept}, although the limit goes by those of {wanted}."


def _by_cost(one: Reached) -> tuple[Decimal, str]:
    return (-one.spent, one.subject)


def _named(rows: list[Reached]) -> Iterable[Reached]:
    names = names_of(one.subject for one in rows)
    return (Reached(names[one.subject], one.starts_at, one.spent) for one in rows)
