"""Limits with windows of the past, and calls that count in today's, for a database that `fill.py` fills."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

PAST_DAYS = 60


def make_limits(users: list[int], keys: dict[int, list[str]], days: list[date], now: datetime) -> None:
    """Some limits of every common kind, and the windows of those that are by user or for everyone."""
    from django.contrib.auth.models import Group

    from budgets.models import BudgetLimit

    month = _spent_in_month(days[-1])
    team, _ = Group.objects.get_or_create(name="Audio team")
    team.user_set.add(*users[:12])
    daily = max((sums for sums in _spent_by_user_and_day(days[-8:-1]).values()), default=Decimal(1))
    made = (
        {"name": "All spending", "scope": "everyone", "period": "month", "amount": _round(month * Decimal("1.3"))},
        {"scope": "each_user", "period": "day", "amount": _round(daily * 2)},
        {"scope": "user", "user_id": users[0], "owner_id": users[0], "period": "month", "amount": _round(month / 8)},
        {
            "scope": "user",
            "user_id": users[1],
            "period": "week",
            "amount": _round(month / 60),
            "pause_on_exceed": False,
        },
        {"scope": "group", "group_id": team.pk, "period": "month", "amount": _round(month / 2)},
        {"scope": "provider", "target": "anthropic", "period": "month", "amount": _round(month * Decimal("0.8"))},
        {"scope": "feature", "target": "playground", "period": "day", "amount": _round(month / 500)},
        {"scope": "api_key", "target": keys[users[0]][0], "period": "day", "amount": _round(month / 200)},
        {"scope": "each_analysis", "period": "total", "amount": _round(month / 20)},
    )
    for fields in made:
        limit = BudgetLimit(**fields)
        limit.save(at=now, why="made for benchmarks")
        if limit.scope == "each_user":
            _past_windows(limit, days[-PAST_DAYS - 1 : -1])


def _round(amount: Decimal) -> Decimal:
    return max(amount.quantize(Decimal(1)), Decimal(1))


def _spent_in_month(day: date) -> Decimal:
    from django.db.models import Sum

    from tracking.models import DailyUserRollup

    rows = DailyUserRollup.objects.filter(day__gte=day - timedelta(days=30))
    return rows.aggregate(total=Sum("cost"))["total"] or Decimal(1)


def _spent_by_user_and_day(days: list[date]) -> dict[tuple[int, date], Decimal]:
    from tracking.models import DailyUserRollup

    rows = DailyUserRollup.objects.filter(day__in=days).exclude(user_id=0)
    return {(user, day): cost for user, day, cost in rows.values_list("user_id", "day", "cost")}


def _past_windows(limit, days: list[date]) -> None:
    """Closed windows of a daily limit for each user, as if it had been opened at the end of each day."""
    from budgets.models import BudgetWindow

    windows = []
    for (user, day), spent in sorted(_spent_by_user_and_day(days).items(), key=lambda item: (item[0][1], item[0][0])):
        begins = datetime(day.year, day.month, day.day, tzinfo=UTC)
        ends = begins + timedelta(days=1)
        report = {"limit": format(limit.amount, "f"), "spent": format(spent, "f"), "held": "0", "calls": 0}
        report |= {"overruns": 0, "unknown": 0, "paused": False, "lifted": False}
        windows.append(
            BudgetWindow(
                limit=limit,
                version=limit.version,
                subject=f"user:{user}",
                starts_at=begins,
                ends_at=ends,
                limit_amount=limit.amount,
                hard=limit.pause_on_exceed,
                opening=spent,
                spent=spent,
                opened_at=ends - timedelta(seconds=1),
                closed_at=ends,
                report=report,
            )
        )
    BudgetWindow.objects.bulk_create(windows, batch_size=500)


def record_live(users: list[int], count: int, now: datetime) -> None:
    """Let the recorder take the last calls: it opens the windows of today and settles in them."""
    from tracking.recording import record

    record(list(_live_events(users, count, now)), now=now)


def _live_events(users: list[int], count: int, now: datetime) -> Iterator:
    from traffic import templates_of_day

    chance = random.Random(11)
    templates = templates_of_day(now.date(), 364)
    events = chance.choices([template.event for template in templates], [one.weight for one in templates], k=count)
    for event in events:
        changed = type(event)(**{name: getattr(event, name) for name in event.__slots__})
        changed.id, changed.user = str(uuid4()), chance.choice(users)
        changed.at_us = int((now - timedelta(seconds=chance.uniform(1, 50))).timestamp() * 1_000_000)
        yield changed
