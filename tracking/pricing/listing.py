"""The price book as a list: which rates were in force at a moment, as it was known at another."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from django.db.models import Q, QuerySet

from tracking.models import Rate
from tracking.pricing.types import ANY_MODEL

_KEY = ("provider", "model", "meter", "tier", "region", "variant", "above_context_tokens")


def rates_in_force(
    *, at: datetime, provider: str = "", model: str = "", meter: str = "", known_at: datetime | None = None
) -> list[Rate]:
    """The rates that count at `at`, by provider, model and meter: an admin's own before the catalogue's, later ones
    before earlier ones. What was recorded at `known_at` or later is left out.
    """
    names = {"provider": provider, "model": model, "meter": meter}
    rows = Rate.objects.filter(**{name: value for name, value in names.items() if value})
    return _in_force(rows, at, known_at)


def rates_of(
    models: Collection[tuple[str, str]], *, at: datetime, known_at: datetime | None = None
) -> dict[tuple[str, str], list[Rate]]:
    """The rates that count at `at` of each of these (provider, model), by their names in the price book. One query."""
    rows = Rate.objects.filter(provider__in={one for one, _ in models}, model__in={one for _, one in models})
    found: dict[tuple[str, str], list[Rate]] = {model: [] for model in models}
    for rate in _in_force(rows, at, known_at):
        if (rate.provider, rate.model) in found:
            found[rate.provider, rate.model].append(rate)
    return found


def listed_models(*, search: str = "", provider: str = "", limit: int = 50, offset: int = 0) -> list[tuple[str, str]]:
    """The (provider, model) that have rates, in the order of the alphabet; with `search`, those whose name has it."""
    rows = Rate.objects.exclude(model=ANY_MODEL)
    if provider:
        rows = rows.filter(provider=provider)
    if text := search.strip().replace("\0", ""):
        rows = rows.filter(model__icontains=text[:200])
    pairs = rows.order_by("provider", "model").values_list("provider", "model").distinct()
    return list(pairs[offset : offset + limit])


def listed_providers() -> list[str]:
    """The providers that have rates, in the order of the alphabet."""
    return list(Rate.objects.order_by("provider").values_list("provider", flat=True).distinct())


def _in_force(rows: QuerySet, at: datetime, known_at: datetime | None) -> list[Rate]:
    rows = rows.filter(Q(valid_from=None) | Q(valid_from__lte=at), Q(valid_to=None) | Q(valid_to__gt=at))
    if known_at is not None:
        rows = rows.filter(recorded_at__lt=known_at)
    found: dict[bool, dict[tuple, Rate]] = {False: {}, True: {}}
    for row in rows.order_by("pk"):
        found[row.own][tuple(getattr(row, name) for name in _KEY)] = row
    # The last one recorded wins, also where it withdraws; a price of one's own that is withdrawn hides none.
    last = {key: row for own in (False, True) for key, row in found[own].items() if row.amount is not None}
    return [last[key] for key in sorted(last)]
