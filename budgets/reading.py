"""Limits as their readers see them: which ones an account may see, how they stand, and their windows of the past."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Q

from budgets.models import BudgetIncrease, BudgetLimit, BudgetWindow, Scope
from budgets.overview import overviews
from budgets.queries import Standing, standings_of_user

SEE_ALL = "budgets.view_budgetlimit"
MAX_LIMIT = 1000


@dataclass(frozen=True, slots=True)
class Now:
    """How a limit stands: in the reader's window, or in the fullest one. Money in USD."""

    subject: str
    limit: Decimal  # with temporary increases
    spent: Decimal
    held: Decimal
    status: str
    resets_at: datetime | None

    @property
    def remaining(self) -> Decimal:
        """What is neither spent nor held; never negative."""
        return max(Decimal(0), self.limit - self.spent - self.held)


@dataclass(frozen=True, slots=True)
class ShownLimit:
    """A limit and how it stands; no standing where it is not in force, or nobody has spent anything yet."""

    row: BudgetLimit
    now: Now | None

    def is_over(self, at: datetime) -> bool:
        """Whether the limit has ended: it binds nobody any more."""
        return self.row.active_until is not None and self.row.active_until <= at


def sees_all_limits(user: Any) -> bool:
    """Whether an account may see every limit: staff with the permission to view them."""
    return bool(user.is_staff and user.has_perm(SEE_ALL))


def limits_of_user(user_id: int, *, at: datetime) -> list[ShownLimit]:
    """The limits that bind an account, and its own, also those of its keys and those not in force; as they stand."""
    lines: dict[int, Any] = {line.limit_id: line for line in standings_of_user(user_id, at=at)}
    found = BudgetLimit.objects.filter(Q(pk__in=lines) | Q(owner_id=user_id)).select_related("user", "group")
    rows = list(found.order_by("pk")[:MAX_LIMIT])
    lines |= overviews([row for row in rows if row.scope == Scope.API_KEY], at=at, opened_only=True)
    return [ShownLimit(row, now_of(lines.get(row.pk))) for row in rows]


def all_limits(*, at: datetime, limit: int, after: int = 0, ended: bool = True) -> list[ShownLimit]:
    """Every limit, those of users included, by id from `after` on; each as its fullest window stands. Without those
    that are over, unless `ended`.
    """
    wanted = BudgetLimit.objects.filter(pk__gt=after)
    if not ended:
        wanted = wanted.filter(Q(active_until=None) | Q(active_until__gt=at))
    rows = list(wanted.select_related("user", "group").order_by("pk")[:limit])
    found = overviews(rows, at=at)
    return [ShownLimit(row, now_of(found.get(row.pk))) for row in rows]


def find_limit(limit_id: int, *, user: Any, at: datetime) -> ShownLimit | None:
    """One limit; None where there is none, or the account may not see it."""
    for shown in limits_of_user(user.pk, at=at):
        if shown.row.pk == limit_id:
            return shown
    if not sees_all_limits(user):
        return None
    rows = list(BudgetLimit.objects.filter(pk=limit_id).select_related("user", "group"))
    found = overviews(rows, at=at)
    return ShownLimit(rows[0], now_of(found.get(limit_id))) if rows else None


def windows_of(limit_id: int, *, subjects: Iterable[str] | None, limit: int, before: int = 0) -> list[BudgetWindow]:
    """The windows of a limit, the latest opened first: of these subjects, or of all; before the window of this id."""
    rows = BudgetWindow.objects.filter(limit_id=limit_id)
    if subjects is not None:
        rows = rows.filter(subject__in=list(subjects))
    if before:
        rows = rows.filter(pk__lt=before)
    return list(rows.order_by("-pk")[:limit])


def increases(*, asked_by: int | None, limit: int, before: int = 0) -> list[BudgetIncrease]:
    """What was asked for, the latest first: by an account, or by all."""
    rows = BudgetIncrease.objects.all() if asked_by is None else BudgetIncrease.objects.filter(asked_by_id=asked_by)
    if before:
        rows = rows.filter(pk__lt=before)
    return list(rows.order_by("-pk")[:limit])


def open_increases(*, limit: int) -> list[BudgetIncrease]:
    """What was asked for and is not decided, the oldest first."""
    rows = BudgetIncrease.objects.filter(status=BudgetIncrease.Status.ASKED)
    rows = rows.select_related("limit__user", "limit__group", "asked_by")
    return list(rows.order_by("asked_at", "pk")[:limit])


def line_of(limit_id: int, *, user_id: int, at: datetime) -> Standing | None:
    """The standing of one limit that binds an account."""
    return next((line for line in standings_of_user(user_id, at=at) if line.limit_id == limit_id), None)


def now_of(one: Any) -> Now | None:
    """A standing or an overview, as a reader sees it; None of None."""
    if one is None:
        return None
    status = one.status if getattr(one, "enforced", True) else "not in force"
    return Now(one.subject, one.limit, one.spent, one.held, status, one.resets_at)
