"""Where many limits stand at once, for lists: of each, the window that is fullest. A bounded number of queries."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import Count, F, Q, QuerySet, Window
from django.db.models.functions import RowNumber

from budgets import book
from budgets.bars import Bar, status_of
from budgets.book import Limit
from budgets.calendar import window_at
from budgets.models import BudgetLimit, BudgetWindow, Crossing
from budgets.opening import spent_in
from budgets.queries import EACH, only_subject
from budgets.subjects import names_of

#: So many limits are compared when the fullest are looked for.
_MOST_LIMITS = 200


@dataclass(frozen=True, slots=True)
class Overview(Bar):
    """The fullest window of a limit, and how many subjects have one. Money in USD."""

    subject: str
    subjects: int
    limit: Decimal  # with temporary increases
    spent: Decimal
    held: Decimal
    hard: bool
    status: str  # ok | warning | exceeded | paused | not in force
    resets_at: datetime | None
    starts_at: datetime | None = None


def overviews(limits: Sequence[BudgetLimit], *, at: datetime, opened_only: bool = False) -> dict[int, Overview]:
    """The overview of each limit, by its id; without those that no subject has a window of yet.

    Of a limit for one subject, what it would count is looked up where no call has opened its window; not with
    `opened_only`, which is one query for any number of limits.
    """
    snapshot = book.current()
    fullest = _fullest(limits, at=at)
    found = {}
    for row in limits:
        limit = Limit.of(row)
        window = fullest.get(row.pk)
        if window is None and not opened_only and row.scope not in EACH and limit.is_active(at):
            span = window_at(limit.rule, at)
            window = BudgetWindow(
                limit=row,
                subject=only_subject(limit),
                limit_amount=row.amount,
                hard=row.pause_on_exceed,
                spent=spent_in(limit, only_subject(limit), span, book=snapshot),
                ends_at=span.ends_at,
            )
        if window is not None:
            found[row.pk] = of_window(window, limit, at=at, subjects=getattr(window, "subjects", 1))
    return found


def of_window(window: BudgetWindow, limit: Limit, *, at: datetime, subjects: int = 1) -> Overview:
    """The overview of one window."""
    extra = window.extra_amount if window.extra_until is not None and at < window.extra_until else Decimal(0)
    amount = window.limit_amount + extra
    return Overview(
        subject=window.subject,
        subjects=subjects,
        limit=amount,
        spent=window.spent,
        held=window.held,
        hard=window.hard,
        status=_status(window, amount, limit, at),
        resets_at=window.ends_at,
        starts_at=window.starts_at,
    )


def _status(window: BudgetWindow, amount: Decimal, limit: Limit, at: datetime) -> str:
    if not limit.is_active(at):
        return "not in force"
    return status_of(spent=window.spent, limit=amount, refuses=window.hard)


def _fullest(limits: Sequence[BudgetLimit], *, at: datetime) -> dict[int, BudgetWindow]:
    """Of each limit, the window of now that has most spent and held; with `subjects`, how many there are."""
    ranked = _ranked(at=at).filter(limit__in=[limit.pk for limit in limits])
    return {window.limit_id: window for window in ranked.filter(rank=1)}


def _ranked(*, at: datetime) -> QuerySet:
    """The windows of now; `rank` 1 is the fullest of its limit, `subjects` is how many there are of it."""
    now = Q(ends_at__isnull=True) | Q(ends_at__gt=at)
    return BudgetWindow.objects.filter(now, version=F("limit__version"), starts_at__lte=at).annotate(
        rank=Window(RowNumber(), partition_by=F("limit_id"), order_by=[-(F("spent") + F("held")), F("id")]),
        subjects=Window(Count("id"), partition_by=F("limit_id")),
    )


def fullest_limits(*, at: datetime, most: int) -> list[tuple[BudgetLimit, str, Overview]]:
    """The limits in force whose fullest window is fullest, each with whose window that is (an email, an analysis)."""
    found = fullest_windows(at=at, most=most)
    names = names_of(one.subject for _, one in found)
    return [(row, "" if row.user_id else names[one.subject], one) for row, one in found]


def fullest_windows(*, at: datetime, most: int) -> list[tuple[BudgetLimit, Overview]]:
    """The limits of staff in force whose fullest window is fullest. One query.

    Only windows that calls have opened: this is for pages that are looked at all day.
    """
    ranked = _ranked(at=at).filter(limit__owner=None, rank=1).select_related("limit__user", "limit__group")
    found = []
    for window in ranked.order_by("limit_id")[:_MOST_LIMITS]:
        limit = Limit.of(window.limit)
        if limit.is_active(at):
            found.append((window.limit, of_window(window, limit, at=at, subjects=window.subjects)))
    return sorted(found, key=lambda pair: -_share(pair[1]))[:most]


def _share(one: Overview) -> Decimal:
    return (one.spent + one.held) / one.limit if one.limit else Decimal(1)


@dataclass(frozen=True, slots=True)
class Reached:
    """A window in which calls are being refused now. Money in USD."""

    name: str  # of the limit
    whose: str  # an email address, the key of an analysis, or "" for all that it counts
    own: bool  # the user's own limit
    one: Overview


def reached_limits(*, at: datetime, most: int = 20) -> list[Reached]:
    """The windows of now whose hard limit is reached, or too full for a call that was refused; the fullest first."""
    snapshot = book.current()
    now = Q(ends_at__isnull=True) | Q(ends_at__gt=at)
    refused = Crossing.objects.filter(kind=Crossing.Kind.REFUSED, limit_amount=F("window__limit_amount"))
    full = Q(spent__gte=F("limit_amount")) | Q(pk__in=refused.values("window"))
    rows = BudgetWindow.objects.filter(now, full, hard=True, version=F("limit__version"), starts_at__lte=at)
    found = []
    for window in rows.select_related("limit__user", "limit__group").order_by("-starts_at", "pk")[: most * 2]:
        limit = Limit.of(window.limit)
        one = of_window(window, limit, at=at)
        if (
            limit.is_active(at)
            and not snapshot.is_replaced(limit, window.subject, at)
            and (one.status == "paused" or window.extra_until is None or window.extra_until <= at)
        ):
            found.append((limit, one))
    names = names_of(one.subject for _, one in found)
    told = [Reached(limit.name, names[one.subject], limit.owner_id is not None, one) for limit, one in found]
    return sorted(told, key=lambda line: -_share(line.one))[:most]
