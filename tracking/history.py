"""What was spent day by day and hour by hour along one dimension that a rollup has: what forecasts and advice read.

Money is `Decimal` USD, net of corrections; days are those of the site's TIME_ZONE. Days and hours without calls are
left out. None of these reads the ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import UTC, date, datetime
from decimal import Decimal

from django.db.models import QuerySet, Sum

from tracking.models import DailyFeatureRollup, DailyUserRollup, HourlyModelRollup
from tracking.periods import Period, day_of

ModelFilter = Callable[[str, str], bool]


def daily_costs(
    *,
    period: Period,
    user_ids: Collection[int] | None = None,
    feature: str | None = None,
    provider: str | None = None,
    model: ModelFilter | None = None,
) -> dict[date, Decimal]:
    """What was spent on each day: by everyone, or by these users, for a feature, with a provider, or with the models
    for which `model(provider, name)` is true. At most one of them is given.
    """
    if provider is not None or model is not None:
        days: dict[date, Decimal] = {}
        hours = hourly_costs(start=period.starts_at, end=period.ends_at, provider=provider, model=model)
        for hour, cost in hours.items():
            days[day_of(hour)] = days.get(day_of(hour), Decimal(0)) + cost
        return days
    rollup = DailyUserRollup if user_ids is not None else DailyFeatureRollup
    rows = rollup.objects.filter(day__gte=period.start, day__lt=period.end)
    if user_ids is not None:
        rows = rows.filter(user_id__in=user_ids)
    if feature is not None:
        rows = rows.filter(feature=feature)
    return _sums(rows, "day")


def daily_costs_by_user(*, period: Period, user_ids: Collection[int] | None = None) -> dict[int, dict[date, Decimal]]:
    """What each user (of these) spent on each day; calls without a user are left out."""
    rows = DailyUserRollup.objects.filter(day__gte=period.start, day__lt=period.end).exclude(user_id=0)
    if user_ids is not None:
        rows = rows.filter(user_id__in=user_ids)
    found: dict[int, dict[date, Decimal]] = {}
    for user_id, day, cost in rows.values_list("user_id", "day", "cost"):
        found.setdefault(user_id, {})[day] = cost
    return found


def hourly_costs(
    *, start: datetime, end: datetime, provider: str | None = None, model: ModelFilter | None = None
) -> dict[datetime, Decimal]:
    """What was spent in each hour of UTC in `[start, end)`: by everyone, with a provider, or with some models."""
    rows = HourlyModelRollup.objects.filter(hour__gte=start, hour__lt=end)
    if provider is not None:
        rows = rows.filter(provider=provider)
    if model is None:
        return {hour.astimezone(UTC): cost for hour, cost in _sums(rows, "hour").items()}
    found: dict[datetime, Decimal] = {}
    sums = rows.order_by().values("hour", "provider", "model").annotate(total=Sum("cost"))
    for row in sums:
        if model(row["provider"], row["model"]):
            hour = row["hour"].astimezone(UTC)
            found[hour] = found.get(hour, Decimal(0)) + row["total"]
    return found


def _sums(rows: QuerySet, column: str) -> dict:
    return dict(rows.order_by().values_list(column).annotate(total=Sum("cost")))
