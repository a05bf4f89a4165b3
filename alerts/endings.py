"""What is over without anybody who watches it: a channel that works again, a question that nobody needs to answer."""

from __future__ import annotations

from datetime import datetime

from alerts.kinds import Type
from alerts.models import Channel, CostAlert
from budgets.models import BudgetIncrease

#: So many are looked at in one run, the oldest first.
MOST = 1000


def resolve_channels(*, at: datetime) -> int:
    """Alerts of channels that died are over where the channel was switched on again, switched off or deleted. Returns
    how many.
    """
    rows = list(CostAlert.objects.filter(type=Type.CHANNEL_DIED, resolved_at=None).order_by("pk")[:MOST])
    dead = dict(
        Channel.objects.filter(pk__in=[row.details.get("channel") for row in rows], is_active=True)
        .exclude(disabled_at=None)
        .values_list("pk", "disabled_at")
    )
    over = []
    for row in rows:
        since = dead.get(row.details.get("channel"))
        if since is None or since > row.occurred_at:  # it works, or there is an alert of a later death
            over.append(row.pk)
    return CostAlert.objects.filter(pk__in=over, resolved_at=None).update(resolved_at=at, updated_at=at)


def resolve_questions(*, at: datetime) -> int:
    """Alerts of more that was asked for are over where that was decided, or is for a time that has passed."""
    rows = CostAlert.objects.filter(type=Type.INCREASE_ASKED, resolved_at=None).order_by("pk")[:MOST]
    asked = {row.pk: row.details.get("increase") for row in rows}
    waiting = BudgetIncrease.objects.filter(pk__in=asked.values(), status=BudgetIncrease.Status.ASKED, until__gt=at)
    still = set(waiting.values_list("pk", flat=True))
    over = [pk for pk, increase in asked.items() if increase not in still]
    return CostAlert.objects.filter(pk__in=over, resolved_at=None).update(resolved_at=at, updated_at=at)
