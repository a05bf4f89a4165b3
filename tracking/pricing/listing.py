"""The price book as a list: which rates were in force at a moment, as it was known at another."""

from __future__ import annotations

import itertools
from collections.abc import Collection
from datetime import datetime

from django.db.models import Q, QuerySet

from tracking.models import Rate
from tracking.pricing.types import ANY_MODEL

_KEY = ("provider", "model", "meter", "tier", "region", "variant", "above_context_tokens")
#: Models whose rates are read with one query.
_MODELS = 50


def page_of_rates(
    *,
    at: datetime,
    provider: str = "",
    model: str = "",
    meter: str = "",
    known_at: datetime | None = None,
    after: int = 0,
    limit: int = 100,
) -> tuple[list[Rate], bool]:
    """The rates that count at `at`, by provider, model and meter, and whether more follow: those behind the rate whose
    id is `after` (0: from the first one on). An admin's own come before the catalogue's, later ones before earlier
    ones; what was recorded at `known_at` or later is left out. Raises `LookupError` where there is no rate `after`.

    Only the rates of some models are read for a page, however long the price book is.
    """
    names = {"provider": provider, "model": model, "meter": meter}
    rows = Rate.objects.filter(**{name: value for name, value in names.items() if value})
    found: list[Rate] = []
    last = Rate.objects.filter(pk=after).first() if after else None
    if after and last is None:
        raise LookupError(f"There is no rate {after}.")
    place = None if last is None else (last.provider, last.model)
    for first in itertools.count(0, _MODELS):
        models = (
            rows if place is None else rows.filter(Q(provider__gt=place[0]) | Q(provider=place[0], model__gte=place[1]))
        )
        pairs = models.order_by("provider", "model").values_list("provider", "model").distinct()
        some = list(pairs[first : first + _MODELS])
        for pair, rates in _rates_of(rows, some, at, known_at).items():
            key = _key(last) if last is not None and pair == place else ()
            found += [rate for rate in rates if _key(rate) > key]
        if len(found) > limit or len(some) < _MODELS:
            break
    return found[:limit], len(found) > limit


def rates_of(
    models: Collection[tuple[str, str]], *, at: datetime, known_at: datetime | None = None
) -> dict[tuple[str, str], list[Rate]]:
    """The rates that count at `at` of each of these (provider, model), by their names in the price book. One query."""
    return _rates_of(Rate.objects.all(), models, at, known_at)


def _rates_of(
    rows: QuerySet, models: Collection[tuple[str, str]], at: datetime, known_at: datetime | None
) -> dict[tuple[str, str], list[Rate]]:
    rows = rows.filter(provider__in={one for one, _ in models}, model__in={one for _, one in models})
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


def _key(rate: Rate) -> tuple:
    return tuple(getattr(rate, name) for name in _KEY)


def _in_force(rows: QuerySet, at: datetime, known_at: datetime | None) -> list[Rate]:
    rows = rows.filter(Q(valid_from=None) | Q(valid_from__lte=at), Q(valid_to=None) | Q(valid_to__gt=at))
    if known_at is not None:
        rows = rows.filter(recorded_at__lt=known_at)
    found: dict[bool, dict[tuple, Rate]] = {False: {}, True: {}}
    for row in rows.order_by("pk"):
        found[row.own][_key(row)] = row
    # The last one recorded wins, also where it withdraws; a price of one's own that is withdrawn hides none.
    last = {key: row for own in (False, True) for key, row in found[own].items() if row.amount is not None}
    return [last[key] for key in sorted(last)]
