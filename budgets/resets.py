"""The end of windows: closed with a report, followed by the next, pauses lifted.

Nothing is zeroed here, and no call waits for it: a call finds or opens the window of its own time. So it is right when
it runs late, twice, at the same time as another, or never; only reports and the news that a pause is over depend on it.
"""

import logging
from dataclasses import dataclass
from datetime import datetime

from django.db.models import F, Q

from budgets import book, windows
from budgets.book import Match
from budgets.calendar import window_at
from budgets.errors import BudgetUnavailable
from budgets.models import BudgetWindow, Period

logger = logging.getLogger(__name__)

#: So many windows are looked up at once.
_CHUNK = 500


@dataclass(slots=True)
class Resets:
    """What one run did: windows closed, windows opened to follow them, and pauses that ended."""

    closed: int = 0
    opened: int = 0
    lifted: int = 0


def reset_windows(period: Period, *, at: datetime) -> Resets:
    """Close the windows of this period that have ended by `at`, and open those that follow.

    A window in which nothing happened is followed by none: the first call opens it. Raises `BudgetUnavailable` where
    the database cannot be reached; what was done by then stays done.
    """
    done = Resets()
    last = 0
    while ids := _ended(period, at=at, after=last):
        last = ids[-1]
        for window_id in ids:
            report = windows.close_window(window_id, at=at)
            if report is None:  # another run was quicker
                continue
            done.closed += 1
            done.lifted += report.lifted
            if report.spent or report.held:
                done.opened += _open_next(window_id, at=at)
    return done


def _ended(period: Period, *, at: datetime, after: int) -> list[int]:
    rows = BudgetWindow.objects.filter(
        Q(ends_at__lte=at) | ~Q(version=F("limit__version")), closed_at=None, limit__period=period, pk__gt=after
    )
    return list(rows.order_by("pk").values_list("pk", flat=True)[:_CHUNK])


def _open_next(window_id: int, *, at: datetime) -> bool:
    """Open the window in which the same subject's calls count now, unless the limit has ended."""
    window = BudgetWindow.objects.select_related("limit__user", "limit__group").get(pk=window_id)
    limit = book.Limit.of(window.limit)
    if window.version != limit.version or not limit.is_active(at):
        return False
    match = Match(limit, window.subject, window_at(limit.rule, at))
    if windows.existing_ids([match]):
        return False
    try:
        windows.ids_of([match], at=at)
    except windows.LimitsChanged:  # at this very moment: its next call opens what is right then
        return False
    except BudgetUnavailable:
        logger.warning("The window that follows %s could not be opened; its first call will open it.", window_id)
        return False
    return True
