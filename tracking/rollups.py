"""The narrow rollups: what they add up, and the one statement per rollup that adds a batch to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from operator import add
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import connections, models

from tracking.ledger import array_literal
from tracking.models import (
    AnalysisRollup,
    DailyFeatureRollup,
    DailyUserFeatureRollup,
    DailyUserModelRollup,
    DailyUserRollup,
    HourlyModelRollup,
)
from tracking.rows import Row, from_db_time

#: The sums that every rollup keeps, in the order of the tuples below.
MEASURES = (
    "calls",
    "errors",
    "unpriced",
    "cost",
    "input_tokens",
    "cache_read_tokens",
    "output_tokens",
    "audio_ms",
    "characters",
)


@dataclass(frozen=True, slots=True)
class Spec:
    """One rollup: its table, the columns of its key, and the key of a row (given its hour and day)."""

    model: type[models.Model]
    key: tuple[str, ...]
    key_of: Callable[[Row, str, str], tuple | None]  # None: the row is not part of it

    @property
    def table(self) -> str:
        return self.model._meta.db_table


#: Every rollup, cold keys first and hot ones last. All writers go through them in this order, and through the keys of
#: each in sorted order: so they wait for each other at most once, and never in a circle.
SPECS = (
    Spec(
        AnalysisRollup,
        ("analysis_id", "feature", "model"),
        lambda r, hour, day: (r.analysis_id, r.feature, r.model) if r.analysis_id else None,
    ),
    Spec(
        DailyUserFeatureRollup,
        ("user_id", "day", "feature"),
        lambda r, hour, day: (r.user_id or 0, day, r.feature),
    ),
    Spec(
        DailyUserModelRollup,
        ("user_id", "day", "provider", "model", "service"),
        lambda r, hour, day: (r.user_id or 0, day, r.provider, r.model, r.service),
    ),
    Spec(DailyUserRollup, ("day", "user_id"), lambda r, hour, day: (day, r.user_id or 0)),
    Spec(DailyFeatureRollup, ("day", "feature", "model"), lambda r, hour, day: (day, r.feature, r.model)),
    Spec(
        HourlyModelRollup,
        ("hour", "provider", "model", "service"),
        lambda r, hour, day: (hour, r.provider, r.model, r.service),
    ),
)

#: PostgreSQL's types of the key columns, for arrays.
_KEY_TYPES = {"day": "date", "hour": "timestamptz", "user_id": "bigint"}


@lru_cache(maxsize=4096)
def _hour_and_day(quarter: str, zone: str) -> tuple[str, str]:
    """The UTC hour and the local day of a time cut to 15 minutes, the finest step of any zone's offset."""
    day = from_db_time(f"{quarter}:00").astimezone(ZoneInfo(zone)).date().isoformat()
    return f"{quarter[:13]}:00:00", day


def hour_and_day(occurred_at: str) -> tuple[str, str]:
    """The UTC hour and the day in the site's TIME_ZONE of a database time."""
    minute = int(occurred_at[14:16]) // 15 * 15
    return _hour_and_day(f"{occurred_at[:14]}{minute:02d}", settings.TIME_ZONE)


def add_to_rollups(rows: Iterable[Row]) -> None:
    """Add the rows to every rollup, within the caller's transaction."""
    sums: list[dict[tuple, tuple[int, ...]]] = [{} for _ in SPECS]
    spans: dict[tuple, list[str]] = {}  # of analyses: first and last call
    plan = [(spec.key_of, into) for spec, into in zip(SPECS, sums, strict=True)]
    for row in rows:
        hour, day = hour_and_day(row.occurred_at)
        added = (
            row.calls,
            row.errors,
            row.unpriced,
            row.cost or 0,
            row.input_tokens,
            row.cache_read_tokens,
            row.output_tokens,
            row.audio_ms,
            row.characters,
        )
        for key_of, into in plan:
            key = key_of(row, hour, day)
            if key is None:
                continue
            before = into.get(key)
            into[key] = added if before is None else tuple(map(add, before, added))
        if row.analysis_id:
            span = spans.setdefault((row.analysis_id, row.feature, row.model), [row.occurred_at, row.occurred_at])
            span[0], span[1] = min(span[0], row.occurred_at), max(span[1], row.occurred_at)
    for spec, into in zip(SPECS, sums, strict=True):
        if into:
            extra = spans if spec.model is AnalysisRollup else {}
            _upsert(spec, [(*key, *into[key], *extra.get(key, ())) for key in sorted(into)])


def _upsert(spec: Spec, values: list[tuple]) -> None:
    connection = connections["default"]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            columns = [array_literal(column) for column in zip(*values, strict=True)]
            cursor.execute(_upsert_sql(spec, "postgresql"), columns)
        else:
            cursor.executemany(_upsert_sql(spec, connection.vendor), values)


@lru_cache(maxsize=32)
def _upsert_sql(spec: Spec, vendor: str) -> str:
    names = [*spec.key, *MEASURES]
    changes = [f"{name} = {spec.table}.{name} + excluded.{name}" for name in MEASURES]
    types = [_KEY_TYPES.get(name, "text") for name in spec.key] + ["bigint"] * len(MEASURES)
    if spec.model is AnalysisRollup:
        least, greatest = ("least", "greatest") if vendor == "postgresql" else ("min", "max")
        for name, function in (("first_call_at", least), ("last_call_at", greatest)):
            names.append(name)
            types.append("timestamptz")
            changes.append(f"{name} = {function}({spec.table}.{name}, excluded.{name})")
    if vendor == "postgresql":
        source = f"SELECT * FROM unnest({', '.join(f'%s::{kind}[]' for kind in types)})"  # noqa: S608
    else:
        source = "VALUES ({})".format(", ".join(["%s"] * len(names)))
    return (
        f"INSERT INTO {spec.table} ({', '.join(names)}) {source} "  # noqa: S608 - names of our own
        f"ON CONFLICT ({', '.join(spec.key)}) DO UPDATE SET {', '.join(changes)}"
    )
