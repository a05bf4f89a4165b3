"""Digests: what was spent in a day or a week, where budgets stand, and the alerts of that time, in one message.

Two ways lead to one: a channel that collects its alerts instead of sending each (`compose`), and an account that wants
to be told what was spent (`send_summaries`): by its channels that send each alert at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import Q, QuerySet

from alerts.audience import sees_all, visible_to
from alerts.findings import Finding
from alerts.kinds import ABOUT_ALERTS, BUNDLES, Severity, Type
from alerts.models import AlertPreference, AlertRead, Channel, CostAlert, Delivery, Digest, Summary
from alerts.operations import raise_alerts
from alerts.planning import deliveries, implied_channels, wants
from alerts.wording import called, cut, money, percent
from budgets.models import BudgetLimit
from budgets.overview import fullest_limits
from budgets.queries import Standing, standings_of_user
from tracking import queries
from tracking.periods import Period, day_of
from tracking.queries import Totals

#: When a summary is due, in the account's own time zone.
DUE_AT = time(8)
#: So many features, models, budgets and alerts are named.
MOST_NAMES, MOST_BUDGETS, MOST_ALERTS = 3, 5, 10
_CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Span:
    """The days that a digest tells of, and as many before them. Days are those of the site's time zone."""

    period: Period
    weekly: bool

    @classmethod
    def before(cls, at: datetime, *, weekly: bool) -> Span:
        """Yesterday, or the seven days up to yesterday."""
        end = day_of(at)
        return cls(Period(end - timedelta(days=7 if weekly else 1), end), weekly)

    @property
    def earlier(self) -> Period:
        """The span before."""
        length = self.period.end - self.period.start
        return Period(self.period.start - length, self.period.start)

    @property
    def name(self) -> str:
        """`Sunday, 22 November` or `16 to 22 November`"""
        first, last = self.period.start, self.period.end - timedelta(days=1)
        if not self.weekly:
            return f"{last:%A}, {last.day} {last:%B}"
        return f"{first.day}{f' {first:%B}' if first.month != last.month else ''} to {last.day} {last:%B}"


# --- For a channel that collects ------------------------------------------------------------------------------------


def compose(channel: Channel, alerts: Sequence[CostAlert], *, since: datetime, at: datetime) -> Finding | None:
    """The digest of a channel: what was spent, and what was collected for it since then. None for nothing at all."""
    span = Span.before(at, weekly=channel.digest == Digest.WEEKLY)
    owner = channel.owner
    everyone = owner is None or sees_all(owner)
    return _digest(
        f"{Type.DIGEST}:{channel.pk}:{since:%Y%m%dT%H%M%SZ}", span, alerts, len(alerts),
        whose=None if everyone else owner, user_id=channel.owner_id, at=at,
    )  # fmt: skip


# --- For an account that wants to know ------------------------------------------------------------------------------


def send_summaries(*, at: datetime) -> int:
    """Tell every account that wants it what was spent; once for each account and day (or week). Returns how many.

    Staff who see everything are told weekly, unless they say otherwise; others when they ask for it.
    """
    users = get_user_model().objects.filter(is_active=True)
    wanting = users.filter(
        Q(is_staff=True) | Q(alert_preference__summary__in=[Summary.DAILY, Summary.WEEKLY])
    ).select_related("alert_preference")
    return sum(_send_summary(user, at=at) for user in wanting.order_by("pk"))


def summary_of(user: Any) -> str:
    """How often an account is told: off, daily or weekly."""
    preference: AlertPreference | None = getattr(user, "alert_preference", None)
    if preference is not None and preference.summary != Summary.DEFAULT:
        return preference.summary
    return Summary.WEEKLY if sees_all(user) else Summary.OFF


def _send_summary(user: Any, *, at: datetime) -> bool:
    how_often = summary_of(user)
    local = at.astimezone(ZoneInfo(user.time_zone))
    weekly = how_often == Summary.WEEKLY
    if how_often == Summary.OFF or local.time() < DUE_AT or (weekly and local.weekday() != 0):
        return False
    key = f"{Type.DIGEST}:summary:{how_often}:{user.pk}:{local:%Y-%m-%d}"
    if CostAlert.objects.filter(dedupe_key=key).exists():
        return False
    span = Span.before(at, weekly=weekly)
    # Before the transaction: it reads sums, and on SQLite a transaction keeps all writers waiting.
    rows = _alerts_of(user, span)
    finding = _digest(
        key, span, rows[:MOST_ALERTS], rows.count(), whose=None if sees_all(user) else user, user_id=user.pk, at=at
    )
    if finding is None:
        return False
    implied_channels([user], at=at)
    with transaction.atomic():
        new = raise_alerts([finding], at=at)
        for alert in new:
            AlertRead.objects.filter(alert=alert).update(read_at=at)  # it tells of alerts that are counted themselves
            channels = Channel.objects.filter(owner=user, is_active=True, disabled_at=None, digest=Digest.OFF)
            rows = [
                one for ch in channels.select_related("owner") if wants(ch, alert) for one in deliveries(alert, ch, at)
            ]
            Delivery.objects.bulk_create(rows)
    return bool(new)


def _alerts_of(user: Any, span: Span) -> QuerySet[CostAlert]:
    rows = CostAlert.objects.filter(
        visible_to(user), created_at__gte=span.period.starts_at, created_at__lt=span.period.ends_at
    )
    return rows.exclude(type__in=[*BUNDLES, *ABOUT_ALERTS]).order_by("-pk")


# --- What it says ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a digest tells of."""

    span: Span
    of_one: bool  # of one account: else of all
    now: Totals
    before: Totals
    top: Sequence[tuple[str, str, Decimal]]  # (feature or model, its name, what it cost), those that cost most first
    budgets: Sequence[tuple[str, str]]  # how full, and which
    alerts: Sequence[CostAlert]  # the first of so many:
    number: int


def _digest(
    key: str, span: Span, alerts: Sequence[CostAlert], number: int, *, whose: Any, user_id: int | None, at: datetime
) -> Finding | None:
    """`alerts`: those that may be named, the first of `number`."""
    of_user = whose.pk if whose is not None else None
    now = queries.totals(period=span.period, user_id=of_user)
    before = queries.totals(period=span.earlier, user_id=of_user)
    if not (number or now.calls or before.calls):
        return None
    top = [
        (label, row.name, row.totals.cost)
        for label, rows in (
            ("feature", queries.by_feature(period=span.period, user_id=of_user, limit=MOST_NAMES)),
            ("model", queries.by_model(period=span.period, user_id=of_user, limit=MOST_NAMES)),
        )
        for row in rows
    ]
    told = Told(
        span=span, of_one=whose is not None, now=now, before=before, top=top, budgets=_budgets(whose, at),
        alerts=alerts, number=number,
    )  # fmt: skip
    return say(told, key=key, user_id=user_id, at=at)


def say(told: Told, *, key: str, user_id: int | None, at: datetime) -> Finding:
    """The digest in words."""
    span, now, before = told.span, told.now, told.before
    spent = money(now.cost.quantize(_CENT, ROUND_HALF_EVEN))
    counted = f"{told.number:,} alert{'' if told.number == 1 else 's'}"
    return Finding(
        type=Type.DIGEST,
        severity=Severity.INFO,
        dedupe_key=key,
        title=f"{spent} {'in seven days' if span.weekly else 'yesterday'}, {counted}: {span.name}",
        text=f"{'You spent' if told.of_one else 'Spent'} {spent} "
        f"{'in the seven days' if span.weekly else 'on'} {span.name}"
        f"{', ' + _change(now.cost, before.cost) if before.cost > 0 else ''}; {counted}.",
        at=at,
        user_id=user_id,
        spent=now.cost,
        facts=tuple(_facts(told, spent)),
        details={
            "start": span.period.start.isoformat(), "end": span.period.end.isoformat(), "spent": f"{now.cost:f}",
            "spent_before": f"{before.cost:f}", "calls": now.calls, "unpriced": now.unpriced, "alerts": told.number,
        },
        count=max(1, told.number),
    )  # fmt: skip


def _facts(told: Told, spent: str) -> Iterator[tuple[str, str]]:
    now = told.now
    yield "Spent", f"{spent} ({now.calls:,} {'call' if now.calls == 1 else 'calls'})"
    yield "The span before", _against(now.cost, told.before.cost)
    if now.unpriced:
        yield "Without a price", f"{now.unpriced:,} of the calls, which the sum leaves out"
    seen = set()
    for label, name, cost in told.top:
        if cost > 0:
            yield f"{'Top ' if label not in seen else ''}{label}".capitalize(), f"{cut(name) or 'none'}: {_cents(cost)}"
            seen.add(label)
    yield from told.budgets
    yield from ((f"Alert, {alert.severity}", _line(alert)) for alert in told.alerts[:MOST_ALERTS])
    if told.number > MOST_ALERTS:
        yield "Alerts", f"{told.number - MOST_ALERTS:,} more"


def _line(alert: CostAlert) -> str:
    return f"{alert.title}{' (over)' if alert.resolved_at else ''}"


def _cents(amount: Decimal) -> str:
    return money(amount.quantize(_CENT, ROUND_HALF_EVEN)) if amount >= _CENT else "less than $0.01"


def _against(now: Decimal, before: Decimal) -> str:
    return f"{_cents(before) if before > 0 else '$0.00'}{f' ({_change(now, before)})' if before > 0 else ''}"


def _change(now: Decimal, before: Decimal) -> str:
    """`12 % more`, `5 % less`, `the same`"""
    share = now / before - 1
    if abs(share) < Decimal("0.0005"):
        return "the same as before"
    return f"{percent(abs(share))} {'more' if share > 0 else 'less'} than before"


def _budgets(whose: Any, at: datetime) -> list[tuple[str, str]]:
    """Where budgets stand: those of an account, or the fullest of all."""
    if whose is None:
        return [
            (f"Budget, {one.status}", f"{cut(str(limit))}{f' ({name})' if name else ''}: {_of(one.spent, one.limit)}")
            for limit, name, one in fullest_limits(at=at, most=MOST_BUDGETS)
        ]
    lines: list[Standing] = [line for line in standings_of_user(whose.pk, at=at) if line.enforced]
    lines.sort(key=lambda line: -line.percent)
    limits = BudgetLimit.objects.select_related("user", "group").in_bulk(line.limit_id for line in lines)
    return [
        (f"Budget, {line.status}", f"{called(limits[line.limit_id])}: {_of(line.spent, line.limit)}")
        for line in lines[:MOST_BUDGETS]
    ]


def _of(spent: Decimal, limit: Decimal) -> str:
    share = f" ({percent(spent / limit)})" if limit else ""
    return f"{money(spent.quantize(_CENT, ROUND_HALF_EVEN))} of {money(limit)}{share}"
