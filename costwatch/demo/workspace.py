"""The past of the demo workspace, recorded once: what is there already is not written again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import islice

from django.db.models import Min

from costwatch.demo.past import DAYS, past_calls
from tracking.models import ApiUsageLog
from tracking.recording import record

BATCH = 500


@dataclass(frozen=True, slots=True)
class Filled:
    """What became of the past: numbers of calls."""

    added: int
    already: int
    first_day: date


def fill(*, users: Sequence[int], now: datetime, days: int = DAYS) -> Filled:
    """Record the workspace's past until `now` (aware). It begins `days` days ago, or where an earlier run began it."""
    first = ApiUsageLog.objects.filter(source="demo").aggregate(first=Min("occurred_at"))["first"]
    first_day = first.date() if first else now.date() - timedelta(days=days)
    added = already = 0
    calls = past_calls(first_day=first_day, until=now, users=users)
    while batch := list(islice(calls, BATCH)):
        recorded = record(batch, now=now)
        added += recorded.recorded
        already += recorded.duplicates + len(recorded.conflicts)
    return Filled(added=added, already=already, first_day=first_day)
