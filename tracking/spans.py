"""Sums of closed spans: thirds of months, months and quarters, made of the sums of days when they are over.

A report over a year reads a dozen spans and some days instead of all days. Nothing is written to spans where calls are
recorded: a task makes them afterwards (tracking.summing). Who writes to a day of a span that may be summed by then
marks the span invalid in the same transaction; only valid ones are read (tracking.span_reads), and the task's next run
sums the others again. Why no number can be wrong or counted twice: docs/decisions/0013-spans.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from django.db import connections, models

from tracking.models import (
    DailyFeatureRollup,
    DailyKeyRollup,
    DailyModelRollup,
    DailyUserFeatureRollup,
    DailyUserModelRollup,
    DailyUserRollup,
    SpanFeatureRollup,
    SpanKeyRollup,
    SpanModelRollup,
    SpanUserFeatureRollup,
    SpanUserModelRollup,
    SpanUserRollup,
)
from tracking.periods import day_of

#: The rollup by days, and the one by spans that is made of it; the same key but for the time.
KEPT: dict[type[models.Model], type[models.Model]] = {
    DailyModelRollup: SpanModelRollup,
    DailyKeyRollup: SpanKeyRollup,
    DailyFeatureRollup: SpanFeatureRollup,
    DailyUserRollup: SpanUserRollup,
    DailyUserFeatureRollup: SpanUserFeatureRollup,
    DailyUserModelRollup: SpanUserModelRollup,
}
#: A writer marks spans that ended so long ago; the task sums those that ended some days earlier still. Between the two
#: there is room for clocks that disagree, and for transactions that take long.
MARKED_AFTER, SUMMED_AFTER = timedelta(days=1), timedelta(days=3)
_DAY = timedelta(days=1)


def key_of(spanned: type[models.Model]) -> tuple[str, ...]:
    """The columns of the key of a rollup by spans, but for the span."""
    return tuple(name for name in spanned._meta.constraints[0].fields if name != "span_id")


class Span(NamedTuple):
    """The days from `starts` up to, not including, `ends`."""

    starts: date
    ends: date

    @property
    def days(self) -> int:
        return (self.ends - self.starts).days


@lru_cache(maxsize=4096)
def spans_of(day: date) -> tuple[Span, Span, Span]:
    """The third of a month, the month and the quarter that hold a day. Each lies within the next."""
    first = day.replace(day=1)
    begins = first.replace(day=1 + 10 * min((day.day - 1) // 10, 2))
    third = Span(begins, _months_after(first, 1) if begins.day == 21 else begins + 10 * _DAY)
    quarter = first.replace(month=first.month - (first.month - 1) % 3)
    return third, Span(first, _months_after(first, 1)), Span(quarter, _months_after(quarter, 3))


def _months_after(first: date, months: int) -> date:
    index = first.year * 12 + first.month - 1 + months
    return date(index // 12, index % 12 + 1, 1)


def oldest_open_day(now: datetime) -> date:
    """Days from this one on are in no span that can be summed by now: who writes to them has nothing to mark."""
    return spans_of(day_of(now) - MARKED_AFTER)[0].starts


def mark(days: Iterable[date], *, now: datetime) -> None:
    """Mark the spans of these days that may be summed as invalid; after writing to the days, in the same transaction.

    The rows are locked even where they are invalid already: the task, which locks a span before it sums it, either
    sees what the caller wrote or has its sums marked by the caller afterwards.
    """
    over = day_of(now) - MARKED_AFTER
    spans = sorted({span for day in days for span in spans_of(day) if span.ends <= over})  # sorted: no deadlocks
    if not spans:
        return
    marks = ", ".join(["(%s, %s, %s, %s)"] * len(spans))
    with connections["default"].cursor() as cursor:
        cursor.execute(
            f"INSERT INTO tracking_summedspan (starts, ends, days, valid) VALUES {marks} "  # noqa: S608 - placeholders
            "ON CONFLICT (starts, ends) DO UPDATE SET valid = excluded.valid",
            [value for span in spans for value in (*span, span.days, False)],
        )
