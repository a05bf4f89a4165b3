"""One colour for each name, whatever period or filter a chart shows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from zlib import crc32

from django.core.cache import cache

from costwatch.pages.charts import MOST_SERIES
from tracking import overview
from tracking.periods import Period, day_of

#: The days by whose spending the names of a workspace come first.
_DAYS = 90
_REMEMBERED_S = 3_600


def dearest(dimension: str, *, at: datetime) -> Sequence[str]:
    """The names of a dimension for which the whole workspace spent the most, before today; read once an hour."""
    until = day_of(at)
    since = until - timedelta(days=_DAYS)

    def read() -> list[str]:
        found = overview.parts([dimension], period=Period(since, until), before=Period(since, since), filters={})
        parts = found[dimension]
        return [part.name for part in parts.parts[:MOST_SERIES]] if parts is not None else []

    return cache.get_or_set(_key(dimension, at), read, _REMEMBERED_S)


def known(dimension: str, *, at: datetime) -> Sequence[str]:
    """The same where it is remembered; else nothing. No query."""
    return cache.get(_key(dimension, at)) or ()


def colours_of(names: Iterable[str], first: Sequence[str]) -> dict[str, int]:
    """The colours of names that stand in one chart, from 1 on, no two alike for up to `MOST_SERIES`.

    The names in `first` have theirs wherever they are shown; of the others each takes its own where it is free.
    """
    kept = _spread(first[:MOST_SERIES], {})
    shown = list(dict.fromkeys(names))
    given = {name: kept[name] for name in shown if name in kept}
    return _spread([name for name in shown if name not in given], given)


def _spread(names: Sequence[str], given: dict[str, int]) -> dict[str, int]:
    """The colours given, and for each of the names the one that its letters make, or the next that is free."""
    found = dict(given)
    for name in names:
        own = crc32(name.encode()) % MOST_SERIES
        order = [(own + step) % MOST_SERIES + 1 for step in range(MOST_SERIES)]
        found[name] = next((colour for colour in order if colour not in found.values()), order[0])
    return found


def _key(dimension: str, at: datetime) -> str:
    return f"colours:{dimension}:{day_of(at)}"
