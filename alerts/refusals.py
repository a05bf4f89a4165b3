"""How many calls were refused since an alert was raised: shown in the alert, and nobody is told of each."""

from __future__ import annotations

from datetime import datetime

from alerts.kinds import Type
from alerts.models import CostAlert
from budgets.models import RefusalCount

_LABEL = "Refused calls"


def count_refusals(*, at: datetime) -> int:
    """Bring the count of each alert about refused calls up to date while it holds. Returns how many changed."""
    alerts = CostAlert.objects.filter(type=Type.REFUSED, resolved_at=None, window__isnull=False)
    counts = dict(RefusalCount.objects.filter(window__in=alerts.values("window")).values_list("window_id", "count"))
    changed = []
    for alert in alerts.filter(window__in=list(counts)):
        number = counts[alert.window_id]
        if number != alert.count:
            alert.count, alert.updated_at = number, at
            others = [fact for fact in alert.facts if fact[0] != _LABEL]
            alert.facts = [*others, [_LABEL, f"{number:,}"]]
            changed.append(alert)
    CostAlert.objects.bulk_update(changed, ["count", "facts", "updated_at"], batch_size=200)
    return len(changed)
