"""Thresholds passed: written in the transaction that passed them, so that none is missed and none is told twice."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from django.db import connections

from budgets.book import Limit, Snapshot
from budgets.connections import ALIAS
from budgets.models import BudgetWindow, Crossing
from budgets.store import WindowRow
from tracking.money import from_nanousd


def crossed(thresholds: Sequence[Decimal], *, limit: int, before: int, after: int) -> list[Decimal]:
    """The thresholds that spending from `before` to `after` (nano-USD) has reached. None of a limit of 0."""
    return [share for share in thresholds if before < share * limit <= after]


def write_crossings(
    windows: Sequence[WindowRow], added: Mapping[int, int], *, book: Snapshot, at: datetime
) -> list[Crossing]:
    """Write what was crossed by `added` (nano-USD, by window id) in windows as they are now, after it was added."""
    rows = []
    for window in windows:
        limit = book.by_id.get(window.limit_id)
        if limit is None or book.is_replaced(limit, window.subject, at):
            continue
        amount = window.limit_at(at)
        before = window.spent - added.get(window.id, 0)
        for share in crossed(limit.thresholds, limit=amount, before=before, after=window.spent):
            rows.append(_row(window, limit, Crossing.Kind.SPENT, share, at))
    return _write(rows)


def write_lowered(windows: Sequence[tuple[WindowRow, int]], *, limit: Limit, book: Snapshot, at: datetime) -> None:
    """Write what was crossed because a limit came down: (window as it is now, its limit before in nano-USD)."""
    rows = []
    for window, limit_before in windows:
        if book.is_replaced(limit, window.subject, at):
            continue
        amount = window.limit_at(at)
        for share in limit.thresholds:
            if window.spent > 0 and share * amount <= window.spent < share * limit_before:
                rows.append(_row(window, limit, Crossing.Kind.SPENT, share, at))
    _write(rows)


def write_refused(window: WindowRow, *, limit: Limit, asked: int, at: datetime) -> None:
    """Write that calls are being refused in this window: the first one under its limit."""
    row = _row(window, limit, Crossing.Kind.REFUSED, Decimal(1), at)
    row.asked = from_nanousd(asked)
    _write([row])


def count_refused(windows: Mapping[int, int], *, at: datetime) -> None:
    """Add up how many calls were refused, by window id, on the caller's transaction. Kept apart from the windows, whose
    rows every call locks; in ascending order, after them.
    """
    with connections[ALIAS].cursor() as cursor:
        for window_id, number in sorted(windows.items()):
            cursor.execute(
                "INSERT INTO budgets_refusalcount (window_id, count, last_at) VALUES (%s, %s, %s)"
                " ON CONFLICT (window_id) DO UPDATE"
                " SET count = budgets_refusalcount.count + excluded.count, last_at = excluded.last_at",
                [window_id, number, connections[ALIAS].ops.adapt_datetimefield_value(at)],
            )


def write_lifted(window: BudgetWindow, *, limit: Decimal, at: datetime) -> bool:
    """Write that a window has ended in which calls were refused: who was paused is told. False where none were.

    `limit` in USD, with temporary increases. A limit of 0 refuses in the next window too: there is no news.
    """
    refused = window.crossings.filter(kind=Crossing.Kind.REFUSED).exists()
    if not window.hard or not window.limit_amount or not (refused or window.spent >= limit):
        return False
    Crossing.objects.bulk_create(
        [
            Crossing(
                window=window,
                kind=Crossing.Kind.LIFTED,
                threshold=Decimal(1),
                limit_amount=limit,
                spent=window.spent,
                held=window.held,
                alert=window.limit.alerts_enabled,
                crossed_at=at,
            )
        ],
        ignore_conflicts=True,
    )
    return True


def _row(window: WindowRow, limit: Limit, kind: str, share: Decimal, at: datetime) -> Crossing:
    return Crossing(
        window_id=window.id,
        kind=kind,
        threshold=share,
        limit_amount=from_nanousd(window.limit_at(at)),
        spent=from_nanousd(window.spent),
        held=from_nanousd(window.held),
        alert=limit.alerts_enabled,
        crossed_at=at,
    )


def _write(rows: list[Crossing]) -> list[Crossing]:
    if rows:
        Crossing.objects.bulk_create(rows, ignore_conflicts=True)
    return rows
