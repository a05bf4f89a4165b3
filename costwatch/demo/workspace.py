"""The past of the demo workspace, which happens once: what is there already is not written again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.db.models import Max, Min

from costwatch.demo.past import DAYS, past_calls
from costwatch.demo.replay import Replay
from tracking.models import ApiUsageLog


@dataclass(frozen=True, slots=True)
class Filled:
    """What became of the past: numbers of calls."""

    added: int
    already: int
    first_day: date


def fill(*, users: Sequence[int], now: datetime, days: int = DAYS) -> Filled:
    """Record the workspace's past until `now` (aware). It begins `days` days ago, or where an earlier run began it."""
    told = ApiUsageLog.objects.filter(source="demo").aggregate(first=Min("occurred_at"), last=Max("occurred_at"))
    first, last = told["first"], told["last"]
    first_day = first.date() if first else now.date() - timedelta(days=days)
    replay = Replay(now=now)
    already = 0
    for event in past_calls(first_day=first_day, until=now, users=users):
        if last is not None and event.at_us <= last.timestamp() * 1_000_000:
            already += 1
        else:
            replay.play(event)
    replay.end()
    return Filled(added=replay.added, already=already + replay.already, first_day=first_day)
