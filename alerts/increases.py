"""More that was asked for, approved or refused becomes an alert, in the same transaction."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from django.dispatch import receiver

from alerts.audience import concerned_by
from alerts.kinds import Type
from alerts.models import CostAlert
from alerts.operations import raise_alerts
from alerts.wording import of_increase
from budgets.events import increase_changed
from budgets.models import BudgetIncrease

_TYPES = {
    BudgetIncrease.Status.ASKED: Type.INCREASE_ASKED,
    BudgetIncrease.Status.APPROVED: Type.INCREASE_APPROVED,
    BudgetIncrease.Status.REFUSED: Type.INCREASE_REFUSED,
}


@receiver(increase_changed, dispatch_uid="alerts_increase")
def increase_alerts(increase: BudgetIncrease, at: datetime, **_: Any) -> None:
    """Who approves hears of what is asked for, who asked hears what became of it. What staff give by themselves is told
    to nobody but the one it is for.
    """
    finding = of_increase(increase, type_=_TYPES[increase.status])
    if increase.status != BudgetIncrease.Status.ASKED and increase.decided_by_id == increase.asked_by_id:
        finding = replace(finding, user_id=concerned_by(increase.limit, increase.subject))
        if finding.user_id in (None, increase.decided_by_id):
            return
    raise_alerts([finding], at=at)
    if increase.status != BudgetIncrease.Status.ASKED:
        asked = CostAlert.objects.filter(dedupe_key=f"{Type.INCREASE_ASKED}:{increase.pk}", resolved_at=None)
        asked.update(resolved_at=at, updated_at=at)
