"""What the preview shows is what is sent: examples are told by the functions that tell of what is real."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from alerts import samples
from alerts.crossings import claim_crossings
from alerts.kinds import Type
from alerts.models import CostAlert
from budgets.changes import ask_increase, decide_increase
from budgets.errors import BudgetExceeded
from budgets.operations import reserve
from budgets.windows import close_window
from tests.alerts.core.conftest import make_limit, new_id, spend
from tests.budgets.conftest import call_at

AT = datetime(2026, 11, 18, 12, 0, tzinfo=UTC)
#: Until when an increase of the examples counts.
WEEK = AT + timedelta(days=7)


def told(alert: CostAlert) -> tuple:
    """What a reader sees of it."""
    return alert.type, alert.severity, alert.title, alert.text, [tuple(fact) for fact in alert.facts]


@pytest.mark.django_db
@pytest.mark.parametrize("type_", Type.values)
def test_every_type_has_an_example_and_nothing_of_it_is_stored(type_):
    alert = samples.sample(type_, at=AT)
    assert alert.type == type_ and alert.title and alert.text and alert.facts and alert.pk is None
    assert not CostAlert.objects.exists() and type_ in dict(samples.TYPES)


@pytest.mark.database
@pytest.mark.usefixtures("own_db", "at_once")
def test_examples_of_limits_are_word_for_word_what_is_told_of_such_a_limit(owner, staff):
    limit = make_limit("500", name="Research, a month", period="month")
    spend("412.50", at=AT, user=owner.pk)
    claim_crossings(at=AT)
    spend("86.70", at=AT, user=owner.pk)
    with pytest.raises(BudgetExceeded):
        reserve(call_at(AT, user=owner.pk), hold_id=new_id(), amount=Decimal("1.10"))
    claim_crossings(at=AT)
    spend("1.20", at=AT, user=owner.pk)
    claim_crossings(at=AT)
    for approve in (True, False):
        asked = ask_increase(
            limit, amount=Decimal(100), until=WEEK, why="The evaluation of the new model.", by=owner, at=AT
        )
        decide_increase(asked, approve=approve, by=staff, at=AT, note="" if approve else "Let us talk first.")
    close_window(CostAlert.objects.get(type=Type.EXCEEDED).window_id, at=datetime(2026, 12, 1, tzinfo=UTC))
    claim_crossings(at=AT)
    for type_ in (
        Type.THRESHOLD, Type.EXCEEDED, Type.REFUSED, Type.PAUSED, Type.INCREASE_ASKED, Type.INCREASE_APPROVED,
        Type.INCREASE_REFUSED,
    ):  # fmt: skip
        real = CostAlert.objects.filter(type=type_).order_by("pk").first()
        assert told(samples.sample(type_, at=AT)) == told(real)
    real = CostAlert.objects.get(type=Type.RESUMED)
    assert samples.sample(Type.RESUMED, at=AT).title == real.title
