"""What features and users spend by the hour. Rollups keep their days only; so each hour of the ledger is read once,
by the index on its time, when it is over, and its sums are kept (`SpentHour`) for as long as they are compared with.

An hour is read again when its sums in the rollups have changed since: calls that were recorded late, and corrections,
get there too. Hours with more than UNUSUAL_MAX_CALLS calls are not read; one run reads no more than `MOST_HOURS` hours
or that many calls. Until the past is read, and where an hour of it is left out, only what came later counts as known.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from django.conf import settings
from django.db import transaction
from django.db.models import Sum

from alerts.models import ReadHour, SpentHour
from tracking.models import ApiUsageLog, HourlyModelRollup

HOUR = timedelta(hours=1)
#: How far back hours are kept: eight weeks, and what windows of several hours add.
KEPT = timedelta(weeks=8, hours=8)
MOST_HOURS = 96

#: What was spent, by dimension ("feature", "user") and name.
Sums = dict[str, dict[str, Decimal]]


def hour_of(at: datetime) -> datetime:
    """The beginning of its hour, in UTC."""
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def read_hours(*, at: datetime) -> int:
    """Read the hours that are over and not read, or have changed since, the latest first. Returns how many."""
    end = hour_of(at)
    begin = end - KEPT
    known = {row.hour: row for row in ReadHour.objects.filter(hour__gte=begin)}
    read: dict[datetime, Sums] = {}
    rows: list[ReadHour] = []
    calls_read = 0
    for hour, (calls, cost) in sorted(_rollups(begin, end).items(), reverse=True):
        row = known.get(hour)
        if row is not None and (row.calls, row.cost) == (calls, cost):
            continue
        too_many = calls > settings.UNUSUAL_MAX_CALLS
        calls_read += 0 if too_many else calls
        if len(rows) >= MOST_HOURS or (rows and calls_read > settings.UNUSUAL_MAX_CALLS):
            break
        rows.append(ReadHour(hour=hour, cost=cost, calls=calls, too_many=too_many))
        read[hour] = {} if too_many else spent_between(hour, hour + HOUR)
    _keep(read, rows)
    SpentHour.objects.filter(hour__lt=begin).delete()
    ReadHour.objects.filter(hour__lt=begin).delete()
    return len(rows)


def spent_between(start: datetime, end: datetime) -> Sums:
    """What features and users have spent in at most an hour, from the ledger."""
    rows = ApiUsageLog.objects.filter(occurred_at__gte=start, occurred_at__lt=end)
    found: Sums = {"feature": defaultdict(Decimal), "user": defaultdict(Decimal)}
    sums = rows.order_by().values_list("feature", "user_id").annotate(total=Sum("cost"))
    for feature, user_id, total in sums:
        found["feature"][feature] += total or 0
        found["user"][str(user_id or 0)] += total or 0
    return found


def running(*, at: datetime) -> Sums | None:
    """The same of the hour that is not over; None where it holds too many calls."""
    hour = hour_of(at)
    calls, _ = _rollups(hour, hour + HOUR).get(hour, (0, Decimal(0)))
    return spent_between(hour, hour + HOUR) if calls <= settings.UNUSUAL_MAX_CALLS else None


def known_since(*, at: datetime) -> datetime:
    """Since when every hour is known: after the latest one that is not read yet, or was too long to read."""
    end = hour_of(at)
    begin = end - KEPT
    there = set(HourlyModelRollup.objects.filter(hour__gte=begin, hour__lt=end).values_list("hour", flat=True))
    read = set(ReadHour.objects.filter(hour__gte=begin, too_many=False).values_list("hour", flat=True))
    missing = max(there - read, default=None)
    return begin if missing is None else missing.astimezone(UTC) + HOUR


def spent_by_hour(dimension: str, names: set[str], *, at: datetime) -> dict[str, dict[datetime, Decimal]]:
    """What each of these has spent in each hour that was read."""
    end = hour_of(at)
    found: dict[str, dict[datetime, Decimal]] = {name: {} for name in names}
    rows = SpentHour.objects.filter(dimension=dimension, name__in=names, hour__gte=end - KEPT, hour__lt=end)
    for name, hour, cost in rows.values_list("name", "hour", "cost"):
        found[name][hour.astimezone(UTC)] = cost
    return found


def most_of_late(dimension: str, *, at: datetime, hours: int) -> dict[str, Decimal]:
    """The sums of the last whole hours, by name."""
    end = hour_of(at)
    rows = SpentHour.objects.filter(dimension=dimension, hour__gte=end - hours * HOUR, hour__lt=end)
    return dict(rows.order_by().values_list("name").annotate(total=Sum("cost")))


def _rollups(begin: datetime, end: datetime) -> dict[datetime, tuple[int, Decimal]]:
    """Calls and cost of each hour that has any."""
    rows = HourlyModelRollup.objects.filter(hour__gte=begin, hour__lt=end).order_by()
    sums = rows.values_list("hour").annotate(all_calls=Sum("calls"), all_cost=Sum("cost"))
    return {hour.astimezone(UTC): (calls, cost) for hour, calls, cost in sums}


@transaction.atomic
def _keep(read: dict[datetime, Sums], hours: list[ReadHour]) -> None:
    for start in range(0, len(hours), 200):
        SpentHour.objects.filter(hour__in=[row.hour for row in hours[start : start + 200]]).delete()
    spent = [
        SpentHour(hour=hour, dimension=dimension, name=name, cost=cost)
        for hour, sums in sorted(read.items())
        for dimension, names in sorted(sums.items())
        for name, cost in sorted(names.items())
        if cost
    ]
    # Two tasks at once read the same: the second writes over the first.
    SpentHour.objects.bulk_create(
        spent, batch_size=500, update_conflicts=True, unique_fields=["dimension", "name", "hour"],
        update_fields=["cost"],
    )  # fmt: skip
    ReadHour.objects.bulk_create(
        sorted(hours, key=lambda row: row.hour), batch_size=500, update_conflicts=True, unique_fields=["hour"],
        update_fields=["cost", "calls", "too_many"],
    )  # fmt: skip
