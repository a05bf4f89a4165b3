"""record(batch): the one write transaction. New events become ledger rows, rollups and analyses, or nothing does."""

from __future__ import annotations

import hashlib
import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter

from django.db import OperationalError, connections, transaction

from tracking import ledger, results, settling, taken_back, truth
from tracking.cleaning import json_encoder
from tracking.events import CallEvent
from tracking.gate import Outcome
from tracking.rollups import add_to_rollups
from tracking.rows import COLUMNS, Row, current_pricing, db_time, event_id, row_of, row_values
from tracking.users import ids_of

logger = logging.getLogger("costwatch.recorder")

#: How often a transaction that PostgreSQL broke off (deadlock, serialization) is tried again.
MAX_ATTEMPTS = 5
_RETRYABLE_SQLSTATES = ("40001", "40P01")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What became of a batch: numbers of events, and the ids that came with other content than before."""

    recorded: int  # new
    duplicates: int  # there already: nothing changed
    conflicts: tuple[str, ...]  # there already with other content: not recorded again
    rows: int  # ledger rows written, corrections included
    new: frozenset[str] = frozenset()  # the ids that told something new, as 32 hex digits


@dataclass(slots=True)
class _Batch:
    """The distinct events of a batch, by id."""

    events: dict[str, CallEvent] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    duplicates: int = 0
    conflicts: list[str] = field(default_factory=list)

    def seen(self, key: str, content: str, known: str) -> None:
        """An event whose id is known with the hash `known` came again."""
        if content == known:
            self.duplicates += 1
        else:
            self.conflicts.append(key)


def record(events: Sequence[CallEvent], *, now: datetime, on_begin: Callable[[], None] = lambda: None) -> Recorded:
    """Record the events in one transaction; those recorded before change nothing. `now` is an aware time.

    `on_begin` is called when the transaction holds its lock (SQLite) or has begun; what it raises rolls it back.
    Raises `django.db.Error` where the database refuses. Deadlocks are tried again, up to `MAX_ATTEMPTS` times.
    """
    batch = _distinct(events)
    make_row, rows = _rows(batch, now)
    ledger.ensure_months({row.occurred_at[:7] for row in rows.values()})
    settling.open_ahead(rows.values(), at=now)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        try:
            with transaction.atomic(using="default"):
                on_begin()
                return _write(batch, rows, now, make_row)
        except OperationalError as error:
            sqlstate = getattr(error.__cause__, "sqlstate", None)
            if sqlstate not in _RETRYABLE_SQLSTATES or attempt == MAX_ATTEMPTS or _in_callers_transaction():
                raise
            logger.warning("The transaction was broken off (%s) and is tried again.", sqlstate)
            time.sleep(random.uniform(0.01, 0.05) * 2**attempt)  # noqa: S311
    raise AssertionError("unreachable")


def _in_callers_transaction() -> bool:
    return connections["default"].in_atomic_block


def _distinct(events: Sequence[CallEvent]) -> _Batch:
    batch = _Batch()
    for event in events:
        key, content = event_id(event.id), content_hash(event)
        if key in batch.events:
            batch.seen(key, content, batch.hashes[key])
        else:
            batch.events[key] = event
            batch.hashes[key] = content
    return batch


#: What makes two events with the same id the same event. A cost that an application reports again comes later.
#: So does a line of a batch that is read again, and through another request: only what the provider said counts there.
_REPORTED_CONTENT = (
    *("kind", "provider", "operation", "endpoint", "model_asked", "model_served", "user", "feature", "analysis"),
    *("tags", "request_id", "response_id", "attempt", "status", "http_status", "quality", "batch", "usage", "facts"),
    *("result_key", "cost_usd"),
)
_reported_content, _call_content = attrgetter(*_REPORTED_CONTENT), attrgetter("at_us", *_REPORTED_CONTENT)
_item_content = attrgetter("kind", "provider", "model_served", "response_id", "batch", "usage")
_encode = json_encoder(allow_nan=True)


def content_hash(event: CallEvent) -> str:
    """32 hex digits that are equal for events with the same content."""
    content_of = _call_content
    if event.kind == "item":
        content_of = _item_content
    elif event.source == "helper":
        content_of = _reported_content
    content = content_of(event)
    return hashlib.blake2b(_encode(content).encode(), digest_size=16).hexdigest()


def _rows(batch: _Batch, now: datetime) -> tuple[Callable[[CallEvent], Row], dict[str, Row]]:
    """What makes a row of an event of the batch, and the rows by id."""
    pricing = current_pricing()
    # One query for all addresses of a batch: cheaper than a cache is dangerous (addresses change hands).
    users = ids_of({event.user for event in batch.events.values() if event.user.__class__ in (int, str)})

    def make(event: CallEvent) -> Row:
        user_id = users.get(event.user) if event.user.__class__ in (int, str) else None
        return row_of(event, now=now, user_id=user_id, pricing=pricing)

    return make, {key: make(event) for key, event in batch.events.items()}


def _write(batch: _Batch, rows: dict[str, Row], now: datetime, make_row: Callable[[CallEvent], Row]) -> Recorded:
    if any(event.result_key for event in batch.events.values()):
        # Before any other lock, so that it cannot be part of a circle.
        results.lock()
    new = _claim(batch, rows, now)
    known = {key: rows[key] for key in batch.events if key not in new}
    late, settled = truth.late_truths(known, now=now) if known else ([], set())
    lost = truth.given_up({key: known[key] for key in settled if known[key].status == truth.UNKNOWN})
    over: list[Outcome] = []
    duplicates, conflicts = _sort_out_known(batch, known.keys() - settled)
    duplicates += len(settled)
    fresh = [key for key in batch.events if key in new]
    plain = [key for key in fresh if not batch.events[key].result_key]
    written = [*late, *lost, *(rows[key] for key in plain)]
    if len(plain) < len(fresh):
        keyed = [(batch.events[key], rows[key]) for key in fresh if batch.events[key].result_key]
        found, released = results.resolve(keyed, now=now, make_row=make_row)
        written += found
        over += [settling.void(key, now) for key in released]
    # Two connections of one session saw the same response, and each held for it.
    over += [settling.void(hold, now) for key in known if (hold := batch.events[key].facts.get("hold"))]
    write_rows(written, more=over)
    told = frozenset([*fresh, *settled])
    return Recorded(recorded=len(fresh), duplicates=duplicates, conflicts=conflicts, rows=len(written), new=told)


def write_rows(rows: Sequence[Row], *, more: Sequence[Outcome] = ()) -> None:
    """Add rows whose ids are claimed to the ledger, the analyses and the rollups, within the caller's transaction.

    Last, the gate settles what was held for these calls; `more` is what else it is to be told.
    """
    ledger.insert_rows(COLUMNS, [row_values(row) for row in rows])
    _make_analyses(rows)
    add_to_rollups(rows)
    taken_back.note(rows)
    settling.settle(rows, more)


def _claim(batch: _Batch, rows: dict[str, Row], now: datetime) -> set[str]:
    """Write the ids down: those that were new are ours to record. Sorted, so that writers never deadlock."""
    return claim_ids([(key, batch.hashes[key], rows[key].occurred_at) for key in sorted(batch.events)], now=now)


def claim_ids(entries: Sequence[tuple[str, str, str | None]], *, now: datetime) -> set[str]:
    """Write (id, content hash, time of its row) down where the id is new; returns the new ids. `entries` are sorted."""
    new: set[str] = set()
    if not entries:
        return new
    connection = connections["default"]
    at = db_time(now)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            ids, hashes, times = map(ledger.array_literal, zip(*entries, strict=True))
            cursor.execute(
                "INSERT INTO tracking_recordedevent (id, content_hash, recorded_at, occurred_at) "
                "SELECT e.id, decode(e.hash, 'hex'), %s, e.at "
                "FROM unnest(%s::uuid[], %s::text[], %s::timestamptz[]) AS e (id, hash, at) "
                "ON CONFLICT DO NOTHING RETURNING id",
                [at, ids, hashes, times],
            )
            return {row[0].hex for row in cursor.fetchall()}
        for first in range(0, len(entries), 500):
            part = entries[first : first + 500]
            cursor.execute(
                "INSERT INTO tracking_recordedevent (id, content_hash, recorded_at, occurred_at) VALUES "  # noqa: S608
                + ", ".join(["(%s, %s, %s, %s)"] * len(part))
                + " ON CONFLICT DO NOTHING RETURNING id",
                [value for key, content, when in part for value in (key, bytes.fromhex(content), at, when)],
            )
            new.update(row[0] for row in cursor.fetchall())
    return new


def _sort_out_known(batch: _Batch, keys: set[str]) -> tuple[int, tuple[str, ...]]:
    """(number of duplicates, ids in conflict), over the batch itself and those of it that were recorded before."""
    from tracking.models import RecordedEvent

    duplicates, conflicts = batch.duplicates, list(batch.conflicts)
    known = sorted(keys)
    for first in range(0, len(known), 500):
        for key, content in RecordedEvent.objects.filter(id__in=known[first : first + 500]).values_list(
            "id", "content_hash"
        ):
            if bytes(content).hex() == batch.hashes[key.hex]:
                duplicates += 1
            else:
                conflicts.append(key.hex)
    if conflicts:
        logger.warning("Ids came again with other content, and were not recorded twice: %s", conflicts[:10])
    return duplicates, tuple(conflicts)


def _make_analyses(rows: Sequence[Row]) -> None:
    first: dict[str, Row] = {}
    for row in rows:
        known = first.get(row.analysis_id)
        if row.analysis_id and (known is None or row.occurred_at < known.occurred_at):
            first[row.analysis_id] = row
    if not first:
        return
    connection = connections["default"]
    values = [(key, first[key].user_id, first[key].occurred_at) for key in sorted(first)]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "INSERT INTO tracking_analysis (id, title, user_id, created_at) "
                "SELECT a.id, '', a.user_id, a.at FROM unnest(%s::text[], %s::bigint[], %s::timestamptz[]) "
                "AS a (id, user_id, at) ON CONFLICT DO NOTHING",
                [ledger.array_literal(column) for column in zip(*values, strict=True)],
            )
        else:
            cursor.executemany(
                "INSERT INTO tracking_analysis (id, title, user_id, created_at) VALUES (%s, '', %s, %s) "
                "ON CONFLICT DO NOTHING",
                values,
            )
