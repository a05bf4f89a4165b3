"""Which windows a call counted in, and the fullest window of each of many users or analyses: for pages. Money in USD.

Nothing is opened or written, and the number of queries does not grow with the number of users or analyses.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from budgets import book
from budgets.book import Limit, Match
from budgets.calls import Call
from budgets.models import BudgetWindow, HoldLeg, Period, Scope
from budgets.overview import Overview, of_window
from budgets.windows import Key


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """A window that a call counted in: what was set aside in it for the call, and what the call added to it."""

    limit_id: int
    name: str
    whose: str  # "user:7", "analysis:track-42", or "" for all that the limit counts
    hard: bool
    starts_at: datetime
    ends_at: datetime | None
    limit: Decimal  # of the window, without temporary increases
    spent: Decimal  # of the window by now
    state: str  # of the hold: open, settled, void or expired
    held: Decimal  # set aside before the call
    cost: Decimal  # what it added
    cost_known: bool
    overrun: bool  # it cost more than was set aside
    already_counted: Decimal  # the part of its cost that the window held when it was opened


def windows_of_call(call_id: uuid.UUID) -> list[Counted]:
    """The windows that a call counted in, the shortest first; none where no limit counts it, or none did then."""
    legs = HoldLeg.objects.filter(hold_id=call_id).select_related("hold", "window__limit__user", "window__limit__group")
    legs = sorted(legs, key=lambda leg: (leg.window.starts_at, -leg.pk), reverse=True)
    return [
        Counted(
            limit_id=leg.window.limit_id,
            name=str(leg.window.limit),
            whose=leg.window.subject,
            hard=leg.window.hard,
            starts_at=leg.window.starts_at,
            ends_at=leg.window.ends_at,
            limit=leg.window.limit_amount,
            spent=leg.window.spent,
            state=leg.hold.state,
            held=leg.hold.amount,
            cost=leg.hold.cost,
            cost_known=leg.hold.cost_known,
            overrun=leg.hold.overrun,
            already_counted=leg.already_counted,
        )
        for leg in legs
    ]


@dataclass(frozen=True, slots=True)
class Fullest:
    """A window of somebody's, and how full it is."""

    limit_id: int
    name: str
    alone: bool  # a limit for this one alone, not one for each
    own: bool  # which the user set for himself
    one: Overview

    @property
    def share(self) -> Decimal:
        """What is spent and held of the limit; 1 is all of it."""
        return (self.one.spent + self.one.held) / self.one.limit if self.one.limit else Decimal(1)


def windows_of_user(user_id: int, *, at: datetime) -> list[Fullest]:
    """Where a user stands in each limit for him or for each user, the fullest first; temporary increases included."""
    matches = book.current().matches(Call(at=at, user=user_id), user_id)
    mine = [one for one in matches if one.limit.scope in (Scope.EACH_USER, Scope.USER) and one.enforced]
    windows = _windows(mine)
    return sorted((_line(one, windows.get(one.key), at) for one in mine), key=lambda line: -line.share)


def fullest_of_users(user_ids: Collection[int], *, at: datetime) -> dict[int, Fullest]:
    """Of each user, the fullest window of the limits for him or for each user; without those whom none counts."""
    calls = {user_id: Call(at=at, user=user_id) for user_id in user_ids}
    return _fullest(calls, (Scope.EACH_USER, Scope.USER), at)


def fullest_of_analyses(costs: Mapping[str, Decimal], *, at: datetime) -> dict[str, Fullest]:
    """Of each analysis, the fullest window of its cap or of that of each analysis; without those that have none.

    `costs` is what all calls of each did cost: what a cap in total counts until a call opens its window.
    """
    calls = {name: Call(at=at, analysis=name) for name in costs}
    return _fullest(calls, (Scope.EACH_ANALYSIS, Scope.ANALYSIS), at, costs)


def _fullest(
    calls: Mapping[Hashable, Call], scopes: Collection[str], at: datetime, costs: Mapping[str, Decimal] | None = None
) -> dict:
    snapshot = book.current()
    matches: dict[Hashable, list[Match]] = {}
    for key, call in calls.items():
        user_id = call.user if isinstance(call.user, int) else None
        found = (one for one in snapshot.matches(call, user_id) if one.limit.scope in scopes and one.enforced)
        matches[key] = list(found)
    wanted = [match for some in matches.values() for match in some]
    windows = _windows(wanted)
    found = {}
    for key, some in matches.items():
        cost = costs.get(key, Decimal(0)) if costs else Decimal(0)
        lines = [_line(match, windows.get(match.key), at, cost) for match in some]
        if lines:
            found[key] = max(lines, key=lambda line: (line.share, -line.one.limit))
    return found


def _windows(wanted: Collection[Match]) -> dict[Key, BudgetWindow]:
    if not wanted:
        return {}
    rows = BudgetWindow.objects.filter(
        limit_id__in={match.limit.id for match in wanted},
        subject__in={match.subject for match in wanted},
        starts_at__in={match.span.starts_at for match in wanted},
    )
    return {(row.limit_id, row.version, row.subject, row.starts_at): row for row in rows}


def _line(match: Match, window: BudgetWindow | None, at: datetime, cost: Decimal = Decimal(0)) -> Fullest:
    limit: Limit = match.limit
    if window is None:  # no call has counted in it yet; it will open with what was spent before
        in_total = limit.rule.period == Period.TOTAL and limit.active_from is None
        window = BudgetWindow(
            subject=match.subject,
            limit_amount=limit.amount,
            hard=limit.hard,
            ends_at=match.span.ends_at,
            spent=cost if in_total else Decimal(0),
        )
    alone = limit.scope in (Scope.USER, Scope.ANALYSIS)
    return Fullest(limit.id, limit.name, alone, limit.owner_id is not None, of_window(window, limit, at=at))
