"""What corrections take back, kept beside the sums, which are net of it: counters must never fall.

Few rows take something back: a reversal, a truth below its estimate. For all others this costs one look.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import connections
from django.db.models import BooleanField, Sum, Value

from tracking.models import DailyModelRollup, TakenBack
from tracking.periods import Period, day_of
from tracking.rollups import MEASURES
from tracking.rows import EARLIEST, LATEST_AHEAD, Row
from tracking.span_reads import summed

_TABLE = TakenBack._meta.db_table
_ADD = (
    f"INSERT INTO {_TABLE} (provider, service, {', '.join(MEASURES)}) "  # noqa: S608 - names of our own
    f"VALUES ({', '.join(['%s'] * (2 + len(MEASURES)))}) ON CONFLICT (provider, service) DO UPDATE SET "
    + ", ".join(f"{name} = {_TABLE}.{name} + excluded.{name}" for name in MEASURES)
)


def note(rows: Iterable[Row]) -> None:
    """Add what these rows take back, within the caller's transaction."""
    sums: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        if row.corrects is None:
            continue
        taken = [max(0, -(getattr(row, name) or 0)) for name in MEASURES]
        if any(taken):
            before = sums.get((row.provider, row.service), [0] * len(MEASURES))
            sums[row.provider, row.service] = [one + more for one, more in zip(before, taken, strict=True)]
    if sums:
        with connections["default"].cursor() as cursor:
            cursor.executemany(_ADD, [(*key, *sums[key]) for key in sorted(sums)])


def recorded_and_taken_back(*, now: datetime) -> list[dict]:
    """What was recorded in all, net, and what was taken back (`back`), by provider and service; one state of both."""
    period = Period(day_of(EARLIEST), day_of(now + LATEST_AHEAD) + timedelta(days=2))
    sums = {f"sum_{name}": Sum(name) for name in MEASURES}
    names = ("provider", "service", *sums)
    net, back = (
        rows.order_by().values("provider", "service").annotate(**sums).values_list(*names)
        for rows in (summed(DailyModelRollup, period), TakenBack.objects.all())
    )
    both = net.annotate(back=Value(False, BooleanField())).union(
        back.annotate(back=Value(True, BooleanField())), all=True
    )
    return [dict(zip((*names, "back"), row, strict=True)) for row in both]
