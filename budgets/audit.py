"""Whether windows, holds and the ledger agree, to the nano-USD; and setting it right.

1. A window has spent what it opened with plus what its legs cost, and holds what its open holds set aside.
2. A hold that is settled cost what the ledger says of its call (row and corrections), where that is known.
3. A window has spent what the ledger says of its subject and time, but for the holds of which 2. tells otherwise.
   (Not where its limit ended inside it: from then on it counted no more, and the ledger went on.)
"""

import uuid
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from django.db import connections, transaction
from django.db.models import F, Q

from budgets import book, store
from budgets.calendar import WindowSpan
from budgets.connections import ALIAS
from budgets.models import BudgetWindow, Hold, HoldLeg, Scope
from budgets.opening import spent_in
from tracking.models import ApiUsageLog
from tracking.money import from_nanousd, to_nanousd

_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that does not add up. USD."""

    what: str  # "window against holds" | "hold against ledger" | "window against ledger"
    of: str
    field: str  # spent | held | cost
    expected: Decimal
    found: Decimal
    fixed: bool = False


@dataclass(slots=True)
class Audit:
    """What was looked at, and what does not add up."""

    windows: int = 0
    holds: int = 0
    differences: list[Difference] = field(default_factory=list)
    waiting: int = 0  # settled holds whose row of the ledger is yet to come
    unknown: int = 0  # holds that stand at an estimate

    @property
    def is_clean(self) -> bool:
        return not self.differences


def audit_budgets(*, at: datetime, fix: bool = False, ledger: bool = True) -> Audit:
    """Compare windows with holds and, unless `ledger` is false, both with the ledger. `fix` corrects the windows.

    Run it while nothing writes, or again: a call that settles while it reads can look like a difference in 3.
    """
    audit = Audit(windows=BudgetWindow.objects.count(), holds=Hold.objects.count())
    audit.differences += _windows_against_holds(fix)
    if ledger:
        odd: dict[uuid.UUID, int] = {}
        audit.differences += _holds_against_ledger(audit, odd, at if fix else None)
        audit.differences += _windows_against_ledger(odd, at, fix)
    return audit


_LEGS = """
SELECT w.id, w.opening, w.spent, w.held,
       COALESCE(SUM(CASE WHEN h.state <> 'open' THEN h.cost - l.already_counted ELSE 0 END), 0),
       COALESCE(SUM(CASE WHEN h.state = 'open' THEN h.amount ELSE 0 END), 0)
  FROM budgets_budgetwindow w
  LEFT JOIN budgets_holdleg l ON l.window_id = w.id
  LEFT JOIN budgets_hold h ON h.id = l.hold_id
"""


def _windows_against_holds(fix: bool) -> Iterator[Difference]:
    for window_id, *sums in _sums(""):
        if sums[1:3] != _expected(sums):
            if fix:
                with transaction.atomic(using=ALIAS):
                    store.lock_windows([window_id])
                    [(_, *sums)] = _sums("WHERE w.id = %s", window_id)
                    spent, held = map(from_nanousd, _expected(sums))
                    BudgetWindow.objects.filter(pk=window_id).update(spent=spent, held=held)
            for name, expected, found in zip(("spent", "held"), _expected(sums), sums[1:3], strict=True):
                if expected != found:
                    yield Difference(
                        "window against holds", f"window {window_id}", name, from_nanousd(expected),
                        from_nanousd(found), fix,
                    )  # fmt: skip


def _sums(condition: str, *values: int) -> list[tuple]:
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(f"{_LEGS} {condition} GROUP BY w.id ORDER BY w.id", values)  # noqa: S608
        return [tuple(int(value) for value in row) for row in cursor.fetchall()]


def _expected(sums: list[int]) -> list[int]:
    opening, _, _, spent, held = sums
    return [opening + spent, held]


def _holds_against_ledger(audit: Audit, odd: dict[uuid.UUID, int], fix_at: datetime | None) -> Iterator[Difference]:
    """Fills `odd` with what each hold's cost differs by from the ledger, in nano-USD, whether that is right or not."""
    last = uuid.UUID(int=0)
    while chunk := list(Hold.objects.exclude(state="open").filter(pk__gt=last).order_by("pk")[:_CHUNK]):
        last = chunk[-1].pk
        ids = [hold.pk for hold in chunk]
        costs: dict[uuid.UUID, Decimal] = defaultdict(Decimal)
        rows = ApiUsageLog.objects.filter(Q(pk__in=ids) | Q(corrects__in=ids)).order_by()
        seen = set()
        for call_id, corrects, cost in rows.values_list("id", "corrects", "cost"):
            seen.add(corrects or call_id)
            costs[corrects or call_id] += cost or Decimal(0)
        for hold in chunk:
            audit.unknown += not hold.cost_known
            if hold.cost == costs[hold.pk]:
                continue
            odd[hold.pk] = to_nanousd(hold.cost - costs[hold.pk])
            if hold.pk not in seen:
                audit.waiting += 1
            elif hold.cost_known:
                if fix_at is not None:
                    _repair_hold(hold.pk, costs[hold.pk], fix_at)
                    del odd[hold.pk]
                fixed = fix_at is not None
                yield Difference("hold against ledger", f"hold {hold.pk}", "cost", costs[hold.pk], hold.cost, fixed)


def _repair_hold(hold_id: uuid.UUID, cost: Decimal, at: datetime) -> None:
    """Let a resolved hold cost what the ledger says, and every window that counts it with it."""
    with transaction.atomic(using=ALIAS):
        hold = store.lock_holds([hold_id])[hold_id]
        value = to_nanousd(cost)
        windows = sorted(leg[0] for leg in store.legs_of([hold_id]).get(hold_id, ()))
        if windows:
            store.lock_windows(windows)
            store.move(dict.fromkeys(windows, (0, value - hold.cost)))
        store.update_holds([(hold.state, value, True, value > hold.amount > 0, at, hold_id)])


def _windows_against_ledger(odd: dict[uuid.UUID, int], at: datetime, fix: bool) -> Iterator[Difference]:
    explained: dict[int, int] = defaultdict(int)
    keys = sorted(odd)
    for start in range(0, len(keys), _CHUNK):
        legs = HoldLeg.objects.filter(hold_id__in=keys[start : start + _CHUNK]).values_list("hold_id", "window_id")
        for hold_id, window_id in legs:
            explained[window_id] += odd[hold_id]
    snapshot = book.look_now()
    # Who belonged to a group when is not known afterwards.
    windows = BudgetWindow.objects.filter(version=F("limit__version")).exclude(limit__scope=Scope.GROUP)
    ended_inside = Q(ends_at=None) | Q(limit__active_until__lt=F("ends_at"))
    windows = windows.exclude(ended_inside, limit__active_until__isnull=False, limit__active_until__lte=at)
    for window in windows.select_related("limit", "limit__user", "limit__group").order_by("pk").iterator(_CHUNK):
        span = WindowSpan(window.starts_at, window.ends_at)
        known = spent_in(book.Limit.of(window.limit), window.subject, span, book=snapshot)
        expected = known + from_nanousd(explained[window.pk])
        if expected != window.spent:
            if fix:
                missing = expected - window.spent
                BudgetWindow.objects.filter(pk=window.pk).update(
                    opening=F("opening") + missing, spent=F("spent") + missing
                )
            yield Difference("window against ledger", f"window {window.pk}", "spent", expected, window.spent, fix)
