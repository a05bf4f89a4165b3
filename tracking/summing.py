"""The task that sums closed spans of days (see tracking.spans)."""

from __future__ import annotations

from datetime import date, datetime

from django.db import connections, models, transaction

from tracking.models import DailyModelRollup, SummedSpan
from tracking.periods import day_of
from tracking.rollups import MEASURES
from tracking.span_reads import rows_of
from tracking.spans import KEPT, SUMMED_AFTER, Span, key_of, spans_of

#: Spans that one run sums at most, each in a transaction of its own.
MOST = 200


def sum_spans(*, now: datetime, at_most: int = MOST) -> list[Span]:
    """Sum the closed spans that are not summed or no longer valid; returns them.

    Short ones first, of which longer ones are made; of a kind the newest first. Raises `django.db.Error`.
    """
    missing = _missing(until=day_of(now) - SUMMED_AFTER)
    return [span for span in missing[:at_most] if _sum(span, now)]


def _missing(*, until: date) -> list[Span]:
    """The spans that end by a day and are not valid, in the order in which they are summed."""
    found: set[Span] = set()
    day = DailyModelRollup.objects.aggregate(first=models.Min("day"))["first"]
    while day is not None and day < until:
        found.update(span for span in spans_of(day) if span.ends <= until)
        day = spans_of(day)[0].ends
    found.difference_update(Span(*row) for row in SummedSpan.objects.filter(valid=True).values_list("starts", "ends"))
    return sorted(found, key=lambda span: (spans_of(span.starts).index(span), -span.starts.toordinal()))


def _sum(span: Span, now: datetime) -> bool:
    """Sum one span, in one transaction; False where another process did it meanwhile."""
    with transaction.atomic(using="default"), connections["default"].cursor() as cursor:
        SummedSpan.objects.bulk_create(
            [SummedSpan(starts=span.starts, ends=span.ends, days=span.days)], ignore_conflicts=True
        )
        # Until this transaction ends nobody commits who wrote to these days: all statements below see the same calls.
        row = SummedSpan.objects.select_for_update().get(starts=span.starts, ends=span.ends)
        if row.valid:
            return False
        for daily, spanned in KEPT.items():
            cursor.execute(f"DELETE FROM {spanned._meta.db_table} WHERE span_id = %s", [row.pk])  # noqa: S608
            cursor.execute(_sum_sql(daily, spanned, span), [row.pk])
        row.valid, row.summed_at = True, now
        row.save(update_fields=["valid", "summed_at"])
    return True


def _sum_sql(daily: type[models.Model], spanned: type[models.Model], span: Span) -> str:
    names = ", ".join(key_of(spanned))
    sums = ", ".join(f"sum({name})" for name in MEASURES)
    return (
        f"INSERT INTO {spanned._meta.db_table} (span_id, {names}, {', '.join(MEASURES)}) "  # noqa: S608 - our own names
        f"SELECT %s, {names}, {sums} FROM {rows_of(daily, [span])} GROUP BY {names} ORDER BY {names}"
    )
