"""The price book of this process: rates and match rules from the database, cached, and fresh within a second."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from datetime import datetime

from django.db.models import Count, Max

from tracking.models import PricedModel, Rate
from tracking.pricing.rates import RateBook
from tracking.pricing.types import ModelRule, RateRow

#: How old a look at the database may be before `current` takes another, in seconds.
FRESH_S = 1.0

_lock = threading.Lock()
_book: RateBook | None = None
_version: tuple | None = None
_checked_at = float("-inf")


def current() -> RateBook:
    """The rate book as it stands now: a rate recorded by any process counts within a second."""
    global _book, _version, _checked_at
    book, now = _book, time.monotonic()
    if book is not None and now - _checked_at < FRESH_S:
        return book
    with _lock:
        version = _read_version()
        if _book is None or version != _version:
            _book, _version = RateBook(_load), version
        _checked_at = time.monotonic()
        return _book


def as_known(recorded_before: datetime) -> RateBook:
    """The rate book as it stood at a time: without what was recorded at or after it. Not cached."""
    return RateBook(lambda provider: _load(provider, recorded_at__lt=recorded_before))


def with_rates(rows: Sequence[RateRow]) -> RateBook:
    """The rate book as it would stand with these rates, recorded last. Not cached, and nobody else's."""

    def load(provider: str) -> tuple[list[RateRow], list[ModelRule]]:
        rates, rules = _load(provider)
        return [*rates, *(row for row in rows if row.provider == provider)], rules

    return RateBook(load)


def forget() -> None:
    """Look at the database again at the next call."""
    global _checked_at, _version
    _checked_at, _version = float("-inf"), None


def _read_version() -> tuple:
    rates = Rate.objects.aggregate(Max("id"), Count("id"), Max("recorded_at"))
    rules = PricedModel.objects.aggregate(Max("id"), Count("id"))
    return (*rates.values(), *rules.values())


def _load(provider: str, **known: datetime) -> tuple[list[RateRow], list[ModelRule]]:
    rows = Rate.objects.filter(provider=provider, **known).order_by("id")
    fields = tuple(RateRow.__dataclass_fields__)
    rules = PricedModel.objects.filter(provider=provider).order_by("position", "id")
    return (
        [RateRow(*values) for values in rows.values_list(*fields)],
        [
            ModelRule(provider, rule.model, rule.match, rule.name, rule.context_window, rule.deprecated)
            for rule in rules
        ],
    )
