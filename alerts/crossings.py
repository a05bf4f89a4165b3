"""Crossings become alerts: claimed once, with the alert and its deliveries in the same transaction."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from itertools import groupby
from operator import attrgetter

from django.db import OperationalError, transaction
from django.db.models import Q

from alerts.audience import concerned_by
from alerts.findings import Finding
from alerts.kinds import Type
from alerts.models import CostAlert
from alerts.operations import raise_alerts
from alerts.wording import of_crossing
from budgets.models import BudgetWindow, Crossing

logger = logging.getLogger(__name__)

#: So many are claimed in one transaction.
BATCH = 100
#: What the alerts of one line have in common, whatever amount the limit had when it was passed.
_LINE = ("type", "limit_id", "window_start", "subject", "threshold")


def claim_crossings(*, at: datetime, most: int = 10_000) -> int:
    """Make alerts of the crossings that nobody has claimed, the oldest first. Returns how many were claimed.

    One query where there are none. A process that dies half-way leaves them unclaimed and no alert behind; two at once
    share them. One that cannot be made an alert keeps no other back: it is raised when all others are claimed.
    """
    claimed = 0
    while claimed < most and Crossing.objects.filter(claimed_at=None).exists():
        try:
            taken = _claim(at=at, most=min(BATCH, most - claimed))
        except OperationalError:  # the database is away, or broke a deadlock: the next beat does it
            raise
        except Exception:
            logger.exception("Crossings could not be claimed together; each is tried by itself.")
            return claimed + _claim_each(at=at, most=most - claimed)
        claimed += taken
        if not taken:  # others have them
            break
    return claimed


def _claim_each(*, at: datetime, most: int) -> int:
    claimed, failed = 0, None
    waiting = Crossing.objects.filter(claimed_at=None).order_by("crossed_at", "pk")
    for crossing_id in list(waiting.values_list("pk", flat=True)[:most]):
        try:
            claimed += _claim(at=at, most=1, only=crossing_id)
        except Exception as error:
            failed = error
    if failed is not None:
        raise failed
    return claimed


@transaction.atomic
def _claim(*, at: datetime, most: int, only: int | None = None) -> int:
    rows = Crossing.objects.filter(claimed_at=None).order_by("crossed_at", "pk")
    if only is not None:
        rows = rows.filter(pk=only)
    # PostgreSQL: two claimers take different rows. SQLite: the transaction holds the only write lock.
    locked = rows.select_for_update(of=("self",), skip_locked=True)
    ids = list(locked.values_list("pk", flat=True)[:most])
    # The condition once more: whoever read without a lock finds nothing left to claim.
    if Crossing.objects.filter(pk__in=ids, claimed_at=None).update(claimed_at=at) != len(ids):
        raise RuntimeError("Crossings were claimed by another process although they were locked.")
    found = Crossing.objects.filter(pk__in=ids).select_related("window__limit__user", "window__limit__group")
    for crossing in found.order_by("crossed_at", "pk"):
        raise_alerts(_findings(crossing), at=at)
    return len(ids)


def _findings(crossing: Crossing) -> list[Finding]:
    window = crossing.window
    user_id = concerned_by(window.limit, window.subject)
    if crossing.kind == Crossing.Kind.LIFTED:
        types = [Type.RESUMED]
    elif crossing.kind == Crossing.Kind.REFUSED:
        types = [Type.REFUSED]
    else:
        types = [Type.EXCEEDED if crossing.threshold >= 1 else Type.THRESHOLD]
    reached = crossing.threshold >= 1 and crossing.spent >= crossing.limit_amount
    if window.hard and reached and crossing.kind != Crossing.Kind.LIFTED:
        types.append(Type.PAUSED)
    return [of_crossing(crossing, type_=type_, user_id=user_id) for type_ in types]


def resolve_limits(*, at: datetime) -> int:
    """Mark alerts of limits as no longer holding where their window is over, or has room again. Returns how many.

    And the other way round: one of a window that is not over, whose threshold is passed again, holds again.
    """
    kinds = (Type.THRESHOLD, Type.EXCEEDED, Type.REFUSED, Type.PAUSED)
    rows = CostAlert.objects.filter(type__in=kinds, window__isnull=False)
    rows = rows.filter(Q(resolved_at=None) | Q(window_end__gt=at)).select_related("window__limit")
    ordered = rows.order_by(*_LINE, "pk").iterator(chunk_size=500)
    changed = 0
    for _, line in groupby(ordered, key=attrgetter(*_LINE)):
        alerts = list(line)
        present = _present(alerts, at)
        for alert in alerts:
            holds = alert is present and _holds(alert, alert.window, at)
            if holds == (alert.resolved_at is None):
                continue
            again = CostAlert.objects.filter(pk=alert.pk, resolved_at=alert.resolved_at)
            changed += again.update(resolved_at=None if holds else at, updated_at=at)
    return changed


def _present(alerts: Sequence[CostAlert], at: datetime) -> CostAlert:
    """Which of the alerts of one line can hold: that of the amount which the limit has now, else the latest."""
    exact = (alert for alert in reversed(alerts) if alert.limit_amount == _limit_now(alert.window, at))
    return next(exact, alerts[-1])


def _limit_now(window: BudgetWindow, at: datetime) -> Decimal:
    extra = window.extra_until is not None and window.extra_until > at
    return window.limit_amount + (window.extra_amount if extra else 0)


def _holds(alert: CostAlert, window: BudgetWindow, at: datetime) -> bool:
    over = (window.ends_at is not None and window.ends_at <= at) or window.closed_at is not None
    if over or window.version != window.limit.version:
        return False
    limit = _limit_now(window, at)
    if alert.type in (Type.THRESHOLD, Type.EXCEEDED):
        return window.spent >= alert.threshold * limit
    if alert.type == Type.PAUSED:
        return window.hard and window.spent >= limit
    # Calls were refused under a limit that was lower then.
    return window.hard and (alert.limit_amount is None or limit <= alert.limit_amount)
