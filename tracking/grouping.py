"""The statement that sums a rollup by the dimensions of a report, in the report's order, and reads one page of groups.

Everything happens in the database: weeks and months, the order, the page. What a report costs depends on the rows of
the rollup in its period, not on the ledger, and hardly on the number of groups.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connections, models

from tracking.rollups import MEASURES
from tracking.rows import db_time, from_db_time
from tracking.span_reads import MONTH, QUARTER, rows_of
from tracking.spans import Span
from tracking.zones import offsets

_SUMS = ", ".join(f"sum({name})" for name in MEASURES)
#: Whole numbers: what PostgreSQL adds up to is `numeric`, which the driver reads slowly.
_WHOLE = ", ".join(f"sum({name})::bigint" for name in MEASURES)


def read_groups(
    *,
    rollup: type[models.Model],
    column: str,
    time: str,
    zone: ZoneInfo,
    start: datetime,
    end: datetime,
    names: list[str],
    filters: dict[str, Any],
    first: int,
    limit: int,
) -> list[tuple]:
    """Rows of (time where asked for, names, `MEASURES` with the cost in nano-USD), from the `first`th on.

    `time` is "hour", "day", "week", "month" or ""; `column` is the table's ("hour" or "day"); names are columns.
    In the order of time, then dearest first.
    """
    connection = connections["default"]
    postgres = connection.vendor == "postgresql"
    table = _table(rollup, column, time, zone, start, end)
    params: list[Any] = []
    label, read = "", None
    if time:
        label = _postgres_time(column, time, zone, params) if postgres else _sqlite_time(column, time, zone, start, end)
        read = _reader(time, zone)
    bounds = _bounds(column, zone, start, end, postgres=postgres)
    where = [f"{column} >= %s", f"{column} < %s", *(f"{name} = %s" for name in filters)]
    keys = [*([label] if label else []), *names]
    places = [str(number) for number in range(1, len(keys) + 1)]
    texts = [f'{name} COLLATE "C"' if postgres and name != "user_id" else name for name in names]
    order = [*(["1"] if label else []), "sum(cost) DESC", "sum(calls) DESC", *texts]
    sql = (
        f"SELECT {', '.join([*keys, _WHOLE if postgres else _SUMS])} FROM {table} "  # noqa: S608 - names of our own
        f"WHERE {' AND '.join(where)} GROUP BY {', '.join(places)} ORDER BY {', '.join(order)} LIMIT %s OFFSET %s"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, [*params, *bounds, *filters.values(), limit, first])
        rows = cursor.fetchall()
    return [(read(row[0]), *row[1:]) for row in rows] if read else rows


def _table(rollup: type[models.Model], column: str, time: str, zone: ZoneInfo, start: datetime, end: datetime) -> str:
    """What to read from: closed spans too where days are not told apart."""
    if column != "day" or time not in ("", "month"):
        return rollup._meta.db_table
    days = Span(start.astimezone(zone).date(), end.astimezone(zone).date())
    return rows_of(rollup, [days], longest=MONTH if time else QUARTER)


def _bounds(column: str, zone: ZoneInfo, start: datetime, end: datetime, *, postgres: bool) -> list[Any]:
    if column == "day":
        days = [start.astimezone(zone).date(), end.astimezone(zone).date()]
        return days if postgres else [str(day) for day in days]
    return [start, end] if postgres else [db_time(start), db_time(end)]


def _postgres_time(column: str, time: str, zone: ZoneInfo, params: list[Any]) -> str:
    if time == "hour":
        return "hour"
    local = "day::timestamp"
    if column == "hour":
        local = "(hour AT TIME ZONE %s)"
        params.append(zone.key)
    elif time == "day":
        return "day"
    return f"{local}::date" if time == "day" else f"date_trunc('{time}', {local})::date"


def _sqlite_time(column: str, time: str, zone: ZoneInfo, start: datetime, end: datetime) -> str:
    if time == "hour":
        return "hour"
    day = "day" if column == "day" else _sqlite_day(zone, start, end)
    if time == "month":
        return f"substr({day}, 1, 7) || '-01'"
    return f"date({day}, '-6 days', 'weekday 1')" if time == "week" else day


def _sqlite_day(zone: ZoneInfo, start: datetime, end: datetime) -> str:
    """The zone's day of an hour in UTC: by the offsets that the zone has in the period."""
    minute = timedelta(minutes=1)
    # From these hours on, so many minutes ahead of UTC.
    parts = [(db_time(at), ahead // minute) for at, ahead in offsets(zone, start, end)]
    texts = [f"date(hour, '{offset:+d} minutes')" if offset else "substr(hour, 1, 10)" for _, offset in parts]
    cases = [f"WHEN hour >= '{since}' THEN {text}" for (since, _), text in zip(parts, texts, strict=True)]
    return texts[0] if len(texts) == 1 else f"CASE {' '.join(reversed(cases))} END"


def _reader(time: str, zone: ZoneInfo) -> Callable[[Any], Any]:
    """From what the database answers to the value of a dimension of time."""

    def hour(value: Any) -> datetime:
        return (value if isinstance(value, datetime) else from_db_time(value)).astimezone(zone)

    def day(value: Any) -> date:
        return value if isinstance(value, date) else date.fromisoformat(value)

    return hour if time == "hour" else day
