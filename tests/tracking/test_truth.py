"""A call whose hold expired is corrected when its event arrives after all."""

import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db.models import Sum

from tracking.audit import audit
from tracking.calls import call
from tracking.events import CallEvent
from tracking.models import ApiUsageLog, DailyFeatureRollup, Rate
from tracking.recording import record
from tracking.repricing import reprice

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
AT_US = int((NOW - timedelta(hours=1)).timestamp()) * 1_000_000


def unknown(call_id: str) -> CallEvent:
    return CallEvent(
        id=call_id, at_us=AT_US, provider="openai", operation="chat", endpoint="", model_asked="gpt-4o",
        status="unknown", quality="estimated", cost_usd="0.5", feature="mail",
    )  # fmt: skip


def truth(call_id: str, *, status: str = "ok", **fields) -> CallEvent:
    return CallEvent(
        id=call_id, at_us=AT_US, provider="openai", operation="chat", endpoint="/v1/chat/completions",
        model_asked="gpt-4o", model_served="gpt-4o-2024-08-06", status=status, quality="exact", feature="mail",
        usage={"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500}, **fields,
    )  # fmt: skip


def cost() -> Decimal:
    return ApiUsageLog.objects.aggregate(total=Sum("cost"))["total"]


def test_the_truth_takes_the_place_of_the_estimate_once():
    call_id = str(uuid.uuid4())
    record([unknown(call_id)], now=NOW)
    assert cost() == Decimal("0.5")

    for _ in range(3):
        assert record([truth(call_id)], now=NOW + timedelta(minutes=5)).conflicts == ()

    assert cost() == Decimal("0.0075")
    assert audit().differences == []
    shown = call(uuid.UUID(call_id)).call
    assert (shown.status, shown.cost, shown.corrected) == ("ok", Decimal("0.0075"), True)
    sums = {row.model: (row.calls, row.cost) for row in DailyFeatureRollup.objects.all()}
    assert sums == {"gpt-4o": (1, Decimal("0.0075"))}, "where it was counted before"
    assert ApiUsageLog.objects.get(corrects=call_id, status="ok").model_served == "gpt-4o-2024-08-06"


def test_a_truth_that_waits_for_its_price_gets_it():
    """A batch's line of a model that nobody knew, told after the hold for another model had expired."""
    call_id = str(uuid.uuid4())
    record([unknown(call_id)], now=NOW)
    told = truth(call_id, batch=True)
    told.model_asked = told.model_served = "our-model"
    record([told], now=NOW)
    assert call(uuid.UUID(call_id)).call.price_status == "unpriced"
    for meter in ("input_tokens", "output_tokens"):
        for tier, amount in (("standard", 4), ("batch", 2)):
            Rate.objects.create(
                provider="openai", model="our-model", meter=meter, tier=tier, amount=amount, own=True, source="us"
            )
    assert reprice(now=NOW, of=("openai", "our-model")).priced == 1
    assert call(uuid.UUID(call_id)).call.cost == Decimal("0.003"), "at the price of batches"
    assert audit().differences == []


def test_an_estimate_never_takes_the_place_of_the_truth():
    call_id = str(uuid.uuid4())
    record([truth(call_id)], now=NOW)
    again = record([unknown(call_id)], now=NOW)
    assert (again.rows, again.conflicts) == (0, ())
    assert cost() == Decimal("0.0075")


def test_a_call_that_failed_after_all_costs_nothing():
    call_id = str(uuid.uuid4())
    record([unknown(call_id)], now=NOW)
    record([truth(call_id, status="error", http_status=500)], now=NOW)
    assert cost() == 0
    assert audit().differences == []


def test_other_content_for_a_known_call_is_a_conflict_as_before():
    call_id = str(uuid.uuid4())
    record([truth(call_id)], now=NOW)
    other = truth(call_id)
    other.usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    assert record([other], now=NOW).conflicts == (uuid.UUID(call_id).hex,)
    assert cost() == Decimal("0.0075")
