"""The price book as a list: which rates were in force at a moment, as it was known at another."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Q

from tracking.models import Rate

_KEY = ("provider", "model", "meter", "tier", "region", "variant", "above_context_tokens")


def rates_in_force(
    *, at: datetime, provider: str = "", model: str = "", meter: str = "", known_at: datetime | None = None
) -> list[Rate]:
    """The rates that count at `at`, by provider, model and meter: an admin's own before the catalogue's, later ones
    before earlier ones. What was recorded at `known_at` or later is left out.
    """
    names = {"provider": provider, "model": model, "meter": meter}
    rows = Rate.objects.filter(**{name: value for name, value in names.items() if value})
    rows = rows.filter(Q(valid_from=None) | Q(valid_from__lte=at), Q(valid_to=None) | Q(valid_to__gt=at))
    if known_at is not None:
        rows = rows.filter(recorded_at__lt=known_at)
    found: dict[tuple, Rate] = {}
    # The last one recorded wins, also where it withdraws; a price of one's own that is withdrawn hides none.
    for own in (False, True):
        last = {tuple(getattr(row, name) for name in _KEY): row for row in rows.filter(own=own).order_by("pk")}
        found |= {key: row for key, row in last.items() if row.amount is not None}
    return [found[key] for key in sorted(found)]
