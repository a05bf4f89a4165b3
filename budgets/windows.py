"""Opening a window with what it has already spent, keeping its limit current, and closing it with a report."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import Count, F, Q, QuerySet, Sum

from budgets import book, store
from budgets.book import Match
from budgets.connections import read_apart, run_apart, shares_transaction
from budgets.crossings import write_crossings, write_lifted
from budgets.models import BudgetIncrease, BudgetLimit, BudgetWindow, Hold, HoldLeg
from budgets.opening import spent_in
from tracking.money import from_nanousd, to_nanousd

Key = tuple[int, int, str, datetime]
_MAX_KNOWN = 100_000
_known: dict[Key, int] = {}


class LimitsChanged(Exception):
    """A limit is not what this process thought: look again, and try again."""


def ids_of(matches: Sequence[Match], *, at: datetime) -> dict[Key, int]:
    """The ids of the windows in which these limits count a call, opened where this is the first.

    Opening takes a transaction of its own. Raises `BudgetUnavailable`, and `LimitsChanged` where a limit has changed
    since it was looked up.
    """
    found = {match.key: _known[match.key] for match in matches if match.key in _known}
    missing = [match for match in matches if match.key not in found]
    if missing:
        opened = read_apart(lambda: store.find_windows([match.key for match in missing]))
        if len(opened) < len(missing):
            opened = run_apart(lambda: _find_or_open(missing, at))
        found |= opened
        if not shares_transaction():  # what the caller may roll back is not kept
            _keep(opened)
    return found


def existing_ids(matches: Iterable[Match]) -> dict[Key, int]:
    """The ids of those windows that exist, read on the caller's transaction; nothing is opened."""
    keys = {match.key for match in matches}
    found = {key: _known[key] for key in keys if key in _known}
    missing = sorted(keys - found.keys())
    return found | (store.find_windows(missing) if missing else {})


def forget(keys: Iterable[Key] | None = None) -> None:
    """Read the ids of these windows (of all) from the database again."""
    if keys is None:
        _known.clear()
        return
    for key in keys:
        _known.pop(key, None)


def _keep(opened: dict[Key, int]) -> None:
    if len(_known) + len(opened) > _MAX_KNOWN:
        _known.clear()
    _known.update(opened)


def _find_or_open(matches: Sequence[Match], at: datetime) -> dict[Key, int]:
    store.lock_ledger(exclusively=True)
    found = store.find_windows([match.key for match in matches])
    missing = [match for match in matches if match.key not in found]
    # The limits' rows are locked against a change, which would not see the window that is about to be made.
    rows = {
        row.pk: row
        for row in BudgetLimit.objects.select_for_update(of=("self",), no_key=True)
        .filter(pk__in={match.limit.id for match in missing})
        .order_by("pk")
    }
    snapshot = book.look_now()
    for match in missing:
        row = rows.get(match.limit.id)
        if row is None or row.version != match.limit.version:
            raise LimitsChanged
        _open(match, row, snapshot, at)
    return store.find_windows([match.key for match in matches])


def _open(match: Match, row: BudgetLimit, snapshot: book.Snapshot, at: datetime) -> None:
    opening = spent_in(match.limit, match.subject, match.span, book=snapshot)
    extra, until = extras(row.pk, match.subject, at)
    window, made = BudgetWindow.objects.get_or_create(
        limit_id=row.pk,
        version=row.version,
        subject=match.subject,
        starts_at=match.span.starts_at,
        defaults={
            "ends_at": match.span.ends_at,
            "limit_amount": row.amount,
            "hard": row.pause_on_exceed,
            "extra_amount": extra,
            "extra_until": until,
            "opening": opening,
            "spent": opening,
            "opened_at": at,
        },
    )
    if made and opening > 0:
        write_crossings(store.read_windows([window.pk]), {window.pk: to_nanousd(opening)}, book=snapshot, at=at)


def extras(limit_id: int, subject: str, at: datetime) -> tuple[Decimal, datetime | None]:
    """The temporary increases in force, in USD, and until when that sum is right: the first of their ends."""
    rows = list(
        BudgetIncrease.objects.filter(
            Q(subject="") | Q(subject=subject), limit_id=limit_id, status=BudgetIncrease.Status.APPROVED, until__gt=at
        )
    )
    return sum((row.amount for row in rows), Decimal(0)), min((row.until for row in rows), default=None)


def refresh_extras(window: BudgetWindow, *, at: datetime) -> None:
    """Let the temporary increases that are in force now count in a window. Runs on the caller's transaction."""
    extra, until = extras(window.limit_id, window.subject, at)
    BudgetWindow.objects.filter(pk=window.pk).update(extra_amount=extra, extra_until=until)


@dataclass(frozen=True, slots=True)
class Report:
    """How a window ended. Money in USD."""

    window_id: int
    limit: Decimal
    spent: Decimal
    held: Decimal  # for calls that were still in flight; they settle in this window
    calls: int
    overruns: int
    unknown: int  # calls whose cost is an estimate, because the truth never arrived
    paused: bool  # the limit was reached and hard: calls were being refused
    lifted: bool  # calls were refused in it, and it is over: a crossing tells who was paused

    def as_json(self) -> dict[str, object]:
        return {
            name: format(value, "f") if isinstance(value, Decimal) else value
            for name, value in ((name, getattr(self, name)) for name in self.__slots__)
        }


def close_window(window_id: int, *, at: datetime) -> Report | None:
    """Close a window that has ended, with its final report. None where it has not ended or is closed: nothing changes.

    Late, twice or never makes no difference to money: calls settle in the window that reserved them, closed or not.
    """
    return run_apart(lambda: _close(window_id, at))


def _close(window_id: int, at: datetime) -> Report | None:
    window = BudgetWindow.objects.select_for_update(of=("self",)).select_related("limit").get(pk=window_id)
    superseded = window.version != window.limit.version
    if window.closed_at is not None or not (superseded or (window.ends_at is not None and window.ends_at <= at)):
        return None
    sums = Hold.objects.filter(legs__window=window).aggregate(
        calls=Count("pk", filter=~Q(state=Hold.State.VOID)),
        overruns=Count("pk", filter=Q(overrun=True)),
        unknown=Count("pk", filter=Q(cost_known=False)),
    )
    limit = window.limit_amount + (
        window.extra_amount if window.extra_until and window.ends_at and window.extra_until >= window.ends_at else 0
    )
    report = Report(
        window_id=window.pk,
        limit=limit,
        spent=window.spent,
        held=window.held,
        paused=window.hard and window.spent >= limit,
        lifted=not superseded and write_lifted(window, limit=limit, at=at),
        **sums,
    )
    BudgetWindow.objects.filter(pk=window.pk).update(closed_at=at, report=report.as_json())
    return report


def fold_window(window_id: int, *, limit: int = 1000) -> int:
    """Forget resolved holds of a closed window, at most so many: what they cost becomes part of its opening.

    Returns how many legs were folded. Sums stay as they are, and a later correction of such a call still counts: it
    finds what the call did cost in the ledger.
    """
    return run_apart(lambda: _fold(window_id, limit))


def _fold(window_id: int, limit: int) -> int:
    # Holds before the window, as everywhere; one that is being corrected just now is left for the next time.
    holds = Hold.objects.filter(legs__window_id=window_id, legs__window__closed_at__isnull=False)
    resolved = holds.exclude(state=Hold.State.OPEN).order_by("pk")
    ids = [hold.pk for hold in resolved.select_for_update(of=("self",), skip_locked=True)[:limit]]
    if not ids:
        return 0
    store.lock_windows([window_id])
    legs = HoldLeg.objects.filter(window_id=window_id, hold_id__in=ids)
    sums = legs.aggregate(cost=Sum("hold__cost"), counted=Sum("already_counted"))
    BudgetWindow.objects.filter(pk=window_id).update(opening=F("opening") + (sums["cost"] - sums["counted"]))
    legs.delete()
    Hold.objects.filter(pk__in=ids, legs__isnull=True).delete()
    return len(ids)


def ended_windows(*, at: datetime, limit: int = 1000) -> list[int]:
    """Windows to be closed: ended, or of a limit that now divides time otherwise. The longest ended first."""
    return list(
        BudgetWindow.objects.filter(Q(ends_at__lte=at) | ~Q(version=F("limit__version")), closed_at=None)
        .order_by("ends_at", "id")
        .values_list("pk", flat=True)[:limit]
    )


def open_windows_of(limit: BudgetLimit, *, at: datetime) -> QuerySet[BudgetWindow]:
    """The windows in which a limit counts now."""
    return BudgetWindow.objects.filter(Q(ends_at__isnull=True) | Q(ends_at__gt=at), limit=limit, version=limit.version)


def nanousd(row: store.WindowRow, at: datetime) -> tuple[Decimal, Decimal, Decimal]:
    """Limit, spent and held of a window in USD."""
    return from_nanousd(row.limit_at(at)), from_nanousd(row.spent), from_nanousd(row.held)
