"""The limits of the demo workspace, made before its past is recorded, so that they have a past as well."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from budgets import book
from budgets.changes import ask_increase
from budgets.models import BudgetLimit, Period, Scope

_MARK = "Part of the demo workspace."


def make(*, users: Sequence[Any], staff: Any, since: datetime, now: datetime) -> int:
    """Make the demo's limits where none of them is there, in force from `since` on; returns how many were made.

    Those that count the calls of the first user are soft: his really happen, and not all of them can be bounded.
    """
    if BudgetLimit.objects.filter(note=_MARK).exists():
        return 0
    coach, erin = users[1], users[-1]
    limits = (
        _limit("Team, a month", Scope.EVERYONE, Period.MONTH, "40", hard=False, thresholds=["0.5", "0.8", "1"]),
        _limit("Each person, a day", Scope.EACH_USER, Period.DAY, "2", hard=False),
        _limit("Voice coaching, a week", Scope.FEATURE, Period.WEEK, "4", hard=False, target="voice_coaching"),
        _limit("Each analysis", Scope.EACH_ANALYSIS, Period.TOTAL, "5", hard=False),
        _limit("Erin, a month", Scope.USER, Period.MONTH, "3.60", user=erin),
        _limit("", Scope.USER, Period.MONTH, "8", user=coach, owner=coach),
    )
    for limit in limits:
        limit.active_from = since
        limit.full_clean()
        limit.save(by=limit.owner or staff, at=since)
    book.forget()
    ask_increase(
        limits[4], amount=Decimal("2.50"), until=now + timedelta(days=7), why="The album is mixed next week.", by=erin,
        at=now,
    )  # fmt: skip
    return len(limits)


def _limit(
    name: str, scope: Scope, period: Period, amount: str, *, hard: bool = True, thresholds: Sequence[str] = (),
    **fields: Any,
) -> BudgetLimit:  # fmt: skip
    if thresholds:
        fields["thresholds"] = list(thresholds)
    return BudgetLimit(
        name=name, scope=scope, period=period, amount=Decimal(amount), pause_on_exceed=hard, note=_MARK, **fields
    )
