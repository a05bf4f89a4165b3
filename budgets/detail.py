"""One limit with everything that explains how it stands: windows, burn, refusals, increases, changes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Case, Exists, OuterRef, Q, When
from django.db.models.functions import Coalesce

from budgets.asking import may_ask
from budgets.burn import Burn, burn
from budgets.history import changes_in_words
from budgets.models import BudgetIncrease, BudgetLimit, BudgetWindow, Crossing, LimitChange
from budgets.outlook import with_forecasts
from budgets.queries import EACH, Standing, standings_of_limit, standings_of_user, subjects_of_user
from budgets.reading import sees_all_limits
from budgets.subjects import names_of

#: Windows of the past, subjects, refusals and changes that are shown.
WINDOWS, SUBJECTS, EVENTS = 24, 20, 20
CHANGE = "budgets.change_budgetlimit"


@dataclass(frozen=True, slots=True)
class Change:
    """An entry of the limit's history, in words."""

    at: datetime
    what: str
    lines: list[str]
    by: Any
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """What one reader may see of one limit. Money in USD."""

    row: BudgetLimit
    line: Standing | None  # the window that is looked at, with its forecast; None: not in force, or nobody's yet
    whose: str  # of that window, in words; "" where the limit has one window for all that it counts
    others: list[tuple[Standing, str]]  # further windows of now, for those who may see them, the fullest first
    burn: Burn | None
    windows: list[BudgetWindow]  # of the same subject, the latest first; `refused` is how many calls were refused
    crossings: list[Crossing]  # thresholds passed and refusals, the latest first
    increases: list[BudgetIncrease]
    changes: list[Change]
    may_ask: bool
    may_change: bool


def detail(limit_id: int, *, user: Any, subject: str = "", at: datetime) -> Detail | None:
    """One limit, as an account sees it. None where there is none, or the account may not see it.

    `subject` chooses a window of an "each" limit, for those who may see all; the fullest one is chosen without it.
    """
    row = BudgetLimit.objects.filter(pk=limit_id).select_related("user", "group", "owner").first()
    if row is None:
        return None
    sees_all = sees_all_limits(user)
    mine = subjects_of_user(user.pk, limit_id, at=at)
    lines = standings_of_limit(limit_id, at=at, most=SUBJECTS) if sees_all else []
    if not lines and mine:
        lines = standings_of_user(user.pk, at=at, limit_id=limit_id)
    if not lines and not sees_all:
        if row.owner_id != user.pk:
            return None
        lines = standings_of_limit(limit_id, at=at, most=1)  # of a key of his, say
    line = next((line for line in lines if line.subject == subject), None) or next(iter(lines), None)
    if line is not None:
        [line] = with_forecasts([line], at=at, remember=True)
    own_only = row.scope in EACH and not sees_all
    of_subject = Q(subject=line.subject if line else "") if line or own_only else Q()
    names = names_of(other.subject for other in lines) if row.scope in EACH else {}
    return Detail(
        row=row,
        line=line,
        whose=names.get(line.subject, "") if line and row.scope in EACH else "",
        others=[(other, names[other.subject]) for other in lines if other.subject != line.subject] if sees_all else [],
        burn=burn(line, at=at) if line is not None else None,
        windows=_windows(row, of_subject),
        crossings=_crossings(row, line, at),
        increases=_increases(row, None if sees_all else user),
        changes=_changes(row) if sees_all or row.owner_id == user.pk else [],
        # Where the reader's own calls count in this window: only then is it his to ask for more.
        may_ask=line is not None and may_ask(line) and line.subject in mine,
        may_change=bool(user.is_staff and user.has_perm(CHANGE)),
    )


def _windows(row: BudgetLimit, of_subject: Q) -> list[BudgetWindow]:
    """With how many calls were refused in each; at least one where the recorder has not counted them yet."""
    first = Exists(Crossing.objects.filter(window=OuterRef("pk"), kind=Crossing.Kind.REFUSED))
    counted = Coalesce("refusals__count", Case(When(first, then=1), default=0))
    rows = BudgetWindow.objects.filter(of_subject, limit=row).annotate(refused=counted)
    return list(rows.order_by("-starts_at", "-pk")[:WINDOWS])


def _crossings(row: BudgetLimit, line: Standing | None, at: datetime) -> list[Crossing]:
    rows = Crossing.objects.filter(window__limit=row, crossed_at__lte=at).select_related("window")
    if line is not None:
        rows = rows.filter(window__subject=line.subject)
    return list(rows.order_by("-crossed_at", "-pk")[:EVENTS])


def _increases(row: BudgetLimit, asked_by: Any) -> list[BudgetIncrease]:
    rows = BudgetIncrease.objects.filter(limit=row).select_related("asked_by", "decided_by")
    return list((rows if asked_by is None else rows.filter(asked_by=asked_by)).order_by("-asked_at")[:EVENTS])


def _changes(row: BudgetLimit) -> list[Change]:
    rows = LimitChange.objects.filter(limit=row).select_related("by").order_by("-at", "-pk")[:EVENTS]
    return [Change(one.at, one.what, changes_in_words(one.changes), one.by, one.why) for one in rows]
