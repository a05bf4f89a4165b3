"""What stands around a list of calls: the sums of all that it goes through, and what it can be filtered by.

Both come from rollups; nothing here reads the ledger.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Sum

from tracking.lists import _BY_HOUR, Where
from tracking.models import (
    DailyFeatureRollup,
    DailyKeyRollup,
    DailyModelRollup,
    DailyUserFeatureRollup,
    DailyUserModelRollup,
    DailyUserRollup,
)
from tracking.periods import Period, day_of
from tracking.queries import Totals
from tracking.rollups import MEASURES
from tracking.span_reads import summed

_SUMS = (
    (DailyFeatureRollup, frozenset({"feature", "model"})),
    (DailyUserRollup, frozenset({"user"})),
    (DailyModelRollup, _BY_HOUR),
    (DailyUserFeatureRollup, frozenset({"user", "feature"})),
    (DailyUserModelRollup, frozenset({"user", *_BY_HOUR})),
    (DailyKeyRollup, frozenset({"user", "api_key"})),
)


def sums(where: Where) -> Totals | None:
    """The sums of all that a list goes through, whose period is whole days; None where no rollup keeps them."""
    wanted = set(where.filters) | ({"user"} if where.user_id is not None else set())
    wanted |= {"api_key"} if where.api_key else set()
    if where.tags:
        return None
    rollup = next((rollup for rollup, has in _SUMS if wanted <= has), None)
    if rollup is None:
        return None
    rows = summed(rollup, Period(day_of(where.since), day_of(where.until))).filter(**where.filters)
    if where.user_id is not None:
        rows = rows.filter(user_id=where.user_id)
    if where.api_key:
        rows = rows.filter(api_key=where.api_key)
    found = rows.aggregate(**{name: Sum(name) for name in MEASURES})
    return Totals(**{name: value for name, value in found.items() if value is not None})


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What can be filtered by, in the order of the alphabet."""

    models: list[str]
    features: list[str]
    providers: list[str]


def names(period: Period, *, user_id: int | None = None, most: int = 2000) -> Names:
    """The models, features and providers of a period's calls, of one user where given: what fields propose."""
    days = {"day__gte": period.start, "day__lt": period.end}
    if user_id is None:
        pairs = set(DailyFeatureRollup.objects.filter(**days).values_list("feature", "model").distinct()[:most])
        providers = set(DailyModelRollup.objects.filter(**days).values_list("provider", flat=True).distinct()[:most])
        features, models = {feature for feature, _ in pairs}, {model for _, model in pairs}
    else:
        mine = {"user_id": user_id, **days}
        features = set(
            DailyUserFeatureRollup.objects.filter(**mine).values_list("feature", flat=True).distinct()[:most]
        )
        pairs = set(DailyUserModelRollup.objects.filter(**mine).values_list("provider", "model").distinct()[:most])
        providers, models = {provider for provider, _ in pairs}, {model for _, model in pairs}
    return Names(models=sorted(models - {""}), features=sorted(features - {""}), providers=sorted(providers - {""}))
