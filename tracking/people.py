"""Who spends: users of a period against the one before, from the sums of days. Money in USD."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from django.contrib.auth import get_user_model
from django.db.models import F, Max, Q, Sum

from tracking.models import DailyUserRollup
from tracking.periods import Period
from tracking.span_reads import summed
from tracking.users import emails_of

#: Users that are compared at most: the dearest.
MOST_USERS = 500
RECENT = timedelta(days=10)
SORTS = ("cost", "calls", "last")
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """What one user spent; `user_id` 0 stands for calls without a user, and `email` is "" where no account is left."""

    user_id: int
    email: str
    calls: int
    errors: int
    unpriced: int
    cost: Decimal
    before: Decimal  # in the period before
    last_day: date  # of the period, with a call


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Users of a period, and what everybody spent in it, those who are not listed included."""

    people: Sequence[Person]
    cost: Decimal
    calls: int
    bounded: bool  # there are more, who spent less


def _last_days(user_ids: Sequence[int], period: Period) -> dict[int, date]:
    """The last day of the period with a call, of users who have one: most of them have it among the newest days."""
    found: dict[int, date] = {}
    for start in (max(period.start, period.end - RECENT), period.start):
        left = [user_id for user_id in user_ids if user_id not in found]
        if left:
            rows = DailyUserRollup.objects.filter(user_id__in=left, day__gte=start, day__lt=period.end).order_by()
            found.update(rows.values_list("user_id").annotate(last=Max("day")))
    return found


def people(*, period: Period, before: Period, search: str = "", sort: str = "cost") -> People:
    """Who spent in a period, sorted by one of `SORTS`; with `search`, those whose address has it.

    Raises `ValueError` for another sort.
    """
    if sort not in SORTS:
        raise ValueError(f"Users are not sorted by {sort!r}.")
    now = Q(day__gte=period.start, day__lt=period.end)
    rows = summed(DailyUserRollup, period, before)
    total = rows.aggregate(c=Sum("cost", filter=now), n=Sum("calls", filter=now))
    text = search.strip().replace("\0", "")[:254]
    if text:
        model = get_user_model()
        named = model.objects.filter(**{f"{model.get_email_field_name()}__icontains": text})
        rows = rows.filter(user_id__in=list(named.order_by("pk").values_list("pk", flat=True)[:MOST_USERS]))
    sums = {f"sum_{name}": Sum(name, filter=now) for name in ("calls", "errors", "unpriced", "cost")}
    found = rows.order_by().values("user_id").annotate(**sums, before=Sum("cost", filter=~now))
    ranked = list(found.filter(sum_calls__isnull=False).order_by(F("sum_cost").desc(), "user_id")[: MOST_USERS + 1])
    bounded, ranked = len(ranked) > MOST_USERS, ranked[:MOST_USERS]
    emails = emails_of(row["user_id"] for row in ranked)
    last_days = _last_days([row["user_id"] for row in ranked], period)
    lines = [
        Person(
            user_id=row["user_id"],
            email=emails.get(row["user_id"], ""),
            calls=row["sum_calls"],
            errors=row["sum_errors"],
            unpriced=row["sum_unpriced"],
            cost=row["sum_cost"],
            before=row["before"] or ZERO,
            last_day=last_days[row["user_id"]],
        )
        for row in ranked
    ]
    orders = {
        "cost": lambda line: (-line.cost, -line.calls),
        "calls": lambda line: (-line.calls, -line.cost),
        "last": lambda line: (-line.last_day.toordinal(), -line.cost),
    }
    return People(
        people=sorted(lines, key=orders[sort]), cost=total["c"] or ZERO, calls=total["n"] or 0, bounded=bounded
    )
