"""Settling in bulk: what the recorder calls inside the transaction that writes the ledger, and what the verbs use.

The recorder's way, with everything it has just written as new:

    open_windows(items)          # before its transaction: windows of limits that no call has touched yet
    with transaction.atomic():
        ... ledger rows, rollups ...
        settle_many(items, now=now)     # last: hot windows are locked for as short as can be
"""

import logging
import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import Q, Sum

from budgets import book, store, windows
from budgets.book import Match, Snapshot
from budgets.calls import Call
from budgets.crossings import write_crossings
from budgets.errors import BudgetUnavailable
from budgets.resolving import Resolution, Verb, resolve
from tracking.models import ApiUsageLog
from tracking.money import from_nanousd, to_nanousd

logger = logging.getLogger(__name__)

#: So many ids in one statement; SQLite takes 32,766 values.
_CHUNK = 1000


@dataclass(frozen=True, slots=True)
class SettleItem:
    """What is known of one call. `cost` in USD; None where it is not known or has no price.

    verb: `ledger` (a new row of the ledger, of this id), `expire` (the same, of status unknown), `correction` (a new
    row that corrects this id; `cost` is the difference), `settle`, `void`. A call that still runs in the background is
    no item.
    """

    hold_id: uuid.UUID
    cost: Decimal | None
    verb: Verb = "ledger"
    call: Call | None = None  # without it, nothing is counted for a call that has no hold


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a hold. Money in USD."""

    hold_id: uuid.UUID
    state: str
    cost: Decimal
    cost_known: bool
    overrun: bool
    changed: bool  # False: it had been resolved before, as told here


def open_windows(items: Sequence[SettleItem], *, at: datetime) -> None:
    """Open the windows in which these calls will count, each with what it has already spent.

    Not needed for the sums: a window that is opened later reads these calls from the ledger. It lets their crossings
    be written now. Call it before the transaction that records. Failing is logged, never raised.
    """
    try:
        snapshot = book.current()
        for item in items:
            if item.call is not None and (matches := snapshot.matches(item.call, book.user_id_of(item.call, snapshot))):
                windows.ids_of(matches, at=at)
    except (BudgetUnavailable, windows.LimitsChanged) as error:
        logger.warning("Windows could not be opened ahead: %s", error or type(error).__name__)


def settle_many(items: Sequence[SettleItem], *, now: datetime) -> list[Settled]:
    """Settle and post on the caller's transaction, in the order of the items; the answers are by item.

    Locks holds, then windows, each in ascending order. Moves each item's cost into every window that counts it: those
    that its hold reserved, and those that have come to apply since. Writes the crossings.
    """
    answers: list[Settled | None] = [None] * len(items)
    for start in range(0, len(items), _CHUNK):
        chunk = items[start : start + _CHUNK]
        answers[start : start + _CHUNK] = _Batch(chunk, now).run()
    return [answer for answer in answers if answer is not None]


class _Batch:
    """One pass over at most a chunk of items."""

    def __init__(self, items: Sequence[SettleItem], now: datetime) -> None:
        self.items, self.now = items, now
        self.held: dict[int, int] = defaultdict(int)
        self.spent: dict[int, int] = defaultdict(int)
        self.changed: dict[uuid.UUID, store.HoldRow] = {}
        self.made: dict[uuid.UUID, Call] = {}
        self.new_legs: list[tuple[uuid.UUID, int, int]] = []

    def run(self) -> list[Settled]:
        snapshot = None
        if any(item.call is not None for item in self.items):
            store.lock_ledger(exclusively=False)
            snapshot = book.look_now()
        ids = sorted({item.hold_id for item in self.items})
        self.holds = store.lock_holds(ids)
        self.legs = store.legs_of(list(self.holds)) if self.holds else {}
        matches = [self._matches(item, snapshot) for item in self.items]
        self.window_ids = windows.existing_ids([match for found in matches for match in found])
        answers = [self._apply(item, found) for item, found in zip(self.items, matches, strict=True)]
        self._write(snapshot)
        return answers

    def _matches(self, item: SettleItem, snapshot: Snapshot | None) -> list[Match]:
        """The limits that count this call and in whose windows it has no leg."""
        if item.call is None or snapshot is None:
            return []
        has = {(limit_id, version, subject) for _, limit_id, subject, version in self.legs.get(item.hold_id, ())}
        found = snapshot.matches(item.call, book.user_id_of(item.call, snapshot, here=True))
        return [match for match in found if match.key[:3] not in has]

    def _apply(self, item: SettleItem, matches: list[Match]) -> Settled:
        value = None if item.cost is None else to_nanousd(item.cost)
        hold = self.holds.get(item.hold_id)
        extra = [self.window_ids[match.key] for match in matches if match.key in self.window_ids]
        reserved = hold is not None and item.hold_id not in self.made
        if hold is None:
            if not extra or item.verb == "void":
                return Settled(item.hold_id, "none", item.cost or Decimal(0), value is not None, False, False)
            hold = store.HoldRow(item.hold_id, "none", 0, 0, True)
            if item.verb == "correction":
                hold.cost = self._cost_before(item.hold_id)
        result = _first(item.verb, value, hold.cost) if hold.state == "none" else _resolve(hold, item.verb, value)
        self._count(hold, item, result, extra)
        if hold.state == "none":
            self.made[hold.id] = item.call
            self.holds[hold.id] = hold
        elif result.changed and hold.id not in self.made:
            self.changed[hold.id] = hold
        hold.state, hold.cost, hold.cost_known = result.state, result.cost, result.cost_known
        overrun = reserved and result.is_overrun(hold.amount)
        return Settled(hold.id, result.state, from_nanousd(result.cost), result.cost_known, overrun, result.changed)

    def _cost_before(self, call_id: uuid.UUID) -> int:
        """What the ledger said of a call without a hold before this batch, in nano-USD: windows opened with that."""
        rows = ApiUsageLog.objects.filter(Q(pk=call_id) | Q(corrects=call_id)).order_by()
        total = rows.aggregate(total=Sum("cost"))["total"] or Decimal(0)
        here = (i.cost or Decimal(0) for i in self.items if i.hold_id == call_id and i.verb == "correction")
        return to_nanousd(total - sum(here, Decimal(0)))

    def _count(self, hold: store.HoldRow, item: SettleItem, result: Resolution, extra: list[int]) -> None:
        """Add up what the windows of the hold will change by, and those that have come to apply since it was made."""
        legs = self.legs.setdefault(hold.id, [])
        for window_id, *_ in legs:
            self.held[window_id] += result.held
            self.spent[window_id] += result.spent
        known = {leg[0] for leg in legs}
        new = [window_id for window_id in extra if window_id not in known]
        if not new or not (result.changed or item.verb in ("ledger", "expire")):
            return
        # A correction's call stood in the ledger when such a window was opened; any other call did not.
        counted = hold.cost if item.verb == "correction" else 0
        for window_id in new:
            self.new_legs.append((hold.id, window_id, counted))
            self.spent[window_id] += result.cost - counted
            legs.append((window_id, 0, "", 0))

    def _write(self, snapshot: Snapshot | None) -> None:
        if self.made:
            made = [(i, self.holds[i].cost, self.holds[i].cost_known, call) for i, call in sorted(self.made.items())]
            store.insert_resolved(made, at=self.now)
        if self.changed:
            store.update_holds(
                [
                    (h.state, h.cost, h.cost_known, h.cost_known and h.cost > h.amount, self.now, h.id)
                    for _, h in sorted(self.changed.items())
                ]
            )
        if self.new_legs:
            store.insert_legs(self.new_legs)
        changes = {w: (self.held[w], self.spent[w]) for w in self.held.keys() | self.spent.keys()}
        changes = {window_id: change for window_id, change in changes.items() if change != (0, 0)}
        if not changes:
            return
        rows = store.move(changes)
        added = {window_id: spent for window_id, (_, spent) in changes.items() if spent > 0}
        if added:
            passed = [row for row in rows if row.id in added]
            write_crossings(passed, added, book=snapshot or book.fresh_enough(), at=self.now)


def _first(verb: Verb, value: int | None, before: int) -> Resolution:
    """A call without a hold: counted at what it cost; where that has no price, at nothing until a correction."""
    state, known = ("expired", False) if verb == "expire" else ("settled", value is not None)
    return Resolution(state, before + (value or 0), known, changed=True, spent=value or 0)


def _resolve(hold: store.HoldRow, verb: Verb, value: int | None) -> Resolution:
    return resolve(
        state=hold.state, amount=hold.amount, cost=hold.cost, cost_known=hold.cost_known, verb=verb, value=value
    )
