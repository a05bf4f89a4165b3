"""Results that can be read more than once (background responses, batches, videos): each is billed once.

A key goes through these states, whatever the order in which its events are recorded:

    (new) --pending--> PENDING --result--> BILLED --item--> ITEMISED
    (new) --result---> BILLED        (new) | PENDING --item--> ITEMISED

A result of a key that is BILLED or ITEMISED adds nothing. The first line of a batch that was billed as a sum takes the
sum back. Everything here runs inside `record`'s transaction, under one lock.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from django.db import connections
from django.db.models import Q, Sum

from tracking.corrections import result_row, reversed_row
from tracking.events import CallEvent
from tracking.models import ApiUsageLog, RecordedEvent, ResultKey
from tracking.money import to_nanousd
from tracking.rows import COLUMNS, SUMS, Row, db_time, from_db_time, microseconds

State = ResultKey.State
_LOCK = 0x0C057_0002
#: Of several names of one result that were taken for different ones, the state that went furthest counts.
_PRECEDENCE = {"": 0, State.PENDING: 1, State.BILLED: 2, State.ITEMISED: 3}
#: Not needed to take a row back or to correct it.
_NOT_KEPT = frozenset({"raw_usage", "facts", "receipt", "meters"})


def lock() -> None:
    """Let one writer at a time decide about results. On SQLite the transaction itself does that."""
    if connections["default"].vendor == "postgresql":
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])


def resolve(
    pairs: Sequence[tuple[CallEvent, Row]], *, now: datetime, make_row: Callable[[CallEvent], Row]
) -> tuple[list[Row], list[str]]:
    """The rows to write for new events that have a result key, and the batches whose first results are among them.

    `make_row` makes the row of an event. Money was held for a batch under the id of its creation, of which nothing
    will be billed: its results are calls of their own.
    """
    book = _Book(pairs, now=now, make_row=make_row)
    for event, row in pairs:
        book.take(event, row)
    book.save()
    return book.rows, book.released


def row_from_log(log: ApiUsageLog) -> Row:
    """A stored row in the form in which it was written."""
    values = {}
    for name in COLUMNS:
        value = getattr(log, name)
        if name in ("id", "corrects"):
            value = value.hex if value is not None else None
        elif name in ("occurred_at", "recorded_at"):
            value = db_time(value)
        elif name in ("tags", "meters", "facts", "flags", "receipt"):
            value = json.dumps(value, separators=(",", ":"))
        elif name == "raw_usage":
            value = None if value is None else json.dumps(value, separators=(",", ":"))
        elif name == "cost":
            value = None if value is None else to_nanousd(value)
        values[name] = value
    return Row(**values)


def net_sums(row_id: str, occurred_at: datetime) -> dict[str, int]:
    """What a row and its corrections add up to in the ledger: `SUMS`, and `cost` in nano-USD."""
    found = ApiUsageLog.objects.filter(Q(id=row_id) | Q(corrects=row_id), occurred_at=occurred_at).aggregate(
        **{f"sum_{name}": Sum(name) for name in (*SUMS, "cost")}
    )
    sums = {name: int(found[f"sum_{name}"] or 0) for name in SUMS}
    return {**sums, "cost": to_nanousd(found["sum_cost"]) if found["sum_cost"] is not None else 0}


class _Book:
    """The keys that a batch touches, and the rows that come of it."""

    def __init__(self, pairs: Sequence[tuple[CallEvent, Row]], *, now: datetime, make_row) -> None:
        self.now = now
        self.rows: list[Row] = []
        self.released: list[str] = []
        self._make_row = make_row
        self._without_row: list[str] = []
        self._changed: dict[str, ResultKey] = {}
        names = {name for event, _ in pairs for name in _names(event)}
        self._keys = {key.key: key for key in ResultKey.objects.filter(key__in=names)}
        roots = {key.alias_of for key in self._keys.values() if key.alias_of} - set(self._keys)
        self._keys.update({key.key: key for key in ResultKey.objects.filter(key__in=roots)})

    def take(self, event: CallEvent, row: Row) -> None:
        """Decide what one event adds, given what is known of its key."""
        key = self._key_of(event)
        if event.kind == "pending":
            self._pending(key, event, row)
        elif event.kind == "result":
            self._result(key, event, row)
        elif event.kind == "item":
            self._item(key, event, row)
        else:
            if key.state in ("", State.PENDING):
                self._set(key, State.BILLED, event_id=row.id)
            self.rows.append(row)

    def _pending(self, key: ResultKey, event: CallEvent, row: Row) -> None:
        is_batch = event.batch or key.key.split(":")[-1].startswith(("batch_", "msgbatch_"))
        if is_batch:
            self._without_row.append(row.id)
        else:
            self.rows.append(row)
        if key.state == "":
            self._set(key, State.PENDING, event_id=None if is_batch else row.id, attribution=_brief(row))
        elif is_batch:
            # Its result was recorded first: the lines that are still to come get its attribution.
            self._set(key, key.state, attribution=key.attribution or _brief(row))
        elif key.state == State.BILLED and not key.attribution:
            self._move_result(key, row)

    def _move_result(self, key: ResultKey, creation: Row) -> None:
        """The result was recorded before its creation was: it moves to who created it."""
        result = self._stored(key)
        if result is not None:
            self._take_back(key, result, reason="taken back: it is recorded with the call that created it")
            self._add(result_row(creation, result, open_unpriced=creation.unpriced, now=self.now))
        self._set(key, State.BILLED, event_id=creation.id, attribution=_brief(creation))

    def _result(self, key: ResultKey, event: CallEvent, row: Row) -> None:
        if key.state in (State.BILLED, State.ITEMISED):
            self._without_row.append(row.id)
        elif key.state == State.PENDING and key.event_id:
            creation = Row(**key.attribution, raw_usage=None)
            # Priced as of the call's own time.
            at_creation = self._make_row(replace(event, at_us=microseconds(creation.occurred_at)))
            self._without_row.append(row.id)
            self._add(result_row(creation, at_creation, open_unpriced=creation.unpriced, now=self.now))
            self._set(key, State.BILLED)
        else:
            self._release(key)
            _attribute(row, key.attribution)
            self.rows.append(row)
            self._set(key, State.BILLED, event_id=row.id)

    def _item(self, key: ResultKey, event: CallEvent, row: Row) -> None:
        _attribute(row, key.attribution)
        self.rows.append(row)
        if event.usage is None and not row.cost and not row.unpriced:
            return  # a line that failed and costs nothing says nothing of the lines that the sum stands for
        if key.state == State.BILLED:
            billed = self._stored(key)
            if billed is not None:
                self._take_back(key, billed, reason="taken back: the lines of the batch are recorded one by one")
        if key.state != State.ITEMISED:
            self._release(key)
            self._set(key, State.ITEMISED, event_id=None)

    def _release(self, key: ResultKey) -> None:
        """The first result of a batch is here: what is held for all of it, or was counted for it, is let go."""
        creation = key.attribution.get("id") if key.state == State.PENDING and not key.event_id else None
        if not creation:
            return
        at = from_db_time(key.attribution["occurred_at"])
        unknown = ApiUsageLog.objects.filter(id=creation, occurred_at=at, status="unknown").first()
        if unknown is None:
            self.released.append(creation)
            return
        reason = "taken back: the results of the batch are recorded"
        sums = net_sums(creation, at)
        self._add(reversed_row(row_from_log(unknown), sums, now=self.now, reason=reason))

    def _take_back(self, key: ResultKey, row: Row, *, reason: str) -> None:
        self._add(reversed_row(row, self._net(row), now=self.now, reason=reason))

    def _net(self, row: Row) -> dict[str, int]:
        """What a row and its corrections add up to, those of this batch included, which are not written yet."""
        sums = net_sums(row.id, from_db_time(row.occurred_at))
        for mine in self.rows:
            if row.id in (mine.id, mine.corrects):
                for name in SUMS:
                    sums[name] += getattr(mine, name)
                sums["cost"] += mine.cost or 0
        return sums

    def _stored(self, key: ResultKey) -> Row | None:
        """The row that billed the key, from this batch or from the ledger."""
        if key.event_id is None:
            return None
        row_id = _hex(key.event_id)
        for row in self.rows:
            if row.id == row_id:
                return row
        known = RecordedEvent.objects.filter(id=row_id).values_list("occurred_at", flat=True).first()
        log = ApiUsageLog.objects.filter(id=row_id, occurred_at=known).first() if known else None
        return row_from_log(log) if log is not None else None

    def _add(self, row: Row) -> None:
        """Add a row that is derived from another one, unless it was written before."""
        from tracking.recording import claim_ids

        if claim_ids([(row.id, row.id, row.occurred_at)], now=self.now):
            self.rows.append(row)

    def _key_of(self, event: CallEvent) -> ResultKey:
        """The key whose state counts, with all names of the event leading to it."""
        names = _names(event)
        roots = {root.key: root for name in names if (root := self._root(name)) is not None}
        if not roots:
            key = ResultKey(key=names[0], state="", recorded_at=self.now, attribution={})
            self._keys[key.key] = key
        else:
            key = max(roots.values(), key=lambda root: _PRECEDENCE[root.state])
            for other in roots.values():
                if other is not key:
                    self._merge(other, into=key)
        for name in names:
            if name not in self._keys:
                alias = ResultKey(key=name, alias_of=key.key, state=State.PENDING, recorded_at=self.now)
                self._keys[name] = self._changed[name] = alias
        return key

    def _root(self, name: str) -> ResultKey | None:
        key = self._keys.get(name)
        return self._keys.get(key.alias_of) if key is not None and key.alias_of else key

    def _merge(self, other: ResultKey, *, into: ResultKey) -> None:
        """Two keys turn out to name one result."""
        if other.state == State.BILLED and into.state == State.ITEMISED:
            billed = self._stored(other)
            if billed is not None:
                self._take_back(other, billed, reason="taken back: the lines of the batch are recorded one by one")
        into.attribution = into.attribution or other.attribution
        into.event_id = into.event_id or other.event_id
        for key in self._keys.values():
            if key is other or key.alias_of == other.key:
                key.alias_of = into.key
                self._changed[key.key] = key
        ResultKey.objects.filter(alias_of=other.key).update(alias_of=into.key)
        self._changed[into.key] = into

    def _set(self, key: ResultKey, state: str, **changes) -> None:
        key.state = state
        for name, value in changes.items():
            setattr(key, name, value)
        self._changed[key.key] = key

    def save(self) -> None:
        """Write the keys, and note which events left no row."""
        if self._changed:
            ResultKey.objects.bulk_create(
                [self._changed[name] for name in sorted(self._changed) if self._changed[name].state],
                update_conflicts=True,
                unique_fields=["key"],
                update_fields=["alias_of", "state", "event_id", "attribution"],
            )
        if self._without_row:
            RecordedEvent.objects.filter(id__in=self._without_row).update(occurred_at=None)


def _names(event: CallEvent) -> list[str]:
    names = [str(name)[:300].replace("\0", "") for name in (event.result_key, *event.result_aliases[:20]) if name]
    return list(dict.fromkeys(names))


def _hex(event_id) -> str:
    return event_id if isinstance(event_id, str) else event_id.hex


def _brief(row: Row) -> dict:
    return {name: getattr(row, name) for name in COLUMNS if name not in _NOT_KEPT}


def _attribute(row: Row, creation: dict) -> None:
    """Give the row to who created the batch, where that is known."""
    names = ("user_id", "feature", "analysis_id")
    if any(creation.get(name) for name in names) or creation.get("tags", "{}") != "{}":
        for name in (*names, "tags"):
            setattr(row, name, creation[name])
