"""Reads sums over many days as whole spans, where those are valid, and as days for the rest: in one statement.

A row of a span stands among those of days under its first day: sums over days, filtered by days and by the columns of
the key, come out the same, as long as the days are not told apart. See tracking.spans.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from itertools import pairwise

from django.db import connections, models
from django.db.models import Q, QuerySet
from django.db.models.sql.datastructures import BaseTable

from tracking.periods import Period
from tracking.rollups import MEASURES
from tracking.spans import KEPT, Span, key_of, spans_of

MONTH, QUARTER = 31, 92
#: Days before these are read one by one, so that a statement has no more than some hundred spans.
FARTHEST = timedelta(days=10 * 366)
LAST = date(9999, 1, 1)


def summed(rollup: type[models.Model], *periods: Period) -> QuerySet:
    """The rows of the days in any of the periods: whose ends may be told apart, but no days within them."""
    days = Q()
    for period in periods:
        days |= Q(day__gte=period.start, day__lt=period.end)
    rows = rollup.objects.filter(days)
    source = rows_of(rollup, _pieces(periods))
    if source != rollup._meta.db_table and not rows.query.is_empty():
        alias = rows.query.get_initial_alias()
        rows.query.alias_map[alias] = _Rows(rollup._meta.db_table, alias, source)
    return rows


def _pieces(periods: Sequence[Period]) -> list[Span]:
    """What the periods cover, cut where one of them begins or ends."""
    ends = sorted({day for period in periods for day in (period.start, period.end)})
    within = (Span(*piece) for piece in pairwise(ends))
    return [piece for piece in within if any(p.start <= piece.starts and piece.ends <= p.end for p in periods)]


def rows_of(rollup: type[models.Model], wanted: Sequence[Span], *, longest: int = QUARTER) -> str:
    """What to select from to read the days in `wanted`, with the columns of the rollup: its table, or a subquery of
    the same name where spans of at most `longest` days may stand for some of them.

    Which of them are valid is seen by the statement itself: of those the longest are read, and by its days each third
    of a month that is in none. So every day counts once, whatever is marked or summed at the same time.
    """
    table, spanned = rollup._meta.db_table, KEPT[rollup]
    days, rows = _split(wanted)
    if not rows:
        return table
    thirds = [third for row in rows for third in row]
    names = ", ".join(f"k.{name}" for name in (*key_of(spanned), *MEASURES))
    pieces = " OR ".join(f"(starts >= '{row[0].starts}' AND ends <= '{row[-1].ends}')" for row in rows)
    valid = f"SELECT id, starts, ends FROM tracking_summedspan WHERE valid AND days <= {longest} AND ({pieces})"  # noqa: S608
    if connections["default"].vendor == "postgresql":
        values = ", ".join(f"(date '{third.starts}', date '{third.ends}')" for third in thirds)
    else:
        values = ", ".join(f"('{third.starts}', '{third.ends}')" for third in thirds)
    parts = [
        f"SELECT v.starts AS day, {names} FROM valid v CROSS JOIN {spanned._meta.db_table} k "  # noqa: S608
        "WHERE k.span_id = v.id AND NOT EXISTS "
        "(SELECT 1 FROM valid w WHERE w.starts <= v.starts AND w.ends >= v.ends AND w.id <> v.id)",
        f"SELECT k.day, {names} FROM thirds t CROSS JOIN {table} k "  # noqa: S608
        "WHERE (SELECT count(*) FROM valid w WHERE w.starts <= t.starts AND w.ends >= t.ends) = 0 "
        "AND k.day >= t.starts AND k.day < t.ends",
    ]
    if days:
        spans = " OR ".join(f"(k.day >= '{one.starts}' AND k.day < '{one.ends}')" for one in days)
        parts.append(f"SELECT k.day, {names} FROM {table} k WHERE {spans}")  # noqa: S608
    # (count(*) = 0 says the same as NOT EXISTS; from it PostgreSQL reckons with few such thirds, and plans for them.)
    ctes = f"valid AS ({valid}), thirds (starts, ends) AS (VALUES {values})"
    return f"(WITH {ctes} {' UNION ALL '.join(parts)}) {table}"


def _split(wanted: Sequence[Span]) -> tuple[list[Span], list[list[Span]]]:
    """The days, and the thirds of months in a row, that make up the pieces of what is wanted."""
    days, rows = [], []
    for piece in wanted:
        thirds = []
        at = max(piece.starts, piece.ends - FARTHEST)
        while at < piece.ends < LAST:
            third = spans_of(at)[0]
            if third.starts >= at and third.ends <= piece.ends:
                thirds.append(third)
            at = third.ends
        if thirds:
            rows.append(thirds)
            days += [Span(piece.starts, thirds[0].starts), Span(thirds[-1].ends, piece.ends)]
        else:
            days.append(piece)
    return [span for span in days if span.starts < span.ends], rows


class _Rows(BaseTable):
    """A subquery in the place of a table, in a query of Django's."""

    def __init__(self, table_name: str, alias: str, source: str) -> None:
        super().__init__(table_name, alias)
        self.source = source

    def as_sql(self, compiler, connection):
        return self.source, []

    def relabeled_clone(self, change_map):
        raise NotImplementedError("A query of spans is not part of another query.")

    @property
    def identity(self):
        return (*super().identity, self.source)
