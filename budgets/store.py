# ruff: noqa: S608
"""The statements that move money. Amounts are nano-USD here; every function runs on the caller's open transaction.

Placeholders alone are put into the text of a statement, never values.

One order of locks everywhere: a hold, then windows by ascending id. SQLite needs no row locks, as its one writer took
the write lock when the transaction began.
"""

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import connections

from budgets.calls import Call
from budgets.connections import ALIAS

#: PostgreSQL's lock between opening a window, which reads the ledger, and recording, which writes to it: "costwatb".
_LEDGER_LOCK = 0x636F737477617462


#: So few rows go into one statement as they are; more are sent as arrays, or one by one.
_FEW = 20


@dataclass(slots=True)
class HoldRow:
    """A hold as the database has it."""

    id: uuid.UUID
    state: str
    amount: int
    cost: int
    cost_known: bool


@dataclass(slots=True)
class WindowRow:
    """A window as the database has it."""

    id: int
    limit_id: int
    version: int
    subject: str
    starts_at: datetime
    ends_at: datetime | None
    limit_amount: int
    hard: bool
    extra_amount: int
    extra_until: datetime | None
    spent: int
    held: int

    def limit_at(self, at: datetime) -> int:
        """The limit with the temporary increases that are in force."""
        return self.limit_amount + (self.extra_amount if self.extra_until is not None and at < self.extra_until else 0)

    def has_room(self, amount: int, at: datetime) -> bool:
        """Whether a call that could cost `amount` may be admitted."""
        return not self.hard or amount == 0 or self.spent + self.held + amount <= self.limit_at(at)


_HOLD_COLUMNS = "id, state, amount, cost, cost_known, overrun, call_at, expires_at, resolved_at, call"
_WINDOW_COLUMNS = (
    "w.id, w.limit_id, w.version, w.subject, w.starts_at, w.ends_at, w.limit_amount, w.hard, w.extra_amount, "
    "w.extra_until, w.spent, w.held"
)


def insert_hold(
    hold_id: uuid.UUID, window_ids: Sequence[int], *, amount: int, call: Call, expires_at: datetime
) -> bool:
    """Make an open hold and its legs. False where one of this id exists, and nothing is made.

    Waits for a transaction that is making or settling a hold of this id.
    """
    connection = connections[ALIAS]
    hold = (
        f"INSERT INTO budgets_hold ({_HOLD_COLUMNS})"
        " VALUES (%s, 'open', %s, 0, TRUE, FALSE, %s, %s, NULL, %s) ON CONFLICT (id) DO NOTHING"
    )
    values = [_id(hold_id), amount, _time(call.at), _time(expires_at), json.dumps(call.as_json())]
    ids = sorted(window_ids)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # One round trip instead of two.
            marks = ", ".join(["(%s)"] * len(ids))
            cursor.execute(
                f"WITH made AS ({hold} RETURNING id) INSERT INTO budgets_holdleg (hold_id, window_id, already_counted)"
                f" SELECT made.id, legs.window_id, 0 FROM made, (VALUES {marks}) AS legs (window_id)",
                [*values, *ids],
            )
            return cursor.rowcount > 0
        cursor.execute(hold, values)
        if cursor.rowcount != 1:
            return False
    insert_legs([(hold_id, window_id, 0) for window_id in ids])
    return True


def insert_resolved(holds: Sequence[tuple[uuid.UUID, int, bool, Call]], *, at: datetime) -> None:
    """Make holds that are settled from the start: (id, cost, cost_known, call)."""
    rows = [
        (_id(hold_id), cost, known, _time(call.at), json.dumps(call.as_json())) for hold_id, cost, known, call in holds
    ]
    connection = connections[ALIAS]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                f"INSERT INTO budgets_hold ({_HOLD_COLUMNS})"
                " SELECT h.id, 'settled', 0, h.cost, h.known, FALSE, h.at, NULL, %s, h.call::jsonb FROM"
                " unnest(%s::uuid[], %s::bigint[], %s::boolean[], %s::timestamptz[], %s::text[])"
                " AS h (id, cost, known, at, call)",
                [_time(at), *_columns(rows)],
            )
            return
        cursor.executemany(
            f"INSERT INTO budgets_hold ({_HOLD_COLUMNS}) VALUES (%s, 'settled', 0, %s, %s, FALSE, %s, NULL, %s, %s)",
            [(*row[:4], _time(at), row[4]) for row in rows],
        )


def insert_legs(legs: Sequence[tuple[uuid.UUID, int, int]]) -> None:
    """Let holds count in windows: (hold id, window id, the part of its cost that the window's opening held)."""
    connection = connections[ALIAS]
    insert = "INSERT INTO budgets_holdleg (hold_id, window_id, already_counted) "
    rows = [(_id(hold_id), window_id, counted) for hold_id, window_id, counted in legs]
    with connection.cursor() as cursor:
        if len(rows) <= _FEW:
            cursor.execute(
                insert + "VALUES " + ", ".join(["(%s, %s, %s)"] * len(rows)), [value for row in rows for value in row]
            )
        elif connection.vendor == "postgresql":
            cursor.execute(insert + "SELECT * FROM unnest(%s::uuid[], %s::bigint[], %s::bigint[])", _columns(rows))
        else:
            cursor.executemany(insert + "VALUES (%s, %s, %s)", rows)


def hold_in(window_ids: Sequence[int], amount: int, *, at: datetime, unenforced: Iterable[int]) -> bool:
    """Add `amount` to what is held in every window that has room. False unless all of them had: then roll back.

    The whole condition of a hard limit is this one statement, so no other transaction can come in between. On
    PostgreSQL the condition is read from rows that are locked already, in ascending order, as they are by then.
    """
    connection = connections[ALIAS]
    ids, free = sorted(window_ids), sorted(unenforced)
    fits = (
        "(NOT hard OR %s = 0"
        + (f" OR id IN ({_marks(free)})" if free else "")
        + " OR spent + held + %s <= limit_amount + CASE WHEN extra_until > %s THEN extra_amount ELSE 0 END)"
    )
    values = [amount, *free, amount, _time(at)]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql" and len(ids) > 1:
            cursor.execute(
                f"WITH locked AS MATERIALIZED (SELECT id, {fits} AS fits FROM budgets_budgetwindow"
                f" WHERE id IN ({_marks(ids)}) ORDER BY id FOR NO KEY UPDATE)"
                " UPDATE budgets_budgetwindow w SET held = held + %s FROM locked"
                " WHERE w.id = locked.id AND locked.fits",
                [*values, *ids, amount],
            )
        else:
            cursor.execute(
                f"UPDATE budgets_budgetwindow SET held = held + %s WHERE id IN ({_marks(ids)}) AND {fits}",
                [amount, *ids, *values],
            )
        return cursor.rowcount == len(ids)


def lock_windows(ids: Sequence[int]) -> list[WindowRow]:
    """The windows as they are now, ascending, locked until the transaction ends."""
    return _windows(f"FROM budgets_budgetwindow w WHERE w.id IN ({_marks(ids)}) ORDER BY w.id", ids, lock=True)


def read_windows(ids: Sequence[int]) -> list[WindowRow]:
    """The windows as they are now, ascending."""
    return _windows(f"FROM budgets_budgetwindow w WHERE w.id IN ({_marks(ids)}) ORDER BY w.id", ids)


def find_windows(keys: Sequence[tuple[int, int, str, datetime]]) -> dict[tuple[int, int, str, datetime], int]:
    """The ids of those windows that exist, by (limit, version, subject, start)."""
    wanted = set(keys)
    limits, starts = sorted({key[0] for key in keys}), sorted({key[3] for key in keys})
    subjects = sorted({key[2] for key in keys})
    rows = _windows(
        f"FROM budgets_budgetwindow w WHERE w.limit_id IN ({_marks(limits)}) AND w.starts_at IN ({_marks(starts)})"
        f" AND w.subject IN ({_marks(subjects)})",
        [*limits, *(_time(start) for start in starts), *subjects],
    )
    found = {(row.limit_id, row.version, row.subject, row.starts_at): row.id for row in rows}
    return {key: window_id for key, window_id in found.items() if key in wanted}


def lock_holds(ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, HoldRow]:
    """Those of the holds that exist, locked in ascending order until the transaction ends."""
    connection = connections[ALIAS]
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT id, state, amount, cost, cost_known FROM budgets_hold WHERE id IN ({_marks(ids)}) ORDER BY id"
            + (" FOR NO KEY UPDATE" if connection.vendor == "postgresql" else ""),
            [_id(hold_id) for hold_id in ids],
        )
        rows = [HoldRow(_uuid(r[0]), r[1], r[2], r[3], bool(r[4])) for r in cursor.fetchall()]
    return {row.id: row for row in rows}


def legs_of(ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, list[tuple[int, int, str, int]]]:
    """The windows each hold counts in: (window id, limit id, subject, version)."""
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(
            "SELECT l.hold_id, w.id, w.limit_id, w.subject, w.version FROM budgets_holdleg l"
            f" JOIN budgets_budgetwindow w ON w.id = l.window_id WHERE l.hold_id IN ({_marks(ids)})",
            [_id(hold_id) for hold_id in ids],
        )
        legs: dict[uuid.UUID, list[tuple[int, int, str, int]]] = {}
        for hold_id, *leg in cursor.fetchall():
            legs.setdefault(_uuid(hold_id), []).append(tuple(leg))
    return legs


def update_holds(rows: Sequence[tuple[str, int, bool, bool, datetime, uuid.UUID]]) -> None:
    """Resolve holds: (state, cost, cost_known, overrun, at, id)."""
    with connections[ALIAS].cursor() as cursor:
        cursor.executemany(
            "UPDATE budgets_hold SET state = %s, cost = %s, cost_known = %s, overrun = %s, resolved_at = %s"
            " WHERE id = %s",
            [(*values, _time(at), _id(hold_id)) for *values, at, hold_id in rows],
        )


def move(changes: Mapping[int, tuple[int, int]]) -> list[WindowRow]:
    """Add (held, spent) to each of the windows, locked in ascending order; the windows as they are then, ascending."""
    connection = connections[ALIAS]
    ids = sorted(changes)
    locked = ""
    if connection.vendor == "postgresql":
        locked = (
            f", locked AS MATERIALIZED (SELECT id FROM budgets_budgetwindow WHERE id IN ({_marks(ids)})"
            " ORDER BY id FOR NO KEY UPDATE)"
        )
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH change (id, held, spent) AS (VALUES {', '.join(['(%s, %s, %s)'] * len(ids))}){locked}"
            " UPDATE budgets_budgetwindow AS w SET held = w.held + change.held, spent = w.spent + change.spent"
            f" FROM change{' JOIN locked ON locked.id = change.id' if locked else ''} WHERE w.id = change.id"
            f" RETURNING {_WINDOW_COLUMNS.replace('w.', '') if not locked else _WINDOW_COLUMNS}",
            [value for i in ids for value in (i, *changes[i])] + (ids if locked else []),
        )
        return sorted(_rows(cursor.fetchall()), key=lambda row: row.id)


def lock_ledger(*, exclusively: bool) -> None:
    """Keep opening a window apart from recording: the one reads what the other writes.

    Recorders share the lock; whoever opens a window has it alone. So each row of the ledger is either in the window's
    opening or posted to the window, and never both. Nothing to do on SQLite, which has one writer.
    """
    connection = connections[ALIAS]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            kind = "" if exclusively else "_shared"
            cursor.execute(f"SELECT pg_advisory_xact_lock{kind}(%s)", [_LEDGER_LOCK])


def _windows(rest: str, values: Sequence[Any], *, lock: bool = False) -> list[WindowRow]:
    connection = connections[ALIAS]
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {_WINDOW_COLUMNS} {rest}"
            + (" FOR NO KEY UPDATE" if lock and connection.vendor == "postgresql" else ""),
            list(values),
        )
        return _rows(cursor.fetchall())


def _rows(found: Sequence[Sequence[Any]]) -> list[WindowRow]:
    return [
        WindowRow(*r[:4], _moment(r[4]), _moment(r[5]), r[6], bool(r[7]), r[8], _moment(r[9]), r[10], r[11])
        for r in found
    ]


def _columns(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Rows as PostgreSQL takes them at once: an array for each column."""
    return [list(column) for column in zip(*rows, strict=True)]


def _marks(values: Sequence[Any]) -> str:
    return ", ".join(["%s"] * len(values))


def _id(value: uuid.UUID) -> Any:
    return value if connections[ALIAS].features.has_native_uuid_field else value.hex


def _uuid(value: Any) -> uuid.UUID:
    return value if isinstance(value, uuid.UUID) else uuid.UUID(value)


def _time(value: datetime) -> Any:
    return connections[ALIAS].ops.adapt_datetimefield_value(value)


def _moment(value: Any) -> datetime | None:
    """A moment as SQLite or PostgreSQL gives it, in UTC."""
    if value is None:
        return None
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
