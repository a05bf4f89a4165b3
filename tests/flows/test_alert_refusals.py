"""A user whose calls are refused: told at the first, the others counted, exactly and at no cost to the refusal."""

from decimal import Decimal

import openai
import pytest
from django.utils import timezone

from alerts import tasks
from alerts.models import CostAlert
from budgets.models import BudgetLimit, RefusalCount
from tracking import spool

pytestmark = pytest.mark.django_db(transaction=True)


def test_refused_calls_of_a_metered_client_are_told_once_and_counted(ledger, sdk, owner):
    BudgetLimit(scope="user", user=owner, period="day", amount=Decimal("0.0000001"), name="Alice's day").save(
        at=timezone.now()
    )
    client = sdk("openai", user=owner.email)
    for _ in range(5):
        with pytest.raises(openai.APIStatusError) as refused:
            client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "Hello"}])
        assert refused.value.status_code == 402
    assert spool.flush(20)
    assert RefusalCount.objects.get().count == 5
    tasks.send_threshold_alerts()
    tasks.resolve_alerts()
    alert = CostAlert.objects.get(type="refused")
    assert (alert.user, alert.count, alert.severity) == (owner, 5, "critical")
    assert ["Refused calls", "5"] in alert.facts
    assert alert.title.startswith("Calls are refused: Alice's day, ")
