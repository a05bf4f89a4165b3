"""The narrow rollups: what they add up, and the one statement per rollup that adds a batch to it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from operator import add
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import connections, models

from tracking.ledger import array_literal, int_array
from tracking.models import (
    AnalysisRollup,
    DailyFeatureRollup,
    DailyKeyRollup,
    DailyModelRollup,
    DailyUserFeatureRollup,
    DailyUserModelRollup,
    DailyUserRollup,
    HourlyModelRollup,
)
from tracking.rows import Row, from_db_time
from tracking.spans import mark, oldest_open_day

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
    """One rollup: its table, and the columns of its key."""

    model: type[models.Model]
    key: tuple[str, ...]

    @property
    def table(self) -> str:
        return self.model._meta.db_table


#: Every rollup, cold keys first and hot ones last. All writers go through them in this order, and through the keys of
#: each in sorted order: so they wait for each other at most once, and never in a circle.
SPECS = (
    Spec(AnalysisRollup, ("analysis_id", "feature", "model")),
    Spec(DailyUserFeatureRollup, ("user_id", "day", "feature")),
    Spec(DailyUserModelRollup, ("user_id", "day", "provider", "model", "service")),
    Spec(DailyKeyRollup, ("day", "user_id", "api_key")),
    Spec(DailyUserRollup, ("day", "user_id")),
    Spec(DailyFeatureRollup, ("day", "feature", "model")),
    Spec(HourlyModelRollup, ("hour", "provider", "model", "service")),
    Spec(DailyModelRollup, ("day", "provider", "model", "service")),
)


def _keys_of(row: Row, hour: str, day: str) -> tuple[tuple | None, ...]:
    """The keys of a row in `SPECS`, in their order; None where it is not part of one."""
    user, feature, model, analysis = row.user_id or 0, row.feature, row.model, row.analysis_id
    key = api_key_of(row.tags) if row.tags != "{}" else ""
    return (
        (analysis, feature, model) if analysis else None,
        (user, day, feature),
        (user, day, row.provider, model, row.service),
        (day, user, key),
        (day, user),
        (day, feature, model),
        (hour, row.provider, model, row.service),
        (day, row.provider, model, row.service),
    )


@lru_cache(maxsize=4096)
def api_key_of(tags: str) -> str:
    """The public id of the API key with which a call was reported, of its tags as JSON text; "" without one."""
    return str(json.loads(tags).get("api_key", ""))


#: PostgreSQL's types of the key columns, for arrays.
_KEY_TYPES = {"day": "date", "hour": "timestamptz", "user_id": "bigint"}


@lru_cache(maxsize=4096)
def _hour_and_day(minute: str, zone: str) -> tuple[str, str]:
    """The UTC hour of a time cut to its minute, and the day in a time zone."""
    day = from_db_time(f"{minute}:00").astimezone(ZoneInfo(zone)).date().isoformat()
    return f"{minute[:13]}:00:00", day


def add_to_rollups(rows: Iterable[Row]) -> None:
    """Add the rows to every rollup, within the caller's transaction. Days are those of the site's TIME_ZONE."""
    sums: tuple[dict[tuple, tuple[int, ...]], ...] = tuple({} for _ in SPECS)
    spans: dict[tuple, tuple[str, str]] = {}  # of analyses: first and last call
    zone, recorded_at = settings.TIME_ZONE, ""
    for row in rows:
        at = row.occurred_at
        hour, day = _hour_and_day(at[:16], zone)
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
        keys = _keys_of(row, hour, day)
        for into, key in zip(sums, keys, strict=True):
            before = into.get(key)
            into[key] = added if before is None else tuple(map(add, before, added))
        first, last = spans.get(keys[0], (at, at))
        spans[keys[0]] = (min(first, at), max(last, at))
        recorded_at = row.recorded_at
    _upsert([_sorted(spec, into, spans) for spec, into in zip(SPECS, sums, strict=True)])
    if recorded_at:
        _mark_closed({key[0] for key in sums[-1]}, recorded_at)


def _mark_closed(days: set[str], recorded_at: str) -> None:
    """Tell that sums of closed spans are not right any more. Nearly all days are open: then this is one comparison."""
    now = from_db_time(recorded_at)
    oldest = oldest_open_day(now).isoformat()
    if min(days) < oldest:
        mark((date.fromisoformat(day) for day in days if day < oldest), now=now)


def _sorted(spec: Spec, sums: dict[tuple, tuple[int, ...]], spans: dict[tuple, tuple[str, str]]) -> list[tuple]:
    """The rows to add to a rollup, in the order of their keys."""
    sums.pop(None, None)  # type: ignore[call-overload]
    if spec.model is AnalysisRollup:
        return [(*key, *sums[key], *spans[key]) for key in sorted(sums)]
    return [(*key, *sums[key]) for key in sorted(sums)]


def _upsert(values: list[list[tuple]]) -> None:
    """Add rows to the rollups, in the order of `SPECS`."""
    connection = connections["default"]
    with connection.cursor() as cursor:
        if connection.vendor != "postgresql":
            for spec, rows in zip(SPECS, values, strict=True):
                if rows:
                    cursor.executemany(_upsert_sql(spec, connection.vendor), rows)
            return
        statements, arrays = [], []
        for spec, rows in zip(SPECS, values, strict=True):
            if rows:
                statements.append(_upsert_sql(spec, "postgresql"))
                arrays += _arrays(spec, list(zip(*rows, strict=True)))
        if statements:
            # The driver puts the values in, so that all go in one message: they run one after the other all the same.
            cursor.execute("; ".join(statements), arrays)


def _arrays(spec: Spec, columns: list[tuple]) -> list[str]:
    numbers = range(len(spec.key), len(spec.key) + len(MEASURES))
    return [int_array(c) if n in numbers else array_literal(c) for n, c in enumerate(columns)]


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
