"""Sessions: runs of one user's calls without a long pause between them. Counted from the ledger, within a bound."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from tracking.models import ApiUsageLog

#: A pause of more than this ends a session.
PAUSE = timedelta(minutes=30)
#: No rollup knows sessions, so they are counted in the ledger: over fewer days where it has more rows than this.
MAX_ROWS = 300_000
_SHORTER = (30, 14, 7, 2, 1)


@dataclass(frozen=True, slots=True)
class Sessions:
    """How many sessions each user had in the last `days` days. `days` is less than asked where there is too much."""

    days: int
    by_user: dict[int, int]


def count_sessions(*, now: datetime, days: int, max_rows: int = MAX_ROWS) -> Sessions:
    """The sessions of every user in the last `days` days; calls without a user are left out."""
    for tried in (days, *(shorter for shorter in _SHORTER if shorter < days)):
        start = now - timedelta(days=tried)
        rows = ApiUsageLog.objects.filter(occurred_at__gte=start, occurred_at__lt=now, user_id__isnull=False, calls=1)
        if tried == 1 or rows.order_by()[: max_rows + 1].count() <= max_rows:
            break
    found: dict[int, int] = {}
    before: tuple[int | None, datetime | None] = (None, None)
    ordered = rows.order_by("user_id", "-occurred_at", "-id").values_list("user_id", "occurred_at")[:max_rows]
    for user_id, at in ordered.iterator(chunk_size=5000):
        if user_id != before[0] or before[1] - at > PAUSE:
            found[user_id] = found.get(user_id, 0) + 1
        before = (user_id, at)
    return Sessions(days=tried, by_user=found)
